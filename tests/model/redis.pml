/* Redis. A call k means: if the stored offset is base, add the counts and store end. */

#define MOVES(k) \
    (call[k].base != call[k].end || !SAME_LINE(call[k].base_line, call[k].end_line))
#ifdef NO_TIP
#define HAS_TIP(k) true
#else
#define HAS_TIP(k) SAME_LINE(call[k].base_line, redis.line)
#endif

/* checkpoint.lua */
inline apply(k) {
    if
#ifdef NO_COMPARE
    :: call[k].base != UNKNOWN && MOVES(k) ->
#else
    :: call[k].base != UNKNOWN && call[k].base == redis.offset && HAS_TIP(k) && MOVES(k) ->
#endif
        assert((redis.accepted & call[k].accepted) == 0); /* P1: counted twice */
        assert((redis.rejected & call[k].rejected) == 0);
        redis.accepted = redis.accepted | call[k].accepted;
        redis.rejected = redis.rejected | call[k].rejected;
        redis.offset = call[k].end;
        SET_LINE(redis.line, call[k].end_line);
        OCCURS(STORED);
        check();
        if
        :: SAME_LINE(redis.line, 0) && (best.offset == ABSENT || best.offset < redis.offset) ->
            best.offset = redis.offset;
            best.accepted = redis.accepted;
            best.rejected = redis.rejected
        :: else
        fi
    :: else -> OCCURS(KEPT)
    fi
}

#define CAN_ROLL_BACK(o) (best.offset != ABSENT && (o) >= origin && (o) <= best.offset && \
    (o) != redis.offset && MAY_FAIL)

/* Redis returns to its state when this offset was stored. */
inline roll_back(offset_) {
    redis.offset = offset_;
    SET_LINE(redis.line, 0);
    redis.accepted = best.accepted & BELOW(offset_);
    redis.rejected = best.rejected & BELOW(offset_)
}

inline flush() {
    redis.offset = ABSENT; redis.accepted = 0; redis.rejected = 0;
    SET_LINE(redis.line, 0)
}

inline forget_call(k) {
    SET_LINE(call[k].base_line, 0); SET_LINE(call[k].end_line, 0);
    call[k].is_out = 0; call[k].is_valid = 0; call[k].base = 0; call[k].end = 0;
    call[k].accepted = 0; call[k].rejected = 0
}

/* The previous call of i is still in flight while i continues without it. */
#define CAN_BE_LATE(i) (call[i].is_out && !call[LATE].is_out)

inline leave_late(i) {
    call[LATE].is_out = 1;
    SET_LINE(call[LATE].base_line, call[i].base_line);
    SET_LINE(call[LATE].end_line, call[i].end_line);
    call[LATE].base = call[i].base; call[LATE].end = call[i].end;
    call[LATE].accepted = call[i].accepted; call[LATE].rejected = call[i].rejected
}
