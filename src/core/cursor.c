/* Why it is correct.
 *
 * Counting and publishing look at the same records but never at each other: each track has its own
 * gate (`next`), its own watermark outside (`stored`) and its own generation. A fault on one side
 * moves that track's gate back to what the outside system says it holds and opens a new generation,
 * which voids everything in flight on that side. The other side sees the records again and, by its
 * gate, takes none of them. So a record is applied to a side exactly when that side's watermark
 * moves over it, and each side moves its watermark in the same atomic step as the record's effect.
 *
 * I2 holds because every assignment to a `next` is followed by cursor_resume, which sets the
 * position to the lower gate, and because cursor_take moves a gate only to position + 1.
 */
#include "core/cursor.h"

#include <assert.h>
#include <stddef.h>

static bool is_offset(int64_t offset) {
    return offset >= 0;
}

void cursor_init(struct cursor *cursor, uint64_t generation) {
    *cursor = (struct cursor){
        .counted = {CURSOR_UNKNOWN, CURSOR_UNKNOWN, generation},
        .published = {CURSOR_ABSENT, CURSOR_ABSENT, generation},
        .origin = CURSOR_ABSENT,
        .position = CURSOR_ABSENT,
        .cut_end = CURSOR_ABSENT,
        .cause = CURSOR_NO_CAUSE,
    };
}

