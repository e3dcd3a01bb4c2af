/* rollcall audit: reads the counts in Redis and their offsets at one moment, counts again from
 * Kafka up to these offsets, and compares. What was stored, and what was counted, are both held as
 * a delta, so that they are compared key by key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/audit_declared.h"
#include "app/audit_lag.h"
#include "app/commands.h"
#include "app/config.h"
#include "app/progress.h"
#include "app/recount.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "core/instant.h"
#include "edge/redis_image.h"

enum { STEP_MS = 100, NUMBER_BYTES = 24, SECONDS_A_DAY = 86400 };

/* A day of the logins, by number since 1970. */
struct day {
    int64_t number;
    int64_t first_ms, last_ms; /* the least and the greatest Kafka timestamp; -1: none has one */
    bool is_kept;              /* Redis should hold its hash */
};

struct audit_options {
    int64_t wait_s; /* 0: the counts are compared as they are */
};

struct audit {
    const struct config *config;
    int64_t wait_s;
    struct aggregates aggregates;
    uint64_t seed;
    struct recount *recount;
    struct redis_link *link;
    struct delta stored;
    struct audit_declared declared;
    int64_t newest_ms; /* the greatest Kafka timestamp of an accepted record */
    struct day *days;  /* in order */
    size_t day_count, day_capacity, last_day;
    int64_t horizon; /* a day's number; days before it are in one sum; 0: none */
    int64_t others, now_s;
    int64_t difference_count, expired_count;
    struct progress progress;
    struct error error;
};

/* --- days ------------------------------------------------------------------------------------- */

