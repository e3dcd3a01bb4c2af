/* redis_dial: a TCP connection to a name, before one deadline.
 *
 * Place:    under redis_wire.
 * Threads:  any.
 * Owns:     nothing; a name that takes too long is resolved to its end by a thread of its own,
 *           whose result is dropped.
 * Limits:   DIAL_ADDRESSES_MAX addresses of a name, all IPv4 and IPv6.
 * Waits:    until the deadline at most, resolving included. Addresses are tried in the order of
 *           RFC 6724, each beginning when the one before failed or has taken 250 ms (as RFC 8305
 *           has it); the first that connects is taken.
 */
#ifndef EDGE_REDIS_DIAL_H
#define EDGE_REDIS_DIAL_H

#include <stdint.h>

#include "base/error.h"

/* A connected, blocking socket, or -1 with the reason alone ("Connection refused"). Borrows host, a
 * name (a dot at its end is allowed) or an IP address. */
int redis_dial(const char *host, int port, int64_t until_ms, struct error *error);

#endif
