/* One pass forward, and out at the first doubt.
 *
 * Records of one producer differ in their values and hardly in what stands between: names, colons,
 * white space. These gaps are remembered; the same bytes at the same turn within the same object
 * mean the same again, and only a gap that is new is read. Half of a record is done by comparing
 * words that way.
 *
 * Most bytes are looked at without asking for the end each time: the last byte that is not white
 * space is a '}', and all that skips bytes one by one stops there. In strings any byte may stand:
 * these are searched by blocks, and none of them reaches beyond the record. */
#include "core/scan.h"

#include <assert.h>
#include <string.h>

#include "base/utf8.h"
#include "core/number.h"

enum { BLOCK_BYTES = 16 };

static inline uint64_t load_8(const char *p) {
    return number_word(p);
}

static inline uint32_t load_4(const char *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* --- strings --- */

/* The bytes of a block that matter within a string: a bit each, the first byte the lowest. */
struct marks {
    uint64_t quotes;
    uint64_t odd; /* backslashes, control characters, what is not ASCII */
};

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
#include <emmintrin.h>

static inline struct marks mark(const char *block) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)block);
    const __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i others = _mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')); /* signed: 0x80 and up too */
    return (struct marks){
        .quotes = (unsigned)_mm_movemask_epi8(quotes),
        .odd = (unsigned)_mm_movemask_epi8(_mm_or_si128(backslashes, others)),
    };
}
#else
/* 0x80 for each byte that is zero. */
static inline uint64_t find_zeros(uint64_t word) {
    return ~(((word & NUMBER_EACH(0x7F)) + NUMBER_EACH(0x7F)) | word | NUMBER_EACH(0x7F));
}

