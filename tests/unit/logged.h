/* logged: which warnings and errors the log holds: the last LOG_RECENT_LINES of them; and all that
 * is logged between two points. */
#ifndef TESTS_UNIT_LOGGED_H
#define TESTS_UNIT_LOGGED_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct logged {
    const char *message, *field;
    int count;
};

static inline void logged_look(void *context, const char *line, size_t length) {
    struct logged *logged = context;
    logged->count += memmem(line, length, logged->message, strlen(logged->message)) != NULL &&
                     memmem(line, length, logged->field, strlen(logged->field)) != NULL;
}

/* How many lines have both texts. */
static inline int logged_count(const char *message, const char *field) {
    struct logged logged = {message, field, 0};
    log_recent(logged_look, &logged);
    return logged.count;
}

/* The lines of every level, from logged_begin to logged_end. */
static char logged_text[1 << 16];
static int logged_file = -1, logged_stderr = -1;

static inline void logged_begin(void) {
    char path[] = "/tmp/rollcall-logged-XXXXXX";
    logged_file = mkstemp(path);
    unlink(path);
    logged_stderr = dup(STDERR_FILENO);
    dup2(logged_file, STDERR_FILENO);
}

static inline void logged_end(void) {
    dup2(logged_stderr, STDERR_FILENO);
    close(logged_stderr);
    const ssize_t count = pread(logged_file, logged_text, sizeof logged_text - 1, 0);
    logged_text[count < 0 ? 0 : count] = '\0';
    close(logged_file);
}

#endif
