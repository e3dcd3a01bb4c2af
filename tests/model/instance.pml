/* An instance: the steps of INGEST with its cursor, of CHECKPOINT, and of PUBLISH. */

/* --- PUBLISH ------------------------------------------------------------------------------ */

/* Where a transaction of the current generation begins. */
#define PUBLISH_FROM(i) (inst[i].published != ABSENT -> inst[i].published : \
    (inst[i].origin != ABSENT -> inst[i].origin : inst[i].counted))

#define PUBLISH_FROM_LINE(i) (inst[i].published != ABSENT -> inst[i].published_line : \
    (inst[i].origin != ABSENT -> 0 : inst[i].counted_line))

/* PUBLISH adds the records that it got to its transaction, unless it is ending one. A transaction
 * of an earlier generation is aborted first. The first commit of a partition may be empty. */
inline publish_takes(i) {
    if
    :: inst[i].owns == YES && (inst[i].txn.state == NONE || inst[i].txn.state == OPEN) &&
       IS_OFFSET(inst[i].publish_next) &&
       (inst[i].published == ABSENT || inst[i].publish_next != inst[i].published ||
        !SAME_LINE(inst[i].publish_line, inst[i].published_line)) ->
        inst[i].txn.state = OPEN;
        inst[i].txn.is_valid = 1;
        inst[i].txn.from = PUBLISH_FROM(i);
        inst[i].txn.end = inst[i].publish_next;
        inst[i].txn.origin = inst[i].origin;
#ifdef CUT
        inst[i].txn.from_line = PUBLISH_FROM_LINE(i);
        inst[i].txn.end_line = inst[i].publish_line;
        inst[i].txn.accepted = (inst[i].txn.from_line -> 0 :
            inst[i].judged & ~BELOW(inst[i].txn.from))
#else
        inst[i].txn.accepted = inst[i].judged & RANGE(inst[i].txn.from, inst[i].txn.end)
#endif
    :: else
    fi
}

/* The transaction cannot continue. If it is void, the failure need not be reported. */
inline fail(i) {
    if
    :: inst[i].txn.is_valid -> inst[i].txn.state = FAILED
    :: else -> forget_txn(i); publish_takes(i)
    fi
}

/* Only transactions of the current assignment pass the fence. */
#ifdef NO_FENCE
#define PASSES_FENCE(i) true
#else
#define PASSES_FENCE(i) (inst[i].txn.is_valid)
#endif

/* The offsets are sent with the group metadata, which is invalid if the group has expelled this
 * member. After a rejoin the metadata is valid again, but its new member id was not assigned the
 * partition. */
#ifdef NO_MEMBER
#define MAY_SEND(i) (inst[i].is_member)
#else
#define MAY_SEND(i) (inst[i].is_member && inst[i].is_same)
#endif

inline send_offsets(i) {
    if
    :: MAY_SEND(i) -> inst[i].txn.state = SENDING
    :: else -> OCCURS(REJECTED); fail(i)
    fi
}

/* --- INGEST: where to read ---------------------------------------------------------------- */

/* cursor_resume: chooses a position for a track that has no stored offset. */
inline place(i) {
    if
    :: inst[i].publish_next == ABSENT && inst[i].origin != ABSENT ->
        inst[i].publish_next = inst[i].origin;
        SET_LINE(inst[i].publish_line, 0)
    :: inst[i].publish_next == ABSENT && inst[i].origin == ABSENT &&
       inst[i].count_next == ABSENT ->
#ifdef LATEST
        inst[i].origin = log_end;
#else
        inst[i].origin = 0;
#endif
        inst[i].publish_next = inst[i].origin;
        OCCURS(BEGUN)
    :: inst[i].publish_next == ABSENT && inst[i].origin == ABSENT &&
       IS_OFFSET(inst[i].count_next) ->
        /* by I4 only a zombie that was expelled while FINDING gets here */
        if
        :: IS_OFFSET(inst[i].counted) ->
            inst[i].publish_next = inst[i].counted;
            SET_LINE(inst[i].publish_line, inst[i].counted_line)
        :: else ->
            inst[i].publish_next = inst[i].count_next;
            SET_LINE(inst[i].publish_line, inst[i].count_line)
        fi;
        OCCURS(ADOPTS)
    :: else /* it has a position, or waits for it because Redis is unreachable */
    fi;
    if
    :: inst[i].count_next == ABSENT && inst[i].publish_next != ABSENT ->
#ifdef NO_ORIGIN
        inst[i].count_next = 0
#else
        inst[i].count_next = inst[i].origin
#endif
    :: else
    fi;
    publish_takes(i)
}

