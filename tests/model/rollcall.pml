/* rollcall's protocol for the model checker SPIN: two instances, one partition, Kafka and Redis.
 *
 * `./dev model` explores every state of it within the bounds below, and then each mutant, which
 * leaves out one rule and must be caught. ARCHITECTURE.md gives the reasons for the rules, under
 * the names used here.
 *
 * redis.pml     The stored offset and, for each record, whether it is counted, and as what. Redis
 *               can come back empty, or as it was at any offset that it ever stored. A call can be
 *               applied while its reply is lost. A call of a process that has died or continued
 *               without it can take effect much later.
 * kafka.pml     The group (members, the generation, the owner of the partition, which must give it
 *               up before it moves), the committed offset with its origin, and a transaction for
 *               each instance. A transaction can be aborted, end without its result being known,
 *               and be fenced by the group's generation, or after a restart by the producer's
 *               epoch.
 * instance.pml  INGEST with its cursor (core/cursor.c, step by step), CHECKPOINT's call in flight,
 *               and PUBLISH's transaction. An instance can crash, or be expelled without knowing it
 *               (a zombie). It can be slow at anything, since any step of any process may come
 *               next. A dead process is one that is slow to take its next step.
 * line.pml      A log that loses its end and has grown again since (CUT), and how it is noticed.
 * settle.pml    What all processes do once the faults have stopped.
 * tally.pml     How often each event occurred, printed at the end.
 *
 * Bounds: N records; two instances; FAULTS faults of any kind (0: no limit); one call that no
 * process waits for any more (LATE), in addition to one per instance.
 *
 * Generations are only compared, so one bit stands for each comparison: "of the current assignment"
 * (is_valid), and "of the group's current generation", which holds for everything in state SENDING.
 *
 * Asserted in every state:
 *   P1  the counts in Redis are exactly those of the records below its stored offset
 *   P2  the committed output is the records in order, without a gap, each once
 *   P12 a record that is counted and published has the same verdict on both sides
 *   I4  Redis holds nothing before the group has a committed offset
 * With CUT, P1 and P2 hold for both logs: nothing of either is counted or published twice, and what
 * the log has now is counted and published like everything below where it was cut off.
 * Also asserted: from every state everything settles, with P1 and P2 for all records (settle).
 *
 * Options (-D): N, FAULTS, LATEST (input.start), CUT (the first record that a log loses; not with
 * LATEST). Mutants (-D): NO_COMPARE, NO_REWIND, NO_FENCE, CLOCK_VERDICT, FENCE_FIRST, NO_MEMBER,
 * NO_ORIGIN, NO_I4; with CUT: NO_EPOCH, NO_TIP.
 */
#ifndef N
#define N 3 /* at most 5 */
#endif
#ifndef FAULTS
#define FAULTS 2
#endif

#define ABSENT 7  /* instead of an offset: no offset is stored */
#define UNKNOWN 6 /* Redis could not be reached */
#define IS_OFFSET(o) ((o) <= N)

#define BELOW(o) ((1 << (o)) - 1) /* records as bits */
#define RANGE(from, to) (BELOW(to) & ~BELOW(from))
#ifdef CUT /* the verdict tells the two logs apart: a record of the first one is accepted */
#define IS_ACCEPTED(record) ((record) < cut_at)
#else
#define IS_ACCEPTED(record) (((record) & 1) == 0) /* the verdict: a function of the record */
#endif

typedef Store {
#ifdef CUT
    bit line; /* see line.pml; so are all others */
#endif
    unsigned offset : 3; unsigned accepted : N; unsigned rejected : N
};

typedef Call {
#ifdef CUT
    bit base_line, end_line;
#endif
    bit is_out, is_valid;
    unsigned base : 3; unsigned end : 3;
    unsigned accepted : N; unsigned rejected : N
};
#define LATE 2

/* OPEN: records are produced. SENDING: the metadata is read, the fence is passed, and the offsets
 * are in flight. SENT: the group has accepted them; reads of the committed offset wait for the end
 * of the transaction. */
#define NONE 0
#define OPEN 1
#define FENCED 2 /* only in the mutant FENCE_FIRST */
#define SENDING 3
#define SENT 4
#define FAILED 5 /* aborted, or its result is unknown */
typedef Transaction {
    unsigned state : 3;
    bit is_valid;
    unsigned from : 3; unsigned end : 3; unsigned origin : 3;
#ifdef CUT
    bit from_line, end_line;
#endif
    unsigned accepted : N
};

