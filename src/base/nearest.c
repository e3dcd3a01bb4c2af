#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct nearest nearest_to(const char *typed) {
    return (struct nearest){.typed = typed, .distance = strlen(typed) / 3 + 2};
}

void nearest_offer(struct nearest *nearest, const char *name) {
    const size_t distance = nearest_distance(nearest->typed, name);
    if (distance >= nearest->distance) return;
    nearest->distance = distance;
    nearest->name = name;
}

const char *nearest_hint(struct nearest *nearest, const char *before, const char *after) {
    nearest->hint[0] = '\0';
    if (nearest->name == NULL) return "";
    snprintf(nearest->hint, sizeof nearest->hint, "; did you mean %s%s%s?", before, nearest->name,
             after);
    return nearest->hint;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static int folded(char c) {
    if (c == '.' || c == '-') return '_';
    return tolower((unsigned char)c);
}

/* The optimal string alignment distance, three rows of its table at a time. */
size_t nearest_distance(const char *a, const char *b) {
    const size_t a_count = strlen(a);
    const size_t b_count = strlen(b);
    if (a_count > NEAREST_NAME_BYTES || b_count > NEAREST_NAME_BYTES) return SIZE_MAX;
    size_t rows[3][NEAREST_NAME_BYTES + 1];
    size_t *older = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= b_count; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_count; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_count; j++) {
            const int x = folded(a[i - 1]);
            const int y = folded(b[j - 1]);
            row[j] = min_size(above[j], row[j - 1]) + 1;
            row[j] = min_size(row[j], above[j - 1] + (x == y ? 0 : 1));
            const bool is_swap = i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y;
            if (is_swap) row[j] = min_size(row[j], older[j - 2] + 1);
        }
        size_t *const reused = older;
        older = above;
        above = row;
        row = reused;
    }
    return above[b_count];
}
