/* redis_packed: counts as snapshot.lua packs them into one text, added to JSON.
 *
 * Place:    under redis_snapshot.
 * Threads:  any.
 * Owns:     nothing.
 *
 * Packed counts are LENGTH NAME COUNT LENGTH NAME COUNT ..., between blanks. All functions return
 * false if the reply has not this form. Whatever others have stored, valid JSON is added: names as
 * text_add_json has them, no two alike, and null for a count that is not finite.
 */
#ifndef EDGE_REDIS_PACKED_H
#define EDGE_REDIS_PACKED_H

#include <stdbool.h>

#include "base/text.h"
#include "core/days.h"
#include "edge/redis_reply.h"

/* How a row's counts are shown: how the name of a member begins. */
struct redis_packed_style {
    const char *before; /* a day, or "" */
    const char *between;
    const struct days *days; /* whose members are shown; NULL: all */
};

extern const struct redis_packed_style redis_packed_plain;

/* Adds them as members, in order of their names. */
bool redis_packed_add_sorted(struct text *json, const struct redis_packed_style *style,
                             const struct redis_reply *reply, const char **separator);

/* The same, in the order in which they come. */
bool redis_packed_add_values(struct text *json, const struct redis_reply *reply);

/* Adds the one count that there is, as a number; 0 if there is none. */
bool redis_packed_add_number(struct text *json, const struct redis_reply *reply);

#endif
