/* The floor: the cost of librdkafka alone for rollcall's traffic. Consumes a topic, produces the
 * same bytes to the same partition of another topic, and commits the offsets in a transaction every
 * 100 ms, until SIGTERM. It neither counts nor judges records, supports only a single member, and
 * exits at the first error. By default it loses headers and timestamps; with --whole it keeps them,
 * as a program that forwards records must. */
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

enum { COMMIT_MS = 100, CALL_MS = 30000, POLL_MS = 10, IDLE_MS = 100, LOOK_EVERY = 256 };

struct raw {
    rd_kafka_t *consumer, *producer;
    rd_kafka_topic_t *output;
    const char *input_topic;
    int64_t *next; /* by partition; -1: nothing to commit */
    int32_t partition_count;
    bool is_whole, is_open;
    int64_t since_ms;
};

static volatile sig_atomic_t is_stopping;

static void stop(int signal_number) {
    (void)signal_number;
    is_stopping = 1;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("raw: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void check(rd_kafka_error_t *error, const char *what) {
    if (error != NULL) die("%s: %s", what, rd_kafka_error_string(error));
}

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        die("%s=%s: %s", name, value, why);
    }
}

/* Applies the settings given as ROLE.NAME=VALUE. */
static void set_given(rd_kafka_conf_t *conf, const char *role, char **given) {
    size_t role_bytes = strlen(role);
    for (; *given != NULL; given++) {
        char name[128];
        const char *equals = strchr(*given, '=');
        if (strncmp(*given, role, role_bytes) != 0 || (*given)[role_bytes] != '.') continue;
        if (equals == NULL) die("%s: has no value", *given);
        const char *begin = *given + role_bytes + 1;
        snprintf(name, sizeof name, "%.*s", (int)(equals - begin), begin);
        set(conf, name, equals + 1);
    }
}

static rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[512];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (client == NULL) die("%s", why);
    return client;
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer, (void)opaque;
    if (message->err) die("not delivered: %s", rd_kafka_err2str(message->err));
}

static void open_consumer(struct raw *raw, const char *brokers, const char *group, char **given) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", group);
    set(conf, "enable.auto.commit", "false");
    set(conf, "auto.offset.reset", "earliest");
    set_given(conf, "consumer", given);
    raw->consumer = make(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(raw->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, raw->input_topic, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(raw->consumer, topics)) die("cannot subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
}

static void open_producer(struct raw *raw, const char *brokers, const char *group,
                          const char *output_topic, char **given) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "transactional.id", group);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    set_given(conf, "producer", given);
    raw->producer = make(RD_KAFKA_PRODUCER, conf);
    check(rd_kafka_init_transactions(raw->producer, CALL_MS), "init_transactions");
    raw->output = rd_kafka_topic_new(raw->producer, output_topic, NULL);
    if (raw->output == NULL) die("cannot open topic %s", output_topic);
}

static void begin(struct raw *raw) {
    check(rd_kafka_begin_transaction(raw->producer), "begin_transaction");
    raw->is_open = true;
    raw->since_ms = clock_ms();
}

static void commit(struct raw *raw) {
    rd_kafka_topic_partition_list_t *offsets =
        rd_kafka_topic_partition_list_new(raw->partition_count);
    for (int32_t p = 0; p < raw->partition_count; p++) {
        if (raw->next[p] < 0) continue;
        rd_kafka_topic_partition_list_add(offsets, raw->input_topic, p)->offset = raw->next[p];
        raw->next[p] = -1;
    }
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(raw->consumer);
    check(rd_kafka_send_offsets_to_transaction(raw->producer, offsets, group, CALL_MS),
          "send_offsets_to_transaction");
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
    check(rd_kafka_commit_transaction(raw->producer, CALL_MS), "commit_transaction");
    raw->is_open = false;
}

/* Returns the error code, also for rd_kafka_produce. */
static rd_kafka_resp_err_t produce(struct raw *raw, const rd_kafka_message_t *message) {
    if (!raw->is_whole) {
        return rd_kafka_produce(raw->output, message->partition, RD_KAFKA_MSG_F_COPY,
                                message->payload, message->len, message->key, message->key_len,
                                NULL) == 0
                   ? RD_KAFKA_RESP_ERR_NO_ERROR
                   : rd_kafka_last_error();
    }
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers = rd_kafka_headers_copy(headers);
    }
    const rd_kafka_resp_err_t code = rd_kafka_producev(
        raw->producer, RD_KAFKA_V_RKT(raw->output), RD_KAFKA_V_PARTITION(message->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(message->payload, message->len),
        RD_KAFKA_V_KEY(message->key, message->key_len),
        RD_KAFKA_V_TIMESTAMP(rd_kafka_message_timestamp(message, &type)),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL) rd_kafka_headers_destroy(headers);
    return code;
}

static void pass_on(struct raw *raw, const rd_kafka_message_t *message) {
    if (message->err) die("consuming: %s", rd_kafka_message_errstr(message));
    if (message->partition >= raw->partition_count) {
        raw->next = reallocarray(raw->next, (size_t)message->partition + 1, sizeof *raw->next);
        if (raw->next == NULL) die("out of memory");
        while (raw->partition_count <= message->partition)
            raw->next[raw->partition_count++] = -1;
    }
    rd_kafka_resp_err_t error;
    while ((error = produce(raw, message)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) die("producing: %s", rd_kafka_err2str(error));
        rd_kafka_poll(raw->producer, POLL_MS);
    }
    raw->next[message->partition] = message->offset + 1;
}

int main(int argc, char **argv) {
    const bool is_whole = argc > 1 && strcmp(argv[1], "--whole") == 0;
    argc -= is_whole;
    argv += is_whole;
    if (argc < 5) {
        fputs("usage: bench_raw [--whole] BROKERS GROUP INPUT OUTPUT [consumer.NAME=VALUE] "
              "[producer.NAME=VALUE] ...\n",
              stderr);
        return 2;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    struct raw raw = {.input_topic = argv[3], .is_whole = is_whole};
    open_producer(&raw, argv[1], argv[2], argv[4], argv + 5);
    open_consumer(&raw, argv[1], argv[2], argv + 5);
    for (unsigned turn = 0; !is_stopping; turn++) {
        rd_kafka_message_t *message =
            rd_kafka_consumer_poll(raw.consumer, raw.is_open ? POLL_MS : IDLE_MS);
        if (message != NULL) {
            if (!raw.is_open) begin(&raw);
            pass_on(&raw, message);
            rd_kafka_message_destroy(message);
            /* Reading the clock and delivery reports each time would cost more than the rest. */
            if (turn % LOOK_EVERY != 0) continue;
        }
        rd_kafka_poll(raw.producer, 0);
        if (raw.is_open && clock_ms() - raw.since_ms >= COMMIT_MS) commit(&raw);
    }
    if (raw.is_open) commit(&raw);
    rd_kafka_consumer_close(raw.consumer);
    rd_kafka_topic_destroy(raw.output);
    rd_kafka_destroy(raw.consumer);
    rd_kafka_destroy(raw.producer);
    free(raw.next);
    return 0;
}
