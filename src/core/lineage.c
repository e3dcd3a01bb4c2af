#include "core/lineage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void lineage_turn(struct lineage *lineage, int64_t offset, int32_t epoch) {
    assert(epoch > lineage_epoch(lineage));
    if (lineage->count == LINEAGE_SPANS_MAX) {
        memmove(lineage->spans, lineage->spans + 1,
                (LINEAGE_SPANS_MAX - 1) * sizeof *lineage->spans);
        lineage->count--;
    }
    lineage->spans[lineage->count++] = (struct lineage_span){offset, epoch};
}

bool lineage_matches(const struct lineage *lineage, int64_t offset, int32_t epoch) {
    const struct lineage_span *spans = lineage->spans;
    int place = lineage->count - 1;
    while (place >= 0 && spans[place].begin > offset)
        place--;
    return place >= 0 ? epoch == spans[place].epoch : lineage->count == 0 || epoch <= spans->epoch;
}

void lineage_cut(struct lineage *lineage, int64_t last, int32_t epoch) {
    lineage->branch++;
    lineage_shorten(lineage, last, epoch);
}

void lineage_shorten(struct lineage *lineage, int64_t last, int32_t epoch) {
    while (lineage->count > 0 && lineage->spans[lineage->count - 1].begin > last)
        lineage->count--;
    lineage->last = last;
    if (lineage->count == 0 && last >= 0 && epoch != LINEAGE_NO_EPOCH)
        lineage_turn(lineage, last, epoch);
}

int64_t lineage_go_back(struct lineage *lineage, int64_t watermark, struct lineage_tip tip) {
    const bool is_same = tip.is_known && tip.branch == lineage->branch;
    for (int i = 0; tip.is_known && i < lineage->count; i++) {
        const struct lineage_span *span = &lineage->spans[i];
        if (span->epoch > tip.epoch && span->begin < watermark) watermark = span->begin;
    }
    while (lineage->count > 0 && lineage->spans[lineage->count - 1].begin >= watermark)
        lineage->count--;
    if (lineage->count == 0)
        lineage_forget(lineage);
    else
        lineage->last = is_same ? tip.last : lineage->spans[lineage->count - 1].begin;
    return watermark;
}

void lineage_forget(struct lineage *lineage) {
    lineage->count = 0;
    lineage->last = 0;
}

void lineage_format(const struct lineage *lineage, char text[LINEAGE_TEXT_BYTES]) {
    int length = snprintf(text, LINEAGE_TEXT_BYTES, "%" PRId32 ":", lineage->branch);
    if (lineage->count == 0) return;
    length += snprintf(text + length, (size_t)(LINEAGE_TEXT_BYTES - length), "%" PRId64 ":",
                       lineage->last);
    for (int i = 0; i < lineage->count; i++) {
        length +=
            snprintf(text + length, (size_t)(LINEAGE_TEXT_BYTES - length), "%s%" PRId32 "@%" PRId64,
                     i == 0 ? "" : ",", lineage->spans[i].epoch, lineage->spans[i].begin);
    }
}

/* A whole number of 0 or more, at *text, which is moved behind it. */
static bool read_number(const char **text, int64_t max, int64_t *number) {
    const char *begin = *text;
    for (*number = 0; **text >= '0' && **text <= '9'; ++*text) {
        if (*number > (max - (**text - '0')) / 10) return false;
        *number = *number * 10 + (**text - '0');
    }
    return *text > begin;
}

static bool read_span(const char **text, struct lineage *lineage) {
    int64_t epoch, begin;
    if (!read_number(text, INT32_MAX, &epoch) || *(*text)++ != '@' ||
        !read_number(text, INT64_MAX, &begin) || lineage->count == LINEAGE_SPANS_MAX) {
        return false;
    }
    const struct lineage_span *last = &lineage->spans[lineage->count - 1];
    if (lineage->count > 0 && (epoch <= last->epoch || begin <= last->begin)) return false;
    lineage->spans[lineage->count++] = (struct lineage_span){begin, (int32_t)epoch};
    return **text == '\0' || *(*text)++ == ',';
}

bool lineage_parse(const char *text, struct lineage *lineage) {
    int64_t branch = 0;
    *lineage = (struct lineage){0};
    bool is_good = read_number(&text, INT32_MAX, &branch) && *text++ == ':';
    if (is_good) lineage->branch = (int32_t)branch;
    if (is_good && *text != '\0')
        is_good = read_number(&text, INT64_MAX, &lineage->last) && *text++ == ':' && *text != '\0';
    while (is_good && *text != '\0')
        is_good = read_span(&text, lineage);
    if (lineage->count > 0 && lineage->last < lineage->spans[lineage->count - 1].begin)
        is_good = false;
    if (!is_good) *lineage = (struct lineage){0};
    return is_good;
}

void lineage_tip_format(struct lineage_tip tip, char text[LINEAGE_TIP_BYTES]) {
    const int length = snprintf(text, LINEAGE_TIP_BYTES, "%" PRId32 ":", tip.branch);
    if (!tip.is_known) return;
    snprintf(text + length, (size_t)(LINEAGE_TIP_BYTES - length), "%" PRId64 ":%" PRId32, tip.last,
             tip.epoch);
}