void cursor_found(struct cursor *cursor, int64_t counted, int64_t published, int64_t origin) {
    cursor->counted.stored = cursor->counted.next = counted;
    cursor->published.stored = cursor->published.next = published;
    cursor->origin = origin;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Gives a place to the tracks that the outside knows nothing of. */
static struct cursor_finding place_absent(struct cursor *cursor, struct cursor_log log,
                                          enum cursor_start start) {
    struct cursor_finding finding = {.what = CURSOR_RESUMED};
    struct cursor_track *counted = &cursor->counted, *published = &cursor->published;

    if (published->next == CURSOR_ABSENT && cursor->origin != CURSOR_ABSENT) {
        published->next = cursor->origin; /* aborted before the first commit */
    } else if (published->next == CURSOR_ABSENT && is_offset(counted->next)) {
        /* Not from where the counts have got to since: by I4 the stored offset stays where it is
         * until the first commit, and an abort before that must publish the same again. */
        published->next = is_offset(counted->stored) ? counted->stored : counted->next;
        finding.what = CURSOR_ADOPTS;
    } else if (published->next == CURSOR_ABSENT && counted->next == CURSOR_UNKNOWN) {
        finding.what = CURSOR_WAITS;
        return finding;
    } else if (published->next == CURSOR_ABSENT) {
        cursor->origin = start == CURSOR_START_EARLIEST ? log.begin : log.end;
        published->next = counted->next = cursor->origin;
        finding.what = CURSOR_BEGUN;
    }
    if (counted->next == CURSOR_ABSENT) {
        /* Without a known origin nobody can say what is missing below log.begin; with one, the gap
         * check that follows does. */
        counted->next = cursor->origin != CURSOR_ABSENT ? cursor->origin : log.begin;
        if (counted->next < published->next) finding.what = CURSOR_REBUILDS;
    }
    return finding;
}

/* Where a gate that lies outside the log goes; notes the worst of it. */
static int64_t place_in(struct cursor_log log, const struct cursor *cursor,
                        const struct cursor_track *track, struct cursor_finding *finding) {
    const int64_t next = track->next;
    if (!is_offset(next)) return next;
    if (next > log.end) {
        /* What was cut off below the origin had been neither counted nor published. */
        const int64_t cut = track->stored - larger(log.end, cursor->origin);
        if (finding->what != CURSOR_TRUNCATED || next > finding->wanted) finding->wanted = next;
        finding->cut_records = larger(finding->cut_records, cut);
        finding->cut_at = log.end;
        finding->what = CURSOR_TRUNCATED;
        return log.end;
    }
    if (next >= log.begin) return next;
    if (finding->what != CURSOR_TRUNCATED) {
        if (log.begin - next > finding->lost_records) finding->wanted = next;
        finding->what = CURSOR_GAP;
    }
    finding->lost_records = larger(finding->lost_records, log.begin - next);
    return log.begin;
}

struct cursor_finding cursor_resume(struct cursor *cursor, struct cursor_log log,
                                    struct cursor_policy policy) {
    assert(log.begin >= 0 && log.begin <= log.end);
    struct cursor_finding finding = place_absent(cursor, log, policy.start);
    if (finding.what == CURSOR_WAITS) return finding;

    const int64_t counted = place_in(log, cursor, &cursor->counted, &finding);
    const int64_t published = place_in(log, cursor, &cursor->published, &finding);
    if ((finding.what == CURSOR_GAP || finding.what == CURSOR_TRUNCATED) &&
        policy.on_gap == CURSOR_GAP_FAIL) {
        finding.must_stop = true;
        return finding;
    }
    cursor->counted.next = counted;
    cursor->published.next = published;
    if (cursor->origin > log.end) cursor->origin = log.end; /* what comes there is the group's */

    cursor->position = cursor->published.next;
    if (is_offset(cursor->counted.next) && cursor->counted.next < cursor->position) {
        cursor->position = cursor->counted.next;
    }
    return finding;
}

static bool track_take(struct cursor_track *track, int64_t offset) {
    if (!is_offset(track->next) || offset < track->next) return false;
    track->next = offset + 1;
    return true;
}

struct cursor_taken cursor_take(struct cursor *cursor, int64_t offset) {
    assert(is_offset(cursor->position) && is_offset(offset));
    if (offset < cursor->position) return (struct cursor_taken){false, false};
    cursor->position = offset + 1;
    return (struct cursor_taken){
        .count = track_take(&cursor->counted, offset),
        .publish = track_take(&cursor->published, offset),
    };
}

bool cursor_must_publish(const struct cursor *cursor) {
    const struct cursor_track *published = &cursor->published;
    return is_offset(published->next) &&
           (published->stored == CURSOR_ABSENT || published->stored > published->next);
}

static bool track_reach(struct cursor_track *track, int64_t offset) {
    if (!is_offset(track->next) || offset <= track->next) return false;
    track->next = offset;
    return true;
}

bool cursor_reach(struct cursor *cursor, int64_t offset) {
    assert(is_offset(cursor->position));
    if (offset <= cursor->position) return false;
    cursor->position = offset;
    track_reach(&cursor->counted, offset);
    return track_reach(&cursor->published, offset);
}

bool cursor_can_cut(const struct cursor *cursor) {
    bool is_ordered =
        cursor->counted.stored == CURSOR_UNKNOWN ||
        (is_offset(cursor->counted.next) && cursor->published.stored != CURSOR_ABSENT);
    return cursor->cut_end == CURSOR_ABSENT && is_ordered; /* I3, I4 */
}

bool cursor_has_uncounted(const struct cursor *cursor) {
    return cursor->counted.next != cursor->counted.stored;
}

struct cursor_cut cursor_cut(struct cursor *cursor) {
    assert(cursor_can_cut(cursor));
    cursor->cut_end = cursor->counted.next;
    return (struct cursor_cut){
        .generation = cursor->counted.generation,
        .base = cursor->counted.stored,
        .end = cursor->counted.next,
    };
}

static void track_rewind(struct cursor_track *track, int64_t stored) {
    track->stored = track->next = stored;
    track->generation++;
}

enum cursor_verdict cursor_counted(struct cursor *cursor, uint64_t generation, int64_t stored) {
    struct cursor_track *counted = &cursor->counted;
    if (generation != counted->generation || cursor->cut_end == CURSOR_ABSENT) return CURSOR_STALE;

    int64_t base = counted->stored, end = cursor->cut_end;
    cursor->cut_end = CURSOR_ABSENT;
    if (stored == end && is_offset(end)) {
        counted->stored = stored;
        return CURSOR_GO_ON;
    }
    if (base == CURSOR_UNKNOWN) {
        cursor->cause = CURSOR_FIRST_READ;
    } else if (stored == CURSOR_ABSENT) {
        cursor->cause = CURSOR_VANISHED;
    } else {
        cursor->cause = stored > base ? CURSOR_OVERTAKEN : CURSOR_ROLLED_BACK;
    }
    track_rewind(counted, stored);
    return CURSOR_REWIND;
}

enum cursor_verdict cursor_published(struct cursor *cursor, uint64_t generation, int64_t end) {
    if (generation != cursor->published.generation) return CURSOR_STALE;
    cursor->published.stored = end;
    return CURSOR_GO_ON;
}

enum cursor_verdict cursor_unpublished(struct cursor *cursor, uint64_t generation,
                                       int64_t committed, int64_t origin) {
    if (generation != cursor->published.generation) return CURSOR_STALE;
    cursor->cause = CURSOR_ABORTED;
    if (committed != CURSOR_ABSENT && cursor->origin != origin) {
        if (cursor->counted.stored == CURSOR_ABSENT) { /* so must the counts begin there */
            cursor->cut_end = CURSOR_ABSENT;
            track_rewind(&cursor->counted, CURSOR_ABSENT);
            cursor->origin = origin;
        } else if (origin != CURSOR_ABSENT) { /* for a Redis that vanishes later */
            cursor->origin = origin;
        }
    }
    track_rewind(&cursor->published, committed);
    return CURSOR_REWIND;
}

bool cursor_is_published(const struct cursor *cursor) {
    return cursor->published.stored == cursor->published.next;
}

bool cursor_is_settled(const struct cursor *cursor) {
    return cursor_is_published(cursor) && cursor->cut_end == CURSOR_ABSENT &&
           cursor->counted.stored == cursor->counted.next;
}

static const char *const cause_names[CURSOR_CAUSE_COUNT + 1] = {
    [CURSOR_NO_CAUSE] = "none",           [CURSOR_OVERTAKEN] = "overtaken",
    [CURSOR_ROLLED_BACK] = "rolled_back", [CURSOR_VANISHED] = "vanished",
    [CURSOR_FIRST_READ] = "first_read",   [CURSOR_ABORTED] = "aborted",
};

const char *const *const cursor_cause_names = &cause_names[CURSOR_NO_CAUSE + 1];

const char *cursor_cause_name(enum cursor_cause cause) {
    assert(cause < CURSOR_CAUSE_COUNT);
    return cause_names[cause];
}
