/* A user's traits (id, device, state) are drawn from a generator seeded by the user's number, so
 * they need no table; everything else comes from the source's own generator, in one fixed order. */
#include "tools/event.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

struct random {
    uint64_t s[4];
};

struct event_source {
    struct event_plan plan;
    struct random random;
    int64_t origin_ms; /* event time of the event with index 0 */
    int64_t index;     /* of the next event, since origin_ms */
    double *shares;    /* [user]: logins of this and all users before, of a total of 1 */
    struct text value; /* of the present event, in bytes */
    char bytes[EVENT_VALUE_BYTES + 1];
};

static const char *const devices[] = {"android", "iOS", "web"};

static const char *const states[] = {
    "CA", "TX", "FL", "NY", "PA", "IL", "OH", "GA", "NC", "MI", "NJ", "VA", "WA",
    "AZ", "TN", "MA", "IN", "MO", "MD", "WI", "CO", "MN", "SC", "AL", "LA", "KY",
    "OR", "OK", "CT", "UT", "IA", "NV", "AR", "KS", "MS", "NM", "NE", "ID", "WV",
    "HI", "NH", "ME", "MT", "RI", "DE", "SD", "ND", "AK", "VT", "WY",
};

static const char *const versions[] = {"2.3.0", "2.2.4", "2.2.1", "2.1.0", "1.9.7"};

enum {
    STATES = sizeof states / sizeof states[0],
    VERSIONS = sizeof versions / sizeof versions[0],
};

