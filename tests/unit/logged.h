/* logged: which warnings and errors the log holds: the last LOG_RECENT_LINES of them. */
#ifndef TESTS_UNIT_LOGGED_H
#define TESTS_UNIT_LOGGED_H

#include <string.h>

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

#endif
