/* redis: the simulated Redis: for each partition the counted offset, and all that was counted of
 * it.
 *
 * It keeps what src/edge/checkpoint.lua promises: a call whose base is the stored offset is applied
 * as a whole, any other changes nothing, and both answer what is stored then. That the counts are
 * exactly those of the records below the stored offset is asserted with every call that is applied.
 */
#ifndef TESTS_SIMULATION_REDIS_H
#define TESTS_SIMULATION_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/login.h"
#include "world.h"

struct counts {
    int16_t minutes[EDITIONS * LOG_MAX]; /* of the partition's own: each is one record's */
    int16_t reasons[LOGIN_REASON_COUNT];
    int64_t weights[LOGIN_DIMENSIONS_MAX]; /* sums of record_weight */
    int64_t declared[DISTINCT];            /* sums of record_count_weight */
    /* whether it is in the HyperLogLog: of each record, as minutes */
    bool distinct[COUNTS_MAX - DISTINCT][EDITIONS * LOG_MAX];
};

struct stored {
    int64_t offset; /* CURSOR_ABSENT: none */
    struct lineage lineage;
    int64_t origin; /* where the group began, CURSOR_ABSENT if that is not known */
    struct counts counts;
};

struct redis {
    struct stored partitions[PARTITIONS_MAX];
    int64_t back_us; /* away until then */
};

extern struct redis redis;

void redis_begin(void);
void redis_tick(void); /* late calls that arrive */
int64_t redis_next_us(void);
bool redis_is_quiet(void); /* no call is on its way */

void redis_save(void);      /* remembers what it holds now */
void redis_roll_back(void); /* is as it was once */
void redis_flush(void);

#endif
