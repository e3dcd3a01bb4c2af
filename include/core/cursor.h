/* cursor: the two watermarks of one input partition, and every decision that rests on them.
 *
 * Place:    inside INGEST[p], between kafka_source and everything that counts or publishes.
 * Threads:  one owner; no I/O, no clock, no allocation, so that it can be simulated.
 * Source:   ARCHITECTURE.md, "Two watermarks"; the fence on commits follows KIP-447.
 *
 * A cursor has two tracks over the same offsets. On each, `stored` is the watermark that the
 * outside system is known to hold (Redis for `counted`, the group's committed offset for
 * `published`), and `next` is the first offset not yet handed to that side. A track is rewound by a
 * new generation: whatever crosses a thread carries the generation it was taken under, and is void
 * under another.
 *
 * I1  a record is taken for a track once per generation, in offset order: taken iff offset >= next.
 * I2  position <= next of each track that is known, so nothing is ever skipped by a rewind.
 * I3  one checkpoint at a time: between cursor_cut and its answer, counted.stored does not move.
 * I4  the counted watermark is first stored only after the published one exists, so "absent in
 *     Redis, present in Kafka" always means that Redis lost it or never had it, never that Kafka
 *     did.
 * I5  nothing is taken for a track before the last record below its `next` was seen again, and has
 *     the epoch that it had, as far as that is known and the log still has it.
 */
#ifndef CORE_CURSOR_H
#define CORE_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lineage.h"

enum cursor_start { CURSOR_START_EARLIEST, CURSOR_START_LATEST };
enum cursor_on_gap { CURSOR_GAP_FAIL, CURSOR_GAP_CONTINUE };

/* Instead of an offset. */
enum {
    CURSOR_ABSENT = -1,  /* the outside system holds no watermark for this partition */
    CURSOR_UNKNOWN = -2, /* it could not be asked yet */
};

/* What a call means for its caller. */
enum cursor_verdict {
    CURSOR_GO_ON,  /* nothing to do */
    CURSOR_REWIND, /* ask the log for its bounds, cursor_resume, and seek to cursor.position */
    CURSOR_STALE,  /* an answer to an earlier generation: ignored */
};

/* Why a track was rewound: the label of rollcall_rewinds_total. */
enum cursor_cause {
    CURSOR_NO_CAUSE,
    CURSOR_OVERTAKEN,   /* Redis is ahead: another owner counted on from here */
    CURSOR_ROLLED_BACK, /* Redis is behind: it came back older than it was */
    CURSOR_VANISHED,    /* Redis holds nothing for this partition any more */
    CURSOR_FIRST_READ,  /* Redis said for the first time since the assignment what it holds */
    CURSOR_ABORTED,     /* the transaction was aborted */
    CURSOR_CAUSE_COUNT
};

/* A search for the offset at which the log that is there departs from the one that was read. */
struct cursor_search {
    enum { CURSOR_TRUSTED, CURSOR_SEARCHING, CURSOR_FOUND } state;
    int64_t low, high;        /* it lies in [low, high]; equal when it is found */
    int64_t limit;            /* what high was at first */
    int64_t empty;            /* from here to the limit there is no record */
    struct lineage_span same; /* the last record that was found to be the same */
    bool is_begun;            /* something was asked */
};

struct cursor_track {
    int64_t stored;                /* the watermark outside, CURSOR_ABSENT or CURSOR_UNKNOWN */
    struct lineage_tip stored_tip; /* that of its lineage */
    int64_t next; /* first offset not yet taken; meaningless while stored is CURSOR_UNKNOWN */
    struct lineage lineage; /* of the log below next */
    bool is_anchored;       /* I5 */
    struct cursor_search search;
    uint64_t generation; /* rises with each rewind and each assignment */
};

struct cursor {
    struct cursor_track counted;
    struct cursor_track published;
    int64_t origin;   /* where the group began on this partition, or CURSOR_ABSENT if not known */
    int64_t position; /* the offset to read next */
    int64_t cut_end;  /* end of the checkpoint in flight, or CURSOR_ABSENT */
    struct lineage_tip cut_tip;  /* that of its lineage */
    bool has_strayed;            /* cursor_take met a record that does not follow those before */
    struct lineage_span strayed; /* its offset and epoch */
    enum cursor_cause cause;     /* of the last rewind */
};

/* The bounds of the partition's log: records of [begin, end) can be read. */
struct cursor_log {
    int64_t begin;
    int64_t end;
};

struct cursor_policy {
    enum cursor_start start;
    enum cursor_on_gap on_gap;
};

/* What cursor_resume found; the caller logs it. */
struct cursor_finding {
    enum cursor_resumed {
        CURSOR_RESUMED,   /* both watermarks lie in the log */
        CURSOR_BEGUN,     /* neither existed: begun by policy.start */
        CURSOR_REBUILDS,  /* absent in Redis alone: counted again from the earliest record held */
        CURSOR_ADOPTS,    /* absent in Kafka alone: publishes from the counted watermark */
        CURSOR_GAP,       /* a watermark lies below the log: what it wants was deleted */
        CURSOR_TRUNCATED, /* the log lost its end, and with it what lies below a watermark */
        CURSOR_WAITS, /* absent in Kafka and unknown in Redis: do not read until Redis answers */
    } what;
    int64_t wanted;       /* CURSOR_GAP, CURSOR_TRUNCATED: the watermark that cannot be reached */
    int64_t lost_records; /* offsets that were deleted before they were counted or published */
    int64_t
        cut_records; /* offsets that were counted or published, and are not in the log any more */
    int64_t cut_at;  /* CURSOR_TRUNCATED: reading continues here; below it nothing was cut off */
    bool must_stop;  /* both under CURSOR_GAP_FAIL: do not read; nothing was decided */
};

