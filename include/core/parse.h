/* parse: the slow decoder, and the authority on what is valid JSON; the only user of jansson.
 *
 * Place:    login asks it about every record of which scan is not sure.
 * Threads:  one struct parse a thread.
 * Owns:     the texts of the fields, until its next record.
 * Limits:   those of login.h.
 * Waits:    never. When memory runs out it ends the process: another verdict would be wrong.
 */
#ifndef CORE_PARSE_H
#define CORE_PARSE_H

#include "core/fields.h"

enum { PARSE_DETAIL_BYTES = 256 };

struct parse {
    struct json_t *root; /* of the record before */
};

void parse_init(struct parse *parse);
void parse_release(struct parse *parse);

/* Fills all fields that the rules name and answers LOGIN_ACCEPTED, or answers LOGIN_NOT_JSON or
 * LOGIN_NOT_OBJECT and says in detail why. Borrows everything. */
enum login_reason parse_record(struct parse *parse, const struct login_rules *rules,
                               const char *value, size_t bytes, struct fields *fields,
                               char detail[PARSE_DETAIL_BYTES]);

/* The version of the JSON library that is in use. */
const char *parse_library_version(void);

#endif
