#include "ingest_finding.h"

#include "base/log.h"
#include "edge/kafka_probe.h"

enum { BOUNDS_TIMEOUT_MS = 5000, PROBE_TIMEOUT_MS = 4000 };

static bool search(struct kafka_source *source, int32_t partition, struct cursor *cursor,
                   const atomic_bool *is_draining, struct error *error) {
    int64_t offset;
    struct kafka_probe *probe = kafka_probe_open(source, partition, error);
    bool is_good = probe != NULL;
    while (is_good && cursor_asks(cursor, &offset)) {
        struct kafka_probe_record found = {0};
        is_good = atomic_load(is_draining)
                      ? error_set(error, "the partition is given back")
                      : kafka_probe_look(probe, offset, &found, PROBE_TIMEOUT_MS, error);
        if (is_good) cursor_told(cursor, found.offset, found.leader_epoch);
    }
    kafka_probe_close(&probe);
    return is_good;
}

bool ingest_finding_ask(struct kafka_source *source, int32_t partition, struct cursor *cursor,
                        struct cursor_log *log, const atomic_bool *is_draining,
                        struct error *error) {
    int64_t offset;
    if (kafka_source_ask_bounds(source, partition, &log->begin, &log->end, BOUNDS_TIMEOUT_MS,
                                error) != SOURCE_BOUNDS_KNOWN)
        return false;
    cursor_look(cursor, *log);
    return !cursor_asks(cursor, &offset) || search(source, partition, cursor, is_draining, error);
}

enum cursor_verdict ingest_finding_tell(struct cursor *cursor, const struct notice *notice) {
    switch (notice->kind) {
    case NOTICE_COUNTED:
        return cursor_counted(cursor, notice->generation, notice->offset, &notice->lineage,
                              notice->origin);
    case NOTICE_PUBLISHED:
        return cursor_published(cursor, notice->generation, notice->offset, &notice->lineage);
    case NOTICE_UNPUBLISHED:
        return cursor_unpublished(cursor, notice->generation, notice->offset, &notice->lineage,
                                  notice->origin);
    }
    return CURSOR_STALE;
}

void ingest_finding_explain(const char *topic, int32_t partition,
                            const struct cursor_finding *finding, struct cursor_log log,
                            struct error *why) {
    if (finding->what == CURSOR_TRUNCATED) {
        error_set(
            why,
            "%s [%d] lost its end: Kafka holds [%lld, %lld), but offset %lld had been reached, "
            "so %lld records that were counted or published no longer exist (an unclean leader "
            "election, or a restored broker?): set input.on_gap=continue to keep their counts "
            "and continue at offset %lld (or, if the topic was re-created, choose another "
            "group.id and redis.prefix)",
            topic, partition, (long long)log.begin, (long long)log.end, (long long)finding->wanted,
            (long long)finding->cut_records, (long long)finding->cut_at);
        return;
    }
    error_set(why,
              "%s [%d] needs offset %lld, but Kafka holds [%lld, %lld): %lld records are gone; "
              "set input.on_gap=continue to continue without them, or restore them (or, if the "
              "topic was re-created, choose another group.id and redis.prefix)",
              topic, partition, (long long)finding->wanted, (long long)log.begin,
              (long long)log.end, (long long)finding->lost_records);
}

void ingest_finding_log(int32_t partition, const struct cursor *cursor,
                        const struct cursor_finding *finding, struct cursor_log log) {
    switch (finding->what) {
    case CURSOR_GAP:
        log_error("Kafka no longer holds what is needed: continuing without it "
                  "(input.on_gap=continue)",
                  log_int("partition", partition), log_int("wanted_offset", finding->wanted),
                  log_int("log_begin", log.begin), log_int("log_end", log.end),
                  log_int("lost_records", finding->lost_records));
        break;
    case CURSOR_TRUNCATED:
        log_error("The log lost its end: records that were counted or published no longer exist; "
                  "continuing where it was cut off (input.on_gap=continue)",
                  log_int("partition", partition), log_int("reached_offset", finding->wanted),
                  log_int("cut_at", finding->cut_at), log_int("log_begin", log.begin),
                  log_int("log_end", log.end), log_int("truncated_records", finding->cut_records),
                  log_int("lost_records", finding->lost_records));
        break;
    case CURSOR_REBUILDS:
        log_warn("Redis holds nothing for this partition: counting again from the earliest record",
                 log_int("partition", partition), log_int("offset", cursor->counted.next),
                 log_int("log_begin", log.begin));
        break;
    case CURSOR_ADOPTS:
        log_warn("The group has no committed offset for this partition: publishing continues from "
                 "the counted one",
                 log_int("partition", partition), log_int("offset", cursor->published.next));
        break;
    case CURSOR_BEGUN:
    case CURSOR_RESUMED:
        log_info("Reading", log_int("partition", partition), log_int("offset", cursor->position),
                 log_int("counted", cursor->counted.stored),
                 log_int("published", cursor->published.stored));
        break;
    case CURSOR_WAITS:
        break;
    }
    if (cursor->counted.stored == CURSOR_UNKNOWN && finding->what != CURSOR_WAITS)
        log_warn("Redis has not answered yet: publishing goes on, and counting begins when it does",
                 log_int("partition", partition));
}
