#include "input.h"

#include <string.h>

#define AT 1720622216 /* seconds; its minute is AT / 60 */
#define TEXT_OF_(number) #number
#define TEXT_OF(number) TEXT_OF_(number)

#define LOGIN(device, locale)                                                                      \
    "{\"user_id\":\"5ec2d697\",\"locale\":\"" locale                                               \
    "\",\"timestamp\":" TEXT_OF(AT) ",\"device_type\":\"" device "\"}"

enum { MAX_FUTURE_S = 3600 };

static const char android[] = LOGIN("android", "PA");
static const char web[] = LOGIN("web", "NY");
static const char web_spelled[] = "{ \"device_type\": \"\\u0077eb\", \"more\": [1, {\"a\": null}],"
                                  " \"timestamp\": \"" TEXT_OF(AT) "\", \"locale\": \"NY\" }";

#define LIMIT_MS ((AT - INT64_C(3600)) * 1000) /* a Kafka timestamp before it: too far ahead */

const struct input inputs[INPUT_KINDS] = {
    {android, LIMIT_MS, OUTCOME_ANDROID},
    {android, LIMIT_MS - 1, (enum outcome)LOGIN_BAD_TIMESTAMP},
    {web_spelled, LIMIT_MS, OUTCOME_WEB},
    {web, LIMIT_MS - 1, (enum outcome)LOGIN_BAD_TIMESTAMP},
    {android, AT *INT64_C(1000), OUTCOME_ANDROID},
    {web, AT *INT64_C(1000), OUTCOME_WEB},
    {web_spelled, -1, OUTCOME_WEB},
    {NULL, AT *INT64_C(1000), (enum outcome)LOGIN_EMPTY},
    {"{\"locale\":\"PA\",", AT *INT64_C(1000), (enum outcome)LOGIN_NOT_JSON},
    {"[\"login\", \"android\"]", AT *INT64_C(1000), (enum outcome)LOGIN_NOT_OBJECT},
    {"{\"timestamp\":1720622216,\"locale\":\"PA\"}", AT *INT64_C(1000),
     (enum outcome)LOGIN_MISSING_FIELD},
    {LOGIN("android", ""), AT *INT64_C(1000), (enum outcome)LOGIN_BAD_VALUE},
};

const struct login_rules input_rules = {
    .dimensions = {"device_type", "locale"},
    .dimension_count = 2,
    .max_future_s = MAX_FUTURE_S,
};

int64_t input_clock_ms(unsigned tick) {
    return LIMIT_MS - 1 + tick % 2;
}

static int is_text(struct slice text, const char *wanted) {
    return text.length == strlen(wanted) && memcmp(text.bytes, wanted, text.length) == 0;
}

enum outcome input_outcome(const struct login *login) {
    if (login->reason != LOGIN_ACCEPTED) return (enum outcome)login->reason;
    if (login->minute != AT / 60) return OUTCOME_NONE;
    if (is_text(login->values[0], "android") && is_text(login->values[1], "PA")) {
        return OUTCOME_ANDROID;
    }
    if (is_text(login->values[0], "web") && is_text(login->values[1], "NY")) return OUTCOME_WEB;
    return OUTCOME_NONE;
}
