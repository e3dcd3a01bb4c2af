/* Redis. A call k means: if the stored offset is base, add the counts and store end. */

/* checkpoint.lua */
inline apply(k) {
    if
#ifdef NO_COMPARE
    :: call[k].base != UNKNOWN && call[k].base != call[k].end ->
#else
    :: call[k].base != UNKNOWN && call[k].base == redis.offset && call[k].base != call[k].end ->
#endif
        assert(((redis.accepted | redis.rejected) &
                (call[k].accepted | call[k].rejected)) == 0); /* P1: counted twice */
        redis.accepted = redis.accepted | call[k].accepted;
        redis.rejected = redis.rejected | call[k].rejected;
        redis.offset = call[k].end;
        OCCURS(STORED);
        check();
        if
        :: best.offset == ABSENT || best.offset < redis.offset ->
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
    redis.accepted = best.accepted & BELOW(offset_);
    redis.rejected = best.rejected & BELOW(offset_)
}

inline flush() { redis.offset = ABSENT; redis.accepted = 0; redis.rejected = 0 }

inline forget_call(k) {
    call[k].is_out = 0; call[k].is_valid = 0; call[k].base = 0; call[k].end = 0;
    call[k].accepted = 0; call[k].rejected = 0
}

/* The previous call of i is still in flight while i continues without it. */
#define CAN_BE_LATE(i) (call[i].is_out && !call[LATE].is_out)

inline leave_late(i) {
    call[LATE].is_out = 1;
    call[LATE].base = call[i].base; call[LATE].end = call[i].end;
    call[LATE].accepted = call[i].accepted; call[LATE].rejected = call[i].rejected
}
