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
 *
 * A log that lost its end and has grown again since looks like the one that was read. So with each
 * watermark goes the lineage of the log below it, and reading begins with the last record below
 * the gate: this record, the anchor, must have the epoch that it had. If it has, the log is the
 * same up to there (a leader writes an offset once, and its followers copy it). If not, there is an
 * offset below which all records have the epochs of the lineage, and from which on none has; it is
 * found by bisection. If none is there, the last record that is the same is the next anchor. What
 * the lineage does not reach back to is taken for the same as long as epochs are not higher.
 */
#include "core/cursor.h"

#include <assert.h>
#include <stddef.h>

#include "base/clamp.h"

static bool is_offset(int64_t offset) {
    return offset >= 0;
}

void cursor_init(struct cursor *cursor, uint64_t generation) {
    *cursor = (struct cursor){
        .counted = {.stored = CURSOR_UNKNOWN, .next = CURSOR_UNKNOWN, .generation = generation},
        .published = {.stored = CURSOR_ABSENT, .next = CURSOR_ABSENT, .generation = generation},
        .origin = CURSOR_ABSENT,
        .position = CURSOR_ABSENT,
        .cut_end = CURSOR_ABSENT,
        .cause = CURSOR_NO_CAUSE,
    };
}

static void track_place(struct cursor_track *track, int64_t stored, const struct lineage *lineage) {
    track->stored = track->next = stored;
    track->lineage = (struct lineage){0};
    if (lineage != NULL) track->lineage = *lineage;
    track->stored_tip = lineage_tip(&track->lineage);
    track->is_anchored = false;
}

void cursor_found(struct cursor *cursor, int64_t counted, int64_t published,
                  const struct lineage *lineage, int64_t origin) {
    track_place(&cursor->counted, counted, NULL);
    track_place(&cursor->published, published, lineage);
    cursor->origin = origin;
}

/* Begins at the other one's watermark. What that one has taken since is not stored. */
static void track_adopt(struct cursor_track *track, const struct cursor_track *other) {
    track->lineage = other->lineage;
    track->search = other->search;
    track->next = other->next;
    if (!is_offset(other->stored)) return;
    const int64_t stored = lineage_go_back(&track->lineage, other->stored, other->stored_tip);
    track->next = smaller(other->next, stored);
    if (track->search.high >= track->next) track->search.state = CURSOR_TRUSTED;
}

/* --- the search ------------------------------------------------------------------------------- */

static void look(struct cursor_track *track, const struct cursor_track *other,
                 struct cursor_log log, bool has_strayed) {
    /* A side of which nothing is known would take records before the other's anchor is seen. */
    const bool is_alone = other->lineage.count == 0 && other->next != CURSOR_UNKNOWN;
    const bool is_in_doubt = has_strayed || is_alone || track->next > log.end;
    track->search.state = CURSOR_TRUSTED;
    if (!is_in_doubt || track->lineage.count == 0 || track->next <= log.begin) return;
    const int64_t limit = smaller(track->next, log.end);
    track->search = (struct cursor_search){
        .state = CURSOR_SEARCHING,
        .low = log.begin,
        .high = limit,
        .limit = limit,
        .empty = limit,
        .same = {-1, LINEAGE_NO_EPOCH},
    };
}

void cursor_look(struct cursor *cursor, struct cursor_log log) {
    look(&cursor->counted, &cursor->published, log, cursor->has_strayed);
    look(&cursor->published, &cursor->counted, log, cursor->has_strayed);
}

/* Usually nothing is missing but what the log lost, and the first answer shows that. */
static int64_t asked(const struct cursor_track *track) {
    const struct cursor_search *search = &track->search;
    return search->is_begun ? search->low + (search->high - search->low) / 2
                            : larger(search->low, smaller(track->lineage.last, search->high - 1));
}

static struct cursor_track *searching(struct cursor *cursor) {
    if (cursor->counted.search.state == CURSOR_SEARCHING) return &cursor->counted;
    return cursor->published.search.state == CURSOR_SEARCHING ? &cursor->published : NULL;
}

bool cursor_asks(struct cursor *cursor, int64_t *offset) {
    struct cursor_track *track;
    while ((track = searching(cursor)) != NULL) {
        struct cursor_search *search = &track->search;
        *offset = asked(track);
        if (search->low < search->high) return true;
        /* Where no record is, none departs. */
        if (search->high >= search->empty) search->high = search->limit;
        search->state = CURSOR_FOUND;
    }
    return false;
}

