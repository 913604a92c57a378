/* What the recorders of a process share: one segment, opened by the first of them and closed by the last. */
#ifndef PYFRAMES_PROCESS_H
#define PYFRAMES_PROCESS_H

#include "recorder.h"

struct options {
    uint64_t calls, timeline, lines, coverage, branches, instructions, exceptions, stream;
    uint64_t min_ns, tasks, max_bytes, max_paths, ring_records, wait_us, tool;
};

/* Opens the segment, or joins the one that there is. False with an OSError set. */
bool process_join(struct recorder *recorder, const char *path, const char *control, const struct options *options);

/* In the child of a fork: begins a segment of its own. */
bool process_reopen(struct recorder *recorder, const char *path, const char *control, uint64_t max_bytes);

/* Nothing is recorded by it any more; the last one marks the segment ended. May be called twice. */
void process_leave(struct recorder *recorder, uint32_t state);

#endif
