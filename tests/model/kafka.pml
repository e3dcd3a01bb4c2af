/* Kafka: transactions, the committed offset, the group. */

inline forget_txn(i) {
    inst[i].txn.state = NONE; inst[i].txn.is_valid = 0; inst[i].txn.from = 0;
    SET_LINE(inst[i].txn.from_line, 0); SET_LINE(inst[i].txn.end_line, 0);
    inst[i].txn.end = 0; inst[i].txn.origin = 0; inst[i].txn.accepted = 0
}

/* A read of the committed offset waits for transactions that have sent their offsets (KIP-447). */
#define IS_STABLE (inst[0].txn.state != SENT && inst[1].txn.state != SENT)

/* The coordinator commits the output and the offset in one step. */
inline end_committed(i) {
    assert(inst[i].txn.from == (committed == ABSENT -> inst[i].txn.origin : committed)); /* P2 */
    assert(committed == ABSENT || inst[i].txn.origin == origin);
    assert(committed == ABSENT || SAME_LINE(inst[i].txn.from_line, committed_line));
    assert((output & inst[i].txn.accepted) == 0);
#ifdef CUT
    assert((output_newer & NEWER(i)) == 0);
    output_newer = output_newer | NEWER(i);
    committed_line = inst[i].txn.end_line;
#endif
    output = output | inst[i].txn.accepted;
    committed = inst[i].txn.end;
    origin = inst[i].txn.origin;
    check()
}

/* A member that has nothing to give up joins each generation at once: joining later would be the
 * same as sending later. */
#define IS_REBALANCE_DUE (assigned != NOBODY && !inst[0].must_give && !inst[1].must_give)

/* Offsets in flight with the metadata of an earlier generation will be rejected. */
inline reject_older(i) {
    if
    :: inst[i].txn.state == SENDING && inst[i].txn.is_valid -> inst[i].txn.state = FAILED
    :: inst[i].txn.state == SENDING && !inst[i].txn.is_valid -> forget_txn(i)
    :: else
    fi
}

inline new_generation() { reject_older(0); reject_older(1) }

#define ANOTHER_THAN(i, otherwise) (inst[1 - i].is_member -> 1 - i : otherwise)

/* The partition is to move. Its owner gives it up in this generation; the next one assigns it. */
inline move() {
    new_generation();
    if
    :: inst[assigned].owns == NO -> assigned = ANOTHER_THAN(assigned, assigned)
    :: else -> inst[assigned].must_give = 1
    fi
}

/* A member stops responding. The group continues without it, and the member does not know. */
inline expel(i) {
    inst[i].is_member = 0;
    inst[i].must_give = 0;
    assigned = ANOTHER_THAN(i, NOBODY);
    new_generation()
}

inline join_group(i) {
    inst[i].is_member = 1;
    if
    :: assigned == NOBODY -> assigned = i
    :: else
    fi;
    new_generation()
}
