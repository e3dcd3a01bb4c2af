#include "redis_call.h"

void redis_call_clear(struct redis_call *call, const char *prefix) {
    call->prefix = prefix;
    redis_command_clear(&call->keys);
    redis_command_clear(&call->arguments);
}

void redis_call_release(struct redis_call *call) {
    redis_command_release(&call->command);
    redis_command_release(&call->keys);
    redis_command_release(&call->arguments);
    redis_command_release(&call->section);
}

void redis_call_begin(struct redis_call *call, const struct aggregate *aggregate) {
    struct redis_command *keys = &call->keys;
    call->aggregate = aggregate;
    call->first_key = keys->argument_count;
    redis_command_clear(&call->section);
    if (aggregate->kind != AGGREGATE_DAYS) {
        redis_command_put_format(keys, "%s:%s", call->prefix, aggregate->key);
        return;
    }
    redis_command_put_format(keys, "%s:%s", call->prefix, aggregate->days_key);
    redis_command_put_format(keys, "%s:%s:" AGGREGATE_OTHER, call->prefix, aggregate->key);
    redis_command_put_format(keys, "%s:%s", call->prefix, aggregate->anomalies_key);
}

void redis_call_put_day(struct redis_call *call, const char *day) {
    redis_command_put_format(&call->keys, "%s:%s:%s", call->prefix, call->aggregate->key, day);
    redis_command_put_text(&call->section, day);
}

void redis_call_end(struct redis_call *call) {
    static const char *const kinds[] = {
        [AGGREGATE_VALUES] = "values", [AGGREGATE_DAYS] = "days", [AGGREGATE_NAMES] = "names"};
    redis_command_put_text(&call->arguments, kinds[call->aggregate->kind]);
    redis_command_put_int(&call->arguments, call->keys.argument_count - call->first_key);
    redis_command_put_int(&call->arguments, call->section.argument_count);
    redis_command_put_all(&call->arguments, &call->section);
}

void redis_call_finish(struct redis_call *call, bool by_text, const char *script) {
    redis_command_clear(&call->command);
    redis_command_put_text(&call->command, by_text ? "EVAL" : "EVALSHA");
    redis_command_put_text(&call->command, script);
    redis_command_put_int(&call->command, call->keys.argument_count);
    redis_command_put_all(&call->command, &call->keys);
    redis_command_put_all(&call->command, &call->arguments);
}
