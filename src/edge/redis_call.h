/* redis_call: the commands that Redis gets: words, the calls of the two scripts, and a checkpoint.
 *
 * The scripts take a section for each row of the table of aggregates: kind, number of keys, number
 * of arguments, and the arguments.
 *
 * Place:    under redis_link, redis_store and redis_snapshot.
 * Threads:  one owner.
 * Owns:     copies of the words, in memory that is used again. Keeps the prefix.
 * Limits:   TEXT_BYTES_MAX a command; redis_link_send rejects what did not fit.
 */
#ifndef EDGE_REDIS_CALL_H
#define EDGE_REDIS_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "core/aggregate.h"
#include "edge/redis_store.h"

struct redis_command { /* all zero is an empty command */
    struct text words; /* in Redis' protocol */
    int count;
};

void redis_command_clear(struct redis_command *command);
void redis_command_release(struct redis_command *command);

/* Adds a word; borrows it. */
void redis_command_put(struct redis_command *command, const char *word, size_t length);
void redis_command_put_text(struct redis_command *command, const char *word);
void redis_command_put_int(struct redis_command *command, int64_t number);
/* Adds "prefix:name", or "prefix:name:part" unless part is NULL. */
void redis_command_put_key(struct redis_command *command, const char *prefix, const char *name,
                           const char *part);
/* Adds "prefix:name:part:end"; name and part may be NULL, `end` may have any bytes. */
void redis_command_put_key_end(struct redis_command *command, const char *prefix, const char *name,
                               const char *part, struct slice end);

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

/* Begins the section of an aggregate, with all its keys but those of single days and buckets. */
void redis_call_begin(struct redis_call *call, const struct aggregate *aggregate);

/* Adds the key of a day or bucket, if it has one of its own, and its name as an argument; of a
 * declared count's total the name is "". Of AGGREGATE_DISTINCT_BY there are two keys: of the
 * bucket's values, as redis_call_values_name makes it, and of when they expire. Borrows name. */
void redis_call_put_bucket(struct redis_call *call, const char *name);
void redis_call_values_name(const struct aggregate *aggregate, char name[AGGREGATE_TEXT_BYTES]);

/* Adds the key of a value's HyperLogLog in a bucket, AGGREGATE_DISTINCT_BY. Borrows both. */
void redis_call_put_value_key(struct redis_call *call, const char *bucket, struct slice value);

void redis_call_end(struct redis_call *call);

/* Makes the command, by the script's text or by its SHA-1. */
void redis_call_finish(struct redis_call *call, bool by_text, const char *script);

/* Days by name. */
struct redis_days {
    char (*names)[LOGIN_DAY_BYTES];
    size_t count, capacity;
};

/* How the rules are compared. */
struct redis_rules {
    char *accepted;    /* what may be stored instead of our own; NULL: nothing else */
    bool is_ours_next; /* and is replaced by our own */
};

/* What a call has to be to verify others with it, and to be one of these. */
static inline bool redis_call_verifies(const struct store_call *checkpoint) {
    return checkpoint->base == checkpoint->end && checkpoint->base >= 0 &&
           lineage_tip_equals(checkpoint->base_tip, lineage_tip(&checkpoint->lineage));
}

/* Adds a call that verifies to the text of others that another one verifies with it. */
void redis_call_put_other(struct text *others, const struct store_call *checkpoint);

/* Makes one call of redis_store_apply, by the script's text or by its SHA-1. The hashes of `needed`
 * are declared, too; `others` is "", or as redis_call_put_other makes it. Borrows all. */
void redis_call_checkpoint(struct redis_call *call, const struct redis_store_options *options,
                           const struct redis_rules *rules, const struct store_call *checkpoint,
                           const char *others, bool by_text, const struct redis_days *needed);

#endif
