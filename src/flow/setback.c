#include "setback.h"

#include "base/clamp.h"
#include "base/log.h"

void setback_init(struct setback *setback) {
    trouble_init(&setback->trouble);
    trouble_init(&setback->waits);
}

void setback_fini(struct setback *setback) {
    trouble_fini(&setback->trouble);
    trouble_fini(&setback->waits);
}

bool setback_is_ready(struct setback *setback, bool is_ready, int64_t now_ms, struct text *why) {
    struct text waits = {0};
    if (trouble_show(&setback->trouble, now_ms, 0, why)) return false;
    if (is_ready) return true;
    text_add(why, "the producer is not ready");
    if (trouble_show(&setback->waits, now_ms, 0, &waits))
        text_format(why, ": %s", text_string(&waits));
    text_release(&waits);
    return false;
}

int64_t setback_add(struct setback *setback, int64_t now_ms, const char *why) {
    if (setback->count++ == 0) setback->first_ms = now_ms;
    const int64_t lasts_ms = now_ms - setback->first_ms;
    if (setback->count >= SETBACK_REPORT_COUNT && lasts_ms >= SETBACK_REPORT_MS) {
        struct error what;
        error_set(&what, "publishing fails: %s", why);
        log_error("Publishing fails each time it is tried", log_text("reason", why),
                  log_int("times", setback->count), log_int("for_s", lasts_ms / 1000));
        trouble_set(&setback->trouble, now_ms, what.text);
    }
    setback->halves = (int)smaller(setback->halves + 2, SETBACK_HALVES_MAX);
    const int64_t until_ms = now_ms + setback->pause_ms;
    setback->pause_ms = clamp(setback->pause_ms * 2, SETBACK_PAUSE_MS_MIN, SETBACK_PAUSE_MS_MAX);
    return until_ms;
}

void setback_passed(struct setback *setback) {
    if (setback->halves > 0) setback->halves--;
}

void setback_end(struct setback *setback) {
    setback->count = setback->pause_ms = 0;
    trouble_clear(&setback->trouble);
}
