/* ingest_finding: where a partition continues: what cursor_resume needs to know of the log, and
 * what it found, in words. Used by ingest alone.
 *
 * Threads:  any.
 * Waits:    in ingest_finding_ask alone, a few seconds for each answer of Kafka: each less than a
 *           partition has to be drained.
 */
#ifndef FLOW_INGEST_FINDING_H
#define FLOW_INGEST_FINDING_H

#include <stdatomic.h>

#include "base/error.h"
#include "core/cursor.h"
#include "edge/kafka_source.h"
#include "flow/batch.h"

/* Asks Kafka for the bounds of the log, and for as many of its records as the cursor wants to see.
 * False with an error if Kafka does not answer, or as soon as `is_draining` is true. Borrows
 * all. */
bool ingest_finding_ask(struct kafka_source *source, int32_t partition, struct cursor *cursor,
                        struct cursor_log *log, const atomic_bool *is_draining,
                        struct error *error);

/* Passes a notice on to the cursor. Borrows both. */
enum cursor_verdict ingest_finding_tell(struct cursor *cursor, const struct notice *notice);

/* Why the program must stop, and the fix: for a finding with must_stop. Borrows all. */
void ingest_finding_explain(const char *topic, int32_t partition,
                            const struct cursor_finding *finding, struct cursor_log log,
                            struct error *why);

/* Logs any other finding. Borrows all. */
void ingest_finding_log(int32_t partition, const struct cursor *cursor,
                        const struct cursor_finding *finding, struct cursor_log log);

#endif
