/* kafka_log: librdkafka's own lines, through rollcall's log.
 *
 * Threads:  any; librdkafka calls from its own threads.
 */
#ifndef EDGE_KAFKA_LOG_H
#define EDGE_KAFKA_LOG_H

struct rd_kafka_conf_s; /* rd_kafka_conf_t */

/* Makes a client of this configuration log to base/log, as much as log.level lets. Borrows. */
void kafka_log_attach(struct rd_kafka_conf_s *conf);

#endif
