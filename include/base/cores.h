/* cores: how many cores this process may use, which in a container are fewer than the host has.
 *
 * Threads:  any.
 * Limits:   CORES_MAX cores are looked at.
 */
#ifndef BASE_CORES_H
#define BASE_CORES_H

enum { CORES_MAX = 8192 };

/* Those of the thread's affinity that the cgroup's CPU quota can keep busy; at least 1. */
int cores_usable(void);

/* Those that the affinity of the calling thread allows (taskset, cpusets); at least 1. */
int cores_by_affinity(void);

/* What the quotas of the process's cgroup and of those above it allow, rounded up: cgroup v2's
 * cpu.max, v1's cpu.cfs_quota_us. 0: no quota. Reads /proc and /sys below root, which is "" but in
 * tests. Borrows root. */
int cores_by_quota(const char *root);

#endif
