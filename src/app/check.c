/* rollcall check: a line for each thing looked at, "ok ..." or "bad ...: how to fix it". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/check_reload.h"
#include "app/commands.h"
#include "app/check_sample.h"
#include "app/config.h"
#include "app/pipeline.h"
#include "app/sample.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/trouble.h"
#include "core/rules.h"
#include "edge/kafka_names.h"
#include "edge/kafka_sink.h"
#include "edge/kafka_source.h"
#include "edge/kafka_topics.h"
#include "edge/redis_survey.h"
#include "edge/redis_store.h"

enum {
    KAFKA_WAIT_MS = 10000,     /* for each answer of Kafka */
    QUEUE_BYTES = 1024 * 1024, /* nothing is read */
};

struct check {
    const struct config *config;
    struct aggregates aggregates;
    struct kafka_source *source;
    struct redis_store *store; /* NULL while Redis is not usable */
    struct topic_facts input;
    int bad_count;
    char rules[RULES_BYTES];
    struct trouble trouble; /* why Kafka does not let the client in */
    struct error error;     /* of the call that was made last */
};

#define say_ok(...) commands_say("ok  " __VA_ARGS__)
#define say_bad(check, ...) ((check)->bad_count++, commands_say("bad " __VA_ARGS__))

/* A line for each declared count: "count locale_by_hour: by locale, every hour, ...". */
static void say_counts(const struct aggregate_settings *settings) {
    for (int i = 0; i < settings->count_count; i++) {
        const struct declared_settings *count = &settings->counts[i];
        char room[ERROR_BYTES];
        struct text line = text_within(room, sizeof room);
        text_format(&line, "count %s:", count->name);
        for (int b = 0; b < count->by.count; b++)
            text_format(&line, "%s%s", b == 0 ? " by " : ", ", count->by.items[b]);
        if (count->unique[0] != '\0') text_format(&line, ", unique %s", count->unique);
        text_format(&line, ", every %s, kept for %d days", declared_every_names[count->every],
                    count->retention_days);
        say_ok("%s", text_string(&line));
    }
}

static void check_librdkafka(struct check *check) {
    const char *version = kafka_names_version();
    char *end;
    const long major = strtol(version, &end, 10);
    const long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (major < 2 || (major == 2 && minor < 8) || strcmp(version, "2.10.0") == 0) {
        say_bad(check, "librdkafka %s has faults that matter here: use 2.8.0 to 2.15.1, not 2.10.0",
                version);
    } else {
        say_ok("librdkafka %s", version);
    }
}

static void check_protocol(const struct config *config) {
    struct error idle;
    for (int role = KAFKA_CONSUMER; role <= KAFKA_PRODUCER; role++) {
        if (!kafka_conf_is_idle(&config->kafka, &config->by_role[role], &idle)) continue;
        say_ok("%s", idle.text);
        return;
    }
}

/* Looks at a topic, with its rights if it exists. */
static enum topics_verdict look_at(struct check *check, const char *topic,
                                   struct topic_facts *facts) {
    const enum topics_verdict verdict =
        kafka_topics_look(check->source, topic, KAFKA_WAIT_MS, facts, &check->error);
    if (verdict == TOPICS_OK && facts->exists &&
        !kafka_topics_describe(check->source, topic, KAFKA_WAIT_MS, facts, &check->error)) {
        return TOPICS_RETRY;
    }
    return verdict;
}

