/* rollcall demo: the whole picture on one machine. The broker runs inside this process, Redis and
 * `rollcall run` as children; the generator runs here, and is held back so that the broker, which
 * keeps 5 MB a partition, never drops what was not counted yet. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/config.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "edge/kafka_mock.h"
#include "edge/redis_link.h"
#include "tools/child.h"
#include "tools/demo_counts.h"
#include "tools/generator.h"

enum {
    BROKERS = 1,
    PARTITIONS = 4,
    AHEAD_MAX = 20000, /* events generated and not yet counted: about 1.2 MB a partition */
    POLL_MS = 200,
    PROGRESS_MS = 1000,
    STUCK_MS = 60000,
    REDIS_START_MS = 10000,
    REDIS_STOP_MS = 5000,
    ARGUMENTS_MAX = 2 * OPTIONS_OVERRIDES_MAX + 16,
    TEXT_BYTES = 512,
};

struct demo {
    const struct options *options;
    struct generator generator;
    struct config config; /* borrowed, with the demo's own broker in it */
    struct kafka_mock *mock;
    struct redis_link *link;
    struct child redis, run;
    int redis_port;
    char folder[128], redis_log[160], run_log[160];
    struct delta expected, found;
    int64_t counted;    /* records, by the offsets in Redis */
    int64_t counted_ms; /* when it last grew, or there was nothing to count */
    int64_t next_poll_ms, next_progress_ms;
    struct error error; /* why the demo cannot continue */
    bool has_failed;
};

/* A loopback port that was free a moment ago; 0 if none is free. */
static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return 0;
    const bool is_bound = bind(probe, (struct sockaddr *)&address, bytes) == 0 &&
                          getsockname(probe, (struct sockaddr *)&address, &bytes) == 0;
    close(probe);
    return is_bound ? ntohs(address.sin_port) : 0;
}

static bool make_folder(struct demo *demo) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing in this process sets a variable */
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] == '\0' || strlen(base) > 80) base = "/tmp";
    snprintf(demo->folder, sizeof demo->folder, "%s/rollcall-demo-XXXXXX", base);
    if (mkdtemp(demo->folder) == NULL) {
        error_set(&demo->error, "cannot make a folder in %s: %m", base);
        demo->folder[0] = '\0';
        return false;
    }
    snprintf(demo->redis_log, sizeof demo->redis_log, "%s/redis.log", demo->folder);
    snprintf(demo->run_log, sizeof demo->run_log, "%s/run.log", demo->folder);
    return true;
}

static void remove_folder(struct demo *demo) {
    if (demo->folder[0] == '\0') return;
    unlink(demo->redis_log);
    unlink(demo->run_log);
    rmdir(demo->folder);
}

static bool start_redis(struct demo *demo) {
    char port[16], url[64];
    demo->redis_port = free_port();
    snprintf(port, sizeof port, "%d", demo->redis_port);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/0", demo->redis_port);
    const char *const argv[] = {
        "redis-server", "--port", port,    "--bind",     "127.0.0.1",          "--save",     "",
        "--appendonly", "no",     "--dir", demo->folder, "--maxmemory-policy", "noeviction", NULL};
    struct error why = {""};
    if (!child_start(&demo->redis, "redis-server", argv, demo->redis_log, &why)) {
        remove_folder(demo);
        return error_set(&demo->error,
                         "%s; install it (apt-get install redis-server), or put it into PATH",
                         why.text);
    }
    const struct redis_settings redis = {.url = url, .timeout_ms = demo->config.redis.timeout_ms};
    demo->link = redis_link_create(&redis, &demo->error);
    if (demo->link == NULL) return false;
    const int64_t deadline_ms = clock_ms() + REDIS_START_MS;
    while (!redis_link_open(demo->link, &demo->error)) {
        if (commands_are_stopped()) return error_set(&demo->error, "interrupted");
        if (!child_is_running(&demo->redis) || clock_ms() >= deadline_ms)
            return error_set(&demo->error, "redis-server does not start: see %s", demo->redis_log);
        clock_sleep_ms(20);
    }
    return true;
}

static bool start_broker(struct demo *demo) {
    const struct config *config = &demo->config;
    const char *const topics[] = {config->source.topic, config->sink.topic,
                                  config->sink.rejected_topic};
    demo->mock = kafka_mock_create(BROKERS, &demo->error);
    if (demo->mock == NULL) return false;
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        if (topics[i][0] == '\0') continue;
        if (!kafka_mock_create_topic(demo->mock, topics[i], PARTITIONS, &demo->error)) return false;
    }
    kafka_conf_put(&demo->config.kafka, "bootstrap.servers", kafka_mock_bootstrap(demo->mock));
    return true;
}

