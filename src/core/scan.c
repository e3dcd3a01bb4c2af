/* One pass forward, and out at the first doubt.
 *
 * Records of one producer differ in their values and hardly in what stands between: names, colons,
 * white space. These gaps are remembered; the same bytes at the same turn mean the same again, and
 * only a gap that is new is read. Half of a record is done by comparing words that way.
 *
 * Most bytes are looked at without asking for the end each time: the last byte that is not white
 * space is a '}', and all that skips bytes one by one stops there. In strings any byte may stand:
 * these are searched by blocks, and none of them reaches beyond the record. */
#include "core/scan.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/utf8.h"

enum { BLOCK_BYTES = 16, WHOLE_DIGITS_MAX = 15 };

static_assert(INT64_C(1000000000000000) <= FIELD_WHOLE_MAX,
              "15 digits are exact to core/parse too");

static inline uint64_t load_8(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}

static inline uint32_t load_4(const char *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

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
    return ~(((word & EACH_BYTE(0x7F)) + EACH_BYTE(0x7F)) | word | EACH_BYTE(0x7F));
}

/* The 0x80 of byte i becomes bit i: only it comes to bit 56 + i of the product. */
static inline uint64_t gather(uint64_t found) {
    return (found >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static inline struct marks mark(const char *block) {
    struct marks marks = {0};
    for (unsigned i = 0; i < BLOCK_BYTES; i += 8) {
        const uint64_t word = load_8(block + i);
        marks.quotes |= gather(find_zeros(word ^ EACH_BYTE('"'))) << i;
        marks.odd |= gather(find_zeros(word ^ EACH_BYTE('\\')) | (word & EACH_BYTE(0x80)) |
                            find_zeros(word & EACH_BYTE(0xE0)))
                     << i;
    }
    return marks;
}
#endif

/* The quote that ends the string whose rest begins at p, or NULL: any string in UTF-8. */
static __attribute__((noinline)) const char *end_odd_string(const char *p, const char *end) {
    while (p < end && *p != '"') {
        const size_t length = utf8_length(p, (size_t)(end - p));
        if (length == 0 || *p == '\\' || (*p >= 0 && *p < ' ')) return NULL;
        p += length;
    }
    return p < end ? p : NULL;
}

/* The same, in the block at p that has these marks, with a quote among them. */
static inline const char *end_in_block(struct marks marks, const char *p, const char *end) {
    const uint64_t up_to_quote = marks.quotes ^ (marks.quotes - 1);
    if ((marks.odd & up_to_quote) != 0) return end_odd_string(p, end);
    return p + __builtin_ctzll(marks.quotes);
}

/* The same, for strings of which most are ASCII. At least BLOCK_BYTES bytes lie before end: the
 * last block overlaps the one before it. */
static inline const char *end_string(const char *p, const char *end) {
    const char *last_block = end - BLOCK_BYTES;
    for (; p <= last_block; p += BLOCK_BYTES) {
        const struct marks marks = mark(p);
        if (marks.quotes != 0) return end_in_block(marks, p, end);
        if (marks.odd != 0) return end_odd_string(p, end);
    }
    struct marks marks = mark(last_block);
    marks.quotes >>= p - last_block;
    marks.odd >>= p - last_block;
    return marks.quotes != 0 ? end_in_block(marks, p, end) : NULL;
}

/* --- other values: each function answers what follows the value, or NULL --- */

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Reads eight digits at once, if there are as many: pairs, then fours, then all of them become
 * numbers side by side in the word. */
static inline bool read_8_digits(const char *p, uint64_t *number) {
    uint64_t word = load_8(p);
    const uint64_t high = EACH_BYTE(0xF0);
    if ((word & high) != EACH_BYTE(0x30) || ((word + EACH_BYTE(6)) & high) != EACH_BYTE(0x30)) {
        return false;
    }
    word = (word & EACH_BYTE(0x0F)) * (1 + (10 << 8)) >> 8;
    word = (word & UINT64_C(0x00FF00FF00FF00FF)) * (1 + (100 << 16)) >> 16;
    word = (word & UINT64_C(0x0000FFFF0000FFFF)) * (1 + (UINT64_C(10000) << 32)) >> 32;
    *number = word;
    return true;
}

static inline const char *scan_number(const char *p, const char *last, bool is_wanted,
                                      struct field *field) {
    const char *first = p + (*p == '-');
    const char *point = first;
    uint64_t number = 0; /* of too many digits it is wrong, and not used */
    if (last - point > 8 && read_8_digits(point, &number)) point += 8;
    for (; is_digit(*point); point++)
        number = number * 10 + (uint64_t)(*point - '0');
    const ptrdiff_t digits = point - first;
    if (digits == 0 || digits > WHOLE_DIGITS_MAX || (*first == '0' && digits > 1)) return NULL;
    field->kind = FIELD_WHOLE;
    field->whole = (int64_t)number;
    if (is_wanted) return first == p ? point : NULL;
    if (*point != '.') return point;
    for (p = point + 1; is_digit(*p); p++) {
    }
    return p > point + 1 ? p : NULL;
}

static inline const char *scan_word(const char *p, const char *last, const char *word,
                                    struct field *field) {
    const size_t length = strlen(word);
    if ((size_t)(last - p) < length || memcmp(p, word, length) != 0) return NULL;
    field->kind = FIELD_OTHER;
    return p + length;
}

static inline const char *scan_value(const char *p, const char *last, const char *end,
                                     bool is_wanted, struct field *field) {
    if (*p == '"') {
        const char *close = end_string(p + 1, end);
        if (close == NULL) return NULL;
        field->kind = FIELD_TEXT;
        field->text.bytes = p + 1;
        field->text.length = (size_t)(close - p - 1);
        return close + 1;
    }
    if (*p == 't') return scan_word(p, last, "true", field);
    if (*p == 'f') return scan_word(p, last, "false", field);
    if (*p == 'n') return scan_word(p, last, "null", field);
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

/* The first place of that name, or FIELD_COUNT. */
static uint32_t find_place(const struct scan *scan, const char *name, size_t length) {
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct slice *wanted = &scan->names[i];
        if (wanted->length == length && memcmp(wanted->bytes, name, length) == 0) return i;
    }
    return FIELD_COUNT;
}

/* Reads and remembers the gap that begins with the brace or comma at begin; answers where the value
 * begins, or NULL. */
static __attribute__((noinline)) const char *read_gap(const struct scan *scan, const char *begin,
                                                      const char *end, struct scan_gap *gap) {
    const char *name = skip_space(begin + 1);
    if (*name++ != '"') return NULL;
    const char *close = end_string(name, end);
    if (close == NULL) return NULL;
    const char *p = skip_space(close + 1);
    if (*p != ':') return NULL;
    p = skip_space(p + 1);
    const size_t length = (size_t)(p - begin);
    gap->place = find_place(scan, name, (size_t)(close - name));
    gap->length = length <= SCAN_GAP_BYTES ? (uint32_t)length : 0;
    memcpy(gap->bytes, begin, gap->length);
    return p;
}

/* Whether the gap stands at p. Words that overlap cover any length from 4 to 32 bytes; the shortest
 * gap, `,"":`, has 4. */
static inline bool is_gap(const struct scan_gap *gap, const char *p, const char *end) {
    const char *bytes = gap->bytes;
    const size_t length = gap->length;
    if (length < 4 || (size_t)(end - p) < length) return false;
    if (length < 8) {
        return load_4(p) == load_4(bytes) && load_4(p + length - 4) == load_4(bytes + length - 4);
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

void scan_init(struct scan *scan, const struct login_rules *rules) {
    *scan = (struct scan){0};
    for (; scan->count < field_count(rules); scan->count++) {
        const char *name = field_name(rules, scan->count);
        const uint32_t first = find_place(scan, name, strlen(name));
        scan->has_twins |= first < FIELD_COUNT;
        scan->same_as[scan->count] = first < FIELD_COUNT ? first : scan->count;
        scan->names[scan->count] = (struct slice){name, strlen(name)};
    }
}

/* Where a cache line begins its code is 3 ns faster than elsewhere. */
__attribute__((aligned(64))) bool scan_record(struct scan *scan, const char *value, size_t bytes,
                                              struct fields *fields) {
    if (bytes < BLOCK_BYTES) return false;
    const char *end = value + bytes;
    const char *last = end - 1;
    while (is_space(*last) && last > value)
        last--;
    if (*last != '}') return false;
    const char *p = skip_space(value);
    if (*p != '{') return false;
    for (uint32_t i = 0; i < scan->count; i++)
        fields->at[i].kind = FIELD_ABSENT;
    fields->user_number = (struct slice){0};

    struct scan_gap *gap = scan->gaps;
    do {
        p = is_gap(gap, p, end) ? p + gap->length : read_gap(scan, p, end, gap);
        if (p == NULL) return false;
        p = skip_space(p); /* there may be more than was remembered */
        p = scan_value(p, last, end, gap->place < FIELD_COUNT, &fields->at[gap->place]);
        if (p == NULL) return false;
        if (*p != ',') p = skip_space(p);
        if (gap < &scan->gaps[SCAN_GAPS - 1]) gap++;
    } while (*p == ',');

    for (uint32_t i = 0; scan->has_twins && i < scan->count; i++) {
        fields->at[i] = fields->at[scan->same_as[i]];
    }
    return p == last;
}