/* False: Kafka does not answer, and need not be asked more. */
static bool check_input(struct check *check, const char *brokers) {
    const char *topic = check->config->source.topic;
    const struct topic_facts *input = &check->input;
    const enum topics_verdict verdict = look_at(check, topic, &check->input);
    char room[ERROR_BYTES];
    struct text denied = text_within(room, sizeof room);
    if (verdict == TOPICS_RETRY && trouble_show(&check->trouble, clock_ms(), 0, &denied)) {
        say_bad(check, "Kafka at %s does not let this client in: %s", brokers,
                text_string(&denied));
        return false;
    }
    if (verdict == TOPICS_RETRY) {
        say_bad(check, "%s", check->error.text);
        return false;
    }
    if (verdict == TOPICS_REFUSED) {
        say_bad(check, "input: %s", check->error.text);
        return true;
    }
    say_ok("Kafka at %s answers", brokers);
    if (!input->exists) {
        say_bad(check,
                "input topic %s is missing: create it with kafka-topics.sh --create --topic %s "
                "--partitions 4, or correct input.topic",
                topic, topic);
    } else if (input->has_rights && !input->may_read) {
        say_bad(check, "input topic %s cannot be read by this user: add the ACL Read on it", topic);
    } else if (check->config->instance.memory_mb < input->partition_count * CONFIG_MB_A_PARTITION) {
        say_bad(check,
                "instance.memory_mb is %d: set it to %d or more, %d MB for each partition of %s",
                check->config->instance.memory_mb, input->partition_count * CONFIG_MB_A_PARTITION,
                CONFIG_MB_A_PARTITION, topic);
    } else {
        say_ok("input topic %s has %d partitions", topic, input->partition_count);
    }
    return true;
}

static void check_output(struct check *check, const char *topic) {
    struct topic_facts facts;
    if (topic[0] == '\0') return;
    if (look_at(check, topic, &facts) != TOPICS_OK) {
        say_bad(check, "output: %s", check->error.text);
    } else if (!facts.exists) {
        say_ok("output topic %s is missing: run creates it where the broker allows it", topic);
    } else if (facts.has_rights && !facts.may_write) {
        say_bad(check, "output topic %s cannot be written by this user: add the ACL Write on it",
                topic);
    } else {
        const bool is_even = facts.partition_count == check->input.partition_count;
        say_ok("output topic %s has %d partitions%s", topic, facts.partition_count,
               is_even ? "" : ", not as many as the input: records go by key");
    }
}

/* Reading committed offsets takes Describe on the group; joining it and committing takes Read. */
static void check_group(struct check *check) {
    if (!kafka_source_may_join(check->source, KAFKA_WAIT_MS)) {
        say_bad(check, "group %s cannot be joined by this user: add the ACL Read on it",
                check->config->source.group);
    }
}

/* Whether a transaction may be begun is only known from trying. That would end the one of a running
 * instance, so another id is tried, which the same prefixed ACL covers; with a fixed instance.id
 * only to see whether the brokers know transactions at all. */
static void check_transactions(struct check *check) {
    const struct config *config = check->config;
    char id[512];
    if (config->sink.guarantee != KAFKA_SINK_EXACTLY_ONCE) return;
    snprintf(id, sizeof id, "rollcall-%s-check", config->source.group);
    const struct kafka_sink_options options = {
        .settings = &config->sink,
        .kafka = &config->kafka,
        .producer = &config->producer,
        .transactional_id = id,
        .input_topic = config->source.topic,
        .queue_bytes = QUEUE_BYTES,
    };
    struct kafka_sink *sink = kafka_sink_create(&options, &check->error);
    enum sink_verdict verdict = SINK_STOP;
    if (sink != NULL) verdict = kafka_sink_open(sink, KAFKA_WAIT_MS, &check->error);
    if (config->is_static && (sink == NULL || !kafka_sink_lacks_transactions(sink))) {
        say_ok("transactional id rollcall-%s-%s is not tried, as that would end a transaction of a "
               "running instance: it needs the ACLs Write and Describe",
               config->source.group, config->instance.id);
    } else if (verdict == SINK_OK) {
        say_ok("transactional ids rollcall-%s-... may be used", config->source.group);
    } else {
        say_bad(check, "%s", check->error.text);
    }
    kafka_sink_destroy(&sink);
}

