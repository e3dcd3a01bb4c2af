/* redis_call: a call of one of the scripts, which take a section for each row of the table of
 * aggregates: kind, number of keys, number of arguments, and the arguments.
 *
 * Place:    under redis_store and redis_snapshot.
 * Threads:  one owner.
 * Owns:     the words. Keeps the prefix.
 */
#ifndef EDGE_REDIS_CALL_H
#define EDGE_REDIS_CALL_H

#include "core/aggregate.h"
#include "redis_command.h"

struct redis_call {                       /* all zero is an empty call */
    struct redis_command command;         /* the call, when it is finished */
    struct redis_command keys, arguments; /* the caller may put some before the sections */
    struct redis_command section;         /* arguments of the present one, for the caller to put */
    const char *prefix;
    const struct aggregate *aggregate; /* the present one's */
    int first_key;
};

/* Empties it and keeps its memory. */
void redis_call_clear(struct redis_call *call, const char *prefix);
void redis_call_release(struct redis_call *call);

/* Begins the section of an aggregate, with all its keys but those of single days. */
void redis_call_begin(struct redis_call *call, const struct aggregate *aggregate);

/* AGGREGATE_DAYS: adds the key of a day, and its name as an argument. Borrows day. */
void redis_call_put_day(struct redis_call *call, const char *day);

void redis_call_end(struct redis_call *call);

/* Makes the command, by the script's text or by its SHA-1. */
void redis_call_finish(struct redis_call *call, bool by_text, const char *script);

#endif