#define MAY_FIND(i) (inst[i].is_member && assigned == i && inst[i].owns == NO)

/* on_assigned */
inline find_committed(i) {
    inst[i].owns = FINDING;
    inst[i].published = committed;
    inst[i].publish_next = committed;
    SET_LINE(inst[i].published_line, committed_line);
    SET_LINE(inst[i].publish_line, committed_line);
    inst[i].origin = origin
}

inline find_counted(i, offset_) {
    inst[i].owns = YES;
    SET_LINE(inst[i].counted_line, redis.line);
    SET_LINE(inst[i].count_line, redis.line);
    inst[i].counted = offset_;
    inst[i].count_next = offset_;
    place(i)
}

/* --- INGEST: take and cut ----------------------------------------------------------------- */

/* The next record to read is at the lower of the gates (ABSENT and UNKNOWN are above the log). */
#define POSITION(i) (inst[i].count_next < inst[i].publish_next -> \
    inst[i].count_next : inst[i].publish_next)
#define CAN_READ(i) (inst[i].owns == YES && POSITION(i) < log_end && !STRAYS(i))

/* cursor_take: each track takes the record if and only if it is at its gate. */
inline read_one(i, is_misjudged) {
    seen = POSITION(i);
    verdict = IS_ACCEPTED(seen) ^ is_misjudged;
    if
    :: inst[i].count_next == seen ->
        inst[i].count_next++;
        SET_LINE(inst[i].count_line, inst[i].count_line | !verdict);
        if
        :: verdict -> inst[i].accepted = inst[i].accepted | (1 << seen)
        :: else -> inst[i].rejected = inst[i].rejected | (1 << seen)
        fi
    :: else
    fi;
    if
    :: inst[i].publish_next == seen ->
        inst[i].publish_next++;
        SET_LINE(inst[i].publish_line, inst[i].publish_line | !verdict);
        if
        :: verdict -> inst[i].judged = inst[i].judged | (1 << seen)
#ifdef CUT
        :: else /* what was taken of the first log stays */
#else
        :: else -> inst[i].judged = inst[i].judged & ~(1 << seen)
#endif
        fi
    :: else
    fi;
    publish_takes(i)
}

/* cursor_can_cut: I3 and I4. */
#ifdef NO_I4
#define IS_ORDERED(i) IS_OFFSET(inst[i].count_next)
#else
#define IS_ORDERED(i) (IS_OFFSET(inst[i].count_next) && inst[i].published != ABSENT)
#endif
#define CAN_CUT(i) (inst[i].owns == YES && !call[i].is_valid && \
    (inst[i].counted == UNKNOWN || IS_ORDERED(i)))
#define HAS_UNCOUNTED(i) (inst[i].count_next != inst[i].counted || \
    !SAME_LINE(inst[i].count_line, inst[i].counted_line))

inline forget_counts(i) { inst[i].accepted = 0; inst[i].rejected = 0 }

/* cursor_cut. CHECKPOINT replaces a call of an earlier generation by the new one. */
inline cut(i) {
    call[i].is_out = 1;
    call[i].is_valid = 1;
    call[i].base = inst[i].counted;
    call[i].end = inst[i].count_next;
    SET_LINE(call[i].base_line, inst[i].counted_line);
    SET_LINE(call[i].end_line, inst[i].count_line);
    call[i].accepted = inst[i].accepted;
    call[i].rejected = inst[i].rejected;
    forget_counts(i)
}

/* --- INGEST: results ---------------------------------------------------------------------- */

/* A new generation of the counted track: everything taken since the last cut is void. */
inline rewind_counted(i, offset_, line_) {
    inst[i].counted = offset_;
    SET_LINE(inst[i].counted_line, line_);
    SET_LINE(inst[i].count_line, line_);
    forget_counts(i);
#ifdef NO_REWIND
    if
    :: IS_OFFSET(inst[i].count_next) /* stays where it is */
    :: else -> inst[i].count_next = offset_
    fi
#else
    inst[i].count_next = offset_
#endif
}

#define IS_STORED(i) (seen == call[i].end && SAME_LINE(redis.line, call[i].end_line))

