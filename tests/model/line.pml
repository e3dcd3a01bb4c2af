/* A log that lost its end and has grown again since: at cut_at a second log departs from the first.
 *
 * A watermark's lineage is one bit here, its line: whether what lies below it is of the second log.
 * It becomes 1 with the first record that is read of that, or when the gate goes back to cut_at. So
 * it stands for epochs and branch together.
 *
 * A gate is stale if it lies in what the log lost. That is noticed by the record below it (the
 * anchor), or by librdkafka, which has read that; not before reading gets there. */

#ifdef CUT
#define SAME_LINE(a, b) ((a) == (b))
#define SET_LINE(to, from) to = from
#define REDIS_LINE redis.line

#ifdef NO_EPOCH
#define IS_STALE(gate, line) false
#else
#define IS_STALE(gate, line) (IS_OFFSET(gate) && (gate) > cut_at && !(line))
#endif

/* The next record is that below a stale gate, or behind it. */
#define STRAYS(i) (inst[i].owns == YES && \
    ((IS_STALE(inst[i].count_next, inst[i].count_line) && \
      POSITION(i) + 1 >= inst[i].count_next) || \
     (IS_STALE(inst[i].publish_next, inst[i].publish_line) && \
      POSITION(i) + 1 >= inst[i].publish_next)))

/* cursor_resume after a stray record. What was taken of the first log will still be stored. */
inline go_back(i) {
    OCCURS(CUT_OFF);
    if
    :: IS_STALE(inst[i].count_next, inst[i].count_line) ->
        inst[i].count_next = cut_at;
        inst[i].count_line = 1
    :: else
    fi;
    if
    :: IS_STALE(inst[i].publish_next, inst[i].publish_line) ->
        inst[i].publish_next = cut_at;
        inst[i].publish_line = 1
    :: else
    fi;
    publish_takes(i)
}

/* Of the first log all up to the watermark, and nothing of the second; or of the second all from
 * cut_at to the watermark, and of the first at least all below cut_at. */
#define IS_WHOLE(older, newer, line, watermark) ((line) -> \
    ((newer) == RANGE(cut_at, watermark) && \
     ((older) & BELOW(cut_at)) == (RANGE(origin, N) & BELOW(cut_at))) : \
    ((older) == RANGE(origin, watermark) && (newer) == 0))

/* What a transaction holds of the second log. */
#define NEWER(i) (inst[i].txn.end_line -> \
    RANGE((inst[i].txn.from_line -> inst[i].txn.from : cut_at), inst[i].txn.end) : 0)

inline check_line() {
    assert(IS_WHOLE(redis.accepted, redis.rejected, redis.line, redis.offset)); /* P1 */
    assert(IS_WHOLE(output, output_newer, committed_line, committed))           /* P2 */
}

#else
#define SAME_LINE(a, b) true
#define SET_LINE(to, from) skip
#define REDIS_LINE 0
#define STRAYS(i) false
#endif
