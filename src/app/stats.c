#include "app/stats.h"

#include <stdio.h>

#include "app/version.h"
#include "core/cursor.h"
#include "core/login.h"
#include "edge/kafka_names.h"

void stats_create(struct stats *stats) {
    struct metrics *m = stats->metrics = metrics_create();
    const enum metric_kind counter = METRIC_COUNTER, gauge = METRIC_GAUGE;
    stats->consumed = metrics_add(m, counter, "rollcall_records_consumed_total",
                                  "Records read from the input topic, those read again too.", NULL);
    stats->published = metrics_add(m, counter, "rollcall_records_published_total",
                                   "Records written to the output topics and committed.", NULL);
    stats->counted = metrics_add(m, counter, "rollcall_records_counted_total",
                                 "Records whose counts this instance stored in Redis.", NULL);
    stats->rejected = metrics_add(m, counter, "rollcall_records_rejected_total",
                                  "Rejected records among those counted.", "reason");
    stats->lag =
        metrics_add(m, gauge, "rollcall_lag_records",
                    "Offsets between the end of the log and the published watermark.", "partition");
    stats->counted_lag =
        metrics_add(m, gauge, "rollcall_counted_lag_records",
                    "Offsets between the end of the log and the counted watermark.", "partition");
    stats->assigned = metrics_add(m, gauge, "rollcall_assigned_partitions",
                                  "Input partitions that this instance owns.", NULL);
    stats->checkpoint_seconds = metrics_add(m, METRIC_HISTOGRAM, "rollcall_checkpoint_seconds",
                                            "From a whole epoch to its place in Redis.", NULL);
    stats->transaction_seconds =
        metrics_add(m, METRIC_HISTOGRAM, "rollcall_transaction_seconds",
                    "From the begin of a transaction to its commit.", NULL);
    stats->checkpoint_failures = metrics_add(m, counter, "rollcall_checkpoint_failures_total",
                                             "Attempts that Redis did not take.", NULL);
    stats->rewinds = metrics_add(m, counter, "rollcall_rewinds_total",
                                 "Times a partition was read again, by cause.", "cause");
    stats->aborted = metrics_add(m, counter, "rollcall_transactions_aborted_total",
                                 "Transactions that came to nothing.", NULL);
    stats->anomalies = metrics_add(m, counter, "rollcall_anomalies_total",
                                   "Anomalies that this instance's checkpoints found.", NULL);
    stats->queue_depth =
        metrics_add(m, gauge, "rollcall_queue_depth", "Items that wait before a stage.", "stage");
    stats->lost = metrics_add(m, counter, "rollcall_records_lost_total",
                              "Records that Kafka no longer held when they were needed.", NULL);
    for (int cause = 1; cause < CURSOR_CAUSE_COUNT; cause++) {
        metric_cell(stats->rewinds, cursor_cause_name((enum cursor_cause)cause));
    }
    for (int reason = 1; reason < LOGIN_REASON_COUNT; reason++) {
        metric_cell(stats->rejected, login_reason_name((enum login_reason)reason));
    }
    static const char *const stages[] = {"aggregate", "publish", "checkpoint"};
    for (size_t i = 0; i < 3; i++)
        metric_cell(stats->queue_depth, stages[i]);
    static char info[128];
    snprintf(info, sizeof info, "version=\"%s\",librdkafka=\"%s\"", ROLLCALL_VERSION,
             kafka_names_version());
    metrics_add_info(m, "rollcall_build_info", "Versions of this build.", info);
}
