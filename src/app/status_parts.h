/* status_parts: what the files that write /status.json share.
 *
 * Place:    included by these alone.
 * Threads:  the caller's.
 */
#ifndef APP_STATUS_PARTS_H
#define APP_STATUS_PARTS_H

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

struct aggregates;
struct redis_glance;

static inline void status_add_string(struct text *out, const char *string) {
    text_add_json(out, string, strlen(string));
}

static inline void status_add_bool(struct text *out, bool is_true) {
    text_add(out, is_true ? "true" : "false");
}

/* Adds members of the document: the values of "top", behind its first member, and the others that
 * show counts. Borrows all. */
void status_add_counts(const struct aggregates *aggregates, const struct redis_glance *glance,
                       struct text *out);

#endif
