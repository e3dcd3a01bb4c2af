/* pages: the HTTP server, of which somebody asks for a page now and then: a thread that sees the
 * program at any moment, also while it is built and taken down.
 */
#ifndef TESTS_SIMULATION_PAGES_H
#define TESTS_SIMULATION_PAGES_H

#include "process.h"

/* Asks a process for one of its pages, if it serves any. */
void pages_ask(struct process *process);

#endif
