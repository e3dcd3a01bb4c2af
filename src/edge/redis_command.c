#include "redis_command.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void redis_command_clear(struct redis_command *command) {
    command->byte_count = 0;
    command->argument_count = 0;
}

void redis_command_release(struct redis_command *command) {
    free(command->bytes);
    free(command->lengths);
    free(command->arguments);
    *command = (struct redis_command){0};
}

/* Makes room for some words that have so many bytes in all, and a NUL, which is not part of
 * them. */
static char *make_room(struct redis_command *command, size_t words, size_t bytes) {
    const size_t count = (size_t)command->argument_count + words;
    if (count > command->argument_capacity) {
        command->argument_capacity = count * 2 + 64;
        command->lengths =
            memory_grow(command->lengths, command->argument_capacity * sizeof *command->lengths);
        command->arguments = memory_grow(command->arguments,
                                         command->argument_capacity * sizeof *command->arguments);
    }
    if (command->byte_count + bytes >= command->byte_capacity) {
        command->byte_capacity = (command->byte_count + bytes) * 2 + 1024;
        command->bytes = memory_grow(command->bytes, command->byte_capacity);
    }
    return command->bytes + command->byte_count;
}

static void end_word(struct redis_command *command, size_t length) {
    command->byte_count += length;
    command->lengths[command->argument_count++] = length;
}

void redis_command_put(struct redis_command *command, const char *word, size_t length) {
    memcpy(make_room(command, 1, length), word, length);
    end_word(command, length);
}

void redis_command_put_all(struct redis_command *command, const struct redis_command *other) {
    if (other->argument_count == 0) return;
    const size_t words = (size_t)other->argument_count;
    memcpy(make_room(command, words, other->byte_count), other->bytes, other->byte_count);
    memcpy(command->lengths + command->argument_count, other->lengths,
           words * sizeof *other->lengths);
    command->byte_count += other->byte_count;
    command->argument_count += other->argument_count;
}

void redis_command_put_text(struct redis_command *command, const char *word) {
    redis_command_put(command, word, strlen(word));
}

void redis_command_put_int(struct redis_command *command, int64_t number) {
    char word[24];
    const int length = snprintf(word, sizeof word, "%lld", (long long)number);
    redis_command_put(command, word, (size_t)length);
}

void redis_command_put_format(struct redis_command *command, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    assert(length >= 0);
    vsnprintf(make_room(command, 1, (size_t)length), (size_t)length + 1, format, again);
    end_word(command, (size_t)length);
    va_end(again);
    va_end(args);
}

const char **redis_command_arguments(struct redis_command *command) {
    const char *word = command->bytes;
    for (int i = 0; i < command->argument_count; i++) {
        command->arguments[i] = word;
        word += command->lengths[i];
    }
    return command->arguments;
}
