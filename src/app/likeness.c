/* A path and a name are taken apart into words, which are looked for one by one. */
#include "app/likeness.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "core/path.h"

enum { TOKENS_MAX = 24, TOKEN_BYTES = 32 };

struct tokens {
    char items[TOKENS_MAX][TOKEN_BYTES];
    size_t count;
    size_t last; /* the first one of the last step */
};

/* The words of a path in small letters: /context/deviceType is context, device, type. */
static struct tokens tokens_of(const char *path) {
    struct tokens tokens = {.count = 0};
    const char *p = path_kind_of_field(path) == PATH_HEADER ? path_header(path) : path;
    size_t length = 0;
    for (; *p != '\0'; p++) {
        const bool is_word = isalnum((unsigned char)*p) || *p < 0;
        const bool begins = isupper((unsigned char)*p) && p > path && islower((unsigned char)p[-1]);
        if ((!is_word || begins) && length > 0 && tokens.count < TOKENS_MAX - 1) {
            tokens.count++;
            length = 0;
        }
        if (*p == '/') tokens.last = tokens.count;
        if (is_word && length < TOKEN_BYTES - 1)
            tokens.items[tokens.count][length++] = (char)tolower((unsigned char)*p);
    }
    tokens.count += length > 0;
    return tokens;
}

static bool has_token(const struct tokens *tokens, const char *word) {
    for (size_t i = 0; i < tokens->count; i++) {
        if (strcmp(tokens->items[i], word) == 0) return true;
    }
    return false;
}

/* Words that others use for it. */
static bool has_synonym(const struct tokens *tokens, const char *word) {
    static const char *const synonyms[][2] = {
        {"device", "dvce"}, {"device", "platform"}, {"device", "client"},   {"type", "category"},
        {"type", "kind"},   {"locale", "lang"},     {"locale", "language"}, {"version", "release"},
        {"country", "geo"}, {"id", "uuid"},         {"user", "customer"},
    };
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++) {
        if (strcmp(synonyms[i][0], word) == 0 && has_token(tokens, synonyms[i][1])) return true;
    }
    return false;
}

size_t likeness_of(const char *path, const char *name) {
    const struct tokens have = tokens_of(path), want = tokens_of(name);
    size_t points = 0;
    for (size_t i = 0; i < want.count; i++)
        points += has_token(&have, want.items[i]) ? 2 : has_synonym(&have, want.items[i]) ? 1 : 0;
    const size_t percent = want.count == 0 ? 0 : points * 50 / want.count;
    return percent > 50 || (want.count == 1 && percent == 50) ? percent : 0;
}

size_t likeness_to_time(const char *path) {
    static const char *const sure[] = {"timestamp", "time", "ts", "tstamp", "dtm", "datetime"};
    struct tokens tokens = tokens_of(path);
    const bool is_alone =
        tokens.count - tokens.last == 1 ||
        (tokens.count - tokens.last == 2 && strcmp(tokens.items[tokens.last], "event") == 0);
    memmove(tokens.items[0], tokens.items[tokens.last],
            (tokens.count - tokens.last) * sizeof tokens.items[0]);
    tokens.count -= tokens.last;
    for (size_t i = 0; i < sizeof sure / sizeof *sure; i++) {
        if (has_token(&tokens, sure[i])) return is_alone ? 4 : 3;
    }
    return has_token(&tokens, "at") || has_token(&tokens, "date") ? 2 : 1;
}

size_t likeness_to_user(const char *path) {
    static const char *const alone[] = {"user", "userid", "uid", "username"};
    if (likeness_of(path, "user_id") == 100) return 2;
    const struct tokens tokens = tokens_of(path);
    for (size_t i = 0; i < sizeof alone / sizeof *alone && tokens.count > 0; i++) {
        if (tokens.count - tokens.last == 1 && strcmp(tokens.items[tokens.last], alone[i]) == 0)
            return 1;
    }
    return 0;
}