#define NO 0
#define FINDING 1 /* in on_assigned: has read the committed offset, not yet Redis */
#define YES 2
typedef Instance {
#ifdef CUT
    bit counted_line, count_line, published_line, publish_line;
#endif
    bit is_member;   /* as the group sees it */
    bit is_same;     /* under the member id that the partition was assigned to */
    bit must_give;   /* the latest assignment takes the partition away from it */
    unsigned owns : 2; /* as the program sees it */
    /* the cursor: the stored offset and the gate of each track, and where the group began */
    unsigned counted : 3; unsigned count_next : 3;
    unsigned published : 3; unsigned publish_next : 3;
    unsigned origin : 3;
    /* AGGREGATE: records taken since the last cut. PUBLISH: verdicts of the records that it got. */
    unsigned accepted : N; unsigned rejected : N; unsigned judged : N;
    Transaction txn
};

Instance inst[2];
Call call[3]; /* one per instance, and the late one */
Store redis;
Store best;   /* Redis as it was at the highest offset that it ever stored */
#ifdef LATEST
unsigned log_end : 3 = 0;
#else
#define log_end N /* a record that arrives later is the same as one that is read later */
#endif
unsigned committed : 3 = ABSENT;
unsigned origin : 3 = ABSENT; /* stored with it */
unsigned output : N;          /* the committed records in the topic of accepted records */
#ifdef CUT
unsigned cut_at : 3 = ABSENT; /* the first record that the log lost */
bit committed_line;
unsigned output_newer : N;    /* the committed ones of the second log */
#endif
#define NOBODY 2
unsigned assigned : 2 = 0;    /* the instance that the latest generation assigns the partition to */
byte faults = FAULTS;
hidden byte seen, verdict, turn; /* scratch, within a step */

#if FAULTS == 0
#define MAY_FAIL true
#define FAULT skip
#else
#define MAY_FAIL (faults > 0)
#define FAULT faults--
#endif

#include "tally.pml"
#include "line.pml"

inline check() {
    if
#ifndef NO_I4
    :: redis.offset != ABSENT && committed == ABSENT -> assert(false)             /* I4 */
#endif
#ifdef CUT
    :: redis.offset != ABSENT && committed != ABSENT -> check_line()
#else
    :: redis.offset != ABSENT && committed != ABSENT ->
        assert((redis.accepted | redis.rejected) == RANGE(origin, redis.offset)); /* P1 */
        assert((redis.accepted & redis.rejected) == 0);
        seen = (redis.offset < committed -> redis.offset : committed);
        assert(((redis.accepted ^ output) & RANGE(origin, seen)) == 0)            /* P12 */
#endif
    :: else
    fi
}

#include "redis.pml"
#include "kafka.pml"
#include "instance.pml"
#include "settle.pml"

