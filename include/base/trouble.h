/* trouble: what is wrong at present, as one thread sees it and others show it.
 *
 * Threads:  init, fini from the owner's thread; everything else from any.
 * Owns:     its text.
 * Waits:    never.
 */
#ifndef BASE_TROUBLE_H
#define BASE_TROUBLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct trouble {
    atomic_int_fast64_t since_ms; /* of clock_ms(), at least 1; 0: none */
    pthread_mutex_t lock;         /* guards what */
    struct error what;
};

void trouble_init(struct trouble *trouble);
void trouble_fini(struct trouble *trouble);

/* Replaces the text; trouble that lasts keeps its beginning. Borrows what. */
void trouble_set(struct trouble *trouble, int64_t now_ms, const char *what);

/* Costs next to nothing where there is none. */
void trouble_clear(struct trouble *trouble);

/* True, with the text added to `why`, if the trouble has lasted for age_ms or longer. */
bool trouble_show(struct trouble *trouble, int64_t now_ms, int64_t age_ms, struct text *why);

#endif
