/* kafka_output: one output topic, and what is sent of a record to it.
 *
 * Place:    under kafka_sink, which has one for accepted records and one for rejected ones.
 * Threads:  the sink's.
 * Owns:     the handle of its topic. librdkafka copies the records that it takes.
 *
 * An accepted record goes out as it came, with its user_id as key if it had none; a rejected one as
 * it came, with headers that say why it was rejected and where it came from. If that is too large
 * for the topic, an accepted record goes without what was added, and a rejected one with the added
 * headers alone: it must not hold up the others.
 */
#ifndef EDGE_KAFKA_OUTPUT_H
#define EDGE_KAFKA_OUTPUT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

#include "edge/kafka_sink.h"

struct kafka_output {
    const char *name; /* "": it is not written */
    const char *input_topic;
    bool keeps_partition; /* it has as many partitions as the input */
    size_t limit_bytes;   /* of the smallest record that the topic is known not to take; 0: none */
    /* while open */
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
};

static inline bool kafka_output_is_written(const struct kafka_output *output) {
    return *output->name != '\0';
}

/* Keeps the producer until close. Requires that it is written. */
bool kafka_output_open(struct kafka_output *output, rd_kafka_t *producer, struct error *error);
void kafka_output_close(struct kafka_output *output);

/* The topic does not take a record of so many bytes: key, value and headers. */
void kafka_output_limit(struct kafka_output *output, size_t bytes);

/* What to do about a record that a topic did not take, as the rest of a sentence. */
const char *kafka_output_fix(rd_kafka_resp_err_t code);

/* Sends the record. Requires that it is open. */
enum sink_verdict kafka_output_send(struct kafka_output *output, const struct sink_record *record,
                                    struct error *error);

#endif
