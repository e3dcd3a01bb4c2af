/* judge: the verdict on a record as it was read from Kafka, with the headers that the rules ask
 * for.
 *
 * Place:    between kafka_stream or kafka_reader and core/login.
 * Threads:  the judge's.
 */
#ifndef FLOW_JUDGE_H
#define FLOW_JUDGE_H

#include "core/login.h"
#include "edge/kafka_record.h"

/* As login_judge_record. Before the record's headers are taken. Borrows record. */
void judge_record(struct login_judge *judge, const struct kafka_record *record,
                  struct login *login);

#endif
