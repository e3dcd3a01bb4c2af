/* redis_answer: what a reply of Redis means, and the parts of what checkpoint.lua answers.
 *
 * Place:    under redis_store, redis_snapshot, redis_image and redis_swap.
 * Threads:  any; borrows all.
 */
#ifndef EDGE_REDIS_ANSWER_H
#define EDGE_REDIS_ANSWER_H

#include "edge/redis_link.h"
#include "edge/redis_store.h"
#include "redis_call.h"

/* What a reply means for whoever only reads or swaps: STORE_OK unless there is none, or it is an
 * error, which `error` then describes. */
enum store_verdict redis_answer_judge(const struct redis_link *link, const char *prefix,
                                      const struct redis_reply *reply, struct error *error);

/* It has not the form that it should have. Closes the link: its replies may be out of order. */
enum store_verdict redis_answer_odd(struct redis_link *link, const char *command,
                                    struct error *error);

/* A text of the answer, "" if it has none there. */
struct slice redis_answer_word(const struct redis_reply *reply, size_t index);

/* Reads a whole number of 0 or more and nothing else. */
bool redis_answer_offset(struct slice text, int64_t *offset);

/* What follows the first two words of "stored": n, minute, count, ... False if it is not that. */
bool redis_answer_anomalies(const struct redis_reply *reply, struct store_call *call);

/* What follows the first word of "need": days. False if it is not that. */
bool redis_answer_days(struct redis_days *needed, const struct redis_reply *reply);

#endif
