/* http_listen: HOST:PORT as an address, and a socket that listens there.
 *
 * Place:    under http_server; http_client looks for addresses with it.
 * Threads:  any.
 * Owns:     nothing: descriptors and lists of addresses are the caller's.
 * Waits:    for the resolver, where HOST is a name.
 */
#ifndef EDGE_HTTP_LISTEN_H
#define EDGE_HTTP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct addrinfo;

/* The addresses of HOST:PORT, for TCP, to be freed with freeaddrinfo(3), whose flags these are.
 * NULL with an error. Borrows all. */
struct addrinfo *http_listen_find(const char *listen_on, int flags, struct error *error);

/* A descriptor that listens and does not block. HOST is an address ([::1]:9464 with brackets) or a
 * name that has one; port 0 takes a free one. -1, with an error that names the address and the fix,
 * if it is not of that form or cannot be bound. Borrows listen_on. */
int http_listen_open(const char *listen_on, struct error *error);

/* The port of a descriptor that listens. */
uint16_t http_listen_port(int descriptor);

/* Whether only this machine reaches it. */
bool http_listen_is_loopback(int descriptor);

/* Whether a request's Host (with or without a port) may ask one that listens on loopback: the HOST
 * of listen_on, localhost, 127.x.x.x or [::1]. A page from elsewhere whose name was made to lead
 * here has another one. Borrows both. */
bool http_listen_is_host(const char *listen_on, const char *host);

#endif
