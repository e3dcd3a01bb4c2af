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
    char *file; /* that the value was read from, NULL: none */
    /* Of what kafka_conf_is_renewable: the value as last reloaded; else NULL. */
    struct secret *latest;
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

/* Whether a reload may replace the value: sasl.password, and what makes up the certificates to show
 * and to trust. Clients that are made from then on have the new one. */
bool kafka_conf_is_renewable(const char *name);

/* Sets a property, or replaces it, also under an alias. Borrows. */
void kafka_conf_put(struct properties *properties, const char *name, const char *value);

/* Notes the file that holds the value of a property, which is set. Borrows. */
void kafka_conf_put_file(struct properties *properties, const char *name, const char *path);

/* The file that holds a client's property, NULL if it is not from a file. Lives as long as both. */
const char *kafka_conf_file(const struct properties *kafka, const struct properties *own,
                            const char *name);

/* The same for the value that a reload may replace. It is no copy. */
struct secret *kafka_conf_latest(const struct properties *kafka, const struct properties *own,
                                 const char *name);

/* Gives what a reload may replace the values that it has in `fresh`, which has all of it. From any
 * one thread, also while clients are made. Borrows both. */
void kafka_conf_renew(const struct properties *properties, const struct properties *fresh);

/* A number that is another one once the certificates of such a client are: their files, as they are
 * now, and what names and opens these. */
uint64_t kafka_conf_certificates(const struct properties *kafka, const struct properties *own);

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

/* True, with the property and what to set, if one of sasl.* or ssl.* has no effect, since
 * security.protocol is for neither. */
bool kafka_conf_is_idle(const struct properties *kafka, const struct properties *own,
                        struct error *what);

/* The whole number that the property has in such a client, librdkafka's default included; -1 if it
 * is not a number, or a property of topics that nobody set. */
int64_t kafka_conf_number(const struct properties *kafka, const struct properties *own,
                          enum kafka_role role, const char *name);

#endif
