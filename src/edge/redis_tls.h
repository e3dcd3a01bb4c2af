/* redis_tls: TLS for a connection to Redis, with a server that a known authority vouches for under
 * the very name by which it was called.
 *
 * Place:    under redis_wire; where hiredis has no TLS (before 1.0), none can be created.
 * Threads:  create and destroy from one; the rest from any.
 * Limits:   TLS 1.2 or later.
 * Waits:    each read and write of the handshake as long as the connection's own timeout.
 */
#ifndef EDGE_REDIS_TLS_H
#define EDGE_REDIS_TLS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct redis_tls;

/* The authorities are those in the file `ca`; if it is NULL, those of OpenSSL: of the system, or
 * what SSL_CERT_FILE and SSL_CERT_DIR in the environment name. With the client's own certificate
 * and key, unless they are NULL. Reads the files, and again before a handshake once their content
 * has changed; if that cannot be used, what was read before is. Borrows all. */
struct redis_tls *redis_tls_create(const char *ca, const char *certificate, const char *key,
                                   struct error *error);
void redis_tls_destroy(struct redis_tls **tls);

/* A number that is another one once the content of the files is. tls may be NULL. */
uint64_t redis_tls_digest(const struct redis_tls *tls);

/* Shakes hands over a new connection with a host, by its name or IP address; if that fails, the
 * connection is good for nothing but redisFree, and *is_refused is true if it is for the
 * certificate. Borrows context, host, and where (for messages). */
bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host,
                     const char *where, bool *is_refused, struct error *error);

#endif
