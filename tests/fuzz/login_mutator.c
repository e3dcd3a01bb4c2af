/* Makes one random change to an input: mutates a few bytes (libFuzzer's own mutation), inserts a
 * piece of JSON or replaces a token by one, repeats the last record, generates a whole event, or
 * other settings. */
#include "login_mutator.h"

#include <stdbool.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* from libFuzzer */

enum { USUAL_NAMES = 14, LEVELS_USUAL = 3 }; /* the first entries of names */

/* clang-format off */
static const char *const odd_spaces[] = {
    "  ", "\n", "\t", "\r\n", "   \n    ", "\v", "\xc2\xa0", "/**/",
};
static const char *const odd_letters[] = {
    "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u0000", "\\ud83d\\ude00", "\\ud83d", "\\u00",
    "\\x", "\n", "\x1f", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xc0\xaf",
    "\xed\xa0\x80", "\xff", "\xe2\x82", "\"",
};
static const char *const odd_numbers[] = {
    "0", "-0", "00", "01", "-", "-1", "1.5", "-1.5e3", "1e5", "1E+5", "1e400", "-1e400", "1e-400",
    ".5", "5.", "0.1.2", "253402300799", "253402300800", "253402300799.5", "9007199254740992",
    "9007199254740993", "999999999999999", "9999999999999999", "18446744073709551676", "0x10",
    "1720622216.0", "17206222160E-1",
};
static const char *const words[] = {
    "true", "false", "null", "\"1720622216\"", "\"60\"", "\"\"",
};
static const char *const odd_values[] = {
    "True", "nul", "nullx", "NaN", "'a'", "", "[", "[]", "{}", "[1,\"a\"]", "{\"locale\":\"x\"}",
};
static const char *const names[] = {
    "device_type", "locale", "timestamp", "user_id", "x", "a", "b", "context", "device", "type",
    "ts", "0", "1", "a/b", "m~n", "a name just within a gap", "", "\xc3\xa9", "local\\u0065", "device_typf", "a\\\"b", "x\\u0000",
    "a name that is longer than any gap that is remembered",
};
static const char *const paths[] = {
    "timestamp", "/context/ts", "user_id", "/a", "/a/b", "/a/b/0", "/a/1/b", "/0", "/a~1b/m~0n",
    "/", "//a", "/a/-", "/a/01", "/\xc3\xa9", "/context/device/type", "locale", "device_type",
    "header:x", "kafka", "a name that is longer than any gap that is remembered", "/user_id",
    "/context", "/context/0/1/2", "/x", "x",
};
static const char *const times[] = {
    "\"2024-07-10T14:36:56Z\"", "\"2024-07-10t14:36:60.123456789+02:00\"", "1720622216000",
    "\"2024-07-10 14:36:56\"", "1720622216000000", "\"1720622216000000000\"", "17206222160e2",
    "\"1970-01-01T00:00:00+00:01\"", "\"9999-12-31T23:59:59-00:01\"", "1720622216123456789",
    "\"1900-02-29T00:00:00Z\"", "253402300799999999999",
};
static const char *const members[] = {
    "\"device_type\": \"ios\", ", "\"locale\":\"PA\",", "\"timestamp\": 1720622216, ",
    "\"timestamp\":60,", "\"user_id\":\"u1\" , ",
    "\"context\":{\"device\":{\"type\":\"tv\"},\"ts\":1720622216}, ", "\"a\":[0,{\"b\":[\"x\"]}],",
    "\"a\": {\"b\": \"y\"}, ", "\"a/b\":{\"m~n\":true},", "\"context\":[[1,[2,3,4]]],",
};
static const char *const signs[] = {
    "{", "}", "[", "]", ":", ",", "\"", "\\", "\\\"", "\x1e",
};
/* clang-format on */

struct output {
    uint8_t *bytes;
    size_t length, capacity;
    uint64_t random;
};

static unsigned below(struct output *output, unsigned limit) {
    uint64_t z = output->random += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (unsigned)((z ^ (z >> 31)) % limit);
}

static bool one_in(struct output *output, unsigned count) {
    return below(output, count) == 0;
}

static void put_bytes(struct output *output, const void *bytes, size_t length) {
    if (length > output->capacity - output->length) length = output->capacity - output->length;
    memmove(output->bytes + output->length, bytes, length);
    output->length += length;
}

static void put_letter(struct output *output, char letter) {
    if (output->length < output->capacity) output->bytes[output->length++] = (uint8_t)letter;
}

static void put(struct output *output, const char *text) {
    put_bytes(output, text, strlen(text));
}

#define COUNT(array) (unsigned)(sizeof(array) / sizeof *(array))
#define PICK(output, texts) (texts)[below(output, COUNT(texts))]

static void put_space(struct output *output) {
    if (one_in(output, 3)) put(output, " ");
    if (one_in(output, 60)) put(output, PICK(output, odd_spaces));
}

static void put_text(struct output *output) {
    unsigned length = one_in(output, 20) ? 110 + below(output, 40) : below(output, 40);
    put(output, "\"");
    for (; length > 0; length--) {
        put_letter(output, (char)('a' + below(output, 26)));
        if (one_in(output, 200)) put(output, PICK(output, odd_letters));
    }
    if (!one_in(output, 100)) put(output, "\"");
}

static void put_number(struct output *output) {
    if (one_in(output, 6)) {
        put(output, PICK(output, odd_numbers));
        return;
    }
    for (unsigned length = 1 + below(output, one_in(output, 8) ? 20 : 12); length > 0; length--) {
        put_letter(output, (char)('0' + below(output, 10)));
    }
}