static void say_found(void *context, bool is_good, const char *line) {
    struct check *check = context;
    if (is_good)
        say_ok("%s", line);
    else
        say_bad(check, "%s", line);
}

static void check_redis(struct check *check) {
    const struct config *config = check->config;
    struct error warning = {""};
    const struct redis_store_options options = {.redis = &config->redis,
                                                .aggregates = &check->aggregates,
                                                .group = config->source.group,
                                                .topic = config->source.topic,
                                                .topic_id = check->input.id,
                                                .instance = config->instance.id,
                                                .rules = check->rules};
    rules_of_settings(&config->login, &config->aggregate, check->rules);
    aggregates_init(&check->aggregates, &config->aggregate);
    check->store = redis_store_create(&options, &check->error);
    enum store_verdict verdict = STORE_REFUSED;
    if (check->store != NULL) verdict = redis_store_check(check->store, &warning, &check->error);
    if (verdict == STORE_OK) {
        say_ok("Redis at %s is fit for the prefix %s%s%s", redis_store_name(check->store),
               config->redis.prefix, warning.text[0] != '\0' ? "; but " : "", warning.text);
        redis_survey(&config->redis, say_found, check);
    } else {
        say_bad(check, "%s", check->error.text);
        redis_store_destroy(&check->store);
    }
}

/* "to OFFSET", or what is known instead. */
static void mark_text(int64_t offset, char out[32]) {
    if (offset == CURSOR_UNKNOWN)
        snprintf(out, 32, "unknown");
    else if (offset < 0)
        snprintf(out, 32, "nothing");
    else
        snprintf(out, 32, "to %" PRId64, offset);
}

/* What is wrong with a mark in a log that has begin .. end, or NULL. */
static const char *fault_of(int64_t mark, int64_t begin, int64_t end) {
    if (mark > end) {
        return "the log lost its end, so records that were counted or published no longer exist: "
               "keep their counts and go on with input.on_gap=continue, or, if the topic was "
               "re-created, choose another consumer.group.id and redis.prefix";
    }
    if (mark >= 0 && mark < begin) {
        return "Kafka has deleted records that are still needed: they are lost to the counts; "
               "go on without them with input.on_gap=continue";
    }
    return NULL;
}

static void check_partition(struct check *check, int32_t partition, int64_t published,
                            int64_t counted) {
    int64_t begin = 0, end = 0;
    char published_text[32], counted_text[32], marks[192];
    if (!kafka_source_bounds(check->source, partition, &begin, &end, KAFKA_WAIT_MS,
                             &check->error)) {
        say_bad(check, "partition %d: %s", (int)partition, check->error.text);
        return;
    }
    mark_text(published, published_text);
    mark_text(counted, counted_text);
    snprintf(marks, sizeof marks,
             "partition %d: log %" PRId64 "..%" PRId64 ", published %s, counted %s", (int)partition,
             begin, end, published_text, counted_text);
    const char *fault = fault_of(counted, begin, end);
    if (fault == NULL) fault = fault_of(published, begin, end);
    if (fault != NULL)
        say_bad(check, "%s: %s", marks, fault);
    else if (counted == CURSOR_ABSENT && published > 0)
        say_ok("%s; run counts again from the log's begin", marks);
    else
        say_ok("%s", marks);
}

static void check_watermarks(struct check *check) {
    const size_t count = (size_t)check->input.partition_count;
    struct kafka_committed *committed = memory_create(count * sizeof *committed);
    int32_t *partitions = memory_create(count * sizeof *partitions);
    int64_t *counted = memory_create(count * sizeof *counted);
    for (size_t i = 0; i < count; i++) {
        partitions[i] = committed[i].partition = (int32_t)i;
        counted[i] = CURSOR_UNKNOWN;
    }
    if (!kafka_source_committed(check->source, committed, count, KAFKA_WAIT_MS, &check->error)) {
        say_bad(check, "%s: see that this user has the ACLs Describe and Read on the group %s",
                check->error.text, check->config->source.group);
        goto done;
    }
    if (check->store != NULL &&
        redis_store_offsets(check->store, partitions, count, counted, &check->error) != STORE_OK) {
        say_bad(check, "%s", check->error.text);
    }
    for (size_t i = 0; i < count; i++)
        check_partition(check, committed[i].partition, committed[i].offset, counted[i]);
done:
    free(committed);
    free(partitions);
    free(counted);
}

