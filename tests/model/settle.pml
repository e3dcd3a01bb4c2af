/* After the faults stop. The processes could take each of these steps anyway; only the order is
 * fixed. Settling can be the next step in any state and must succeed, so it is always possible. */
#define ROUNDS 6

/* The steps of an instance, in the order of the data flow. */
inline go_on(i) {
    if
    :: inst[i].txn.state == SENDING -> inst[i].txn.state = SENT
    :: else
    fi;
    if
    :: inst[i].txn.state == SENT -> end_committed(i); on_published(i)
    :: else
    fi;
    if
    :: inst[i].txn.state == FAILED && IS_STABLE -> on_unpublished(i)
    :: else
    fi;
    if
    :: inst[i].owns == FINDING -> find_counted(i, redis.offset)
    :: else
    fi;
    if
    :: call[i].is_out -> store(i)
    :: else
    fi;
    if
    :: inst[i].must_give && inst[i].owns == YES -> give_up(i)
    :: else
    fi;
    if
    :: IS_EXPELLED(i) -> find_expelled(i)
    :: else
    fi;
    if
    :: MAY_FIND(i) && IS_STABLE -> find_committed(i); find_counted(i, redis.offset)
    :: else
    fi;
    do
#ifdef CUT
    :: STRAYS(i) -> go_back(i)
#endif
    :: CAN_READ(i) -> read_one(i, 0)
    :: else -> break
    od;
    if
    :: CAN_CUT(i) -> cut(i); store(i)
    :: else
    fi;
    if
    :: (inst[i].txn.state == OPEN && PASSES_FENCE(i)) || inst[i].txn.state == FENCED ->
        send_offsets(i)
    :: else
    fi
}

inline settle() {
#ifdef LATEST
    log_end = N;
#endif
    if
    :: call[LATE].is_out -> apply(LATE); forget_call(LATE)
    :: else
    fi;
    for (turn : 1 .. ROUNDS) {
        go_on(0);
        go_on(1)
    }
    assert(redis.offset == N && committed == N);
#ifdef CUT
    assert(redis.line == (cut_at != ABSENT) && committed_line == redis.line);
    check_line();
#else
    assert((redis.accepted | redis.rejected) == RANGE(origin, N)); /* P1 */
    assert(((output ^ redis.accepted) & RANGE(origin, N)) == 0);   /* P12 */
#endif
    assert(!call[0].is_out && !call[1].is_out);
    assert(inst[0].txn.state == NONE && inst[1].txn.state == NONE)
}