/* A new assignment: nothing is known, nothing is taken. `generation` must be higher than any that
 * was used for this partition in this process; both tracks start with it. */
void cursor_init(struct cursor *cursor, uint64_t generation);

/* Takes the watermarks found at assignment: an offset, CURSOR_ABSENT, or (counted only)
 * CURSOR_UNKNOWN when Redis did not answer. `lineage` and `origin` as kept with the committed
 * offset. Wherever a lineage is passed, it is borrowed, and NULL is one of which nothing is
 * known. */
void cursor_found(struct cursor *cursor, int64_t counted, int64_t published,
                  const struct lineage *lineage, int64_t origin);

/* Where the log may not be the one that was read, only its records can tell. To be called with the
 * bounds before cursor_resume: cursor_look begins a search if there is reason for one; while
 * cursor_asks is true, the caller passes to cursor_told the first record at or behind `offset`,
 * also if it was aborted, or INT64_MAX if there is none. About 2 + log2(log.end - log.begin)
 * questions, and usually one. */
void cursor_look(struct cursor *cursor, struct cursor_log log);
bool cursor_asks(struct cursor *cursor, int64_t *offset);
void cursor_told(struct cursor *cursor, int64_t offset, int32_t epoch);

/* Decides, after cursor_found, a CURSOR_REWIND or a stray record, where reading continues; on
 * return the caller seeks to cursor->position. May be called again with other bounds. */
struct cursor_finding cursor_resume(struct cursor *cursor, struct cursor_log log,
                                    struct cursor_policy policy);

/* The record at `offset` was read, which a leader of `epoch` wrote. Says which tracks take it, and
 * advances them. A stray one shows that the log lost its end below: nothing was taken, and the
 * place to read has to be found again. */
struct cursor_taken {
    bool count;
    bool publish;
    bool is_stray;
} cursor_take(struct cursor *cursor, int64_t offset, int32_t epoch);

/* True if a commit is due even without records: the first one of all, or one that takes the
 * watermark back to where the log was truncated. */
bool cursor_must_publish(const struct cursor *cursor);

/* The log holds no further record below `offset`, up to which reading has come: what lies
 * between is taken for both tracks. Returns whether `published` moved, which must then be
 * committed though no record goes with it. An offset behind the position changes nothing. May find
 * what a stray record shows, as has_strayed then says. */
bool cursor_reach(struct cursor *cursor, int64_t offset);

/* True if a checkpoint may be cut now: none is in flight and I4 holds. */
bool cursor_can_cut(const struct cursor *cursor);

/* True if a checkpoint would move the counted watermark (otherwise it would only verify it). */
bool cursor_has_uncounted(const struct cursor *cursor);

/* Cuts a checkpoint [base, end) of the counted track. base is an offset, CURSOR_ABSENT, or
 * CURSOR_UNKNOWN, which no store ever equals, so that the answer says what is stored.
 * Requires cursor_can_cut. */
struct cursor_cut {
    uint64_t generation;
    int64_t base;
    int64_t end;
    struct lineage_tip base_tip; /* what must be stored besides base */
    struct lineage lineage;      /* of the log below end */
    int64_t origin;              /* the cursor's */
} cursor_cut(struct cursor *cursor);

/* The store's answer to the cut of `generation`: the offset that is stored now, or CURSOR_ABSENT,
 * its lineage, and the `origin` that is kept beside another offset than the cut's, or
 * CURSOR_ABSENT: it is taken over if the group's own is not known. */
enum cursor_verdict cursor_counted(struct cursor *cursor, uint64_t generation, int64_t stored,
                                   const struct lineage *lineage, int64_t origin);

/* The transaction that carried [.., end) of this partition was committed. */
enum cursor_verdict cursor_published(struct cursor *cursor, uint64_t generation, int64_t end,
                                     const struct lineage *lineage);

/* What was handed over under `generation` was not published; the group's committed offset is
 * `committed` (CURSOR_ABSENT if none), with its `origin`. If another owner began the partition
 * elsewhere meanwhile, its origin is taken over; counting that has not begun begins there too. */
enum cursor_verdict cursor_unpublished(struct cursor *cursor, uint64_t generation,
                                       int64_t committed, const struct lineage *lineage,
                                       int64_t origin);

/* True if everything taken is stored on both sides (a drained partition). */
bool cursor_is_settled(const struct cursor *cursor);
bool cursor_is_published(const struct cursor *cursor);

const char *cursor_cause_name(enum cursor_cause cause);

/* The names of all causes but CURSOR_NO_CAUSE, in the order of the enum; NULL ends them. */
extern const char *const *const cursor_cause_names;

#endif
