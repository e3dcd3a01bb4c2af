/* sample: the newest records of the input, kept to be judged under one configuration or another.
 *
 * Place:    under `rollcall check --sample`.
 * Threads:  the main thread.
 * Owns:     copies of the values, and the headers.
 * Limits:   SAMPLE_RECORDS_MAX records; of what they hold a share of instance.memory_mb, beyond
 *           which the oldest are dropped.
 * Waits:    sample_read for Kafka: 10 s an answer, 30 s without any record.
 */
#ifndef APP_SAMPLE_H
#define APP_SAMPLE_H

#include "app/config.h"
#include "core/login.h"
#include "edge/kafka_record.h"

enum { SAMPLE_RECORDS_MAX = 100000 };

struct sample_record {
    int64_t timestamp_ms; /* Kafka's; -1: none */
    int64_t offset;
    int32_t partition;
    bool has_key;
    struct slice value;            /* owned; bytes NULL: null */
    struct kafka_headers *headers; /* owned; NULL: none */
};

struct sample {
    struct sample_record *records; /* by partition and offset */
    size_t count;
    bool is_cut; /* there are fewer than were asked for, because there was no room for them */
    /* its own */
    struct sample_record dropped; /* the newest for which there was no room; holds nothing */
    size_t max, bytes, bytes_max;
    size_t *given; /* records read, by partition */
};

/* The newest `max` committed records by Kafka timestamp, over all partitions, or as many of the
 * newest as there is memory for; joins no group. NULL with an error. */
struct sample *sample_read(const struct config *config, size_t max, struct error *error);
/* Takes *sample, which may be NULL, and nulls it. */
void sample_destroy(struct sample **sample);

/* The last header of that name; false: there is none. Lends the value. */
bool sample_header(const struct sample_record *record, const char *name, struct slice *value);

/* The verdict on one of them; as login_judge_record. */
void sample_judge(struct login_judge *judge, const struct sample_record *record,
                  struct login *login);

#endif
