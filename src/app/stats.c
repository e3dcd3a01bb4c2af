#include "app/stats.h"

#include <stdio.h>

#include "edge/kafka_names.h"

static const char *const stage_names[] = {"aggregate", "publish", "checkpoint", NULL};
static const char *const *const stages = stage_names;

static const struct metric_row own_table[] = {
    METRIC_LABELLED_ROW(struct stats, queue_depth, METRIC_GAUGE, "rollcall_queue_depth",
                        "Items that wait before a stage.", "stage", &stages),
    METRIC_END};

void stats_create(struct stats *stats) {
    struct metrics *metrics = stats->metrics = metrics_create();
    metrics_add_table(metrics, ingest_metric_table, &stats->ingest);
    metrics_add_table(metrics, publish_metric_table, &stats->publish);
    metrics_add_table(metrics, checkpoint_metric_table, &stats->checkpoint);
    metrics_add_table(metrics, assignment_metric_table, &stats->assignment);
    metrics_add_table(metrics, own_table, stats);
    char labels[128];
    snprintf(labels, sizeof labels, "version=\"%s\",librdkafka=\"%s\"", ROLLCALL_VERSION,
             kafka_names_version());
    metrics_add_info(metrics, "rollcall_build_info", "Versions of this build.", labels);
}

void stats_destroy(struct stats *stats) {
    metrics_destroy(&stats->metrics);
}
