#include "redis_wire.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/worker.h"
#include "edge/redis_fault.h"
#include "redis_call.h"
#include "redis_dial.h"

#define FIX "; start Redis, or set redis.url"

enum { LOOK_MS = 100 }; /* between looks whether it is still the wire's turn */

void redis_wire_close(struct redis_wire *wire) {
    if (wire->context != NULL) redisFree(wire->context);
    wire->context = NULL;
}

/* An error of connecting: the reason alone. */
static bool connect_host(struct redis_wire *wire, const struct redis_address *address,
                         int64_t until_ms, struct error *reason) {
    const int fd = redis_dial(address->host, address->port, until_ms, reason);
    if (fd < 0) return false;
    wire->context = redisConnectFd(fd);
    if (wire->context != NULL) {
        redisEnableKeepAlive(wire->context);
        return true;
    }
    close(fd);
    return error_set(reason, "out of memory");
}

static bool connect_path(struct redis_wire *wire, const char *path, struct error *reason) {
    const struct timeval timeout = {wire->timeout_ms / 1000, wire->timeout_ms % 1000 * 1000L};
    wire->context = redisConnectUnixWithTimeout(path, timeout);
    if (wire->context == NULL) return error_set(reason, "out of memory");
    if (wire->context->err == 0) return true;
    error_set(reason, "%s", wire->context->errstr);
    redis_wire_close(wire);
    return false;
}

bool redis_wire_is_status(struct redis_wire *wire, struct redis_reply *reply, struct error *error) {
    if (reply == NULL) return false;
    const bool is_good = redis_reply_kind(reply) == REDIS_STATUS;
    if (redis_reply_kind(reply) == REDIS_ERROR) {
        wire->is_refused = redis_fault_judge(redis_reply_text(reply).bytes, wire->name, "",
                                             error) == REDIS_FAULT_SETUP;
    } else if (!is_good) {
        error_set(error, "Redis at %s gives an odd answer: is it Redis?", wire->name);
    }
    redis_reply_destroy(&reply);
    if (!is_good) redis_wire_close(wire);
    return is_good;
}

static bool log_in(struct redis_wire *wire, const struct redis_wire_target *target,
                   struct error *error) {
    const char *password = target->password == NULL ? "" : target->password; /* a nopass user's */
    if (target->user == NULL && target->password == NULL) return true;
    const bool is_put = target->user == NULL
                            ? redis_wire_put(wire, error, "AUTH %s", password)
                            : redis_wire_put(wire, error, "AUTH %s %s", target->user, password);
    return is_put && redis_wire_is_status(wire, redis_wire_receive(wire, error), error);
}

bool redis_wire_open(struct redis_wire *wire, const struct redis_wire_target *target,
                     int64_t until_ms, struct error *error) {
    struct error reason;
    const struct timeval timeout = {wire->timeout_ms / 1000, wire->timeout_ms % 1000 * 1000L};
    wire->is_refused = false;
    worker_call_begins(wire->timeout_ms);
    const bool is_connected = target->address != NULL
                                  ? connect_host(wire, target->address, until_ms, &reason)
                                  : connect_path(wire, target->path, &reason);
    worker_call_ends();
    if (!is_connected)
        return error_set(error, "Redis at %s cannot be reached: %.700s" FIX, wire->name,
                         reason.text);
    redisSetTimeout(wire->context, timeout);
    if (target->tls != NULL && !redis_tls_start(target->tls, wire->context, target->address->host,
                                                wire->name, &wire->is_refused, error)) {
        redis_wire_close(wire);
        return false;
    }
    return log_in(wire, target, error);
}

static bool is_queued(struct redis_wire *wire, int result, struct error *error) {
    if (result == REDIS_OK) return true;
    redis_wire_close(wire);
    return error_set(error,
                     "out of memory for a command to Redis: lower instance.memory_mb, or give "
                     "more");
}

bool redis_wire_send(struct redis_wire *wire, const struct redis_command *command,
                     struct error *error) {
    assert(wire->context != NULL);
    if (command->words.is_broken) {
        redis_wire_close(wire);
        return error_set(error,
                         "a command to Redis would be larger than %d MB: count fewer values or "
                         "buckets (max_values, retention_days)",
                         TEXT_BYTES_MAX >> 20);
    }
    char head[16];
    const int length = snprintf(head, sizeof head, "*%d\r\n", command->count);
    int result = redisAppendFormattedCommand(wire->context, head, (size_t)length);
    if (result == REDIS_OK) {
        result =
            redisAppendFormattedCommand(wire->context, command->words.bytes, command->words.length);
    }
    return is_queued(wire, result, error);
}