/* The 0x80 of byte i becomes bit i: only it comes to bit 56 + i of the product. */
static inline uint64_t gather(uint64_t found) {
    return (found >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static inline struct marks mark(const char *block) {
    struct marks marks = {0};
    for (unsigned i = 0; i < BLOCK_BYTES; i += 8) {
        const uint64_t word = load_8(block + i);
        marks.quotes |= gather(find_zeros(word ^ NUMBER_EACH('"'))) << i;
        marks.odd |= gather(find_zeros(word ^ NUMBER_EACH('\\')) | (word & NUMBER_EACH(0x80)) |
                            find_zeros(word & NUMBER_EACH(0xE0)))
                     << i;
    }
    return marks;
}
#endif

static bool is_hex(char c) {
    return number_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* The bytes of the escape at p, 0: it is none. */
static size_t escape_bytes(const char *p, const char *end) {
    enum { SHORT = 2, LONG = 6 };
    if (end - p < SHORT) return 0;
    if (p[1] != 'u') return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL ? SHORT : 0;
    if (end - p < LONG) return 0;
    return is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]) ? LONG : 0;
}

/* The quote that ends the string whose rest begins at p, or NULL: any string in UTF-8. One that is
 * wanted has no escapes. */
static __attribute__((noinline)) const char *end_odd_string(const char *p, const char *end,
                                                            bool is_wanted) {
    while (p < end && *p != '"') {
        size_t length = 0;
        if (*p == '\\')
            length = is_wanted ? 0 : escape_bytes(p, end);
        else if (*p < 0 || *p >= ' ')
            length = utf8_length(p, (size_t)(end - p));
        if (length == 0) return NULL;
        p += length;
    }
    return p < end ? p : NULL;
}

/* The same, in the block at p that has these marks, with a quote among them. */
static inline const char *end_in_block(struct marks marks, const char *p, const char *end,
                                       bool is_wanted) {
    const uint64_t up_to_quote = marks.quotes ^ (marks.quotes - 1);
    if ((marks.odd & up_to_quote) != 0) return end_odd_string(p, end, is_wanted);
    return p + __builtin_ctzll(marks.quotes);
}

/* The same, for strings of which most are ASCII. At least BLOCK_BYTES bytes lie before end: the
 * last block overlaps the one before it. */
static inline const char *end_string(const char *p, const char *end, bool is_wanted) {
    const char *last_block = end - BLOCK_BYTES;
    for (; p <= last_block; p += BLOCK_BYTES) {
        const struct marks marks = mark(p);
        if (marks.quotes != 0) return end_in_block(marks, p, end, is_wanted);
        if (marks.odd != 0) return end_odd_string(p, end, is_wanted);
    }
    struct marks marks = mark(last_block);
    marks.quotes >>= p - last_block;
    marks.odd >>= p - last_block;
    return marks.quotes != 0 ? end_in_block(marks, p, end, is_wanted) : NULL;
}

/* --- other values: each function answers what follows the value, or NULL --- */

/* A wanted number is so short, and without an exponent, that a double can hold it. */
static inline const char *scan_number(const char *p, const char *last, bool is_wanted,
                                      struct field *field) {
    bool has_exponent = false;
    const char *end = p;
    if (last - p > 8 && *p != '0' && number_is_8_digits(load_8(p))) {
        for (end += 8; number_is_digit(*end); end++) {
        }
    }
    if (end == p || *end == '.' || (*end | 0x20) == 'e') end = number_end(p, &has_exponent);
    if (end == NULL) return NULL;
    field->kind = FIELD_NUMBER;
    field->text = (struct slice){p, (size_t)(end - p)};
    return is_wanted && (has_exponent || end - p > SCAN_NUMBER_BYTES_MAX) ? NULL : end;
}

static inline const char *scan_word(const char *p, const char *last, const char *word,
                                    enum field_kind kind, struct field *field) {
    const size_t length = strlen(word);
    if ((size_t)(last - p) < length || memcmp(p, word, length) != 0) return NULL;
    field->kind = kind;
    return p + length;
}

/* Anything but an object or an array. */
static inline const char *scan_scalar(const char *p, const char *last, const char *end,
                                      bool is_wanted, struct field *field) {
    if (*p == '"') {
        const char *close = end_string(p + 1, end, is_wanted);
        if (close == NULL) return NULL;
        field->kind = FIELD_TEXT;
        field->text.bytes = p + 1;
        field->text.length = (size_t)(close - p - 1);
        return close + 1;
    }
    if (*p == 't') return scan_word(p, last, "true", FIELD_TRUE, field);
    if (*p == 'f') return scan_word(p, last, "false", FIELD_FALSE, field);
    if (*p == 'n') return scan_word(p, last, "null", FIELD_NULL, field);
    return scan_number(p, last, is_wanted, field);
}

/* --- gaps --- */

static inline bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline const char *skip_space(const char *p) {
    while (is_space(*p))
        p++;
    return p;
}

static inline struct scan_step step_to(const struct wanted *wanted, uint16_t node) {
    return (struct scan_step){.node = node,
                              .slot = wanted->nodes[node].slot,
                              .has_below = wanted->nodes[node].child != WANTED_NOTHING};
}

/* Reads and remembers the gap that begins with the brace or comma at begin, in the object at
 * parent; answers where the value begins, or NULL. */
static __attribute__((noinline)) const char *read_gap(const struct scan *scan, uint16_t parent,
                                                      const char *begin, const char *end,
                                                      struct scan_gap *gap) {
    const char *name = skip_space(begin + 1);
    if (*name++ != '"') return NULL;
    const char *close = end_string(name, end, true);
    if (close == NULL) return NULL;
    const char *p = skip_space(close + 1);
    if (*p != ':') return NULL;
    p = skip_space(p + 1);
    const size_t length = (size_t)(p - begin);
    gap->parent = parent;
    gap->step =
        step_to(scan->wanted, wanted_member(scan->wanted, parent, name, (size_t)(close - name)));
    gap->length = length <= SCAN_GAP_BYTES ? (uint16_t)length : 0;
    memcpy(gap->bytes, begin, gap->length);
    return p;
}

/* Whether the gap stands at p. Words that overlap cover any length from 4 to 32 bytes; the shortest
 * gap, `,"":`, has 4. */
static inline bool is_gap(const struct scan_gap *gap, uint16_t parent, const char *p,
                          const char *end) {
    const char *bytes = gap->bytes;
    const size_t length = gap->length;
    if (gap->parent != parent || (size_t)(end - p) < length) return false;
    if (length < 8) {
        return length >= 4 && load_4(p) == load_4(bytes) &&
               load_4(p + length - 4) == load_4(bytes + length - 4);
    }
    uint64_t differences =
        (load_8(p) ^ load_8(bytes)) | (load_8(p + length - 8) ^ load_8(bytes + length - 8));
    if (length > 16) {
        differences |= load_8(p + 8) ^ load_8(bytes + 8);
        differences |= load_8(p + length - 16) ^ load_8(bytes + length - 16);
    }
    return differences == 0;
}

/* --- the record --- */

void scan_init(struct scan *scan, const struct wanted *wanted) {
    *scan = (struct scan){.wanted = wanted};
}

/* An object or an array that has begun and not ended. */
struct level {
    uint16_t node;
    bool is_array;
    uint32_t index; /* of the element under way */
};

static inline struct scan_step step_to_element(const struct wanted *wanted,
                                               const struct level *level) {
    return step_to(wanted, wanted_element(wanted, level->node, level->index));
}

/* Where a cache line begins its code is 3 ns faster than elsewhere. */
__attribute__((aligned(64))) bool scan_record(struct scan *scan, const char *value, size_t bytes,
                                              struct fields *fields) {
    if (bytes < BLOCK_BYTES) return false;
    const struct wanted *wanted = scan->wanted;
    const char *end = value + bytes;
    const char *last = end - 1;
    while (is_space(*last) && last > value)
        last--;
    if (*last != '}') return false;
    const char *p = skip_space(value);
    if (*p != '{') return false;
    for (unsigned i = 0; i < wanted->slot_count; i++)
        fields->at[i].kind = FIELD_ABSENT;

    struct level levels[SCAN_LEVELS_MAX], *level = levels; /* the one under way */
    *level = (struct level){.node = WANTED_ROOT};
    struct scan_gap *gap = scan->gaps;
    struct scan_step element;
    const struct scan_step *step; /* to the value */

next_member: /* p: the brace or comma before it */
    if (is_gap(gap, level->node, p, end)) {
        p += gap->length;
    } else {
        p = read_gap(scan, level->node, p, end, gap);
        if (p == NULL) return false;
    }
    step = &gap->step;
    if (gap < &scan->gaps[SCAN_GAPS - 1]) gap++;
    if (is_space(*p)) p = skip_space(p); /* more than was remembered */

next_value: /* p: its first byte */
    if (__builtin_expect(step->has_below, false)) fields_clear(fields, &wanted->nodes[step->node]);
    if (__builtin_expect((*p | 0x20) == '{', false)) { /* or a bracket */
        const bool is_array = *p == '[';
        fields->at[step->slot].kind = FIELD_OTHER;
        const char *first = skip_space(p + 1);
        if (*first == (is_array ? ']' : '}')) { /* it is empty */
            if (first == last) return false;
            p = first + 1;
            goto behind_value;
        }
        if (level == &levels[SCAN_LEVELS_MAX - 1]) return false;
        *++level = (struct level){.node = step->node, .is_array = is_array};
        if (!is_array) goto next_member;
        p = first;
        element = step_to_element(wanted, level);
        step = &element;
        goto next_value;
    }
    p = scan_scalar(p, last, end, step->slot != WANTED_NO_SLOT, &fields->at[step->slot]);
    if (p == NULL) return false;

behind_value:
    if (*p != ',') p = skip_space(p);
    if (*p == ',') {
        if (!level->is_array) goto next_member;
        level->index++;
        element = step_to_element(wanted, level);
        step = &element;
        p = skip_space(p + 1);
        goto next_value;
    }
    if (*p != (level->is_array ? ']' : '}')) return false;
    if (level == levels || p == last) return level == levels && p == last;
    level--;
    p++;
    goto behind_value;
}
