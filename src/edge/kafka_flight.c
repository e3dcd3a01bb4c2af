/* An idempotent producer has one batch of a partition under way. While another one is ready to be
 * sent, and in a flush all are, librdkafka's broker thread polls without a pause until the response
 * arrives (it sets its wake-up time before it looks at what is under way; seen up to 2.15.1). That
 * takes a core, which the broker may need to respond. A batch that is ready by its size alone does
 * not wake the thread. So whoever wants everything sent lets what is under way arrive first, and
 * then flushes the rest. Counted by librdkafka's interceptors on_request_sent and
 * on_response_received. */
#include "kafka_private.h"

#include <stdlib.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "base/memory.h"

enum {
    PRODUCE = 0, /* its ApiKey in Kafka's protocol */
    SETTLE_TICK_MS = 10,
    SILENCE_MS = 1,
};

struct kafka_flight {
    atomic_int count; /* below 0 after requests that were never sent have failed */
    struct alarm alarm;
};

struct kafka_flight *kafka_flight_create(void) {
    return memory_create(sizeof(struct kafka_flight));
}

void kafka_flight_destroy(struct kafka_flight **flight) {
    free(*flight);
    *flight = NULL;
}

static rd_kafka_resp_err_t on_sent(rd_kafka_t *client, int socket, const char *broker,
                                   int32_t broker_id, int16_t api, int16_t version,
                                   int32_t correlation, size_t bytes, void *context) {
    (void)client, (void)socket, (void)broker, (void)broker_id;
    (void)version, (void)correlation, (void)bytes;
    struct kafka_flight *flight = context;
    if (api == PRODUCE) atomic_fetch_add(&flight->count, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The response, or the news that there will be none. */
static rd_kafka_resp_err_t on_answered(rd_kafka_t *client, int socket, const char *broker,
                                       int32_t broker_id, int16_t api, int16_t version,
                                       int32_t correlation, size_t bytes, int64_t round_trip_us,
                                       rd_kafka_resp_err_t code, void *context) {
    (void)client, (void)socket, (void)broker, (void)broker_id, (void)version;
    (void)correlation, (void)bytes, (void)round_trip_us, (void)code;
    struct kafka_flight *flight = context;
    if (api != PRODUCE) return RD_KAFKA_RESP_ERR_NO_ERROR;
    atomic_fetch_sub(&flight->count, 1);
    alarm_ring(&flight->alarm);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *context,
                                  char *why, size_t why_bytes) {
    (void)conf, (void)why, (void)why_bytes;
    rd_kafka_interceptor_add_on_request_sent(client, "flight", on_sent, context);
    rd_kafka_interceptor_add_on_response_received(client, "flight", on_answered, context);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void kafka_flight_attach(struct kafka_flight *flight, rd_kafka_conf_t *conf) {
    rd_kafka_conf_interceptor_add_on_new(conf, "flight", on_new, flight);
}

static bool is_due(const struct kafka_flight *flight) {
    return atomic_load(&flight->count) > 0;
}

/* Armed again at once: a response between two waits ends the second. */
static void sleep_ms(struct kafka_flight *flight, int ms) {
    alarm_wait(&flight->alarm, clock_ms() + ms);
    alarm_arm(&flight->alarm);
}

bool kafka_flight_wait(struct kafka_flight *flight, int timeout_ms) {
    if (!is_due(flight)) return false;
    sleep_ms(flight, timeout_ms);
    return true;
}

void kafka_flight_settle(struct kafka_flight *flight, int timeout_ms) {
    const int64_t until_ms = clock_ms() + timeout_ms;
    while (kafka_flight_wait(flight, SETTLE_TICK_MS) && clock_ms() < until_ms) {
        if (!is_due(flight)) sleep_ms(flight, SILENCE_MS);
    }
}
