#include "app/stats.h"

#include "edge/kafka_names.h"

static const char *const stage_names[] = {"aggregate", "publish", "checkpoint", NULL};
static const char *const *const stages = stage_names;

static const char *const module_names[] = {"batches", "counts", "totals", "http", NULL};
static const char *const *const modules = module_names;

static const struct metric_row own_table[] = {
    METRIC_LABELLED_ROW(struct stats, memory_bytes, METRIC_GAUGE, "rollcall_memory_bytes",
                        "Memory that a part of the program holds now.", "module", &modules),
    METRIC_LABELLED_ROW(struct stats, queue_depth, METRIC_GAUGE, "rollcall_queue_depth",
                        "Items that wait before a stage.", "stage", &stages),
    METRIC_ROW(struct stats, input_partitions, METRIC_GAUGE, "rollcall_input_partitions",
               "Partitions that the input topic has, owned by this instance or not."),
    METRIC_END};

static void add_build(struct metrics *metrics) {
    struct text labels = {0};
    metric_add_label(&labels, "version", ROLLCALL_VERSION);
    metric_add_label(&labels, "librdkafka", kafka_names_version());
    metrics_add_info(metrics, "rollcall_build_info", "Versions of this build.",
                     text_string(&labels));
    text_release(&labels);
}

static void add_instance(struct metrics *metrics, const struct config *config) {
    struct text labels = {0};
    metric_add_label(&labels, "id", config->instance.id);
    metric_add_label(&labels, "group", config->source.group);
    metric_add_label(&labels, "topic", config->source.topic);
    metrics_add_info(metrics, "rollcall_instance_info",
                     "Which instance this is, and of which group.", text_string(&labels));
    text_release(&labels);
}

void stats_create(struct stats *stats, const struct config *config) {
    struct metrics *metrics = stats->metrics = metrics_create();
    metrics_add_table(metrics, ingest_metric_table, &stats->ingest);
    metrics_add_table(metrics, lag_metric_table, &stats->lag);
    metrics_add_table(metrics, publish_metric_table, &stats->publish);
    metrics_add_table(metrics, checkpoint_metric_table, &stats->checkpoint);
    metrics_add_table(metrics, assignment_metric_table, &stats->assignment);
    metrics_add_table(metrics, watch_metric_table, &stats->watch);
    metrics_add_table(metrics, vitals_metric_table, &stats->vitals);
    metrics_add_table(metrics, own_table, stats);
    add_build(metrics);
    add_instance(metrics, config);
}

void stats_destroy(struct stats *stats) {
    metrics_destroy(&stats->metrics);
}