proctype instance(byte me) {
end:
    do
    /* Assigned: read the committed offset, then the counted one, unless Redis is unreachable. */
    :: d_step { MAY_FIND(me) && IS_STABLE ->
        printf("%d finds committed %d\n", me, committed); find_committed(me) }
    :: d_step { inst[me].owns == FINDING ->
        printf("%d finds counted %d\n", me, redis.offset); find_counted(me, redis.offset) }
    :: d_step { inst[me].owns == FINDING && MAY_FAIL -> FAULT;
        printf("%d cannot reach Redis\n", me); find_counted(me, UNKNOWN) }

#ifdef CUT
    :: d_step { STRAYS(me) ->
        printf("%d finds that the log was cut off at %d\n", me, cut_at); go_back(me) }
#endif

    /* INGEST takes a record, and cuts. Verifying is a call that only reads, so it is one step. */
    :: d_step { CAN_READ(me) ->
        printf("%d reads %d\n", me, POSITION(me)); read_one(me, 0) }
#ifdef CLOCK_VERDICT
    :: d_step { CAN_READ(me) ->
        printf("%d reads %d and judges it by the clock\n", me, POSITION(me)); read_one(me, 1) }
#endif
    :: d_step { CAN_CUT(me) && !HAS_UNCOUNTED(me) ->
        printf("%d verifies %d on %d\n", me, inst[me].counted, redis.offset); cut(me); store(me) }
    :: d_step { CAN_CUT(me) && HAS_UNCOUNTED(me) ->
        printf("%d cuts %d to %d\n", me, inst[me].counted, inst[me].count_next); cut(me) }
    :: d_step { CAN_CUT(me) && HAS_UNCOUNTED(me) && CAN_BE_LATE(me) && MAY_FAIL -> FAULT;
        printf("%d cuts %d to %d, its previous call is late\n", me, inst[me].counted,
               inst[me].count_next);
        leave_late(me); cut(me) }

    /* CHECKPOINT stores. */
    :: d_step { call[me].is_out ->
        printf("%d stores %d to %d on %d\n", me, call[me].base, call[me].end, redis.offset);
        store(me) }
    :: d_step { call[me].is_out && MAY_FAIL -> FAULT;
        printf("%d stores %d to %d on %d, the reply is lost\n", me, call[me].base, call[me].end,
               redis.offset);
        apply(me) }

    /* PUBLISH reads the metadata, checks the fence, sends the offsets, and ends the transaction.
     * (The fence could be raised between the first two steps, which would only stop more.) */
#ifdef FENCE_FIRST
    :: d_step { inst[me].txn.state == OPEN && PASSES_FENCE(me) -> inst[me].txn.state = FENCED }
    :: d_step { inst[me].txn.state == FENCED ->
#else
    :: d_step { inst[me].txn.state == OPEN && PASSES_FENCE(me) ->
#endif
        printf("%d sends the offset %d\n", me, inst[me].txn.end); send_offsets(me) }
    :: d_step { inst[me].txn.state == SENDING ->
        printf("the offset of %d arrives\n", me); inst[me].txn.state = SENT }
    :: d_step { inst[me].txn.state == SENT ->
        printf("%d commits %d to %d\n", me, inst[me].txn.from, inst[me].txn.end);
        end_committed(me); on_published(me) }
    :: d_step { inst[me].txn.state == SENT && MAY_FAIL -> FAULT;
        printf("%d commits %d to %d, the reply is lost\n", me, inst[me].txn.from,
               inst[me].txn.end);
        end_committed(me); fail(me) }
    :: d_step { (inst[me].txn.state == OPEN || inst[me].txn.state == SENT) && MAY_FAIL -> FAULT;
        printf("the transaction of %d is aborted\n", me); fail(me) }
    :: d_step { inst[me].txn.state == FAILED && IS_STABLE ->
        printf("%d goes back to committed %d\n", me, committed); on_unpublished(me) }

    /* The group. */
    :: d_step { inst[me].must_give && inst[me].owns == YES ->
        printf("%d gives up\n", me); give_up(me) }
    :: d_step { IS_EXPELLED(me) ->
        printf("%d finds that it was expelled\n", me); find_expelled(me) }
    :: d_step { IS_EXPELLED(me) && !inst[me].is_member && inst[me].owns == YES && MAY_FAIL ->
        FAULT;
        printf("%d was expelled and rejoins without knowing it\n", me);
        rejoin_silently(me) }

    :: d_step { IS_BUSY(me) && MAY_FAIL -> FAULT;
        printf("%d crashes\n", me); crash(me) }
    :: d_step { IS_BUSY(me) && CAN_BE_LATE(me) && MAY_FAIL -> FAULT;
        printf("%d crashes, its call is late\n", me); leave_late(me); crash(me) }
    od
}

proctype world() {
end:
    do
#ifdef LATEST
    :: d_step { log_end < N -> log_end++ }
#endif
#ifdef CUT
    :: d_step { cut_at == ABSENT && MAY_FAIL -> FAULT;
        printf("the log is cut off at %d\n", CUT); cut_at = CUT }
#endif
    :: d_step { CAN_ROLL_BACK(0) -> FAULT; printf("Redis is back at 0\n"); roll_back(0) }
    :: d_step { CAN_ROLL_BACK(1) -> FAULT; printf("Redis is back at 1\n"); roll_back(1) }
    :: d_step { CAN_ROLL_BACK(2) -> FAULT; printf("Redis is back at 2\n"); roll_back(2) }
    :: d_step { CAN_ROLL_BACK(3) -> FAULT; printf("Redis is back at 3\n"); roll_back(3) }
    :: d_step { CAN_ROLL_BACK(4) -> FAULT; printf("Redis is back at 4\n"); roll_back(4) }
    :: d_step { CAN_ROLL_BACK(5) -> FAULT; printf("Redis is back at 5\n"); roll_back(5) }
    :: d_step { redis.offset != ABSENT && MAY_FAIL -> FAULT; printf("Redis is empty\n"); flush() }
    :: d_step { call[LATE].is_out ->
        printf("a late call arrives: %d to %d\n", call[LATE].base, call[LATE].end);
        apply(LATE); forget_call(LATE) }

    /* Another partition moves; this partition moves; its owner is expelled. */
    :: d_step { IS_REBALANCE_DUE && MAY_FAIL -> FAULT;
        printf("rebalance\n"); new_generation() }
    :: d_step { IS_REBALANCE_DUE && MAY_FAIL -> FAULT;
        printf("%d must give up\n", assigned); move() }
    :: d_step { assigned == 0 && MAY_FAIL -> FAULT; printf("0 is expelled\n"); expel(0) }
    :: d_step { assigned == 1 && MAY_FAIL -> FAULT; printf("1 is expelled\n"); expel(1) }

    :: d_step { printf("no more faults\n"); settle() }
    od
}

init {
    d_step {
        c_code { atexit(print_events); };
        redis.offset = ABSENT; best.offset = ABSENT;
        inst[0].is_member = 1; inst[0].is_same = 1;
        inst[1].is_member = 1; inst[1].is_same = 1
    }
    atomic { run instance(0); run instance(1); run world() }
}
