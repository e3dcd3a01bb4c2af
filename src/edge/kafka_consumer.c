#include "base/clamp.h"
#include "kafka_private.h"

/* What rollcall owns, and its own defaults for what the user left open. */
static void configure(const struct kafka_source_options *options, rd_kafka_conf_t *conf) {
    const struct properties *kafka = options->kafka, *own = options->consumer;
    long long share_kb = (long long)(options->queue_bytes / 1024);
    if (options->partition_count > 0) share_kb /= options->partition_count;
    /* A short message takes about 1 KB in the queue, of which librdkafka counts only the payload:
     * so the number of messages bounds the memory, and for long ones their bytes. Beyond either
     * bound there is at most one fetch. */
    const long long messages = clamp(share_kb, 100, 2000);
    const long long fetch_bytes = clamp(share_kb / 4, 16, 256) * 1024;

    kafka_conf_own(conf, "group.id", options->settings->group);
    kafka_conf_own(conf, "enable.auto.commit", "false");
    kafka_conf_own(conf, "enable.auto.offset.store", "false");
    kafka_conf_own(conf, "auto.offset.reset", "error");
    kafka_conf_own(conf, "isolation.level", "read_committed");
    kafka_conf_own(conf, "enable.partition.eof", "true"); /* see kafka_stream_reached */
    kafka_conf_own(conf, "allow.auto.create.topics", "false");
    kafka_conf_own(conf, "consume.callback.max.messages", "256"); /* see kafka_stream */
    if (kafka_conf_is_classic(kafka, own)) {
        kafka_conf_own(conf, "partition.assignment.strategy", "cooperative-sticky");
        /* Not in the consumer protocol (KIP-848): librdkafka (seen up to 2.15.1) fails permanently
         * if the group still knows a static member that was killed, or one that missed a
         * heartbeat. */
        if (options->static_id != NULL) {
            kafka_conf_own(conf, "group.instance.id", options->static_id);
        }
    }
    kafka_conf_default(conf, kafka, own, "queued.max.messages.kbytes", clamp(share_kb, 64, 8192));
    kafka_conf_default(conf, kafka, own, "queued.min.messages", messages);
    kafka_conf_default(conf, kafka, own, "fetch.queue.backoff.ms", 10);
    kafka_conf_default(conf, kafka, own, "fetch.message.max.bytes", fetch_bytes);
    kafka_conf_default(conf, kafka, own, "topic.metadata.refresh.interval.ms", 10000);
}

rd_kafka_conf_t *kafka_consumer_conf(const struct kafka_source_options *options,
                                     struct error *error) {
    rd_kafka_conf_t *conf =
        kafka_conf_build(options->kafka, options->consumer, KAFKA_CONSUMER, error);
    if (conf != NULL) configure(options, conf);
    return conf;
}

rd_kafka_conf_t *kafka_consumer_conf_of_probe(const struct kafka_source_options *options,
                                              struct error *error) {
    rd_kafka_conf_t *conf =
        kafka_conf_build(options->kafka, options->consumer, KAFKA_CONSUMER, error);
    if (conf == NULL) return NULL;
    kafka_conf_own(conf, "group.id", options->settings->group); /* some properties want one */
    kafka_conf_own(conf, "enable.auto.commit", "false");
    kafka_conf_own(conf, "auto.offset.reset", "error");
    kafka_conf_own(conf, "isolation.level", "read_uncommitted");
    kafka_conf_own(conf, "allow.auto.create.topics", "false");
    kafka_conf_own(conf, "enable.partition.eof", "true");
    kafka_conf_own(conf, "queued.min.messages", "1");
    kafka_conf_own(conf, "fetch.message.max.bytes", "16384");
    return conf;
}

rd_kafka_conf_t *kafka_consumer_conf_of_asker(const struct kafka_source_options *options,
                                              struct error *error) {
    rd_kafka_conf_t *conf = kafka_consumer_conf_of_probe(options, error);
    if (conf != NULL) kafka_conf_own(conf, "isolation.level", "read_committed");
    return conf;
}
