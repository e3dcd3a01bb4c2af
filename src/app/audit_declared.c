/* What was counted is put where Redis should have it: in its bucket under its value, under
 * AGGREGATE_OTHER of its bucket, or among the events of buckets that had no room. Then that and
 * what is stored are the same, key by key. */
#include "app/audit_declared.h"

#include <stdio.h>
#include <string.h>

enum { OTHER_BUCKET = -1 };

static const struct slice other = {AGGREGATE_OTHER, sizeof AGGREGATE_OTHER - 1};

static bool is_other(struct slice name) {
    return name.length == other.length && memcmp(name.bytes, other.bytes, other.length) == 0;
}

void audit_declared_release(struct audit_declared *audit) {
    delta_release(&audit->stored);
    delta_release(&audit->kept);
}

/* Makes the key of a value in a bucket, in `bytes`, where the value has room. */
static struct delta_key key_of(const struct audit_declared *audit, unsigned field, int64_t bucket,
                               struct slice value, char bytes[DECLARED_KEY_BYTES]) {
    memcpy(bytes, &bucket, DECLARED_HEAD_BYTES);
    memcpy(bytes + DECLARED_HEAD_BYTES, value.bytes, value.length);
    const struct slice key = {bytes, DECLARED_HEAD_BYTES + value.length};
    return delta_value_key(audit->seed, field, key);
}

/* How the index of a count names its buckets. */
bool audit_declared_bucket(struct audit_declared *audit, unsigned field, struct slice name) {
    const struct aggregate *aggregate = &audit->aggregates->items[field];
    int64_t bucket;
    if (!declared_bucket_parse(aggregate_index_every(aggregate), name, &bucket)) return false;
    delta_add(&audit->kept, delta_number_key(audit->seed, field, &bucket), 1);
    return true;
}

/* The bucket of a stored count, OTHER_BUCKET of those that had no room. */
static bool find_bucket(const struct aggregate *aggregate, struct slice bucket, struct slice name,
                        int64_t *found) {
    char text[2 * DECLARED_BUCKET_BYTES];
    const bool has_values = aggregate_is_by_bucket(aggregate);
    *found = OTHER_BUCKET;
    if (is_other(bucket)) return has_values || is_other(name);
    if (has_values) return declared_bucket_parse(aggregate->declared.every, bucket, found);
    if (aggregate->kind == AGGREGATE_DATES && is_other(name)) return true;
    snprintf(text, sizeof text, "%.*s%s%.*s", (int)(bucket.length % DECLARED_BUCKET_BYTES),
             bucket.bytes, bucket.length == 0 ? "" : "T",
             (int)(name.length % DECLARED_BUCKET_BYTES), name.bytes);
    return declared_bucket_parse(aggregate->declared.every, (struct slice){text, strlen(text)},
                                 found);
}

bool audit_declared_count(struct audit_declared *audit, unsigned field, struct slice bucket,
                          struct slice name, int64_t count) {
    const struct aggregate *aggregate = &audit->aggregates->items[field];
    char bytes[DECLARED_KEY_BYTES];
    int64_t found;
    if (!find_bucket(aggregate, bucket, name, &found)) return false;
    const bool has_values = aggregate->kind == AGGREGATE_BUCKETS && found != OTHER_BUCKET;
    const struct slice value = found == OTHER_BUCKET ? other
                               : has_values          ? name
                                                     : (struct slice){"", 0};
    if (value.length > DECLARED_KEY_BYTES - DECLARED_HEAD_BYTES) return false;
    if (has_values && value.length == 0) return false;
    delta_add(&audit->stored, key_of(audit, field, found, value, bytes), count);
    return true;
}

