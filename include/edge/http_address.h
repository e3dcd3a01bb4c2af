/* http_address: HOST:PORT, which http_server listens on and http_client connects to.
 *
 * Threads:  any.
 * Waits:    for the resolver, where HOST is a name.
 */
#ifndef EDGE_HTTP_ADDRESS_H
#define EDGE_HTTP_ADDRESS_H

#include <netdb.h>

#include "base/error.h"

/* The addresses of http.listen, for TCP; HOST is an address ([::1]:9464 with brackets) or a name.
 * flags are those of getaddrinfo(3). The caller frees them with freeaddrinfo. NULL, with an error
 * that says how to fix it, if it is not of that form or the name has no address. Borrows all. */
struct addrinfo *http_address_find(const char *listen_on, int flags, struct error *error);

#endif
