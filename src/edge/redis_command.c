#include "edge/redis_command.h"

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

void redis_command_put(struct redis_command *command, const char *word, size_t length) {
    if ((size_t)command->argument_count == command->argument_capacity) {
        command->argument_capacity = command->argument_capacity * 2 + 64;
        command->lengths =
            memory_grow(command->lengths, command->argument_capacity * sizeof *command->lengths);
        command->arguments = memory_grow(command->arguments,
                                         command->argument_capacity * sizeof *command->arguments);
    }
    if (command->byte_count + length > command->byte_capacity) {
        command->byte_capacity = (command->byte_count + length) * 2 + 1024;
        command->bytes = memory_grow(command->bytes, command->byte_capacity);
    }
    memcpy(command->bytes + command->byte_count, word, length);
    command->byte_count += length;
    command->lengths[command->argument_count++] = length;
}

void redis_command_put_text(struct redis_command *command, const char *word) {
    redis_command_put(command, word, strlen(word));
}

void redis_command_put_int(struct redis_command *command, int64_t number) {
    redis_command_put_format(command, "%lld", (long long)number);
}

void redis_command_put_format(struct redis_command *command, const char *format, ...) {
    char word[REDIS_COMMAND_FORMAT_BYTES];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(word, sizeof word, format, args);
    va_end(args);
    assert(length >= 0 && length < REDIS_COMMAND_FORMAT_BYTES);
    redis_command_put(command, word, (size_t)length);
}

const char **redis_command_arguments(struct redis_command *command) {
    const char *word = command->bytes;
    for (int i = 0; i < command->argument_count; i++) {
        command->arguments[i] = word;
        word += command->lengths[i];
    }
    return command->arguments;
}
