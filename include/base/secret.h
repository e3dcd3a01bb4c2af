/* secret: a text that one thread may replace while others copy it, such as a password.
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

/* Overwrites and frees a copy, which may be NULL. */
void secret_forget(char *text);

#endif
