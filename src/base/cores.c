/* A cgroup is limited by its own quota and by those of all above it, so the path is walked up to
 * the mount. That also finds the quota of a container without a cgroup namespace, whose path is the
 * host's while its mount shows only its own cgroup.
 *
 * Sources: cgroups(7), the kernel's "Control Group v2" (cpu.max) and "CFS Bandwidth Control". */
#include "base/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clamp.h"

int cores_by_affinity(void) {
    cpu_set_t set[CORES_MAX / CPU_SETSIZE];
    int count = 0;
    if (sched_getaffinity(0, sizeof set, set) == 0) count = CPU_COUNT_S(sizeof set, set);
    if (count == 0) count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count;
}

/* The first line of a file below root, without its end; false if there is none. */
static bool read_line(const char *root, const char *folder, const char *name, char line[64]) {
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    FILE *file = fopen(path, "re");
    const bool is_read = file != NULL && fgets(line, 64, file) != NULL;
    if (file != NULL) fclose(file);
    return is_read;
}

/* INT_MAX: no quota. */
static int64_t quota_of(const char *root, const char *folder, bool is_v2) {
    char line[64], *rest = line, *end = line;
    if (!read_line(root, folder, is_v2 ? "cpu.max" : "cpu.cfs_quota_us", line)) return INT_MAX;
    const long long quota_us = strtoll(line, &rest, 10); /* 0 for "max" */
    if (!is_v2 && read_line(root, folder, "cpu.cfs_period_us", line)) rest = line;
    long long period_us = strtoll(rest, &end, 10);
    if (end == rest) period_us = 100000; /* the kernel's default */
    if (quota_us <= 0 || period_us <= 0) return INT_MAX;
    const long long cores = quota_us / period_us + (quota_us % period_us != 0);
    return smaller(cores, INT_MAX);
}

/* The least quota of the cgroup at this path and of all above it. */
static int64_t least_quota(const char *root, const char *mount, const char *path, bool is_v2) {
    char folder[PATH_MAX + 64];
    int64_t least = INT_MAX;
    snprintf(folder, sizeof folder, "%s%s", mount, path);
    for (;;) {
        least = smaller(least, quota_of(root, folder, is_v2));
        char *slash = strrchr(folder, '/');
        if (slash < folder + strlen(mount)) return least;
        *slash = '\0';
    }
}

static bool has_word(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (const char *p = list; *p != '\0'; p += strcspn(p, ","), p += *p == ',') {
        if (strcspn(p, ",") == length && strncmp(p, word, length) == 0) return true;
    }
    return false;
}

int cores_by_quota(const char *root) {
    char path[PATH_MAX], line[PATH_MAX + 128], controllers[128];
    int64_t least = INT_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        /* "0::/a/b" of v2, "4:cpu,cpuacct:/a/b" of v1 */
        line[strcspn(line, "\n")] = '\0';
        char *colon = strchr(line, ':'), *end = colon == NULL ? NULL : strchr(colon + 1, ':');
        if (end == NULL || end[1] != '/') continue;
        snprintf(controllers, sizeof controllers, "%.*s", (int)(end - colon - 1), colon + 1);
        if (controllers[0] == '\0') {
            least = smaller(least, least_quota(root, "/sys/fs/cgroup", end + 1, true));
        } else if (has_word(controllers, "cpu")) {
            least = smaller(least, least_quota(root, "/sys/fs/cgroup/cpu", end + 1, false));
            least = smaller(least, least_quota(root, "/sys/fs/cgroup/cpu,cpuacct", end + 1, false));
        }
    }
    if (file != NULL) fclose(file);
    return least == INT_MAX ? 0 : (int)least;
}

int cores_usable(void) {
    const int quota = cores_by_quota("");
    const int cores = cores_by_affinity();
    return quota == 0 ? cores : (int)smaller(cores, quota);
}
