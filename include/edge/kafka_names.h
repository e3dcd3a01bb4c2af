/* kafka_names: librdkafka's properties, by librdkafka's own list (rd_kafka_conf_properties_show),
 * which is that of the version that runs. Properties that it leaves out (those of its mock broker)
 * are unknown here.
 *
 * Threads:  any thread; the list is read once, and then never changes.
 * Limits:   KAFKA_NAMES_MAX properties.
 */
#ifndef EDGE_KAFKA_NAMES_H
#define EDGE_KAFKA_NAMES_H

#include <stdbool.h>

struct nearest;

enum { KAFKA_NAMES_MAX = 512 };

/* A client, or both, as in the sections [consumer], [producer] and [kafka]. */
enum kafka_role { KAFKA_BOTH, KAFKA_CONSUMER, KAFKA_PRODUCER };

struct kafka_name {
    char *name;
    char *canonical;      /* the name that it is an alias of; else the name itself */
    enum kafka_role role; /* whose it is */
    bool is_callback;     /* cannot be set by a text */
};

/* The version of the librdkafka that runs, such as "2.15.1". */
const char *kafka_names_version(void);

/* The property of this exact name, or NULL. */
const struct kafka_name *kafka_names_find(const char *name);

/* The property that an environment variable means ("BOOTSTRAP_SERVERS"), or NULL; as
 * nearest_distance has it, case and the kind of dots do not count. */
const struct kafka_name *kafka_names_find_env(const char *env_name);

/* Whether two names mean one property. Borrows both. */
bool kafka_names_is_same(const char *a, const char *b);

/* Whether the property's value must never be shown: passwords, secrets, private keys. */
bool kafka_names_is_secret(const char *name);

/* Offers every name that a text can set in this role. */
void kafka_names_offer(struct nearest *nearest, enum kafka_role role);

#endif
