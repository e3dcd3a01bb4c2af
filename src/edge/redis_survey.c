#include "edge/redis_survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "edge/redis_master.h"
#include "redis_cluster.h"
#include "redis_url.h"
#include "redis_wire.h"

enum { WORD_BYTES = 160, ASK_MS = 1000 };

struct survey {
    const struct redis_settings *settings;
    struct redis_link *link;
    const struct redis_url *url;
    redis_survey_say *say;
    void *context;
};

static void say(const struct survey *survey, bool is_good, const struct text *line) {
    survey->say(survey->context, is_good, text_string(line));
}

/* Copies what INFO has behind "field:", "" if nothing. */
static const char *find(const char *info, const char *field, char out[WORD_BYTES]) {
    const char *line = strstr(info, field);
    out[0] = '\0';
    if (line == NULL) return out;
    line += strlen(field);
    snprintf(out, WORD_BYTES, "%.*s", (int)strcspn(line, "\r\n"), line);
    return out;
}

static void describe_server(const struct survey *survey, const char *info) {
    struct text line = {0};
    char word[WORD_BYTES], field[32];
    text_format(&line, "Redis %s at %s", find(info, "redis_version:", word),
                redis_link_name(survey->link));
    text_format(&line, ", a %s", find(info, "\nrole:", word));
    const int replicas = (int)strtol(find(info, "connected_slaves:", word), NULL, 10);
    text_format(&line, " with %d replica%s", replicas, replicas == 1 ? "" : "s");
    for (int i = 0; i < replicas && i < 16; i++) {
        snprintf(field, sizeof field, "slave%d:", i); /* ip=..,port=..,state=..,offset=..,lag=.. */
        text_format(&line, "%s%s", i == 0 ? ": " : "; ", find(info, field, word));
    }
    say(survey, true, &line);
    text_release(&line);
}

static void describe_safety(const struct survey *survey, const char *info) {
    struct text line = {0};
    char word[WORD_BYTES];
    const long used = strtol(find(info, "used_memory:", word), NULL, 10);
    const long max = strtol(find(info, "maxmemory:", word), NULL, 10);
    text_format(&line, "maxmemory-policy %s, memory: %ld MB used",
                find(info, "maxmemory_policy:", word), used >> 20);
    if (max > 0)
        text_format(&line, " of %ld MB (maxmemory), %ld MB left", max >> 20, (max - used) >> 20);
    else
        text_add(&line, ", no maxmemory");
    const bool has_file = find(info, "aof_enabled:", word)[0] == '1';
    text_format(&line, "; append-only file %s", has_file ? "on, last write " : "off");
    if (has_file) text_add(&line, find(info, "aof_last_write_status:", word));
    const int64_t saved = strtoll(find(info, "rdb_last_save_time:", word), NULL, 10);
    if (saved > 0) {
        text_format(&line, "; last RDB saved or loaded %lld s ago",
                    (long long)(clock_wall_ms() / 1000 - saved));
    }
    say(survey, true, &line);
    text_release(&line);
}

/* Copies the value of a setting, "" if it is empty. False: Redis does not tell. */
static bool read_setting(const struct survey *survey, const char *name, char out[WORD_BYTES]) {
    struct error why = {""};
    struct redis_reply *reply = redis_link_call(survey->link, &why, "CONFIG GET %s", name);
    const bool is_told =
        reply != NULL && redis_reply_is_texts(reply, 2) && redis_reply_count(reply) == 2;
    out[0] = '\0';
    if (is_told) snprintf(out, WORD_BYTES, "%s", redis_reply_text(redis_reply_at(reply, 1)).bytes);
    redis_reply_destroy(&reply);
    return is_told;
}

/* With which append-only file what is lost, and when. */
static const struct {
    const char *fsync, *loss;
} losses[] = {
    {"always", "a crash loses nothing that was counted"},
    {"everysec", "if its machine crashes, about the last 2 s of counts are lost"},
    {"no", "if its machine crashes, what the system had not written to disk is lost, often 30 s"},
};

static const char *loss_with_file(bool is_told, const char *fsync) {
    for (size_t i = 0; is_told && i < sizeof losses / sizeof *losses; i++) {
        if (strcmp(fsync, losses[i].fsync) == 0) return losses[i].loss;
    }
    return "if its machine crashes, what was not synced to disk is lost";
}

/* What a crash of Redis can lose for a moment: rollcall counts it again. */
static void describe_durability(const struct survey *survey, const char *info) {
    struct text line = {0};
    char word[WORD_BYTES], fsync[WORD_BYTES], save[WORD_BYTES];
    if (find(info, "aof_enabled:", word)[0] == '\0') return;
    const bool has_file = word[0] == '1';
    const bool has_fsync = read_setting(survey, "appendfsync", fsync);
    const bool has_save = read_setting(survey, "save", save);
    text_format(&line, "appendonly %s", has_file ? "yes" : "no");
    if (has_file) text_format(&line, ", appendfsync %s", has_fsync ? fsync : "not known");
    text_format(&line, ", save %s: ", !has_save ? "not known" : save[0] == '\0' ? "never" : save);
    if (has_file)
        text_add(&line, loss_with_file(has_fsync, fsync));
    else if (has_save && save[0] == '\0')
        text_add(&line, "a crash or a restart loses all counts");
    else
        text_add(&line, "a crash loses what was counted since the last RDB");
    const bool is_safe = has_file && has_fsync && strcmp(fsync, "always") == 0;
    if (!is_safe) text_add(&line, "; they step back, and are counted again from Kafka");
    say(survey, true, &line);
    text_release(&line);
}

