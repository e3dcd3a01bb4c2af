/* cores: affinity for real, quotas in a made-up /proc and /sys. */
#include "base/cores.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/test_cores_XXXXXX";

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) == NULL;
}

static int empty_root(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/*", root);
    return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

static int remove_root(void **state) {
    (void)state;
    return remove(root);
}

/* Makes the folders too. */
static void write_file(const char *path, const char *text) {
    char full[256];
    const int length = snprintf(full, sizeof full, "%s%s", root, path);
    assert_in_range(length, 1, sizeof full - 1);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        mkdir(full, 0700);
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void affinity_counts_not_the_host(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(cores_by_affinity(), CPU_COUNT(&before));
    size_t first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(cores_by_affinity(), 1);
    assert_int_equal(cores_usable(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void without_a_cgroup_there_is_no_quota(void **state) {
    (void)state;
    assert_int_equal(cores_by_quota(root), 0);
    write_file("/proc/self/cgroup", "0::/\n");
    assert_int_equal(cores_by_quota(root), 0);
    write_file("/proc/self/cgroup", "nonsense\n\n0:\n7::\n");
    assert_int_equal(cores_by_quota(root), 0);
}

static void a_quota_of_v2_is_rounded_up(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int cores;
    } rows[] = {
        {"max 100000\n", 0},  {"300000 100000\n", 3}, {"250000 100000\n", 3}, {"1000 100000\n", 1},
        {"50000 10000\n", 5}, {"200000\n", 2},        {"0 100000\n", 0},      {"", 0},
        {"100000 0\n", 0},    {"nonsense\n", 0},
    };
    write_file("/proc/self/cgroup", "0::/a/b\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file("/sys/fs/cgroup/a/b/cpu.max", rows[i].text);
        assert_int_equal(cores_by_quota(root), rows[i].cores);
    }
}

static void the_least_quota_up_to_the_mount_holds(void **state) {
    (void)state;
    write_file("/proc/self/cgroup", "0::/a/b\n");
    write_file("/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
    write_file("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    assert_int_equal(cores_by_quota(root), 2);
    write_file("/sys/fs/cgroup/a/b/cpu.max", "100000 100000\n");
    assert_int_equal(cores_by_quota(root), 1);
}

/* A container without a cgroup namespace sees its own cgroup as the mount, but the host's path. */
static void the_mount_of_a_container_has_its_quota(void **state) {
    (void)state;
    write_file("/proc/self/cgroup", "0::/docker/5ec2d697\n");
    write_file("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    assert_int_equal(cores_by_quota(root), 4);
    write_file("/proc/self/cgroup", "0::/../other\n");
    assert_int_equal(cores_by_quota(root), 4);
}

static void a_quota_of_v1_counts(void **state) {
    (void)state;
    static const char *const mounts[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        empty_root(NULL);
        write_file("/proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/a\n0::/\n");
        snprintf(path, sizeof path, "%s/a/cpu.cfs_quota_us", mounts[i]);
        write_file(path, "-1\n");
        assert_int_equal(cores_by_quota(root), 0);
        write_file(path, "300000\n");
        assert_int_equal(cores_by_quota(root), 3); /* of the default period */
        snprintf(path, sizeof path, "%s/a/cpu.cfs_period_us", mounts[i]);
        write_file(path, "50000\n");
        assert_int_equal(cores_by_quota(root), 6);
    }
    empty_root(NULL);
    write_file("/proc/self/cgroup", "5:cpuset,xcpu:/a\n"); /* none is cpu */
    write_file("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(cores_by_quota(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affinity_counts_not_the_host),
        cmocka_unit_test_teardown(without_a_cgroup_there_is_no_quota, empty_root),
        cmocka_unit_test_teardown(a_quota_of_v2_is_rounded_up, empty_root),
        cmocka_unit_test_teardown(the_least_quota_up_to_the_mount_holds, empty_root),
        cmocka_unit_test_teardown(the_mount_of_a_container_has_its_quota, empty_root),
        cmocka_unit_test_teardown(a_quota_of_v1_counts, empty_root),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