bool audit_declared_distinct(struct audit_declared *audit, unsigned field, struct slice bucket,
                             struct slice name, struct slice hyperloglog) {
    struct hyperloglog stored = {0};
    int64_t found;
    const bool is_right = name.length <= DECLARED_KEY_BYTES - DECLARED_HEAD_BYTES &&
                          find_bucket(&audit->aggregates->items[field], bucket, other, &found) &&
                          (hyperloglog.length == 0 || hyperloglog_read(&stored, hyperloglog));
    if (is_right) {
        char bytes[DECLARED_KEY_BYTES];
        const struct slice value = found == OTHER_BUCKET ? other : name;
        delta_merge_distinct(&audit->stored, key_of(audit, field, found, value, bytes), &stored);
    }
    hyperloglog_release(&stored);
    return is_right;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Whether Redis should have the bucket. A total has none, and may be there. */
static bool is_kept(const struct audit_declared *audit, unsigned field, int64_t bucket) {
    const struct aggregate *aggregate = &audit->aggregates->items[field];
    const int64_t index = declared_bucket(aggregate_index_every(aggregate), bucket);
    return aggregate->declared.every == DECLARED_TOTAL ||
           delta_get(&audit->kept, delta_number_key(audit->seed, field, &index)) > 0;
}

static bool may_be_expired(const struct audit_declared *audit, unsigned field, int64_t bucket) {
    const struct declared *declared = &audit->aggregates->items[field].declared;
    const int64_t day = declared->every == DECLARED_TOTAL ? -1 : bucket / AGGREGATE_MINUTES_A_DAY;
    return audit->may_be_expired(audit->context, day, declared->settings->retention_days);
}

/* Puts what was counted where Redis should have it. Of a bucket that is not there, and may have
 * expired, nobody knows whether it did or had no room: such events are added to `unknown`. */
static void expect(struct audit_declared *audit, const struct delta *counted,
                   const struct delta_entry *entry, struct delta *expected, int64_t *unknown) {
    const unsigned field = entry->field;
    const struct aggregate *aggregate = &audit->aggregates->items[field];
    const struct declared *declared = &aggregate->declared;
    const struct delta_key key = delta_key(counted, entry);
    const struct slice value = declared_key_value(key.bytes, key.length);
    const int64_t bucket = declared_key_bucket(key.bytes);
    const bool is_total = declared->every == DECLARED_TOTAL;
    const bool is_there = is_kept(audit, field, bucket);
    char bytes[DECLARED_KEY_BYTES];
    const struct delta_key of_bucket = key_of(audit, field, bucket, other, bytes);
    const bool has_other = declared->by_count > 0 && delta_get(&audit->stored, of_bucket) > 0;
    const int64_t stored = delta_get(&audit->stored, key);
    if (is_total && stored == 0 && !has_other && may_be_expired(audit, field, bucket)) {
        audit->expired_count += entry->count;
    } else if (!is_there && may_be_expired(audit, field, bucket)) {
        *unknown += entry->count;
    } else if (!is_there) {
        delta_add(expected, key_of(audit, field, OTHER_BUCKET, other, bytes), entry->count);
    } else if (has_other && (stored == 0 || is_other(value))) {
        delta_add(expected, of_bucket, entry->count);
    } else {
        delta_add(expected, key, entry->count);
    }
}

/* Takes as many of the unknown ones for such without room as are stored; the rest has expired. */
static void settle(struct audit_declared *audit, unsigned field, int64_t unknown,
                   struct delta *expected) {
    char bytes[DECLARED_KEY_BYTES];
    const struct delta_key key = key_of(audit, field, OTHER_BUCKET, other, bytes);
    int64_t without_room = delta_get(&audit->stored, key) - delta_get(expected, key);
    if (without_room > unknown) without_room = unknown;
    if (without_room > 0) delta_add(expected, key, without_room);
    audit->expired_count += without_room > 0 ? unknown - without_room : unknown;
}

static void differ(const struct audit_declared *audit, struct delta_key key, int64_t counted,
                   int64_t stored) {
    const struct aggregate *aggregate = &audit->aggregates->items[key.field];
    const int64_t bucket = declared_key_bucket(key.bytes);
    struct slice name = declared_key_value(key.bytes, key.length);
    char text[DECLARED_BUCKET_BYTES];
    if (bucket == OTHER_BUCKET) {
        audit->differ(audit->context, aggregate,
                      aggregate->kind == AGGREGATE_DATES ? "" : AGGREGATE_OTHER, other, counted,
                      stored);
        return;
    }
    declared_bucket_name(aggregate->declared.every, bucket, text);
    if (aggregate->kind == AGGREGATE_DATES) {
        audit->differ(audit->context, aggregate, "", (struct slice){text, strlen(text)}, counted,
                      stored);
        return;
    }
    if (aggregate->kind == AGGREGATE_TIMES) { /* the day is in the key */
        name = (struct slice){text + DECLARED_TIME_AT, strlen(text + DECLARED_TIME_AT)};
        text[DECLARED_TIME_AT - 1] = '\0';
    }
    audit->differ(audit->context, aggregate, text, name, counted, stored);
}

/* Puts what was counted distinctly where Redis should have it. True if it may have expired: a
 * HyperLogLog does for itself, whatever its bucket has besides. */
static bool expect_distinct(struct audit_declared *audit, struct delta_key key,
                            const struct hyperloglog *distinct, struct delta *expected) {
    const struct declared *declared = &audit->aggregates->items[key.field].declared;
    const int64_t bucket = declared_key_bucket(key.bytes);
    const bool is_bucket_there = is_kept(audit, key.field, bucket);
    const bool is_stored = delta_get_distinct(&audit->stored, key) != NULL;
    const bool is_alone = declared->every == DECLARED_TOTAL || declared->by_count > 0;
    char bytes[DECLARED_KEY_BYTES];
    const struct delta_key of_bucket = key_of(audit, key.field, bucket, other, bytes);
    const bool is_there = is_bucket_there && (is_stored || !is_alone);
    const bool has_other =
        declared->by_count > 0 && delta_get_distinct(&audit->stored, of_bucket) != NULL;
    const bool is_as_other = is_other(declared_key_value(key.bytes, key.length));
    if (is_bucket_there && has_other && (!is_stored || is_as_other))
        key = of_bucket;
    else if (!is_there && may_be_expired(audit, key.field, bucket))
        return true;
    else if (!is_bucket_there)
        key = key_of(audit, key.field, OTHER_BUCKET, other, bytes);
    delta_merge_distinct(expected, key, distinct);
    return false;
}

/* Whether `part` is what is left of the whole, of which some may have expired before. */
static bool is_part(const struct hyperloglog *part, const struct hyperloglog *whole) {
    struct hyperloglog both = {0};
    hyperloglog_merge(&both, whole);
    hyperloglog_merge(&both, part);
    const bool is_same = hyperloglog_is_same(&both, whole);
    hyperloglog_release(&both);
    return is_same;
}

static int64_t estimate_of(const struct hyperloglog *distinct) {
    return distinct == NULL ? 0 : (int64_t)hyperloglog_estimate(distinct);
}

/* Whether a difference can come from what has expired. Such buckets may also have had no room: then
 * nobody knows what all others together are. A HyperLogLog by dimensions may have begun again. */
static bool may_differ(const struct audit_declared *audit, struct delta_key key,
                       const struct hyperloglog *counted, const struct hyperloglog *stored,
                       bool is_unknown) {
    const int64_t bucket = declared_key_bucket(key.bytes);
    if (bucket == OTHER_BUCKET) return is_unknown;
    if (audit->aggregates->items[key.field].kind != AGGREGATE_DISTINCT_BY) return false;
    return counted != NULL && estimate_of(stored) > 0 && is_part(stored, counted) &&
           may_be_expired(audit, key.field, bucket);
}

static void compare_distinct(struct audit_declared *audit, const struct delta *counted,
                             unsigned field) {
    struct delta expected;
    bool is_unknown = false;
    delta_init(&expected);
    for (uint32_t e = 0; e < counted->entry_count; e++) {
        const struct delta_entry *entry = &counted->entries[e];
        if (entry->field != field) continue;
        is_unknown |= expect_distinct(audit, delta_key(counted, entry),
                                      &counted->distinct[entry->count], &expected);
    }
    for (uint32_t e = 0; e < expected.entry_count; e++) {
        const struct delta_key key = delta_key(&expected, &expected.entries[e]);
        const struct hyperloglog *ours = &expected.distinct[expected.entries[e].count];
        const struct hyperloglog *stored = delta_get_distinct(&audit->stored, key);
        if (may_differ(audit, key, ours, stored, is_unknown)) continue;
        if (stored == NULL || !hyperloglog_is_same(ours, stored))
            differ(audit, key, estimate_of(ours), estimate_of(stored));
    }
    for (uint32_t e = 0; e < audit->stored.entry_count; e++) {
        const struct delta_entry *entry = &audit->stored.entries[e];
        const struct delta_key key = delta_key(&audit->stored, entry);
        if (entry->field != field || delta_get_distinct(&expected, key) != NULL) continue;
        const struct hyperloglog *stored = &audit->stored.distinct[entry->count];
        const int64_t bucket = declared_key_bucket(key.bytes);
        const bool is_gone = bucket != OTHER_BUCKET && !is_kept(audit, field, bucket) &&
                             may_be_expired(audit, field, bucket);
        if (!is_gone && !may_differ(audit, key, NULL, stored, is_unknown))
            differ(audit, key, 0, estimate_of(stored));
    }
    delta_release(&expected);
}

void audit_declared_compare(struct audit_declared *audit, const struct delta *counted,
                            unsigned field) {
    if (aggregate_is_distinct(&audit->aggregates->items[field])) {
        compare_distinct(audit, counted, field);
        return;
    }
    struct delta expected;
    int64_t unknown = 0;
    delta_init(&expected);
    for (uint32_t e = 0; e < counted->entry_count; e++) {
        if (counted->entries[e].field == field)
            expect(audit, counted, &counted->entries[e], &expected, &unknown);
    }
    settle(audit, field, unknown, &expected);
    for (uint32_t e = 0; e < expected.entry_count; e++) {
        const struct delta_key key = delta_key(&expected, &expected.entries[e]);
        const int64_t stored = delta_get(&audit->stored, key);
        if (stored != expected.entries[e].count)
            differ(audit, key, expected.entries[e].count, stored);
    }
    for (uint32_t e = 0; e < audit->stored.entry_count; e++) {
        const struct delta_entry *entry = &audit->stored.entries[e];
        const struct delta_key key = delta_key(&audit->stored, entry);
        if (entry->field != field || delta_get(&expected, key) > 0) continue;
        const int64_t bucket = declared_key_bucket(key.bytes); /* whose field is still there */
        const bool is_gone = bucket != OTHER_BUCKET && !is_kept(audit, field, bucket) &&
                             may_be_expired(audit, field, bucket);
        if (!is_gone) differ(audit, key, 0, entry->count);
    }
    delta_release(&expected);
}