static uint64_t split_mix(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static struct random random_of(uint64_t seed) {
    struct random random;
    for (int i = 0; i < 4; i++)
        random.s[i] = split_mix(&seed);
    return random;
}

static uint64_t rotate(uint64_t x, int bits) {
    return (x << bits) | (x >> (64 - bits));
}

static uint64_t random_next(struct random *random) {
    uint64_t *s = random->s;
    const uint64_t result = rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* 0 .. bound - 1; the bias of the high product is below 2^-32 for our small bounds. */
static size_t random_below(struct random *random, size_t bound) {
    return (size_t)(((random_next(random) >> 32) * bound) >> 32);
}

/* 0 <= x < 1, in steps of 2^-53. */
static double random_share(struct random *random) {
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

struct event_source *event_source_create(const struct event_plan *plan) {
    assert(plan->users >= 1 && plan->users <= EVENT_USERS_MAX && plan->rate >= 1);
    assert(plan->skew >= 0 && plan->skew <= 4);
    struct event_source *source = memory_create(sizeof *source);
    source->plan = *plan;
    source->random = random_of(plan->seed);
    source->origin_ms = plan->start_ms;
    if (plan->skew <= 0) return source;
    source->shares = memory_create((size_t)plan->users * sizeof *source->shares);
    double total = 0;
    for (int64_t i = 0; i < plan->users; i++) {
        total += pow((double)(i + 1), -plan->skew);
        source->shares[i] = total;
    }
    for (int64_t i = 0; i < plan->users; i++)
        source->shares[i] /= total;
    return source;
}

void event_source_destroy(struct event_source **source) {
    if (*source == NULL) return;
    free((*source)->shares);
    free(*source);
    *source = NULL;
}

static uint64_t pick_user(struct event_source *source) {
    if (source->shares == NULL) {
        return random_below(&source->random, (size_t)source->plan.users);
    }
    const double share = random_share(&source->random);
    int64_t low = 0;
    int64_t high = source->plan.users - 1;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (source->shares[middle] > share)
            high = middle;
        else
            low = middle + 1;
    }
    return (uint64_t)low;
}

/* A random UUID, RFC 9562, version 4. */
static void put_uuid(struct event_source *source, struct random *random) {
    const uint64_t high = (random_next(random) & ~UINT64_C(0xF000)) | 0x4000;
    const uint64_t low = (random_next(random) & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
    text_format(&source->value, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                (unsigned)(high >> 16 & 0xFFFF), (unsigned)(high & 0xFFFF), (unsigned)(low >> 48),
                (unsigned long long)(low & 0xFFFFFFFFFFFF));
}

/* What can be wrong with an event whose form is right: a member's text instead of the right one, ""
 * to leave the member out, or NULL for no change. */
struct flaw {
    const char *device;
    const char *locale;
    const char *timestamp;
};

#define TEN "aaaaaaaaaa"
#define TOO_LONG "\"" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "\""

static const struct flaw no_flaw;
static const struct flaw missing_flaws[] = {{.device = ""}, {.locale = ""}, {.timestamp = ""}};
static const struct flaw value_flaws[] = {
    {.device = "\"\""}, {.locale = "null"}, {.device = "7"}, {.locale = TOO_LONG}, {.locale = "{}"},
};
static const struct flaw timestamp_flaws[] = {
    {.timestamp = "\"soon\""}, {.timestamp = "-1"},      {.timestamp = "1720622216.5"},
    {.timestamp = "true"},     {.timestamp = "\"17 \""}, {.timestamp = "253402300799"},
};

static void put_member(struct event_source *source, const char *name, const char *flaw,
                       const char *text) {
    if (flaw == NULL)
        text_format(&source->value, ", \"%s\": \"%s\"", name, text);
    else if (flaw[0] != '\0')
        text_format(&source->value, ", \"%s\": %s", name, flaw);
}

static void put_login(struct event_source *source, const struct flaw *flaw, struct event *event) {
    struct random user =
        random_of(source->plan.seed ^ (pick_user(source) + 1) * 0xD1342543DE82EF95u);
    const size_t state_a = random_below(&user, STATES);
    const size_t state_b = random_below(&user, STATES);
    const size_t device = random_below(&user, 100);
    const int64_t timestamp_s = event->timestamp_ms / 1000;
    struct text *value = &source->value;
    event->locale = states[state_a < state_b ? state_a : state_b];
    event->device_type = devices[device < 56 ? 0 : device < 94 ? 1 : 2];
    event->minute = timestamp_s / 60;
    text_add(value, "{\"user_id\": \"");
    put_uuid(source, &user);
    text_format(value, "\", \"app_version\": \"%s\"", versions[random_below(&user, VERSIONS)]);
    const unsigned ip = (unsigned)random_next(&source->random);
    text_format(value, ", \"ip\": \"%u.%u.%u.%u\"", 11 + (ip & 0xFF) % 212, ip >> 8 & 0xFF,
                ip >> 16 & 0xFF, ip >> 24);
    put_member(source, "locale", flaw->locale, event->locale);
    text_add(value, ", \"device_id\": \"");
    put_uuid(source, &user);
    text_add(value, "\"");
    if (flaw->timestamp != NULL) {
        put_member(source, "timestamp", flaw->timestamp, NULL);
    } else { /* one login in 16 carries it as a text */
        const char *quote = random_below(&source->random, 16) == 0 ? "\"" : "";
        text_format(value, ", \"timestamp\": %s%lld%s", quote, (long long)timestamp_s, quote);
    }
    put_member(source, "device_type", flaw->device, event->device_type);
    text_add(value, "}");
}

static const struct flaw *pick_flaw(struct random *random, const struct flaw *flaws, size_t count) {
    return &flaws[random_below(random, count)];
}

#define PICK(random, flaws) pick_flaw(random, flaws, sizeof(flaws) / sizeof(flaws)[0])

static void put_not_json(struct event_source *source, struct event *event) {
    put_login(source, &no_flaw, event);
    switch (random_below(&source->random, 3)) {
    case 0:
        source->value.length /= 2; /* cut off */
        break;
    case 1:
        text_add(&source->value, "}");
        break;
    default:
        source->bytes[source->value.length - 3] = (char)0xFF; /* in a text, and no UTF-8 */
        break;
    }
}

static void put_rejected(struct event_source *source, struct event *event) {
    static const char *const others[] = {"[1720622216]", "42", "\"login\"", "null", " true "};
    struct random *random = &source->random;
    event->reason = (enum login_reason)(1 + random_below(random, LOGIN_REASON_COUNT - 1));
    switch (event->reason) {
    case LOGIN_EMPTY:
        if (random_below(random, 2) == 0) event->value = NULL;
        break;
    case LOGIN_NOT_JSON:
        put_not_json(source, event);
        break;
    case LOGIN_NOT_OBJECT:
        text_add(&source->value, others[random_below(random, sizeof others / sizeof others[0])]);
        break;
    case LOGIN_MISSING_FIELD:
        put_login(source, PICK(random, missing_flaws), event);
        break;
    case LOGIN_BAD_VALUE:
        put_login(source, PICK(random, value_flaws), event);
        break;
    case LOGIN_BAD_TIMESTAMP:
        put_login(source, PICK(random, timestamp_flaws), event);
        break;
    case LOGIN_ACCEPTED:
    case LOGIN_REASON_COUNT:
        abort(); /* never drawn */
    }
}

static int64_t next_ms(const struct event_source *source) {
    return source->origin_ms + source->index * 1000 / source->plan.rate;
}

void event_next(struct event_source *source, struct event *event) {
    source->value = text_within(source->bytes, sizeof source->bytes);
    *event = (struct event){.value = source->bytes, .timestamp_ms = next_ms(source)};
    source->index++;
    if (random_share(&source->random) * 100 < source->plan.invalid_percent) {
        put_rejected(source, event);
    } else {
        put_login(source, &no_flaw, event);
    }
    assert(!source->value.is_broken);
    event->value_bytes = source->value.length;
}

void event_source_advance(struct event_source *source, int64_t now_ms) {
    if (now_ms <= next_ms(source)) return;
    source->origin_ms = now_ms;
    source->index = 0;
}