void cursor_told(struct cursor *cursor, int64_t offset, int32_t epoch) {
    struct cursor_track *track = searching(cursor);
    assert(track != NULL);
    struct cursor_search *search = &track->search;
    const int64_t at = asked(track);
    search->is_begun = true;
    /* Unless there was another record above: then the log has lost more of its end meanwhile. */
    if (offset >= search->limit && search->high >= search->empty) search->empty = at;
    if (offset < search->high && lineage_matches(&track->lineage, offset, epoch)) {
        search->low = offset + 1;
        search->same = (struct lineage_span){offset, epoch};
    } else {
        search->high = at;
    }
}

/* --- where to read ---------------------------------------------------------------------------- */

/* Gives a place to the tracks that the outside knows nothing of. */
static struct cursor_finding place_absent(struct cursor *cursor, struct cursor_log log,
                                          enum cursor_start start) {
    struct cursor_finding finding = {.what = CURSOR_RESUMED};
    struct cursor_track *counted = &cursor->counted, *published = &cursor->published;

    const bool has_counts =
        is_offset(counted->stored) || (cursor->origin == CURSOR_ABSENT && is_offset(counted->next));
    if (published->next == CURSOR_ABSENT && has_counts) {
        /* Not from where the counts have got to since: by I4 the stored offset stays where it is
         * until the first commit, and an abort before that must publish the same again. */
        track_adopt(published, counted);
        finding.what = CURSOR_ADOPTS;
    } else if (published->next == CURSOR_ABSENT && cursor->origin != CURSOR_ABSENT) {
        published->next = cursor->origin; /* aborted before the first commit */
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

/* The log lost its end at `at`, below the gate. Notes the worst of it. */
static int64_t place_cut(const struct cursor *cursor, const struct cursor_track *track, int64_t at,
                         struct cursor_finding *finding) {
    /* What was taken and is not stored yet will be. What was cut off below the origin was not
     * taken. */
    const int64_t cut = track->next - larger(at, cursor->origin);
    if (finding->what != CURSOR_TRUNCATED || track->next > finding->wanted)
        finding->wanted = track->next;
    finding->cut_at = finding->what == CURSOR_TRUNCATED ? smaller(at, finding->cut_at) : at;
    finding->cut_records = larger(finding->cut_records, cut);
    finding->what = CURSOR_TRUNCATED;
    return at;
}

/* The log begins above the gate. Notes the worst of it. */
static int64_t place_begin(const struct cursor_track *track, struct cursor_log log,
                           struct cursor_finding *finding) {
    if (finding->what != CURSOR_TRUNCATED) {
        if (log.begin - track->next > finding->lost_records) finding->wanted = track->next;
        finding->what = CURSOR_GAP;
    }
    finding->lost_records = larger(finding->lost_records, log.begin - track->next);
    return log.begin;
}

/* Where a gate must go, if the log does not have what it wants. */
static int64_t place_in(struct cursor_log log, const struct cursor *cursor,
                        const struct cursor_track *track, struct cursor_finding *finding) {
    const struct cursor_track *other =
        track == &cursor->counted ? &cursor->published : &cursor->counted;
    if (!is_offset(track->next)) return track->next;
    if (track->next < log.begin) return place_begin(track, log, finding);
    int64_t at = smaller(track->next, log.end);
    if (track->search.state == CURSOR_FOUND) {
        at = track->search.high;
    } else if (track->lineage.count == 0 && other->search.state == CURSOR_FOUND &&
               other->search.high < other->next) { /* both are of one log */
        at = smaller(at, other->search.high);
    }
    return at < track->next ? place_cut(cursor, track, at, finding) : at;
}

/* Whether the stray record is older than the last one that was read, and was not read before it: no
 * record departs from the lineage, and yet it is not that of this log. */
static bool track_contradicts(const struct cursor_track *track, const struct cursor *cursor) {
    const struct lineage_span *strayed = &cursor->strayed;
    return cursor->has_strayed && strayed->epoch < lineage_epoch(&track->lineage) &&
           !lineage_matches(&track->lineage, strayed->begin, strayed->epoch);
}

/* Moves the gate, and returns where reading must begin for it. */
static int64_t track_resume(struct cursor_track *track, const struct cursor *cursor, int64_t next,
                            struct cursor_log log) {
    const bool is_found = track->search.state == CURSOR_FOUND;
    const struct lineage_span *same = &track->search.same;
    if (next < track->next) {
        lineage_cut(&track->lineage, is_found ? same->begin : -1, same->epoch);
    } else if (next > track->next || track_contradicts(track, cursor)) {
        lineage_forget(&track->lineage);
    } else if (is_found && same->begin < track->lineage.last) {
        /* Compacted away; or cut off, and what comes in its place will stray. */
        lineage_shorten(&track->lineage, same->begin, same->epoch);
    }
    /* Also what was just found: the log may have changed meanwhile, and the client must have read
     * the anchor to notice if it is cut off again. */
    track->is_anchored = track->lineage.count == 0 || track->lineage.last < log.begin;
    track->search.state = CURSOR_TRUSTED;
    track->next = next;
    return track->is_anchored || !is_offset(next) ? next : track->lineage.last;
}

struct cursor_finding cursor_resume(struct cursor *cursor, struct cursor_log log,
                                    struct cursor_policy policy) {
    assert(log.begin >= 0 && log.begin <= log.end);
    struct cursor_finding finding = place_absent(cursor, log, policy.start);
    if (finding.what == CURSOR_WAITS) return finding;

    const int64_t counted = place_in(log, cursor, &cursor->counted, &finding);
    const int64_t published = place_in(log, cursor, &cursor->published, &finding);
    const bool is_truncated = finding.what == CURSOR_TRUNCATED;
    if ((finding.what == CURSOR_GAP || is_truncated) && policy.on_gap == CURSOR_GAP_FAIL) {
        finding.must_stop = true;
        return finding;
    }
    const int64_t counted_from = track_resume(&cursor->counted, cursor, counted, log);
    cursor->position = track_resume(&cursor->published, cursor, published, log);
    if (is_offset(counted_from)) cursor->position = smaller(counted_from, cursor->position);
    /* What comes where the log was cut off is the group's. */
    cursor->origin = smaller(cursor->origin, is_truncated ? finding.cut_at : log.end);
    cursor->has_strayed = false;
    return finding;
}

/* Whether the record does not follow those that are below the gate. Between the last of them and
 * the gate there was none. */
static bool track_strays(struct cursor_track *track, int64_t offset, int32_t epoch) {
    const struct lineage *lineage = &track->lineage;
    const int32_t last = lineage_epoch(lineage);
    if (!is_offset(track->next) || lineage->count == 0 || epoch == LINEAGE_NO_EPOCH) return false;
    if (offset < lineage->last) return false;
    const bool is_expected = epoch == last || (epoch > last && offset >= track->next);
    const bool strays = track->is_anchored ? !is_expected && offset > lineage->last : epoch != last;
    track->is_anchored |= !strays;
    return strays;
}

static bool track_take(struct cursor_track *track, int64_t offset, int32_t epoch) {
    if (!is_offset(track->next) || offset < track->next) return false;
    track->next = offset + 1;
    lineage_add(&track->lineage, offset, epoch);
    return true;
}

static struct cursor_taken stray(struct cursor *cursor, int64_t offset, int32_t epoch) {
    cursor->has_strayed = true;
    cursor->strayed = (struct lineage_span){offset, epoch};
    return (struct cursor_taken){.is_stray = true};
}

struct cursor_taken cursor_take(struct cursor *cursor, int64_t offset, int32_t epoch) {
    assert(is_offset(cursor->position) && is_offset(offset));
    if (offset < cursor->position) return (struct cursor_taken){false, false, false};
    if (track_strays(&cursor->counted, offset, epoch) ||
        track_strays(&cursor->published, offset, epoch)) {
        return stray(cursor, offset, epoch);
    }
    cursor->position = offset + 1;
    return (struct cursor_taken){
        .count = track_take(&cursor->counted, offset, epoch),
        .publish = track_take(&cursor->published, offset, epoch),
    };
}

/* Whether all that was taken is stored. */
static bool track_is_stored(const struct cursor_track *track) {
    return track->stored == track->next && track->stored_tip.branch == track->lineage.branch;
}

bool cursor_must_publish(const struct cursor *cursor) {
    const struct cursor_track *published = &cursor->published;
    return is_offset(published->next) &&
           (published->stored == CURSOR_ABSENT ||
            (is_offset(published->stored) &&
             published->stored_tip.branch != published->lineage.branch));
}

/* Whether the record that must be below the gate is not there. */
static bool track_misses(const struct cursor_track *track, int64_t offset) {
    return is_offset(track->next) && track->lineage.count > 0 && !track->is_anchored &&
           offset > track->lineage.last;
}

static bool track_reach(struct cursor_track *track, int64_t offset) {
    if (!is_offset(track->next) || offset <= track->next) return false;
    track->next = offset;
    return true;
}

bool cursor_reach(struct cursor *cursor, int64_t offset) {
    assert(is_offset(cursor->position));
    if (offset <= cursor->position || cursor->has_strayed) return false;
    if (track_misses(&cursor->counted, offset) || track_misses(&cursor->published, offset)) {
        stray(cursor, offset, INT32_MAX);
        return false;
    }
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
    return !track_is_stored(&cursor->counted);
}

struct cursor_cut cursor_cut(struct cursor *cursor) {
    assert(cursor_can_cut(cursor));
    cursor->cut_end = cursor->counted.next;
    cursor->cut_tip = lineage_tip(&cursor->counted.lineage);
    return (struct cursor_cut){
        .generation = cursor->counted.generation,
        .base = cursor->counted.stored,
        .end = cursor->counted.next,
        .base_tip = cursor->counted.stored_tip,
        .lineage = cursor->counted.lineage,
        .origin = cursor->origin,
    };
}

static void track_rewind(struct cursor_track *track, int64_t stored,
                         const struct lineage *lineage) {
    track_place(track, stored, lineage);
    track->generation++;
}

static struct lineage_tip tip_of(const struct lineage *lineage) {
    static const struct lineage none;
    return lineage_tip(lineage == NULL ? &none : lineage);
}

enum cursor_verdict cursor_counted(struct cursor *cursor, uint64_t generation, int64_t stored,
                                   const struct lineage *lineage, int64_t origin) {
    struct cursor_track *counted = &cursor->counted;
    if (generation != counted->generation || cursor->cut_end == CURSOR_ABSENT) return CURSOR_STALE;

    const struct lineage_tip tip = tip_of(lineage);
    int64_t base = counted->stored, end = cursor->cut_end;
    cursor->cut_end = CURSOR_ABSENT;
    if (stored == end && is_offset(end) && lineage_tip_equals(tip, cursor->cut_tip)) {
        counted->stored = stored;
        counted->stored_tip = tip;
        return CURSOR_GO_ON;
    }
    if (base == CURSOR_UNKNOWN) {
        cursor->cause = CURSOR_FIRST_READ;
    } else if (stored == CURSOR_ABSENT) {
        cursor->cause = CURSOR_VANISHED;
    } else {
        const int32_t ours = counted->stored_tip.branch;
        const bool is_ahead = tip.branch == ours ? stored >= base : tip.branch > ours;
        cursor->cause = is_ahead ? CURSOR_OVERTAKEN : CURSOR_ROLLED_BACK;
    }
    if (cursor->origin == CURSOR_ABSENT && is_offset(stored)) cursor->origin = origin;
    track_rewind(counted, stored, lineage);
    return CURSOR_REWIND;
}

enum cursor_verdict cursor_published(struct cursor *cursor, uint64_t generation, int64_t end,
                                     const struct lineage *lineage) {
    if (generation != cursor->published.generation) return CURSOR_STALE;
    cursor->published.stored = end;
    cursor->published.stored_tip = tip_of(lineage);
    return CURSOR_GO_ON;
}

enum cursor_verdict cursor_unpublished(struct cursor *cursor, uint64_t generation,
                                       int64_t committed, const struct lineage *lineage,
                                       int64_t origin) {
    if (generation != cursor->published.generation) return CURSOR_STALE;
    cursor->cause = CURSOR_ABORTED;
    if (committed != CURSOR_ABSENT && cursor->origin != origin) {
        if (cursor->counted.stored == CURSOR_ABSENT) { /* so must the counts begin there */
            cursor->cut_end = CURSOR_ABSENT;
            track_rewind(&cursor->counted, CURSOR_ABSENT, NULL);
            cursor->origin = origin;
        } else if (origin != CURSOR_ABSENT) { /* for a Redis that vanishes later */
            cursor->origin = origin;
        }
    }
    track_rewind(&cursor->published, committed, lineage);
    return CURSOR_REWIND;
}

bool cursor_is_published(const struct cursor *cursor) {
    return track_is_stored(&cursor->published);
}

bool cursor_is_settled(const struct cursor *cursor) {
    return cursor_is_published(cursor) && cursor->cut_end == CURSOR_ABSENT &&
           track_is_stored(&cursor->counted);
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
