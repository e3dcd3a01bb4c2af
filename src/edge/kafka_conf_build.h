/* kafka_conf_build: the configuration of a client, made of properties.
 *
 * Place:    kafka_source, kafka_sink and kafka_feed begin with it, then set what rollcall owns.
 * Threads:  any.
 */
#ifndef EDGE_KAFKA_CONF_BUILD_H
#define EDGE_KAFKA_CONF_BUILD_H

#include <librdkafka/rdkafka.h>

#include "edge/kafka_conf.h"

/* [kafka]'s properties as far as they are for this role, then those of the role's own section. The
 * caller owns the configuration. NULL with an error. */
rd_kafka_conf_t *kafka_conf_build(const struct properties *kafka, const struct properties *own,
                                  enum kafka_role role, struct error *error);

/* Sets what rollcall owns. Requires that librdkafka knows the property and takes the value. */
void kafka_conf_own(rd_kafka_conf_t *conf, const char *name, const char *value);
void kafka_conf_own_number(rd_kafka_conf_t *conf, const char *name, long long value);

/* Sets rollcall's default, unless the user has set the property. */
void kafka_conf_default(rd_kafka_conf_t *conf, const struct properties *kafka,
                        const struct properties *own, const char *name, long long value);

#endif
