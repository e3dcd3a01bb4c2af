/* path: where a field of a record is, as a setting says it.
 *
 *     timestamp              a member of the object that the record is, by its name
 *     /context/device/type   a JSON Pointer (RFC 6901) from there: ~1 is a /, ~0 a ~
 *     header:ce_time         a header of the Kafka record
 *     kafka                  the record's own timestamp; only for the time
 *
 * Threads:  pure; any.
 * Limits:   PATH_BYTES_MAX a text, PATH_STEPS_MAX steps of a pointer.
 */
#ifndef CORE_PATH_H
#define CORE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATH_BYTES_MAX = 512, PATH_STEPS_MAX = 32 };

/* A step that no element of an array is reached by. */
#define PATH_NO_INDEX UINT32_MAX

enum path_kind {
    PATH_MEMBER, /* a name or a pointer */
    PATH_HEADER,
    PATH_KAFKA,
};

/* Which forms a setting takes, as is_right of base/setting, and the rule in words. */
bool path_is_member(const char *text);
bool path_is_field(const char *text); /* of the time too */
#define PATH_MEMBER_RULE "a member's name, or a JSON Pointer such as /context/ts with ~0 for ~"
#define PATH_FIELD_RULE PATH_MEMBER_RULE ", or header:NAME"
#define PATH_TIME_RULE PATH_FIELD_RULE ", or kafka"

/* Of a path in a right form; only a time's may be PATH_KAFKA. */
enum path_kind path_kind_of_time(const char *text);
enum path_kind path_kind_of_field(const char *text);

/* The NAME of a PATH_HEADER. */
const char *path_header(const char *text);

struct path_step {
    char name[PATH_BYTES_MAX + 1]; /* of a member */
    size_t length;
    uint32_t index; /* of an element of an array, or PATH_NO_INDEX */
};

/* The steps of a PATH_MEMBER, one after the other: *at is the text at first. False: no more. */
bool path_next(const char **at, struct path_step *step);

#endif
