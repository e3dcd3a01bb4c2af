/* proc(5). What cannot be read keeps its number. */
#include "app/vitals.h"

#include <dirent.h>
#include <stdio.h>
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

/* The fields of /proc/self/stat behind the name, of which the first is number 3. */
static int read_stat(unsigned long long *start_ticks, long long *virtual_bytes,
                     long long *resident_pages) {
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) return 0;
    const char *read = fgets(line, sizeof line, file);
    fclose(file);
    const char *rest = read == NULL ? NULL : strrchr(line, ')');
    if (rest == NULL) return 0;
    return sscanf(rest + 1,
                  " %*s %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                  "%llu %lld %lld",
                  start_ticks, virtual_bytes, resident_pages);
}

int64_t vitals_start_ms(void) {
    unsigned long long ticks, boot_s = 0;
    long long unused;
    char line[256];
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) return 0;
    while (boot_s == 0 && fgets(line, sizeof line, file) != NULL)
        (void)!sscanf(line, "btime %llu", &boot_s);
    fclose(file);
    if (boot_s == 0 || read_stat(&ticks, &unused, &unused) != 3) return 0;
    return (int64_t)(boot_s * 1000 + ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
}

static int64_t count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -3; /* . and .. and the folder's own */
    if (folder == NULL) return -1;
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
    unsigned long long ticks;
    long long virtual_bytes, resident_pages;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_set(vitals->cpu, ms_of(usage.ru_utime) + ms_of(usage.ru_stime));
    if (metric_get(vitals->start) == 0) metric_set(vitals->start, vitals_start_ms());
    if (read_stat(&ticks, &virtual_bytes, &resident_pages) == 3) {
        metric_set(vitals->virtual, virtual_bytes);
        metric_set(vitals->resident, resident_pages * sysconf(_SC_PAGESIZE));
    }
    const int64_t open_fds = count_descriptors();
    if (open_fds >= 0) metric_set(vitals->open_fds, open_fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) metric_set(vitals->max_fds, (int64_t)limit.rlim_cur);
}