/* `rollcall run` with the user's settings, except for what makes the demo private. */
static bool start_run(struct demo *demo) {
    const struct options *options = demo->options;
    char bootstrap[TEXT_BYTES], url[TEXT_BYTES];
    const char *argv[ARGUMENTS_MAX] = {"rollcall", "run"};
    int count = 2;
    snprintf(bootstrap, sizeof bootstrap, "-Xkafka.bootstrap.servers=%s",
             kafka_mock_bootstrap(demo->mock));
    snprintf(url, sizeof url, "-Xredis.url=redis://127.0.0.1:%d/0", demo->redis_port);
    const char *const own[] = {
        bootstrap,
        url,
        "-Xkafka.security.protocol=plaintext",
        "-Xaggregate.dimensions=device_type,locale",
        "-Xhttp.listen=",
        "-Xaggregate.max_values=10000",
        "-Xinput.start=earliest",
    };
    if (options->is_verbose) argv[count++] = "-v";
    if (options->config_path != NULL) {
        argv[count++] = "-c";
        argv[count++] = options->config_path;
    }
    for (int i = 0; i < options->override_count; i++) {
        argv[count++] = "-X";
        argv[count++] = options->overrides[i];
    }
    memcpy(&argv[count], own, sizeof own); /* NULL follows */
    return child_start(&demo->run, "/proc/self/exe", argv, demo->run_log, &demo->error);
}

/* Sums up the counted offsets: all partitions begin at 0. */
static bool read_counted(struct demo *demo) {
    if (!redis_link_open(demo->link, &demo->error)) return false;
    struct redis_reply *reply =
        redis_link_call(demo->link, &demo->error, "HVALS %s:offsets", demo->config.redis.prefix);
    if (reply == NULL) return false;
    int64_t counted = 0;
    for (size_t i = 0; i < redis_reply_count(reply); i++)
        counted += strtoll(redis_reply_text(redis_reply_at(reply, i)).bytes, NULL, 10);
    redis_reply_destroy(&reply);
    if (counted > demo->counted) demo->counted_ms = clock_ms();
    demo->counted = counted;
    return true;
}

/* Looks after everything from time to time. False: the demo ends here; demo->error has the
 * reason. */
static bool look_after(struct demo *demo, int64_t sent_count) {
    const int64_t now_ms = clock_ms();
    if (commands_are_stopped()) return error_set(&demo->error, "interrupted");
    if (now_ms < demo->next_poll_ms) return true;
    demo->next_poll_ms = now_ms + POLL_MS;
    if (!child_is_running(&demo->run)) {
        return error_set(&demo->error, "rollcall run ended with exit status %d: see %s",
                         demo->run.status, demo->run_log);
    }
    if (!read_counted(demo)) return false;
    if (demo->counted >= sent_count) demo->counted_ms = now_ms;
    if (now_ms - demo->counted_ms > STUCK_MS) {
        return error_set(&demo->error, "nothing was counted for %d s: see %s", STUCK_MS / 1000,
                         demo->run_log);
    }
    if (now_ms >= demo->next_progress_ms) {
        demo->next_progress_ms = now_ms + PROGRESS_MS;
        printf("  %9" PRId64 " of %" PRId64 " events generated, %9" PRId64 " counted\n", sent_count,
               demo->generator.plan.count, demo->counted);
        fflush(stdout);
    }
    return true;
}

/* Waits until no more than ahead_max events are not yet counted. */
static bool wait_for_counts(struct demo *demo, int64_t sent_count, int64_t ahead_max) {
    while (look_after(demo, sent_count)) {
        if (sent_count - demo->counted <= ahead_max) return true;
        clock_sleep_ms(10);
    }
    demo->has_failed = true;
    return false;
}

/* The generator's throttle. */
static bool may_go_on(void *user, int64_t sent_count) {
    return wait_for_counts(user, sent_count, AHEAD_MAX);
}

static void note_sent(void *user, const struct event *event) {
    struct demo *demo = user;
    demo_counts_expect(&demo->expected, event);
}

static bool generate(struct demo *demo) {
    struct generator *generator = &demo->generator;
    struct error error = {""};
    generator_complete(&generator->plan, clock_wall_ms());
    const bool is_right = generator_run(generator, &error);
    if (demo->has_failed) return false;
    if (!is_right) return error_set(&demo->error, "the generator: %s", error.text);
    return wait_for_counts(demo, generator->sent_count, 0);
}

