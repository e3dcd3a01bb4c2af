/* A manager that is gone, or too slow, must not hold up the process: the socket does not block, and
 * whatever was not sent counts as not reported. */
#include "edge/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"

enum { STATUS_BYTES = 1024, MESSAGE_BYTES = 1280 };

struct notify {
    int socket;
    struct sockaddr_un address;
    socklen_t address_bytes;
    bool has_watchdog;
    int64_t every_ms, next_ms;
    /* as last reported */
    bool is_ready, is_stopping, is_reloading;
    char status[STATUS_BYTES];
};

static bool set_address(struct notify *notify, const char *path) {
    struct sockaddr_un *address = &notify->address;
    const size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address->sun_path) return false;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    if (path[0] == '@') address->sun_path[0] = '\0';
    notify->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

struct notify *notify_create(const char *socket_name, const char *watchdog_usec) {
    if (socket_name == NULL) return NULL;
    struct notify *notify = memory_create(sizeof *notify);
    notify->socket = -1;
    if (set_address(notify, socket_name))
        notify->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->socket < 0) notify_destroy(&notify);
    if (notify == NULL) return NULL;
    const int64_t watchdog_ms = watchdog_usec != NULL ? strtoll(watchdog_usec, NULL, 10) / 1000 : 0;
    notify->has_watchdog = watchdog_ms > 0;
    notify->every_ms = NOTIFY_EVERY_MS;
    /* Three chances within the time. */
    if (notify->has_watchdog) notify->every_ms = clamp(watchdog_ms / 3, 1, NOTIFY_EVERY_MS);
    return notify;
}

void notify_destroy(struct notify **notify) {
    if (*notify == NULL) return;
    if ((*notify)->socket >= 0) close((*notify)->socket);
    free(*notify);
    *notify = NULL;
}

bool notify_is_due(const struct notify *notify, int64_t now_ms) {
    return notify != NULL && now_ms >= notify->next_ms;
}

static bool send_text(const struct notify *notify, const struct text *message) {
    return sendto(notify->socket, message->bytes, message->length, MSG_NOSIGNAL,
                  (const struct sockaddr *)&notify->address,
                  notify->address_bytes) == (ssize_t)message->length;
}

void notify_report(struct notify *notify, const struct notify_state *state, int64_t now_ms) {
    char buffer[MESSAGE_BYTES], status[STATUS_BYTES];
    struct text message = text_within(buffer, sizeof buffer);
    if (notify == NULL) return;
    notify->next_ms = now_ms + notify->every_ms;
    const size_t length = strcspn(state->status, "\n");
    struct text line = text_within(status, sizeof status);
    text_format(&line, "%.*s", (int)clamp((int64_t)length, 0, STATUS_BYTES - 1), state->status);
    const bool is_new = strcmp(status, notify->status) != 0;
    const bool is_ready = (state->is_ready && !notify->is_ready) || notify->is_reloading;
    const bool is_stopping = state->is_stopping && !notify->is_stopping;
    if (is_ready) text_add(&message, "READY=1\n");
    if (is_stopping) text_add(&message, "STOPPING=1\n");
    if (is_new) text_format(&message, "STATUS=%s\n", status);
    if (notify->has_watchdog && state->is_alive) text_add(&message, "WATCHDOG=1\n");
    if (message.length == 0 || !send_text(notify, &message)) return;
    notify->is_ready |= is_ready;
    notify->is_reloading = false;
    notify->is_stopping |= is_stopping;
    memcpy(notify->status, status, sizeof status);
}

void notify_reload(struct notify *notify) {
    char buffer[MESSAGE_BYTES];
    struct text message = text_within(buffer, sizeof buffer);
    if (notify == NULL || !notify->is_ready) return;
    text_format(&message, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_us());
    if (!send_text(notify, &message)) return;
    notify->is_reloading = true;
    notify->next_ms = 0;
}
