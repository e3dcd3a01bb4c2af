#include "app/audit_lag.h"

#include <inttypes.h>
#include <stdlib.h>

#include "app/commands.h"
#include "base/clock.h"
#include "edge/redis_reply.h"

enum { LOOK_MS = 200 };

int64_t audit_lag_records(const struct recount *recount) {
    int64_t records = 0;
    for (int p = 0; p < recount->partition_count; p++) {
        const int64_t behind = recount->partitions[p].log_end - recount->ranges[p].end;
        if (behind > 0) records += behind;
    }
    return records;
}

/* Sets the end of each range to the offset that is stored, or to its begin if there is none. */
static bool look(struct recount *recount, struct redis_link *link, struct error *error) {
    const char *prefix = recount->config->redis.prefix;
    if (!redis_link_open(link, error)) return false;
    struct redis_reply *found = redis_link_call(link, error, "HGETALL %s:offsets", prefix);
    if (found == NULL) return false;
    const bool is_right = redis_reply_is_texts(found, 2);
    if (!is_right) {
        error_set(error, "Redis at %s answered HGETALL %s:offsets with: %.200s",
                  redis_link_name(link), prefix, redis_reply_text(found).bytes);
    }
    for (int p = 0; p < recount->partition_count; p++)
        recount->ranges[p].end = recount->ranges[p].begin;
    for (size_t i = 0; is_right && i < redis_reply_count(found); i += 2) {
        const long long p = strtoll(redis_reply_text(redis_reply_at(found, i)).bytes, NULL, 10);
        const int64_t end = strtoll(redis_reply_text(redis_reply_at(found, i + 1)).bytes, NULL, 10);
        if (p < 0 || p >= recount->partition_count) continue;
        if (end > recount->ranges[p].end) recount->ranges[p].end = end;
    }
    redis_reply_destroy(&found);
    return is_right;
}

/* Records that are neither counted nor in the log any more. */
static int64_t gone_records(const struct recount *recount) {
    int64_t records = 0;
    for (int p = 0; p < recount->partition_count; p++) {
        const int64_t gone = recount->partitions[p].log_begin - recount->ranges[p].end;
        if (gone > 0) records += gone;
    }
    return records;
}

/* Whether waiting is in vain: instances end where a record that they need is gone. */
static bool is_in_vain(const struct recount *recount, struct error *error) {
    const int64_t gone = gone_records(recount);
    if (gone == 0 || recount->config->ingest.policy.on_gap != CURSOR_GAP_FAIL) return false;
    error_set(error,
              "Kafka no longer holds %" PRId64
              " of the records that are not counted, so the counts "
              "will not be exact: restore a newer copy of Redis, or go on without these records "
              "with input.on_gap=continue",
              gone);
    return true;
}

bool audit_lag_wait(struct recount *recount, struct redis_link *link, int64_t wait_s,
                    struct error *error) {
    const int64_t until_ms = clock_ms() + wait_s * 1000;
    if (wait_s == 0) return true;
    for (;;) {
        struct error why = {""};
        const bool is_known = look(recount, link, &why);
        const int64_t behind = audit_lag_records(recount);
        if (is_known && behind == 0) return true;
        if (is_known && is_in_vain(recount, error)) return false;
        if (commands_are_stopped()) return error_set(error, "stopped by a signal");
        if (clock_ms() >= until_ms) {
            return is_known
                       ? error_set(error,
                                   "after %" PRId64 " s the counts are still %" PRId64
                                   " records behind where the log ended: see whether instances run "
                                   "and what their /readyz says, or wait longer with --wait",
                                   wait_s, behind)
                       : error_set(error, "%s", why.text);
        }
        clock_sleep_ms(LOOK_MS);
    }
}