static bool end_run(struct demo *demo) {
    child_stop(&demo->run, 2 * demo->config.drain_ms + 5000);
    if (demo->run.status == 0) return true;
    return error_set(&demo->error, "rollcall run ended with exit status %d: see %s",
                     demo->run.status, demo->run_log);
}

static void print_lines(const struct demo *demo) {
    char day[LOGIN_DAY_BYTES];
    login_day_format(demo->generator.plan.event.start_ms / 60000, day);
    /* cppcheck-suppress invalidPrintfArgType_sint ; it does not know positional arguments */
    printf("\nRead them from Redis, which runs on:\n\n"
           "  redis-cli -p %1$d ZREVRANGE '%2$s:device_type_counts' 0 9 WITHSCORES\n"
           "  redis-cli -p %1$d ZREVRANGE '%2$s:locale_counts' 0 9 WITHSCORES\n"
           "  redis-cli -p %1$d HGETALL '%2$s:login_counts:%3$s'\n"
           "  redis-cli -p %1$d HGETALL '%2$s:rejected_counts'\n"
           "  redis-cli -p %1$d XREVRANGE '%2$s:anomalies' + - COUNT 5\n"
           "  %4$s snapshot -X redis.url=redis://localhost:%1$d -X 'redis.prefix=%2$s'\n\n"
           "End it, and remove what is left, with:\n\n"
           "  redis-cli -p %1$d shutdown nosave; rm -r '%5$s'\n\n",
           demo->redis_port, demo->config.redis.prefix, day, program_invocation_name, demo->folder);
}

/* The whole of it, up to the counts in Redis. */
static bool play(struct demo *demo) {
    if (!make_folder(demo) || !start_redis(demo) || !start_broker(demo) || !start_run(demo))
        return false;
    printf("A broker inside this program at %s, topic %s with %d partitions;\n"
           "a redis-server of its own on port %d; rollcall run, which logs to %s.\n\n",
           kafka_mock_bootstrap(demo->mock), demo->config.source.topic, PARTITIONS,
           demo->redis_port, demo->run_log);
    fflush(stdout);
    const int64_t start_ms = clock_ms();
    demo->counted_ms = start_ms;
    if (!generate(demo)) return false;
    const double seconds = (double)(clock_ms() - start_ms) / 1000;
    if (!end_run(demo) ||
        !demo_counts_read(&demo->found, demo->link, demo->config.redis.prefix, &demo->error))
        return false;
    printf("  %" PRId64 " events generated and counted in %.1f s\n\nThe largest counts:\n\n",
           demo->counted, seconds);
    return true;
}

static bool end_well(struct demo *demo) {
    demo_counts_print(&demo->found);
    print_lines(demo);
    const int differences = demo_counts_compare(&demo->expected, &demo->found);
    if (differences == 0)
        printf("All counts are equal to what was generated.\n");
    else
        log_error("counts differ from what was generated", log_int("counts", differences));
    return differences == 0;
}

static bool end_early(struct demo *demo) {
    child_stop(&demo->run, demo->config.drain_ms);
    child_stop(&demo->redis, REDIS_STOP_MS);
    if (commands_are_stopped()) remove_folder(demo);
    log_error("the demo cannot continue", log_text("reason", demo->error.text));
    return false;
}

static int run(const struct config *config, const struct options *options) {
    struct demo demo = {
        .options = options,
        .config = *config,
        .generator = {.plan = *(const struct generator_plan *)(const void *)options->own,
                      .config = &demo.config,
                      .may_go_on = may_go_on,
                      .sent = note_sent,
                      .user = &demo}};
    /* The generator gets the broker's address alone: passwords and limits are for another one. */
    demo.config.kafka = demo.config.producer = (struct properties){0};
    delta_init(&demo.expected);
    delta_init(&demo.found);
    commands_catch_signals(false);
    const bool is_right = play(&demo) ? end_well(&demo) : end_early(&demo);
    kafka_mock_destroy(&demo.mock);
    redis_link_destroy(&demo.link);
    kafka_conf_release(&demo.config.kafka);
    delta_release(&demo.expected);
    delta_release(&demo.found);
    return is_right ? 0 : 1;
}

const struct command command_demo = {
    .name = "demo",
    .summary = "show it all on this machine, with a broker and a Redis of its own",
    .help = "Starts a broker inside this program and a redis-server of its own, generates events,\n"
            "processes them, shows the counts with the redis-cli lines that read them, and checks\n"
            "them against what was generated: exit status 1 if they differ. Needs no network.\n",
    .options = generator_demo_options,
    .run = run,
};
