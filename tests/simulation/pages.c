#include "pages.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/pipeline_parts.h"
#include "base/memory.h"
#include "edge/http_server.h"
#include "edge/redis_snapshot.h"

struct http_server {
    struct http_options options;
};

struct http_server *http_server_create(const char *listen_on, const struct http_options *options,
                                       struct error *error) {
    (void)listen_on;
    (void)error;
    struct http_server *server = memory_create(sizeof *server);
    server->options = *options;
    current->pages = server;
    current->handle_count++;
    return server;
}

void http_server_destroy(struct http_server **server) {
    if (*server == NULL) return;
    current->pages = NULL;
    current->handle_count--;
    free(*server);
    *server = NULL;
}

size_t http_server_bytes(const struct http_server *server) {
    (void)server;
    return 0;
}

uint16_t http_server_port(const struct http_server *server) {
    (void)server;
    return 80;
}

const char *http_request_argument(const struct http_request *request, const char *name) {
    for (unsigned i = 0; i < request->argument_count; i++) {
        if (strcmp(request->arguments[i].name, name) == 0) return request->arguments[i].value;
    }
    return NULL;
}

void http_reply_error(struct http_reply *reply, unsigned status, const char *why) {
    reply->status = status;
    text_clear(&reply->body);
    text_add(&reply->body, why);
}

enum store_verdict redis_snapshot_read(struct redis_link *link,
                                       const struct redis_snapshot_options *options,
                                       char replica[REDIS_SNAPSHOT_NAME_BYTES], struct text *json,
                                       struct error *error) {
    (void)link;
    (void)options;
    replica[0] = '\0';
    if (one_in(2)) {
        error_set(error, "Redis does not answer");
        return STORE_RETRY;
    }
    text_add(json, "{}");
    return STORE_OK;
}

/* --- /status.json ----------------------------------------------------------------------------- */

/* A member that is an offset or a number of seconds, or -1 for null; broken if it is neither. */
static double number_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    if (json_is_null(value)) return -1;
    if (!json_is_number(value) || json_number_value(value) < 0)
        broken("/status.json: \"%s\" is not a number from 0", name);
    return json_number_value(value);
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || *text == '\0') broken("/status.json: \"%s\" is not a text", name);
    return text;
}

static void check_lag(const json_t *partition, const char *watermark, const char *lag) {
    const double end = number_of(partition, "end"), stored = number_of(partition, watermark);
    const double expected = end < 0 || stored < 0 ? -1 : end > stored ? end - stored : 0;
    if (number_of(partition, lag) != expected) broken("/status.json: %s is wrong", lag);
}

static void check_partition(const json_t *partition) {
    const double number = number_of(partition, "partition");
    if (number < 0 || number >= world.plan.partition_count)
        broken("/status.json: there is no partition %.0f", number);
    check_lag(partition, "published", "lag_records");
    check_lag(partition, "counted", "counted_lag_records");
    const bool is_known = number_of(partition, "published") >= 0;
    if ((number_of(partition, "lag_seconds") >= 0) != is_known)
        broken("/status.json: lag_seconds without a watermark, or the other way");
}

static void check_thread(const json_t *thread) {
    const double number = number_of(thread, "partition");
    const char *name = text_of(thread, "name");
    const bool has_partition = strncmp(name, "ingest-", strlen("ingest-")) == 0;
    if (number != (has_partition ? atoi(name + strlen("ingest-")) : -1))
        broken("/status.json: %s is of partition %.0f", name, number);
    if (number_of(thread, "idle_s") < 0 || !json_is_boolean(json_object_get(thread, "is_stuck")))
        broken("/status.json: %s is not described", name);
}

/* What any moment's document has. */
static void check_status(const struct process *process, const char *text) {
    json_error_t error;
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL) broken("/status.json is not JSON: %s at %d", error.text, error.position);
    const json_t *partitions = json_object_get(document, "partitions");
    const json_t *threads = json_object_get(document, "threads");
    const json_t *state = json_object_get(document, "state");
    if (strcmp(text_of(document, "instance"), process->id) != 0 ||
        strcmp(text_of(document, "group"), "rollcall") != 0 ||
        strcmp(text_of(document, "topic"), "input") != 0)
        broken("/status.json is of another instance");
    static const char *const members[] = {"version",    "now",     "uptime_s",  "totals",
                                          "rates",      "top",     "minutes",   "anomalies",
                                          "rejections", "kafka",   "redis",     "recent",
                                          "settings",   "threads", "partitions"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (json_object_get(document, members[i]) == NULL)
            broken("/status.json lacks \"%s\"", members[i]);
    }
    if (!json_is_true(json_object_get(state, "is_ready")) &&
        json_array_size(json_object_get(state, "reasons")) == 0)
        broken("/status.json: it is not ready, and has no reason");
    for (size_t i = 0; i < json_array_size(partitions); i++)
        check_partition(json_array_get(partitions, i));
    for (size_t i = 0; i < json_array_size(threads); i++)
        check_thread(json_array_get(threads, i));
    json_decref(document);
}

/* --- /metrics --------------------------------------------------------------------------------- */

static void check_depth(const char *page, const char *stage, size_t depth) {
    char start[64];
    snprintf(start, sizeof start, "\nrollcall_queue_depth{stage=\"%s\"} ", stage);
    const char *line = strstr(page, start);
    if (line == NULL || strtoull(line + strlen(start), NULL, 10) != depth)
        broken("/metrics: %s has a queue of %zu", stage, depth);
}

static void check_metrics(const struct pipeline *pipeline, const char *page) {
    if (!atomic_load(&pipeline->is_flowing)) return;
    size_t depth = 0;
    for (int s = 0; s < pipeline->config->instance.shards; s++)
        depth += inbox_depth(count_inbox(pipeline->counts[s]));
    check_depth(page, "aggregate", depth);
    check_depth(page, "publish", inbox_depth(publish_inbox(pipeline->publish)));
    check_depth(page, "checkpoint", inbox_depth(checkpoint_inbox(pipeline->checkpoint)));
}

void pages_ask(struct process *process) {
    static const char *const paths[] = {"/",       "/metrics", "/healthz",
                                        "/readyz", "/counts",  "/status.json"};
    if (process->pages == NULL) return;
    struct http_request request = {.path = paths[roll(sizeof paths / sizeof *paths)]};
    if (one_in(2)) {
        request.arguments[request.argument_count++] = (struct http_field){"scope", "instance"};
    }
    const struct http_options *options = &process->pages->options;
    const struct http_page *page = options->pages;
    while (page->path != NULL && strcmp(page->path, request.path) != 0)
        page++;
    struct http_reply reply = {.status = 200, .content_type = page->content_type};
    current = process;
    current_worker = "http";
    page->handle(options->context, &request, &reply);
    if (reply.later != NULL) reply.later(options->context, &request, &reply);
    trace("GET %s: %u", request.path, reply.status);
    happens(EVENT_PAGES);
    /* Without ticks a worker that has nothing to do takes no step, and seems to be stuck. */
    if (strcmp(request.path, "/healthz") == 0 && reply.status != 200 && world.plan.has_ticks)
        broken("%s is not healthy: %s", process->name, text_string(&reply.body));
    if (strcmp(request.path, "/status.json") == 0) check_status(process, text_string(&reply.body));
    if (strcmp(request.path, "/metrics") == 0)
        check_metrics(process->pipeline, text_string(&reply.body));
    text_release(&reply.body);
    current = NULL;
}
