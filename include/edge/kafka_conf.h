/* kafka_conf: which librdkafka properties a user may set, and client configurations made of them.
 *
 * Place:    config fills and checks struct properties; kafka_source, kafka_sink and kafka_feed
 *           build their client's configuration here, and then set what rollcall owns.
 * Threads:  a struct properties belongs to one thread at a time; everything else any thread.
 * Limits:   KAFKA_CONF_VALUE_BYTES a value.
 */
#ifndef EDGE_KAFKA_CONF_H
#define EDGE_KAFKA_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge/kafka_names.h"

struct error;
struct rd_kafka_conf_s; /* rd_kafka_conf_t */

enum { KAFKA_CONF_VALUE_BYTES = 64 * 1024 };

struct property {
    char *name; /* as its source wrote it; aliases are one property */
    char *value;
};

/* All zero is empty. Owns its items. */
struct properties {
    struct property *items;
    size_t count;
};

/* Answers whether the user may give this property this value in the section of this role ([kafka]
 * is KAFKA_BOTH). If not, the error is a sentence for them: unknown (and the nearest known one), of
 * the other client, owned by rollcall (and why), or refused by librdkafka (in its words). */
bool kafka_conf_check(enum kafka_role section, const char *name, const char *value,
                      struct error *error);

/* Sets a property, or replaces it, also under an alias. Borrows. */
void kafka_conf_put(struct properties *properties, const char *name, const char *value);

/* Answers a property's value, also if it is there under an alias, or NULL. */
const char *kafka_conf_get(const struct properties *properties, const char *name);

/* Whether group.protocol is the classic one, and not KIP-848's, in which the broker decides more. */
bool kafka_conf_is_classic(const struct properties *kafka, const struct properties *consumer);

/* Frees the items, and leaves it empty. */
void kafka_conf_release(struct properties *properties);

/* Makes the configuration of a consumer or producer: [kafka]'s properties as far as they are for
 * this role, then those of the role's own section. The caller owns *out, and sets what rollcall
 * owns. */
bool kafka_conf_build(const struct properties *kafka, const struct properties *own,
                      enum kafka_role role, struct rd_kafka_conf_s **out, struct error *error);

/* Sets in it what rollcall owns. Requires that librdkafka knows and takes it. */
void kafka_conf_own(struct rd_kafka_conf_s *conf, const char *name, const char *value);

/* The same for what is ours to choose as long as the user has not. */
void kafka_conf_default(struct rd_kafka_conf_s *conf, const struct properties *kafka,
                        const struct properties *own, const char *name, long long value);

/* Lets librdkafka make such a client and end it again, without a broker to talk to: that is where
 * it finds contradictions between properties, and reads the files that they name. transactional
 * says whether the producer is to be one. The error is in its words. */
bool kafka_conf_try(const struct properties *kafka, const struct properties *own,
                    enum kafka_role role, bool is_transactional, struct error *error);

/* Answers the whole number that the property has in such a configuration, librdkafka's default
 * included; -1 if it is no number, or a property of topics that nobody set. */
int64_t kafka_conf_number(const struct properties *kafka, const struct properties *own,
                          enum kafka_role role, const char *name);

#endif
