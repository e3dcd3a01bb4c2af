/* http_client: reads one page of a server on a trusted network, by HTTP/1.1 GET.
 *
 * Threads:  any.
 * Limits:   HTTP_CLIENT_BYTES_MAX a reply, its head included. The reply must say its length, as
 *           http_server's do; no TLS, no password, no redirection.
 * Waits:    timeout_ms in all, but for the resolver where the address is a name. A signal ends it.
 */
#ifndef EDGE_HTTP_CLIENT_H
#define EDGE_HTTP_CLIENT_H

#include "base/error.h"
#include "base/text.h"

enum { HTTP_CLIENT_BYTES_MAX = 4 * 1024 * 1024 };

/* Reads a page, such as "/metrics", from the server on HOST:PORT; from one on 0.0.0.0 or [::] by
 * loopback. Returns its body, which lies in reply and lives as long, or NULL with an error unless
 * it arrived whole and with status 200. Borrows all; reply is overwritten. */
const char *http_client_get(const char *listen_on, const char *path, int timeout_ms,
                            struct text *reply, struct error *error);

#endif