bool redis_wire_vput(struct redis_wire *wire, struct error *error, const char *format,
                     va_list args) {
    assert(wire->context != NULL);
    return is_queued(wire, redisvAppendCommand(wire->context, format, args), error);
}

bool redis_wire_put(struct redis_wire *wire, struct error *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const bool is_put = redis_wire_vput(wire, error, format, args);
    va_end(args);
    return is_put;
}

enum ending { ARRIVED, BROKEN, LATE, TOO_LONG, OVERTAKEN };

/* Waits until something can be read, as long as it is the wire's turn. */
static enum ending await(const struct redis_wire *wire, int64_t until_ms) {
    struct pollfd ready = {.fd = wire->context->fd, .events = POLLIN};
    for (;;) {
        if (atomic_load(wire->turn) != wire->seen) return OVERTAKEN;
        const int64_t left_ms = until_ms - clock_ms();
        if (left_ms <= 0) return LATE;
        if (poll(&ready, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) > 0) return ARRIVED;
    }
}

/* As redisGetReply, which would wait the whole timeout for each piece of a reply. */
static enum ending get_reply(struct redis_wire *wire, void **reply) {
    enum { READ_BYTES = 16 * 1024 }; /* what redisBufferRead takes at most, and a record of TLS */
    redisContext *context = wire->context;
    const int64_t until_ms = clock_ms() + wire->timeout_ms;
    size_t read_count = 0;
    for (int is_written = 0; !is_written;) {
        if (redisBufferWrite(context, &is_written) == REDIS_ERR)
            return errno == EAGAIN && context->err == REDIS_ERR_IO ? LATE : BROKEN;
    }
    for (;;) {
        if (redisGetReplyFromReader(context, reply) == REDIS_ERR) return BROKEN;
        if (*reply != NULL) return ARRIVED;
        if (read_count > 0 && clock_ms() >= until_ms) return LATE;
        if (read_count++ > REDIS_WIRE_REPLY_BYTES / READ_BYTES) return TOO_LONG;
        const enum ending waited = wire->turn == NULL ? ARRIVED : await(wire, until_ms);
        if (waited != ARRIVED) return waited;
        errno = 0;
        if (redisBufferRead(context) == REDIS_ERR)
            return errno == EAGAIN && context->err == REDIS_ERR_IO ? LATE : BROKEN;
    }
}

struct redis_reply *redis_wire_receive(struct redis_wire *wire, struct error *error) {
    void *reply = NULL;
    if (wire->context == NULL) {
        error_set(error, "the connection to Redis at %s is closed", wire->name);
        return NULL;
    }
    worker_call_begins(wire->timeout_ms);
    errno = 0;
    enum ending ending = get_reply(wire, &reply);
    worker_call_ends();
    switch (ending) {
    case ARRIVED:
        return reply;
    case LATE:
        error_set(error, "Redis at %s did not answer within %d ms" FIX, wire->name,
                  wire->timeout_ms);
        break;
    case TOO_LONG:
        error_set(error, "Redis at %s answers with more than %d MB: that is too much for a reply",
                  wire->name, REDIS_WIRE_REPLY_BYTES >> 20);
        break;
    case OVERTAKEN:
        error_set(error, "Redis at %s is not the master any more", wire->name);
        break;
    case BROKEN:
        error_set(error, "the connection to Redis at %s broke: %s" FIX, wire->name,
                  wire->context->errstr);
        break;
    }
    redis_wire_close(wire);
    return NULL;
}

int redis_wire_fd(struct redis_wire *wire) {
    int is_written = 0;
    if (wire->context == NULL) return -1;
    if (redisBufferWrite(wire->context, &is_written) == REDIS_ERR) redis_wire_close(wire);
    return wire->context == NULL ? -1 : wire->context->fd;
}

struct redis_reply *redis_wire_hear(struct redis_wire *wire, bool must_read) {
    void *reply = NULL;
    if (wire->context == NULL) return NULL;
    if ((must_read && redisBufferRead(wire->context) == REDIS_ERR) ||
        redisGetReplyFromReader(wire->context, &reply) == REDIS_ERR) {
        redis_wire_close(wire);
        return NULL;
    }
    return reply;
}
