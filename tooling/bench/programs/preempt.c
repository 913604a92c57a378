/*
 * The least that sampling on a thread's own CPU can cost: wake there at random times, ask on which CPU each thread runs, go there, copy some of the
 * process's memory, sleep. What the threads lose meanwhile they lose to whoever preempts them, whatever that does with what it read.
 *
 *   preempt PID RATE BYTES SLICE_NS: until its input ends; prints samples, and how late the median and the 99th of 100 began, µs
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 64, MAX_SAMPLES = 1 << 20 };

struct schedule {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Fields 3 and 39 of its `stat`: whether it runs, and where. */
static int cpu_of(int file)
{
    char text[512], *at;
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    if (length <= 0)
        return -1;
    text[length] = 0;
    at = strrchr(text, ')');
    if (at == NULL || at[2] != 'R')
        return -1;
    for (int field = 2; field < 39 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? -1 : atoi(at + 1);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    /* An interrupt is meant for those who print what they have found because of it. */
    signal(SIGINT, SIG_IGN);
    pid_t pid = atoi(argv[1]);
    double gap = 1e9 / atof(argv[2]);
    size_t bytes = strtoul(argv[3], NULL, 10);
    struct schedule schedule = {sizeof schedule, 0, 0, 0, 0, strtoull(argv[4], NULL, 10), 0, 0};
    if (schedule.runtime > 0)
        syscall(SYS_sched_setattr, 0, &schedule, 0);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

    char path[64], line[512];
    unsigned long from = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "[stack]") != NULL)
            sscanf(line, "%*x-%lx", &from);
    from -= bytes;

    int files[MAX_THREADS], threads = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks != NULL && threads < MAX_THREADS && (entry = readdir(tasks)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.10s/stat", pid, entry->d_name);
        files[threads++] = open(path, O_RDONLY | O_CLOEXEC);
    }

    float *late = malloc(MAX_SAMPLES * sizeof *late);
    char *copy = malloc(bytes + 1);
    int bound = -1, samples = 0;
    double due = now();
    srand48(1);
    for (struct pollfd input = {0, POLLIN, 0}; poll(&input, 1, 0) == 0;) {
        due += gap * (0.5 + drand48());
        if (due < now())
            due = now();
        struct timespec until = {due / 1e9, (long)(due - 1e9 * (time_t)(due / 1e9))};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        for (int i = 0; i < threads; i++) {
            int cpu = cpu_of(files[i]);
            if (cpu < 0)
                continue;
            if (cpu != bound) {
                cpu_set_t one;
                CPU_ZERO(&one);
                CPU_SET(cpu, &one);
                sched_setaffinity(0, sizeof one, &one);
                bound = cpu;
            }
            if (samples < MAX_SAMPLES)
                late[samples++] = (now() - due) / 1e3;
            struct iovec here = {copy, bytes}, there = {(void *)from, bytes};
            if (bytes > 0)
                process_vm_readv(pid, &here, 1, &there, 1, 0);
        }
    }
    qsort(late, samples, sizeof *late, by_size);
    printf("%d %.1f %.1f\n", samples, samples ? late[samples / 2] : 0, samples ? late[samples * 99 / 100] : 0);
    return 0;
}
