/* likeness: how much the path of a member is named like something that is looked for.
 *
 * Place:    under proposal.
 * Threads:  any; only reads what it is given.
 * Limits:   words of 31 bytes, 24 of them; what is longer is cut off.
 */
#ifndef APP_LIKENESS_H
#define APP_LIKENESS_H

#include <stddef.h>

/* How well a path, as settings have it, is named for what a name says, in percent; 0: not well
 * enough. Upper case, underscores and other ways to join words are looked through. */
size_t likeness_of(const char *path, const char *name);

/* From 1 (not at all) to 4: the name says time and nothing else. */
size_t likeness_to_time(const char *path);

/* 2: the id of a user; 1: a user; 0: neither. */
size_t likeness_to_user(const char *path);

#endif