/* One question to a Sentinel; the reply is the caller's, NULL if there is none. */
static struct redis_reply *ask(const struct survey *survey, const struct redis_address *address,
                               const char *question, struct error *why) {
    const char *user = survey->settings->sentinel_user;
    const char *password = survey->settings->sentinel_password;
    struct redis_wire wire = {.timeout_ms = ASK_MS};
    struct redis_reply *reply = NULL;
    const struct redis_wire_target target = {
        .address = address,
        .user = user == NULL || *user == '\0' ? NULL : user,
        .password = password == NULL || *password == '\0' ? NULL : password,
        .tls = redis_master_tls(redis_link_master(survey->link)),
    };
    redis_address_show(address, wire.name);
    if (redis_wire_open(&wire, &target, clock_ms() + ASK_MS, why) &&
        redis_wire_put(&wire, why, "SENTINEL %s %s", question, survey->url->master)) {
        reply = redis_wire_receive(&wire, why);
    }
    redis_wire_close(&wire);
    return reply;
}

/* Of each Sentinel: the master that it names, and whether it finds its quorum. */
static void describe_sentinels(const struct survey *survey) {
    char first[WORD_BYTES] = "";
    bool do_agree = true;
    for (int i = 0; i < survey->url->host_count; i++) {
        const struct redis_address *address = &survey->url->hosts[i];
        struct text line = {0};
        struct error why = {""};
        char where[REDIS_HOST_BYTES + 16], master[WORD_BYTES] = "";
        redis_address_show(address, where);
        struct redis_reply *named = ask(survey, address, "GET-MASTER-ADDR-BY-NAME", &why);
        struct redis_reply *quorum = named == NULL ? NULL : ask(survey, address, "CKQUORUM", &why);
        if (named != NULL && redis_reply_is_texts(named, 2) && redis_reply_count(named) == 2) {
            snprintf(master, sizeof master, "%.120s:%.8s",
                     redis_reply_text(redis_reply_at(named, 0)).bytes,
                     redis_reply_text(redis_reply_at(named, 1)).bytes);
        }
        const bool has_quorum = quorum != NULL && redis_reply_kind(quorum) == REDIS_STATUS;
        text_format(&line, "Sentinel %s names %s as %s; quorum: %s", where,
                    master[0] == '\0' ? "nobody" : master, survey->url->master,
                    quorum == NULL ? why.text : redis_reply_text(quorum).bytes);
        say(survey, has_quorum && master[0] != '\0', &line);
        if (first[0] == '\0') snprintf(first, sizeof first, "%s", master);
        do_agree = do_agree && (master[0] == '\0' || strcmp(first, master) == 0);
        text_release(&line);
        redis_reply_destroy(&named);
        redis_reply_destroy(&quorum);
    }
    if (!do_agree) {
        survey->say(survey->context, false,
                    "the Sentinels name different masters: a failover is under way, or one of them "
                    "is cut off");
    }
}

static void describe_cluster(const struct survey *survey, const char *info) {
    struct text line = {0};
    char word[WORD_BYTES];
    const bool is_node = strcmp(find(info, "redis_mode:", word), "cluster") == 0;
    if (redis_link_is_cluster(survey->link)) {
        text_format(&line, "slot %u, to which the prefix %s belongs, is owned by this node",
                    redis_cluster_slot(survey->settings->prefix), survey->settings->prefix);
        say(survey, true, &line);
    } else if (is_node && survey->url->kind == REDIS_URL_HOST) {
        char where[REDIS_HOST_BYTES + 16];
        redis_address_show(&survey->url->hosts[0], where);
        text_format(&line,
                    "this is a node of a cluster: set redis.url to redis+cluster://%s, or rollcall "
                    "is rejected at its next start after the slot has moved",
                    where);
        say(survey, true, &line);
    }
    text_release(&line);
}

void redis_survey(const struct redis_settings *settings, redis_survey_say *say_line,
                  void *context) {
    struct error why = {""};
    struct redis_reply *reply = NULL;
    struct survey survey = {.settings = settings, .say = say_line, .context = context};
    survey.link = redis_link_create(settings, &why);
    if (survey.link != NULL) survey.url = redis_master_url(redis_link_master(survey.link));
    if (survey.link != NULL && redis_link_open(survey.link, &why))
        reply = redis_link_call(survey.link, &why, "INFO");
    if (reply != NULL && redis_reply_kind(reply) == REDIS_TEXT) {
        const char *info = redis_reply_text(reply).bytes;
        describe_server(&survey, info);
        describe_safety(&survey, info);
        describe_durability(&survey, info);
        describe_cluster(&survey, info);
    }
    if (survey.link != NULL && survey.url->kind == REDIS_URL_SENTINEL) describe_sentinels(&survey);
    redis_reply_destroy(&reply);
    redis_link_destroy(&survey.link);
}
