#include "edge/kafka_log.h"

#include <stdio.h>

#include <librdkafka/rdkafka.h>

#include "base/log.h"

/* librdkafka's levels are those of syslog(3), whose header has names in common with base/log.h. */
enum { SYSLOG_ERROR = 3, SYSLOG_WARNING = 4, SYSLOG_INFO = 6, SYSLOG_DEBUG = 7 };

/* An error of librdkafka is a warning of ours: it tries again, and what it gives up on reaches us
 * as an error that whoever asked for it judges and logs. */
static enum log_level level_of(int syslog_level) {
    if (syslog_level <= SYSLOG_WARNING) return LOG_WARN;
    return syslog_level < SYSLOG_DEBUG ? LOG_INFO : LOG_DEBUG;
}

/* The limit goes by the facility ("FAIL", "REBALANCE"), a few dozen different words. */
static void take_line(const rd_kafka_t *client, int level, const char *facility, const char *text) {
    const enum log_level ours = level_of(level);
    if (!log_is_enabled(ours)) return;
    char message[64];
    snprintf(message, sizeof message, "librdkafka %s", facility);
    const struct log_field fields[] = {
        log_text("client", client == NULL ? NULL : rd_kafka_name(client)),
        log_text("text", text),
        {0},
    };
    log_write(ours, message, fields);
}

void kafka_log_attach(struct rd_kafka_conf_s *conf) {
    const int highest = log_is_enabled(LOG_DEBUG)  ? SYSLOG_DEBUG
                        : log_is_enabled(LOG_INFO) ? SYSLOG_INFO
                        : log_is_enabled(LOG_WARN) ? SYSLOG_WARNING
                                                   : SYSLOG_ERROR;
    char text[16];
    snprintf(text, sizeof text, "%d", highest);
    rd_kafka_conf_set(conf, "log_level", text, NULL, 0);
    rd_kafka_conf_set_log_cb(conf, take_line);
}
