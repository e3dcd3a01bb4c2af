/* lineage: by which leaders a log was written, as far as it was read; so that a log that lost its
 * end, and has grown again since, is not taken for the one that was read.
 *
 * Each record carries the epoch of the leader that wrote it (KIP-320). Two logs in which an offset
 * has the same epoch are the same up to there; from where they differ, they differ for the rest.
 * A lineage goes with each watermark, and describes the log below it.
 *
 * Place:    in the cursor; stored with both watermarks, as a text.
 * Threads:  one owner; a value without pointers.
 * Limits:   the newest LINEAGE_SPANS_MAX epochs.
 */
#ifndef CORE_LINEAGE_H
#define CORE_LINEAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINEAGE_SPANS_MAX = 8,
    LINEAGE_NO_EPOCH = -1, /* of a record in a format from before Kafka 0.11 */
    LINEAGE_TEXT_BYTES = 12 + 20 + LINEAGE_SPANS_MAX * 32,
    LINEAGE_TIP_BYTES = 12 + 21 + 11,
};

struct lineage {
    int32_t branch; /* how often the log had lost its end below the watermark */
    int32_t count;  /* of spans; 0: nothing is known */
    int64_t last;   /* the offset of the last record below the watermark */
    struct lineage_span {
        int64_t begin; /* the first offset that was seen with the epoch */
        int32_t epoch; /* higher than that of the span before */
    } spans[LINEAGE_SPANS_MAX];
};

/* The epoch of the last record below the watermark, LINEAGE_NO_EPOCH if it is not known. */
static inline int32_t lineage_epoch(const struct lineage *lineage) {
    return lineage->count == 0 ? LINEAGE_NO_EPOCH : lineage->spans[lineage->count - 1].epoch;
}

/* What tells one lineage of an offset from every other. The branch alone does not: those who read
 * two logs from their beginning, or from the same watermark, have the same. Two logs with the same
 * last record are the same. */
struct lineage_tip {
    int32_t branch;
    bool is_known; /* the rest; else it is 0 */
    int32_t epoch; /* of the last record */
    int64_t last;  /* its offset */
};

static inline struct lineage_tip lineage_tip(const struct lineage *lineage) {
    struct lineage_tip tip = {.branch = lineage->branch, .is_known = lineage->count > 0};
    if (tip.is_known) tip.epoch = lineage_epoch(lineage);
    if (tip.is_known) tip.last = lineage->last;
    return tip;
}

static inline bool lineage_tip_equals(struct lineage_tip a, struct lineage_tip b) {
    return a.branch == b.branch && a.is_known == b.is_known && a.epoch == b.epoch &&
           a.last == b.last;
}

/* Adds the first record of another epoch. Requires a higher one. */
void lineage_turn(struct lineage *lineage, int64_t offset, int32_t epoch);

/* Adds the next record. */
static inline void lineage_add(struct lineage *lineage, int64_t offset, int32_t epoch) {
    lineage->last = offset;
    if (epoch > lineage_epoch(lineage)) lineage_turn(lineage, offset, epoch);
}

/* Whether the log that was read had a record of this epoch at the offset. Below what is known, that
 * of any epoch that is not higher may be the same. */
bool lineage_matches(const struct lineage *lineage, int64_t offset, int32_t epoch);

/* The log was cut off behind the record at `last`, which a leader of `epoch` wrote: what was known
 * of it from there on is forgotten, and another branch begins. last -1: no record is left. */
void lineage_cut(struct lineage *lineage, int64_t last, int32_t epoch);

/* The same without another branch: no record is left between there and the watermark. */
void lineage_shorten(struct lineage *lineage, int64_t last, int32_t epoch);

/* Goes back to an earlier watermark, below which the log had this tip. Returns the watermark, or
 * where the log was cut off below it since, if a record of another leader was seen there. */
int64_t lineage_go_back(struct lineage *lineage, int64_t watermark, struct lineage_tip tip);

/* Forgets all but the branch. */
void lineage_forget(struct lineage *lineage);

/* As a text without blanks, and back; false if the text is none, and then nothing is known. */
void lineage_format(const struct lineage *lineage, char text[LINEAGE_TEXT_BYTES]);
bool lineage_parse(const char *text, struct lineage *lineage);

/* As a text: branch:last:epoch, or branch: if nothing else is known. */
void lineage_tip_format(struct lineage_tip tip, char text[LINEAGE_TIP_BYTES]);

#endif
