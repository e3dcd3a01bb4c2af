/* ingest_finding: what cursor_resume found, in words. Used by ingest alone.
 *
 * Threads:  any.
 */
#ifndef FLOW_INGEST_FINDING_H
#define FLOW_INGEST_FINDING_H

#include "base/error.h"
#include "core/cursor.h"

/* Why the program must stop, and the fix: for a finding with must_stop. Borrows all. */
void ingest_finding_explain(const char *topic, int32_t partition,
                            const struct cursor_finding *finding, struct cursor_log log,
                            struct error *why);

/* Logs any other finding. Borrows all. */
void ingest_finding_log(int32_t partition, const struct cursor *cursor,
                        const struct cursor_finding *finding, struct cursor_log log);

#endif
