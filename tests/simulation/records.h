/* records: what the simulated logs are made of, and what each record must be judged, counted and
 * published as.
 *
 * The expectation is written down next to the bytes; the program's judge is not asked. An accepted
 * record has a minute of its own, so that counts tell which records they are made of.
 */
#ifndef TESTS_SIMULATION_RECORDS_H
#define TESTS_SIMULATION_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "core/declared.h"
#include "core/login.h"
#include "world.h"

enum {
    RECORD_BORDERS = 4, /* the first kinds: within a second of the limit of what may lie ahead */
    RECORD_WIDE = 12,   /* the kind with many keys; of another set of dimensions */
    RECORD_KINDS,
    RECORD_HOLE = -1, /* instead of a kind: an offset without a record */
    RECORD_MAX_FUTURE_S = 3600,
};

struct record {
    struct slice key, value;
    int64_t timestamp_ms; /* of Kafka; -1: none */
    bool has_headers;
    enum login_reason reason;
    /* if accepted */
    int64_t minute;
    struct slice user_id;                  /* NULL: none */
    int64_t weights[LOGIN_DIMENSIONS_MAX]; /* record_weight of each dimension's value */
    int64_t declared[COUNTS_MAX];          /* record_count_weight of each declared count */
    uint32_t distinct;                     /* record_distinct of its timestamp */
};

/* To be called once. */
void records_init(void);

/* The record at an offset of a partition, as its log has it, or NULL for a hole. */
const struct record *record_at(int partition, int64_t offset);
const struct record *record_of_edition(int partition, int edition, int64_t offset);

/* The first record's minute; that of another one is so many later. */
int64_t record_first_minute(void);
int record_index(int partition, int edition, int64_t offset);

/* A number for a value, by which sums over values can be compared. */
int64_t record_weight(const char *bytes, size_t length);

/* The same for a value of a declared count in a bucket, which is the minute at which it begins. */
int64_t record_count_weight(int64_t bucket, struct slice value);

/* What a hash, as Redis has it, does to a HyperLogLog: a number for the register and its rank. Two
 * records of a partition never have the same register. */
uint32_t record_distinct(uint64_t hash);

/* The declared counts: by the second dimension and the first, for each hour; by the first, in all;
 * for each minute; and the distinct timestamps, for each hour, and by the first dimension. */
void record_declare(bool is_wide, int count, struct declared_settings *settings);

/* The dimensions that the records have. */
unsigned record_dimension_count(bool is_wide);
const char *record_dimension(bool is_wide, unsigned dimension);

/* Wall time, which a verdict must not depend on: somewhere among the limits of the records. */
int64_t record_clock_ms(uint32_t luck);

#endif