static void check_kafka_and_redis(struct check *check) {
    const struct config *config = check->config;
    const struct kafka_source_options options = {
        .settings = &config->source,
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .queue_bytes = QUEUE_BYTES,
        .partition_count = 1,
        .trouble = &check->trouble,
    };
    check->source = kafka_source_create(&options, &check->error);
    if (check->source == NULL) say_bad(check, "%s", check->error.text);
    const bool is_reached = check->source != NULL &&
                            check_input(check, kafka_conf_get(&config->kafka, "bootstrap.servers"));
    if (is_reached) {
        check_output(check, config->sink.topic);
        check_output(check, config->sink.rejected_topic);
        check_group(check);
        check_transactions(check);
    }
    check_redis(check);
    if (is_reached && check->input.exists) check_watermarks(check);
    redis_store_destroy(&check->store);
    kafka_source_destroy(&check->source);
}

struct check_options {
    int64_t sample; /* 0: not asked for */
    bool reload;
};

/* Ends at once, though only main does else: the thread may be in a call that waits for Kafka, for
 * KAFKA_WAIT_MS, and nothing is to be put back. */
static void stop(int signal_number) {
    static const char line[] = "bad stopped by a signal: not all was looked at\n";
    (void)signal_number;
    (void)!write(STDOUT_FILENO, line, sizeof line - 1);
    _exit(1);
}

static int run(const struct config *config, const struct options *options) {
    const struct sigaction action = {.sa_handler = stop};
    struct check check = {.config = config};
    const struct check_options *own = (const void *)options->own;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what stop writes comes behind all lines before */
    commands_catch(&action);
    if (own->reload) return check_reload(config);
    if (options->is_verbose) config_print(config, stdout);
    say_ok("the configuration is valid");
    say_counts(&config->aggregate);
    if (own->sample > 0) return check_sample(config, (size_t)own->sample);
    trouble_init(&check.trouble);
    check_librdkafka(&check);
    check_protocol(config);
    check_kafka_and_redis(&check);
    trouble_fini(&check.trouble);
    return check.bad_count == 0 ? 0 : 1;
}

static const struct option_row option_rows[] = {
    OPTION_NUMBER(struct check_options, sample, "sample", "N", 0, SAMPLE_RECORDS_MAX, "0",
                  "judge the newest N records of the input instead, and propose settings; 0: none"),
    OPTION_FLAG(
        struct check_options, reload, "reload",
        "what SIGHUP would change in the running instance at http.listen,\nor be refused for"),
    OPTION_END};

const struct command command_check = {
    .name = "check",
    .summary = "look at configuration, Kafka and Redis; report what is wrong; change no data",
    .help =
        "Reads the configuration, connects to Kafka and Redis, looks at topics, ACLs, versions\n"
        "and watermarks, and reports what is wrong and how to fix it. Changes nothing but the\n"
        "transactional id rollcall-<group.id>-check, which it tries where instance.id is not\n"
        "set. With -v it begins with every setting in effect, secrets as ***.\n"
        "\n"
        "With --sample N it reads the newest N records of the input instead, without joining the\n"
        "group: how many would be accepted, how many rejected and why, each with an example, and\n"
        "settings found in the records under which more would be. Exit status 0 if all would.\n"
        "\n"
        "With --reload it asks the instance at http.listen for its settings instead: what SIGHUP\n"
        "would change, or be refused for. Exit status 0 if it would be taken.\n",
    .options = option_rows,
    .run = run,
};
