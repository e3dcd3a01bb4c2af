/* proc(5). What cannot be read keeps its number. */
#include "app/vitals.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *const result_names[] = {"ok", "refused", NULL};
static const char *const *const results = result_names;

const struct metric_row vitals_metric_table[] = {
    METRIC_ROW(struct vitals, threads_stuck, METRIC_GAUGE, "rollcall_threads_stuck",
               "Threads without progress for a minute, though progress was possible."),
    METRIC_LABELLED_ROW(struct vitals, reloads, METRIC_COUNTER, "rollcall_config_reloads_total",
                        "Times the configuration was read again, by result.", "result", &results),
    METRIC_ROW(struct vitals, cpu, METRIC_TIME, "process_cpu_seconds_total",
               "Total user and system CPU time spent in seconds."),
    METRIC_ROW(struct vitals, start, METRIC_TIME, "process_start_time_seconds",
               "Start time of the process since unix epoch in seconds."),
    METRIC_ROW(struct vitals, resident, METRIC_GAUGE, "process_resident_memory_bytes",
               "Resident memory size in bytes."),
    METRIC_ROW(struct vitals, virtual, METRIC_GAUGE, "process_virtual_memory_bytes",
               "Virtual memory size in bytes."),
    METRIC_ROW(struct vitals, open_fds, METRIC_GAUGE, "process_open_fds",
               "Number of open file descriptors."),
    METRIC_ROW(struct vitals, max_fds, METRIC_GAUGE, "process_max_fds",
               "Maximum number of open file descriptors."),
    METRIC_END,
};

/* Reads the first line of a file that begins so; false if there is none. */
static bool read_line(const char *path, const char *begin, char *line, size_t bytes) {
    FILE *file = fopen(path, "re");
    bool is_found = false;
    if (file == NULL) return false;
    while (!is_found && fgets(line, (int)bytes, file) != NULL)
        is_found = strncmp(line, begin, strlen(begin)) == 0;
    fclose(file);
    return is_found;
}

enum { FIELD_START = 22, FIELD_VIRTUAL = 23, FIELD_RESIDENT = 24 };

/* A field of /proc/self/stat, by its number in proc(5), at least 4; -1 if it cannot be read. */
static int64_t stat_field(int number) {
    char line[1024];
    if (!read_line("/proc/self/stat", "", line, sizeof line)) return -1;
    const char *at = strrchr(line, ')'); /* the end of field 2, which may hold anything */
    for (int i = 2; at != NULL && i < number; i++)
        at = strchr(at + 1, ' ');
    return at == NULL ? -1 : strtoll(at + 1, NULL, 10);
}

/* When this process began, as wall time; 0 if that cannot be read. */
static int64_t read_start_ms(void) {
    static const char boot[] = "btime ";
    char line[256];
    const int64_t ticks = stat_field(FIELD_START);
    if (ticks < 0 || !read_line("/proc/stat", boot, line, sizeof line)) return 0;
    return strtoll(line + sizeof boot - 1, NULL, 10) * 1000 + ticks * 1000 / sysconf(_SC_CLK_TCK);
}

static int64_t count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -3; /* . and .. and the folder's own */
    if (folder == NULL) return -1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the folder is this call's own */
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static int64_t ms_of(struct timeval time) {
    return (int64_t)time.tv_sec * 1000 + time.tv_usec / 1000;
}

void vitals_refresh(const struct vitals *vitals) {
    struct rusage usage;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_set(vitals->cpu, ms_of(usage.ru_utime) + ms_of(usage.ru_stime));
    if (metric_get(vitals->start) == 0) metric_set(vitals->start, read_start_ms());
    const int64_t virtual_bytes = stat_field(FIELD_VIRTUAL);
    const int64_t resident_pages = stat_field(FIELD_RESIDENT);
    if (virtual_bytes >= 0) metric_set(vitals->virtual, virtual_bytes);
    if (resident_pages >= 0) metric_set(vitals->resident, resident_pages * sysconf(_SC_PAGESIZE));
    const int64_t open_fds = count_descriptors();
    if (open_fds >= 0) metric_set(vitals->open_fds, open_fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) metric_set(vitals->max_fds, (int64_t)limit.rlim_cur);
}
