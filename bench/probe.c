/* Measures latency: sends logins at a steady rate, and records when each is visible to a
 * read_committed reader of the output topic, and when Redis has counted it.
 *
 * Latency is measured from when a record was due, not from when it was sent. Otherwise a delayed
 * sender would hide the records that wait longest (coordinated omission). Record n is due at
 * start + n / rate and goes to partition n % partitions, so its offset there is n / partitions, and
 * PREFIX:offsets in Redis shows which records are counted. In the output a record is identified by
 * its number, which is its device_id. Each of the three threads writes only its own figures. */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>
#include <librdkafka/rdkafka.h>

enum { PARTITIONS_MAX = 256, VALUE_BYTES = 512, WARM_UP_S = 3, LIMIT_S = 20, REDIS_POLL_US = 1000 };

struct probe {
    const char *brokers, *input, *output, *offsets_key;
    int partitions, redis_port;
    int64_t rate, count, start_ns;
    int64_t behind_max_ns;         /* of the sender, once warm */
    int64_t *seen_ns, *counted_ns; /* [number]: latency, or 0 */
    int64_t seen_count, counted_count;
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "probe: %s: %s\n", what, why);
    exit(1);
}

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_until(int64_t at_ns) {
    struct timespec at = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static int64_t due_ns(const struct probe *probe, int64_t number) {
    return probe->start_ns + number * 1000000000 / probe->rate;
}

static int64_t limit_ns(const struct probe *probe) {
    return due_ns(probe, probe->count) + (int64_t)LIMIT_S * 1000000000;
}

static rd_kafka_t *make(rd_kafka_type_t type, const char *brokers, const char *const *settings) {
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    for (; settings[0] != NULL; settings += 2) {
        if (rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof why)) {
            die(settings[0], why);
        }
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (client == NULL) die("client", why);
    return client;
}

static void send_one(const struct probe *probe, rd_kafka_t *producer, rd_kafka_topic_t *topic,
                     int64_t number) {
    static const char *const devices[] = {"android", "iOS", "web"};
    char value[VALUE_BYTES];
    int length = snprintf(
        value, sizeof value,
        "{\"device_id\": \"%020" PRId64 "\", \"user_id\": \"5ec2d697-0000-4000-8000-%012" PRId64
        "\", \"app_version\": \"2.3.0\", \"ip\": \"149.144.3.2\", \"locale\": \"%c%c\", "
        "\"timestamp\": %lld, \"device_type\": \"%s\"}",
        number, number % 100000, (int)('A' + number % 5), (int)('A' + number % 10),
        (long long)time(NULL), devices[number % 3]);
    while (rd_kafka_produce(topic, (int32_t)(number % probe->partitions), RD_KAFKA_MSG_F_COPY,
                            value, (size_t)length, NULL, 0, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
        }
        rd_kafka_poll(producer, 1);
    }
}

/* Sends the records that are due, at most once per millisecond. */
static void *send_all(void *context) {
    struct probe *probe = context;
    static const char *const settings[] = {"enable.idempotence", "true", "linger.ms", "1", NULL};
    rd_kafka_t *producer = make(RD_KAFKA_PRODUCER, probe->brokers, settings);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, probe->input, NULL);
    int64_t step_ns = 1000000000 / probe->rate;
    if (step_ns < 1000000) step_ns = 1000000;
    for (int64_t number = 0; number < probe->count;) {
        int64_t now_ns = clock_ns();
        for (; number < probe->count && due_ns(probe, number) <= now_ns; number++) {
            int64_t behind_ns = clock_ns() - due_ns(probe, number);
            if (number >= probe->rate * WARM_UP_S && behind_ns > probe->behind_max_ns) {
                probe->behind_max_ns = behind_ns;
            }
            send_one(probe, producer, topic, number);
        }
        rd_kafka_poll(producer, 0);
        sleep_until(now_ns + step_ns);
    }
    if (rd_kafka_flush(producer, LIMIT_S * 1000)) die("flush", "records were not delivered");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    return NULL;
}

static void note_seen(struct probe *probe, const rd_kafka_message_t *message) {
    static const char before[] = "{\"device_id\": \"";
    char text[21] = "";
    if (message->err) die("reader", rd_kafka_message_errstr(message));
    if (message->len < sizeof before + 20 || memcmp(message->payload, before, sizeof before - 1)) {
        die("reader", "the output has a record that was never sent");
    }
    memcpy(text, (const char *)message->payload + sizeof before - 1, 20);
    int64_t number = strtoll(text, NULL, 10);
    if (number < 0 || number >= probe->count || probe->seen_ns[number] != 0) {
        die("reader", "the output has a duplicate record");
    }
    probe->seen_ns[number] = clock_ns() - due_ns(probe, number);
    probe->seen_count++;
}

