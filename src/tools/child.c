#include "tools/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

bool child_start(struct child *child, const char *program, const char *const argv[],
                 const char *log_path, struct error *error) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    *child = (struct child){0};
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log_path, O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    const int code = posix_spawnp(&child->pid, program, &files, &attributes,
                                  (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (code == 0) return true;
    child->pid = 0;
    errno = code;
    return error_set(error, "%s cannot be started: %m", program);
}

bool child_is_running(struct child *child) {
    int status = 0;
    if (child->pid == 0) return false;
    const pid_t ended = waitpid(child->pid, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR)) return true;
    child->pid = 0;
    child->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return false;
}

void child_stop(struct child *child, int timeout_ms) {
    const int64_t deadline_ms = clock_ms() + timeout_ms;
    if (!child_is_running(child)) return;
    kill(child->pid, SIGTERM);
    while (child_is_running(child)) {
        if (clock_ms() >= deadline_ms) kill(child->pid, SIGKILL);
        clock_sleep_ms(10);
    }
}