/* CHECKPOINT calls Redis, and cursor_counted gets the offset that is stored now. */
inline store(i) {
    apply(i);
    seen = redis.offset;
    if
    :: call[i].is_valid && IS_STORED(i) ->
        inst[i].counted = seen;
        SET_LINE(inst[i].counted_line, redis.line)
    :: call[i].is_valid && !IS_STORED(i) ->
        if
        :: call[i].base == UNKNOWN -> OCCURS(FIRST_READ)
        :: call[i].base != UNKNOWN && seen == ABSENT -> OCCURS(VANISHED)
        :: call[i].base != UNKNOWN && seen != ABSENT &&
           (call[i].base == ABSENT || seen > call[i].base) -> OCCURS(OVERTAKEN)
        :: else -> OCCURS(ROLLED_BACK)
        fi;
        rewind_counted(i, seen, REDIS_LINE);
        place(i)
    :: else -> OCCURS(STALE)
    fi;
    forget_call(i)
}

/* cursor_published */
inline on_published(i) {
    if
    :: inst[i].txn.is_valid ->
        inst[i].published = inst[i].txn.end;
        SET_LINE(inst[i].published_line, inst[i].txn.end_line)
    :: else
    fi;
    forget_txn(i);
    publish_takes(i)
}

/* cursor_unpublished: the committed offset decides. */
inline on_unpublished(i) {
    OCCURS(UNPUBLISHED);
    forget_txn(i);
    if
    :: committed != ABSENT && inst[i].counted == ABSENT && inst[i].origin != origin ->
        OCCURS(BEGUN_ELSEWHERE);
        inst[i].origin = origin; /* the counts must begin there too */
        call[i].is_valid = 0;
        rewind_counted(i, ABSENT, 0)
    :: else
    fi;
    inst[i].published = committed;
    inst[i].publish_next = committed;
    SET_LINE(inst[i].published_line, committed_line);
    SET_LINE(inst[i].publish_line, committed_line);
    inst[i].judged = 0;
    place(i)
}

/* --- giving up a partition ---------------------------------------------------------------- */

/* Raises the fence: work in flight is void, and a transaction that it would stop is dropped. */
inline let_go(i) {
    inst[i].owns = NO; inst[i].is_same = 1;
    inst[i].counted = 0; inst[i].count_next = 0;
    inst[i].published = 0; inst[i].publish_next = 0;
    inst[i].origin = 0; inst[i].judged = 0;
    SET_LINE(inst[i].counted_line, 0); SET_LINE(inst[i].count_line, 0);
    SET_LINE(inst[i].published_line, 0); SET_LINE(inst[i].publish_line, 0);
    forget_counts(i);
    call[i].is_valid = 0; /* but Redis may still apply it */
    inst[i].txn.is_valid = 0;
    if
    :: inst[i].txn.state == FAILED || (inst[i].txn.state == OPEN && !PASSES_FENCE(i)) ->
        forget_txn(i)
    :: else
    fi
}

/* on_revoked, after the drain (any steps may come before) or after its deadline (none need to). */
inline give_up(i) {
    let_go(i);
    inst[i].must_give = 0;
    assigned = ANOTHER_THAN(i, i);
    new_generation()
}

/* on_revoked of a lost partition. A rebalance waits for the member that must give up. */
#define IS_EXPELLED(i) (!(inst[i].is_member && inst[i].is_same) && inst[i].owns != FINDING && \
    !inst[1 - i].must_give)

inline find_expelled(i) { let_go(i); join_group(i) }

/* A static member that is expelled during a rebalance is readmitted under a new member id, but
 * librdkafka does not report this: the member still holds the partition and has metadata that the
 * group accepts. */
inline rejoin_silently(i) { inst[i].is_same = 0; join_group(i) }

#define IS_BUSY(i) (inst[i].owns != NO || inst[i].txn.state != NONE || call[i].is_out)

/* The process dies and a new one replaces it. A call that it sent can be late. A commit that it
 * requested may still complete, or be aborted by the producer's new epoch, which also rejects
 * offsets in flight. */
inline crash(i) {
    let_go(i);
    forget_call(i);
    if
    :: inst[i].txn.state != SENT -> forget_txn(i)
    :: else
    fi;
    if
    :: !inst[i].is_member -> join_group(i)
    :: else
    fi
}
