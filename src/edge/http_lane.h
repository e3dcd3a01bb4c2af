/* http_lane: a thread for answers that may take long, one at a time.
 *
 * Place:    next to http_server's thread, which leaves it requests.
 * Threads:  create, put and destroy from the server's, or while that does not run; the handlers run
 *           on the lane's own.
 * Owns:     the connections that were left to it. It answers each one request, then closes it. A
 *           client that has only shut its sending side gets its answer; of one that has gone, seen
 *           by its reset, no handler is called.
 * Limits:   HTTP_WAITING_MAX connections that wait.
 * Waits:    destroy, for the handler that is running; its client's connection is cut.
 */
#ifndef SRC_EDGE_HTTP_LANE_H
#define SRC_EDGE_HTTP_LANE_H

#include "http_connection.h"

struct http_lane;

/* piece_ms: for a client to take a piece. Keeps context, copies name. NULL: the system has no
 * thread to give. */
struct http_lane *http_lane_create(const char *name, int piece_ms, void *context);

/* Takes *lane, which may be NULL, and nulls it. No handler runs after it. */
void http_lane_destroy(struct http_lane **lane);

/* Takes *connection and nulls it; false if too many are waiting. */
bool http_lane_put(struct http_lane *lane, struct http_connection **connection);

#endif
