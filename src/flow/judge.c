#include "flow/judge.h"

void judge_record(struct login_judge *judge, const struct kafka_record *record,
                  struct login *login) {
    struct login_header headers[LOGIN_HEADERS_MAX];
    const char *const *names;
    const size_t count = login_judge_headers(judge, &names);
    for (size_t i = 0; i < count; i++)
        headers[i].is_there = kafka_record_header(record, names[i], &headers[i].value);
    const struct login_record judged = {record->value, record->timestamp_ms, headers};
    login_judge_record(judge, &judged, login);
}