static void *read_all(void *context) {
    struct probe *probe = context;
    static const char *const settings[] = {"group.id",
                                           "probe",
                                           "enable.auto.commit",
                                           "false",
                                           "isolation.level",
                                           "read_committed",
                                           "auto.offset.reset",
                                           "earliest",
                                           "fetch.queue.backoff.ms",
                                           "10",
                                           NULL};
    rd_kafka_t *consumer = make(RD_KAFKA_CONSUMER, probe->brokers, settings);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(probe->partitions);
    for (int p = 0; p < probe->partitions; p++) {
        rd_kafka_topic_partition_list_add(list, probe->output, p)->offset = 0;
    }
    if (rd_kafka_assign(consumer, list)) die("reader", "cannot assign");
    rd_kafka_topic_partition_list_destroy(list);
    while (probe->seen_count < probe->count && clock_ns() < limit_ns(probe)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (message == NULL) continue;
        note_seen(probe, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return NULL;
}

/* Marks the records between a partition's previous offset and the stored one as counted. */
static void note_counted(struct probe *probe, int64_t *next, int partition, int64_t stored,
                         int64_t now_ns) {
    for (; next[partition] < stored; next[partition]++) {
        int64_t number = next[partition] * probe->partitions + partition;
        if (number >= probe->count) die("Redis", "an offset is past the last record");
        probe->counted_ns[number] = now_ns - due_ns(probe, number);
        probe->counted_count++;
    }
}

static void *watch_redis(void *context) {
    struct probe *probe = context;
    int64_t next[PARTITIONS_MAX] = {0};
    redisContext *redis = redisConnect("127.0.0.1", probe->redis_port);
    if (redis == NULL || redis->err) die("Redis", redis == NULL ? "out of memory" : redis->errstr);
    while (probe->counted_count < probe->count && clock_ns() < limit_ns(probe)) {
        redisReply *reply = redisCommand(redis, "HGETALL %s", probe->offsets_key);
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR) die("Redis", "HGETALL failed");
        int64_t now_ns = clock_ns();
        for (size_t i = 0; i + 1 < reply->elements; i += 2) {
            int partition = atoi(reply->element[i]->str);
            if (partition < 0 || partition >= probe->partitions) die("Redis", "unknown partition");
            note_counted(probe, next, partition, strtoll(reply->element[i + 1]->str, NULL, 10),
                         now_ns);
        }
        freeReplyObject(reply);
        sleep_until(now_ns + REDIS_POLL_US * 1000);
    }
    redisFree(redis);
    return NULL;
}

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double quantile_ms(const int64_t *sorted_ns, int64_t count, double share) {
    int64_t index = (int64_t)(share * (double)count);
    return (double)sorted_ns[index < count ? index : count - 1] / 1e6;
}

/* Excludes the warm-up: connections, the first fetches, the group's first commit. */
static void print(const char *name, int64_t *latency_ns, const struct probe *probe) {
    int64_t *warm = latency_ns + probe->rate * WARM_UP_S;
    int64_t count = probe->count - probe->rate * WARM_UP_S;
    qsort(warm, (size_t)count, sizeof *warm, compare);
    printf(
        "\"%s\": {\"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f, \"least\": %.2f}, ",
        name, quantile_ms(warm, count, 0.5), quantile_ms(warm, count, 0.99),
        quantile_ms(warm, count, 0.999), (double)warm[count - 1] / 1e6, (double)warm[0] / 1e6);
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fputs("usage: bench_probe BROKERS INPUT OUTPUT PARTITIONS RATE SECONDS REDIS_PORT "
              "OFFSETS_KEY\n",
              stderr);
        return 2;
    }
    struct probe probe = {.brokers = argv[1],
                          .input = argv[2],
                          .output = argv[3],
                          .partitions = atoi(argv[4]),
                          .rate = strtoll(argv[5], NULL, 10),
                          .redis_port = atoi(argv[7]),
                          .offsets_key = argv[8]};
    probe.count = probe.rate * (strtoll(argv[6], NULL, 10) + WARM_UP_S);
    if (probe.partitions < 1 || probe.partitions > PARTITIONS_MAX || probe.rate < 1) {
        die("arguments", "out of range");
    }
    probe.seen_ns = calloc((size_t)probe.count, sizeof *probe.seen_ns);
    probe.counted_ns = calloc((size_t)probe.count, sizeof *probe.counted_ns);
    if (probe.seen_ns == NULL || probe.counted_ns == NULL) die("memory", "out of memory");
    probe.start_ns = clock_ns() + 500000000;
    void *(*const bodies[])(void *) = {read_all, watch_redis, send_all};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&threads[i], NULL, bodies[i], &probe)) die("thread", "cannot start");
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    if (probe.seen_count < probe.count || probe.counted_count < probe.count) {
        fprintf(stderr,
                "probe: of %" PRId64 " records, %" PRId64 " were published and %" PRId64
                " were counted\n",
                probe.count, probe.seen_count, probe.counted_count);
        return 1;
    }
    fputc('{', stdout);
    print("kafka", probe.seen_ns, &probe);
    print("redis", probe.counted_ns, &probe);
    printf("\"behind_max_ms\": %.2f, \"records\": %" PRId64 "}\n",
           (double)probe.behind_max_ns / 1e6, probe.count);
    free(probe.seen_ns);
    free(probe.counted_ns);
    return 0;
}
