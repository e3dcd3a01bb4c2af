/* What can be set of ingest, and what it counts: a part of ingest.c, which would be too long. */
#include "flow/ingest.h"

const struct setting ingest_setting_table[] = {
    SETTING_CHOICE(struct ingest_settings, policy.start, "input", "start",
                   SETTING_WORDS("earliest", "latest"), "earliest", 0,
                   "where a new group begins to read"),
    SETTING_CHOICE(struct ingest_settings, policy.on_gap, "input", "on_gap",
                   SETTING_WORDS("fail", "continue"), "fail", 0,
                   "what to do when Kafka no longer holds records that are needed"),
    SETTING_NUMBER(struct ingest_settings, checkpoint_ms, "redis", "checkpoint_ms", 10, 60000,
                   "500", SETTING_RELOADABLE, "time between two checkpoints of a partition, in ms"),
    SETTING_END,
};

const struct metric_row ingest_metric_table[] = {
    METRIC_ROW(struct ingest_metrics, consumed, METRIC_COUNTER, "rollcall_records_consumed_total",
               "Records read from the input topic, including those read again."),
    METRIC_LABELLED_ROW(struct ingest_metrics, rewinds, METRIC_COUNTER, "rollcall_rewinds_total",
                        "Times a partition was read again, by cause.", "cause",
                        &cursor_cause_names),
    METRIC_ROW(struct ingest_metrics, lost, METRIC_COUNTER, "rollcall_records_lost_total",
               "Records that Kafka no longer held when they were needed."),
    METRIC_ROW(struct ingest_metrics, truncated, METRIC_COUNTER, "rollcall_records_truncated_total",
               "Records that had been counted or published and that Kafka has lost since, because "
               "a log lost its end."),
    METRIC_END,
};
