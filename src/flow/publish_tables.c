/* The settings and metrics of publish. */
#include "flow/publish.h"

const struct setting publish_setting_table[] = {
    SETTING_NUMBER(struct publish_settings, commit_ms, "output", "commit_ms", 1, 60000, "100",
                   SETTING_RELOADABLE, "longest time that a transaction stays open, in ms"),
    SETTING_END,
};

const struct metric_row publish_metric_table[] = {
    METRIC_ROW(struct publish_metrics, published, METRIC_COUNTER,
               "rollcall_records_published_total",
               "Records written to the output topics and committed."),
    METRIC_ROW(struct publish_metrics, aborted, METRIC_COUNTER,
               "rollcall_transactions_aborted_total", "Transactions that were aborted."),
    METRIC_ROW(struct publish_metrics, seconds, METRIC_HISTOGRAM, "rollcall_transaction_seconds",
               "Time from the beginning of a transaction to its commit."),
    METRIC_END,
};
