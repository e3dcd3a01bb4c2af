/* child: another program as a child process.
 *
 * Threads:  one owner a child.
 * Waits:    child_stop alone, for about timeout_ms.
 */
#ifndef TOOLS_CHILD_H
#define TOOLS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct error;

struct child {  /* all zero: not started */
    pid_t pid;  /* 0 once it has ended */
    int status; /* then: its exit status, or 128 and the number of the signal */
};

/* Starts the program of this path, or of this name in PATH, without a shell: stdin is empty, both
 * outputs go to the file log_path. It has a session of its own: no Ctrl-C of the terminal reaches
 * it, and it may outlive this process. Borrows all. */
bool child_start(struct child *child, const char *program, const char *const argv[],
                 const char *log_path, struct error *error);

bool child_is_running(struct child *child);

/* Sends SIGTERM, and SIGKILL if it has not ended within timeout_ms. */
void child_stop(struct child *child, int timeout_ms);

#endif
