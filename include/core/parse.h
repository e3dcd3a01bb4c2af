/* parse: the slow decoder, and the authority on what is valid JSON; the only user of jansson.
 *
 * Place:    login asks it about every record of which scan is not sure.
 * Threads:  one struct parse a thread.
 * Owns:     the texts of the fields, until its next record. Keeps what is wanted.
 * Limits:   those of login.h.
 * Waits:    never. When memory runs out it ends the process: another verdict would be wrong.
 */
#ifndef CORE_PARSE_H
#define CORE_PARSE_H

#include "core/fields.h"
#include "core/login.h"

enum { PARSE_DETAIL_BYTES = 512, PARSE_VISIT_LEVELS = 8, PARSE_VISIT_ELEMENTS = 2 };

struct parse {
    const struct wanted *wanted;
    struct json_t *texts[WANTED_MAX]; /* of the record before, by slot: strings with escapes */
};

void parse_init(struct parse *parse, const struct wanted *wanted);
void parse_release(struct parse *parse);

/* Fills all slots that are wanted and answers LOGIN_ACCEPTED, or answers LOGIN_NOT_JSON or
 * LOGIN_NOT_OBJECT and says in detail why. Borrows everything. */
enum login_reason parse_record(struct parse *parse, const char *value, size_t bytes,
                               struct fields *fields, char detail[PARSE_DETAIL_BYTES]);

/* Calls visit for each scalar of a record, with its path as a JSON Pointer: PARSE_VISIT_LEVELS
 * deep, and of an array the first PARSE_VISIT_ELEMENTS. Lends path and field. Answers as
 * parse_record. After a parse_init. */
enum login_reason parse_visit(const char *value, size_t bytes,
                              void (*visit)(void *context, const char *path,
                                            const struct field *field),
                              void *context, char detail[PARSE_DETAIL_BYTES]);

/* The version of the JSON library that is in use. */
const char *parse_library_version(void);

#endif