static void put_members(struct output *output, unsigned level);

/* NOLINTBEGIN(misc-no-recursion): to LEVELS_USUAL */
static void put_value_at(struct output *output, unsigned level) {
    const unsigned kind = below(output, level < LEVELS_USUAL ? 26 : 21);
    if (kind < 9) {
        put_text(output);
    } else if (kind < 15) {
        put_number(output);
    } else if (kind < 17) {
        put(output, PICK(output, words));
    } else if (kind < 19) {
        put(output, PICK(output, times));
    } else if (kind < 20) {
        put(output, PICK(output, odd_values));
    } else if (kind < 23) {
        put(output, "{");
        if (!one_in(output, 6)) put_members(output, level + 1);
        put(output, "}");
    } else {
        put(output, "[");
        for (unsigned i = below(output, 4); i > 0; i--) {
            put_value_at(output, level + 1);
            put(output, i > 1 || one_in(output, 60) ? "," : " ");
        }
        put(output, "]");
    }
}

static void put_value(struct output *output) {
    put_value_at(output, one_in(output, 3) ? 0 : LEVELS_USUAL);
}

static void put_name(struct output *output) {
    if (one_in(output, 10)) {
        put_text(output);
        return;
    }
    put(output, "\"");
    put(output, names[below(output, one_in(output, 6) ? COUNT(names) : USUAL_NAMES)]);
    put(output, "\"");
}

static void put_member_at(struct output *output, unsigned level) {
    put_name(output);
    put_space(output);
    put(output, one_in(output, 100) ? "" : ":");
    put_space(output);
    put_value_at(output, level);
    put_space(output);
}

static void put_members(struct output *output, unsigned level) {
    for (unsigned i = below(output, 3); i > 0; i--) {
        put_member_at(output, level);
        put(output, one_in(output, 100) ? ",," : ",");
    }
    put_member_at(output, level);
}
/* NOLINTEND(misc-no-recursion) */

static void put_member(struct output *output) {
    put_member_at(output, one_in(output, 2) ? 0 : LEVELS_USUAL);
}

static void put_settings(struct output *output) {
    for (int i = 0; i < 4; i++)
        put_letter(output, (char)('0' + below(output, 64)));
    for (unsigned lines = 2 + below(output, 6); lines > 0; lines--) {
        put(output, "\n");
        if (!one_in(output, 6)) put(output, PICK(output, paths));
    }
}

static void put_login(struct output *output) {
    put_space(output);
    put(output, "{");
    for (unsigned i = below(output, 6); i > 0; i--)
        put(output, PICK(output, members));
    for (unsigned i = below(output, one_in(output, 10) ? 24 : 4); i > 0; i--) {
        put_member(output);
        put(output, one_in(output, 100) ? ",," : ", ");
    }
    put_member(output);
    if (one_in(output, 50)) put(output, ",");
    if (!one_in(output, 50)) put(output, "}");
    put_space(output);
    if (one_in(output, 50)) put(output, "}");
}

/* Returns the start of a token, or sometimes any position. */
static size_t pick_place(struct output *output, const uint8_t *data, size_t size) {
    size_t at = below(output, (unsigned)size + 1);
    if (one_in(output, 3)) return at;
    while (at < size && strchr("{}[]:,\" ", data[at]) == NULL)
        at++;
    return at;
}

/* Inserts a piece at the start of a token, or replaces the bytes up to another position by it. */
static void splice(struct output *output, const uint8_t *data, size_t size) {
    static void (*const pieces[])(struct output *) = {put_space, put_text, put_number,
                                                      put_value, put_name, put_member};
    const size_t begin = pick_place(output, data, size);
    size_t end = begin;
    if (one_in(output, 2)) end = pick_place(output, data, size);
    if (end < begin) end = begin;
    put_bytes(output, data, begin);
    if (one_in(output, 4))
        put(output, PICK(output, signs));
    else
        PICK(output, pieces)(output);
    put_bytes(output, data + end, size - end);
}

/* Repeats the last record, in half of the cases with one bit flipped. */
static void repeat_last(struct output *output, const uint8_t *data, size_t size) {
    size_t begin = size;
    while (begin > 0 && data[begin - 1] != RECORD_END)
        begin--;
    put_bytes(output, data, size);
    put(output, "\x1e");
    const size_t copy = output->length;
    put_bytes(output, data + begin, size - begin);
    if (output->length == copy || one_in(output, 2)) return;
    output->bytes[copy + below(output, (unsigned)(output->length - copy))] ^=
        (uint8_t)(1u << below(output, 8));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    static uint8_t before[1 << 16], after[1 << 16];
    struct output output = {after, 0, sizeof after - 1, seed};
    if (max_size > sizeof after) max_size = sizeof after;
    if (size == 0 || size > sizeof before || one_in(&output, 4)) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    memcpy(before, data, size);
    size_t head = 0;
    while (head < size && before[head] != RECORD_END)
        head++;
    if (one_in(&output, 8))
        put_settings(&output);
    else
        put_bytes(&output, before, head);
    put(&output, "\x1e");
    if (head < size) head++;
    switch (below(&output, 8)) {
    case 0:
    case 1:
    case 2:
        put_login(&output);
        break;
    case 3: /* the same event twice, or nearly the same */
        repeat_last(&output, before + head, size - head);
        break;
    default:
        splice(&output, before + head, size - head);
        break;
    }
    if (output.length > max_size) output.length = max_size;
    memcpy(data, after, output.length);
    return output.length;
}