static struct day *day_of(struct audit *audit, int64_t number) {
    if (audit->last_day < audit->day_count && audit->days[audit->last_day].number == number)
        return &audit->days[audit->last_day];
    size_t low = 0, high = audit->day_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (audit->days[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    audit->last_day = low;
    if (low < audit->day_count && audit->days[low].number == number) return &audit->days[low];
    if (audit->day_count == audit->day_capacity) {
        audit->day_capacity = audit->day_capacity * 2 + 64;
        audit->days = memory_grow(audit->days, audit->day_capacity * sizeof *audit->days);
    }
    memmove(&audit->days[low + 1], &audit->days[low],
            (audit->day_count - low) * sizeof *audit->days);
    audit->day_count++;
    audit->days[low] = (struct day){.number = number, .first_ms = -1, .last_ms = -1};
    return &audit->days[low];
}

static void note_day(void *context, const struct login *login, int64_t timestamp_ms) {
    struct audit *audit = context;
    if (login->reason != LOGIN_ACCEPTED) return;
    struct day *day = day_of(audit, login->minute / AGGREGATE_MINUTES_A_DAY);
    if (timestamp_ms > day->last_ms) day->last_ms = timestamp_ms;
    if (timestamp_ms > audit->newest_ms) audit->newest_ms = timestamp_ms;
    if (timestamp_ms >= 0 && (day->first_ms < 0 || timestamp_ms < day->first_ms))
        day->first_ms = timestamp_ms;
}

/* Whether the hash of a day may have expired: its last write came after its last record. */
static bool may_be_expired(const struct audit *audit, const struct day *day) {
    const int64_t kept_s = (int64_t)audit->config->aggregate.retention_days * SECONDS_A_DAY;
    return !day->is_kept && day->last_ms / 1000 + kept_s <= audit->now_s;
}

static bool may_declared_be_expired(void *context, int64_t number, int retention_days) {
    struct audit *audit = context;
    const int64_t since_ms = number < 0 ? audit->newest_ms : day_of(audit, number)->first_ms;
    return since_ms / 1000 + (int64_t)retention_days * SECONDS_A_DAY <= audit->now_s;
}

/* Days since 1970 of YYYY-MM-DD, -1 if it is none. */
static int64_t parse_day(struct slice text) {
    int64_t day;
    return instant_read_day(text, &day) == INSTANT_OK ? day : -1;
}

/* --- differences ------------------------------------------------------------------------------ */

static void differ(struct audit *audit, const struct aggregate *aggregate, const char *day,
                   struct slice name, int64_t counted, const char *stored) {
    struct text line = {0};
    text_format(&line, "%s:%s%s%s ", audit->config->redis.prefix, aggregate->key,
                *day == '\0' ? "" : ":", day);
    text_add_json(&line, name.bytes, name.length);
    text_format(&line, ": counted %" PRId64 ", stored ", counted);
    text_add(&line, stored);
    commands_say("%s", text_string(&line));
    text_release(&line);
    audit->difference_count++;
}

static void differ_by_number(struct audit *audit, const struct aggregate *aggregate,
                             const char *day, struct slice name, int64_t counted, int64_t stored) {
    char text[NUMBER_BYTES];
    snprintf(text, sizeof text, "%" PRId64, stored);
    differ(audit, aggregate, day, name, counted, text);
}

static void differ_declared(void *context, const struct aggregate *aggregate, const char *bucket,
                            struct slice name, int64_t counted, int64_t stored) {
    differ_by_number(context, aggregate, bucket, name, counted, stored);
}

/* A count that is not as it should be. */
static void differ_at(struct audit *audit, struct delta_key key, int64_t counted, int64_t stored) {
    const struct aggregate *aggregate = &audit->aggregates.items[key.field];
    if (aggregate->source == AGGREGATE_DIMENSION) {
        const struct slice value = {key.bytes, key.length};
        differ_by_number(audit, aggregate, "", value, counted, stored);
        return;
    }
    char name[AGGREGATE_TEXT_BYTES], day[LOGIN_DAY_BYTES] = "";
    const int64_t number = delta_number(key);
    aggregate_name(aggregate, number, name);
    if (aggregate->source == AGGREGATE_MINUTE) login_day_format(number, day);
    const struct slice text = {name, strlen(name)};
    differ_by_number(audit, aggregate, day, text, counted, stored);
}

/* --- what is stored --------------------------------------------------------------------------- */

static void take_offset(void *context, struct slice partition, int64_t offset) {
    struct audit *audit = context;
    char *end;
    const long long number = strtoll(partition.bytes, &end, 10);
    const bool is_known = *end == '\0' && partition.length > 0 && number >= 0 &&
                          number < audit->recount->partition_count;
    if (!is_known || offset < 0) {
        commands_say("%s:offsets \"%s\": is not an offset of the topic's %d partitions",
                     audit->config->redis.prefix, partition.bytes, audit->recount->partition_count);
        audit->difference_count++;
        return;
    }
    audit->recount->ranges[number].end = offset;
}

static void take_moment(void *context, int64_t now_s, struct slice horizon) {
    struct audit *audit = context;
    const int64_t number = parse_day(horizon);
    audit->now_s = now_s;
    audit->horizon = number < 0 ? 0 : number;
}

static void take_bucket(void *context, unsigned field, struct slice name, int64_t expires_s) {
    struct audit *audit = context;
    if (audit->aggregates.items[field].source == AGGREGATE_DECLARED) {
        if (expires_s > audit->now_s) audit_declared_bucket(&audit->declared, field, name);
        return;
    }
    const int64_t number = parse_day(name);
    if (number >= 0) day_of(audit, number)->is_kept = expires_s > audit->now_s;
}

/* The key of a stored count. False: rollcall stores none by this name. */
static bool find_key(struct audit *audit, unsigned field, struct slice day, struct slice name,
                     int64_t *number, struct delta_key *key) {
    const struct aggregate *aggregate = &audit->aggregates.items[field];
    char back[AGGREGATE_TEXT_BYTES];
    switch (aggregate->source) {
    case AGGREGATE_DECLARED:
        return false;
    case AGGREGATE_DIMENSION:
        if (name.length == 0 || name.length > DELTA_KEY_BYTES_MAX) return false;
        *key = delta_value_key(audit->seed, field, name);
        return true;
    case AGGREGATE_MINUTE:
        *number = parse_day(day);
        if (*number < 0 || name.length != LOGIN_MINUTE_BYTES - 1) return false;
        *number = *number * AGGREGATE_MINUTES_A_DAY + strtol(name.bytes, NULL, 10) * 60 +
                  strtol(name.bytes + 3, NULL, 10);
        break;
    case AGGREGATE_REASON:
        for (*number = 1; *number < LOGIN_REASON_COUNT; ++*number) {
            if (strcmp(login_reason_name((enum login_reason) * number), name.bytes) == 0) break;
        }
        if (*number == LOGIN_REASON_COUNT) return false;
        break;
    }
    aggregate_name(aggregate, *number, back);
    *key = delta_number_key(audit->seed, field, number);
    return strcmp(back, name.bytes) == 0;
}

static void take_count(void *context, unsigned field, struct slice day, struct slice name,
                       struct slice count) {
    struct audit *audit = context;
    const struct aggregate *aggregate = &audit->aggregates.items[field];
    struct delta_key key;
    int64_t number;
    char *end;
    const double value = strtod(count.bytes, &end);
    const bool is_count = count.length > 0 && *end == '\0' && value >= 1 && value < 1e15 &&
                          value == (double)(int64_t)value;
    const bool is_sum = aggregate->kind == AGGREGATE_DAYS && day.length == 0;
    if (aggregate_is_distinct(aggregate)) {
        if (!audit_declared_distinct(&audit->declared, field, day, name, count))
            differ(audit, aggregate, day.bytes, name, 0, "no HyperLogLog");
        return;
    }
    if (aggregate->source == AGGREGATE_DECLARED) {
        if (!is_count || !audit_declared_count(&audit->declared, field, day, name, (int64_t)value))
            differ(audit, aggregate, day.bytes, name, 0, count.bytes);
        return;
    }
    if (is_count && is_sum && strcmp(name.bytes, AGGREGATE_OTHER) == 0)
        audit->others = (int64_t)value;
    else if (is_count && !is_sum && find_key(audit, field, day, name, &number, &key))
        delta_add(&audit->stored, key, (int64_t)value);
    else
        differ(audit, aggregate, is_sum ? AGGREGATE_OTHER : day.bytes, name, 0, count.bytes);
}

/* --- comparing -------------------------------------------------------------------------------- */

static const struct slice other_name = {AGGREGATE_OTHER, sizeof AGGREGATE_OTHER - 1};

/* A dimension: values beyond max_values, whichever came later, are counted under one name. */
static void compare_values(struct audit *audit, const struct delta *counted, unsigned field) {
    const struct delta_key other = delta_value_key(audit->seed, field, other_name);
    const int64_t stored_other = delta_get(&audit->stored, other);
    int64_t unnamed = 0;
    for (uint32_t e = 0; e < counted->entry_count; e++) {
        const struct delta_entry *entry = &counted->entries[e];
        const struct delta_key key = delta_key(counted, entry);
        if (entry->field != field) continue;
        const int64_t stored = delta_get(&audit->stored, key);
        const bool is_other =
            key.length == other_name.length && memcmp(key.bytes, other_name.bytes, key.length) == 0;
        if (is_other || (stored == 0 && stored_other > 0))
            unnamed += entry->count;
        else if (stored != entry->count)
            differ_at(audit, key, entry->count, stored);
    }
    if (unnamed != stored_other) differ_at(audit, other, unnamed, stored_other);
}

static void compare_minutes(struct audit *audit, const struct delta *counted, unsigned field) {
    int64_t folded = 0, folded_last_ms = -1;
    for (uint32_t e = 0; e < counted->entry_count; e++) {
        const struct delta_entry *entry = &counted->entries[e];
        const struct delta_key key = delta_key(counted, entry);
        if (entry->field != field) continue;
        struct day *day = day_of(audit, delta_number(key) / AGGREGATE_MINUTES_A_DAY);
        const int64_t stored = delta_get(&audit->stored, key);
        if (day->number < audit->horizon) {
            folded += entry->count;
            if (day->last_ms > folded_last_ms) folded_last_ms = day->last_ms;
        } else if (stored == 0 && may_be_expired(audit, day)) {
            audit->expired_count += entry->count;
        } else if (stored != entry->count) {
            differ_at(audit, key, entry->count, stored);
        }
    }
    const struct day sum = {.last_ms = folded_last_ms};
    if (audit->others == folded || (audit->others == 0 && may_be_expired(audit, &sum))) return;
    differ_by_number(audit, &audit->aggregates.items[field], AGGREGATE_OTHER, other_name, folded,
                     audit->others);
}

static void compare_names(struct audit *audit, const struct delta *counted, unsigned field) {
    for (uint32_t e = 0; e < counted->entry_count; e++) {
        const struct delta_entry *entry = &counted->entries[e];
        const struct delta_key key = delta_key(counted, entry);
        if (entry->field != field) continue;
        const int64_t stored = delta_get(&audit->stored, key);
        if (stored != entry->count) differ_at(audit, key, entry->count, stored);
    }
}

/* What is stored, and was not counted at all. */
static void compare_surplus(struct audit *audit, const struct delta *counted) {
    for (uint32_t e = 0; e < audit->stored.entry_count; e++) {
        const struct delta_entry *entry = &audit->stored.entries[e];
        const struct delta_key key = delta_key(&audit->stored, entry);
        const bool is_other = audit->aggregates.items[entry->field].kind == AGGREGATE_VALUES &&
                              key.length == other_name.length &&
                              memcmp(key.bytes, other_name.bytes, key.length) == 0;
        if (!is_other && delta_get(counted, key) == 0) differ_at(audit, key, 0, entry->count);
    }
}

static void compare(struct audit *audit) {
    const struct delta *counted = recount_delta(&audit->recount->partitions[0]);
    for (unsigned field = 0; field < audit->aggregates.count; field++) {
        switch (audit->aggregates.items[field].kind) {
        case AGGREGATE_VALUES:
            compare_values(audit, counted, field);
            break;
        case AGGREGATE_DAYS:
            compare_minutes(audit, counted, field);
            break;
        case AGGREGATE_NAMES:
            compare_names(audit, counted, field);
            break;
        case AGGREGATE_BUCKETS:
        case AGGREGATE_TIMES:
        case AGGREGATE_DATES:
        case AGGREGATE_DISTINCT:
        case AGGREGATE_DISTINCT_BY:
            audit_declared_compare(&audit->declared, counted, field);
            break;
        }
    }
    compare_surplus(audit, counted);
}

/* --- the command ------------------------------------------------------------------------------ */

static bool read_redis(struct audit *audit) {
    const struct redis_image_visitor visitor = {audit, take_offset, take_moment, take_bucket,
                                                take_count};
    struct recount *recount = audit->recount;
    for (int p = 0; p < recount->partition_count; p++)
        recount->ranges[p].end = recount->ranges[p].begin;
    return redis_image_read(audit->link, audit->config->redis.prefix, &audit->aggregates, &visitor,
                            &audit->error) == STORE_OK;
}

/* Whether Kafka still holds all that was counted. */
static bool check_log(struct audit *audit) {
    const struct recount *recount = audit->recount;
    int64_t missing = recount_missing(recount), cut_off = 0;
    for (int p = 0; p < recount->partition_count; p++) {
        const int64_t beyond = recount->ranges[p].end - recount->partitions[p].log_end;
        if (beyond > 0) cut_off += beyond;
    }
    const int64_t all = missing + cut_off;
    if (all == 0) return true;
    return error_set(&audit->error,
                     "Kafka no longer holds %lld of the records that were counted (%lld deleted at "
                     "the beginning of the log, %lld cut off at its end), so the counts cannot be "
                     "compared",
                     (long long)all, (long long)missing, (long long)cut_off);
}

static bool count_again(struct audit *audit) {
    struct recount *recount = audit->recount;
    int64_t total = 0;
    for (int p = 0; p < recount->partition_count; p++)
        total += recount->ranges[p].end - recount->ranges[p].begin;
    recount->seen = note_day;
    recount->context = audit;
    if (!recount_begin(recount, &audit->error)) return false;
    while (!recount_is_at_end(recount)) {
        if (commands_are_stopped()) return error_set(&audit->error, "stopped by a signal");
        if (!recount_step(recount, STEP_MS, &audit->error)) return false;
        progress_show(&audit->progress, recount->record_count, total, false);
    }
    progress_show(&audit->progress, recount->record_count, total, true);
    return true;
}

static void also(int64_t count, const char *what) {
    if (count > 0) printf("%" PRId64 " %s\n", count, what);
}

/* True if the two could be compared. */
static bool run_audit(struct audit *audit) {
    audit->link = redis_link_create(&audit->config->redis, &audit->error);
    if (audit->link == NULL) return false;
    audit->recount = recount_create(audit->config, &audit->aggregates, audit->seed, true,
                                    audit->link, &audit->error);
    if (audit->recount == NULL ||
        !audit_lag_wait(audit->recount, audit->link, audit->wait_s, &audit->error) ||
        !read_redis(audit) || !recount_look_at_log(audit->recount, &audit->error) ||
        !check_log(audit) || !count_again(audit)) {
        return false;
    }
    compare(audit);
    printf("%" PRId64 " records counted again: %" PRId64 " differences\n",
           audit->recount->record_count, audit->difference_count);
    also(audit_lag_records(audit->recount), "further records are in Kafka and not counted yet");
    also(audit->expired_count, "logins are of days that aggregate.retention_days lets expire, and "
                               "were not compared by minute");
    also(audit->declared.expired_count, "events are of buckets of declared counts that "
                                        "retention_days lets expire, and were not compared");
    return true;
}

static int run(const struct config *config, const struct options *options) {
    const struct audit_options *own = (const void *)options->own;
    struct audit audit = {.config = config, .wait_s = own->wait_s, .seed = commands_seed()};
    aggregates_init(&audit.aggregates, &config->aggregate);
    delta_init(&audit.stored);
    audit.declared = (struct audit_declared){.aggregates = &audit.aggregates,
                                             .seed = audit.seed,
                                             .context = &audit,
                                             .differ = differ_declared,
                                             .may_be_expired = may_declared_be_expired};
    commands_catch_signals(true);
    const bool is_compared = run_audit(&audit);
    if (!is_compared) log_error(audit.error.text);
    recount_destroy(&audit.recount);
    redis_link_destroy(&audit.link);
    delta_release(&audit.stored);
    audit_declared_release(&audit.declared);
    free(audit.days);
    return is_compared && audit.difference_count == 0 ? 0 : 1;
}

static const struct option_row option_table[] = {
    OPTION_NUMBER(struct audit_options, wait_s, "wait", "SECONDS", 0, 86400, "0",
                  "first wait until the counts have come to where the log ends now, at most\n"
                  "so long; 0: compare them as they are"),
    OPTION_END};

const struct command command_audit = {
    .name = "audit",
    .summary = "count again from Kafka, and compare with Redis value by value",
    .help =
        "Reads all counts in Redis and their offsets at one moment, counts again from where the\n"
        "group began up to exactly these offsets, and compares, while instances keep running.\n"
        "Changes nothing. Exits with status 0 if all is equal, else with 1 and a line for each\n"
        "difference, or with the number of records that Kafka no longer holds. Memory: about\n"
        "250 bytes for each count in Redis.\n"
        "How many records are not counted yet is shown, and --wait waits for them.\n",
    .options = option_table,
    .run = run,
};
