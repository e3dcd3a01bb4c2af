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

static int folded(char c) {
    return c == '.' || c == '-' ? '_' : tolower((unsigned char)c);
}

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The optimal string alignment distance. */
size_t nearest_distance(const char *a, const char *b) {
    const size_t a_count = strlen(a), b_count = strlen(b);
    size_t table[NEAREST_NAME_BYTES + 1][NEAREST_NAME_BYTES + 1];
    if (a_count > NEAREST_NAME_BYTES || b_count > NEAREST_NAME_BYTES) return SIZE_MAX;
    for (size_t i = 0; i <= a_count; i++) {
        for (size_t j = 0; j <= b_count; j++) {
            size_t *best = &table[i][j];
            *best = i == 0 ? j : i; /* of an empty text */
            if (i == 0 || j == 0) continue;
            const int x = folded(a[i - 1]), y = folded(b[j - 1]);
            *best = lesser(table[i - 1][j], table[i][j - 1]) + 1;
            *best = lesser(*best, table[i - 1][j - 1] + (x == y ? 0 : 1));
            const bool is_swap = i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y;
            if (is_swap) *best = lesser(*best, table[i - 2][j - 2] + 1);
        }
    }
    return table[a_count][b_count];
}
