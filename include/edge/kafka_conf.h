/* kafka_conf: which librdkafka properties a user may set.
 *
 * Place:    config fills and checks struct properties; kafka_source, kafka_sink and kafka_feed make
 *           their clients of them.
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
struct secret;

enum { KAFKA_CONF_VALUE_BYTES = 64 * 1024 };

struct property {
    char *name; /* as its source wrote it; aliases are one property */
    char *value;
    char *file;            /* that the value was read from, NULL: none */
    struct secret *latest; /* of sasl.password: the value, which a reload may replace; else NULL */
};

/* All zero is empty. Owns its items. */
struct properties {
    struct property *items;
    size_t count;
};

/* Whether the user may give this property this value in the section of this role ([kafka] is
 * KAFKA_BOTH). If not, the error names the reason: unknown (and the nearest known one), of the
 * other client, owned by rollcall (and why), or rejected by librdkafka (in its words). */
bool kafka_conf_check(enum kafka_role section, const char *name, const char *value,
                      struct error *error);

/* Sets a property, or replaces it, also under an alias. Borrows. */
void kafka_conf_put(struct properties *properties, const char *name, const char *value);

/* Notes the file that holds the value of a property, which is set. Borrows. */
void kafka_conf_put_file(struct properties *properties, const char *name, const char *path);

/* The file that holds a client's property, NULL if it is not from a file. Lives as long as both. */
const char *kafka_conf_file(const struct properties *kafka, const struct properties *own,
                            const char *name);

/* The same for the value that a reload may replace. */
struct secret *kafka_conf_latest(const struct properties *kafka, const struct properties *own,
                                 const char *name);

/* A property's value, also if it was set under an alias, or NULL. */
const char *kafka_conf_get(const struct properties *properties, const char *name);

/* Whether group.protocol is the classic one, not KIP-848's, in which the broker decides more. */
bool kafka_conf_is_classic(const struct properties *kafka, const struct properties *consumer);

/* Frees the items, and leaves it empty. */
void kafka_conf_release(struct properties *properties);

/* Makes such a client and ends it again, without a broker to talk to: only then does librdkafka
 * find contradictions between properties, and read the files that they name. */
bool kafka_conf_try(const struct properties *kafka, const struct properties *own,
                    enum kafka_role role, bool is_transactional, struct error *error);

/* The whole number that the property has in such a client, librdkafka's default included; -1 if it
 * is not a number, or a property of topics that nobody set. */
int64_t kafka_conf_number(const struct properties *kafka, const struct properties *own,
                          enum kafka_role role, const char *name);

#endif
