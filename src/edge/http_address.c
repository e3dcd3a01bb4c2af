#include "edge/http_address.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>

enum { HOST_BYTES = 256 };

/* Splits HOST:PORT or [HOST]:PORT. Answers false if it is neither. */
static bool split(const char *listen_on, char host[HOST_BYTES], const char **port) {
    const char *colon = strrchr(listen_on, ':');
    if (colon == NULL) return false;
    const char *begin = listen_on;
    const char *end = colon;
    if (*begin == '[') {
        if (end - begin < 2 || end[-1] != ']') return false;
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
        return false; /* an address of IPv6 without brackets */
    }
    const size_t length = (size_t)(end - begin);
    if (length == 0 || length >= HOST_BYTES) return false;
    memcpy(host, begin, length);
    host[length] = '\0';

    *port = colon + 1;
    const size_t digits = strspn(*port, "0123456789");
    return digits > 0 && digits <= 5 && (*port)[digits] == '\0' &&
           strtol(*port, NULL, 10) <= UINT16_MAX;
}

struct addrinfo *http_address_find(const char *listen_on, int flags, struct error *error) {
    char host[HOST_BYTES];
    const char *port = NULL;
    if (!split(listen_on, host, &port)) {
        error_set(error,
                  "http.listen: \"%s\" is not HOST:PORT; for example 127.0.0.1:9464 (this machine "
                  "alone), 0.0.0.0:9464 or [::]:9464 (all its addresses), or nothing (no HTTP)",
                  listen_on);
        return NULL;
    }

    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo(host, port, &hints, &found);
    if (failure != 0) {
        error_set(error, "http.listen %s: no address for \"%s\" (%s); choose an address", listen_on,
                  host, gai_strerror(failure));
        return NULL;
    }
    return found;
}
