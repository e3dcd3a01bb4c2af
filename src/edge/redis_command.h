/* redis_command: the words of one Redis command, built piece by piece in memory that is used again.
 *
 * Place:    under redis_store.
 * Threads:  one owner.
 * Owns:     copies of the words.
 */
#ifndef EDGE_REDIS_COMMAND_H
#define EDGE_REDIS_COMMAND_H

#include <stddef.h>
#include <stdint.h>

struct redis_command { /* all zero is an empty command */
    char *bytes;
    size_t byte_count, byte_capacity;
    size_t *lengths;
    const char **arguments;
    size_t argument_capacity;
    int argument_count;
};

void redis_command_clear(struct redis_command *command);
void redis_command_release(struct redis_command *command);

/* Adds a word; borrows it. Ends the process when there is no memory. */
void redis_command_put(struct redis_command *command, const char *word, size_t length);
/* Adds all words of another one; borrows it. */
void redis_command_put_all(struct redis_command *command, const struct redis_command *other);

void redis_command_put_text(struct redis_command *command, const char *word);
void redis_command_put_int(struct redis_command *command, int64_t number);
void redis_command_put_format(struct redis_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The words in order, their lengths in command->lengths; good until the command changes. */
const char **redis_command_arguments(struct redis_command *command);

#endif
