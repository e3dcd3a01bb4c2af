/* secret: a text that one thread may replace while others copy it, such as a password; and how to
 * show texts that hold one.
 *
 * Threads:  any, once it is created.
 * Owns:     the text; what it gives up is overwritten first.
 * Waits:    for a copy being made.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

struct error;
struct secret;

struct secret *secret_create(const char *text);
/* Takes *secret, which may be NULL, and nulls it. */
void secret_destroy(struct secret **secret);

/* Borrows text. */
void secret_set(struct secret *secret, const char *text);

/* A copy of what it is now, which the caller frees with secret_forget. NULL if secret is NULL. */
char *secret_copy(struct secret *secret);

/* What the file holds now, or without one (NULL) a copy as above. NULL with an error if the file
 * cannot be read. Borrows path. */
char *secret_read(struct secret *secret, const char *path, struct error *error);

/* A copy of text, which the caller frees, with *** for the user and password of each URL in it: for
 * what stands before the last '@' of the word, since a password may hold any other byte raw. */
char *secret_hide_users(const char *text);

/* Overwrites and frees a copy, which may be NULL. */
void secret_forget(char *text);

#endif
