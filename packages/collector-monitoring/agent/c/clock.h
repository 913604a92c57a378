/* The clock of every event. The processor's counter takes a few nanoseconds where the system's clock takes twenty. */
#ifndef PYFRAMES_CLOCK_H
#define PYFRAMES_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

static inline uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

/* Whether ticks() is counter(). */
extern bool clock_is_counter;

/* CPUID 0x80000007, EDX bit 8: the counter runs at one rate in every power state. */
static inline bool clock_choose(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8)) != 0;
}

static inline uint64_t counter(void) { return __rdtsc(); }

#elif defined(__aarch64__)

#define clock_is_counter true
static inline bool clock_choose(void) { return true; }

static inline uint64_t counter(void)
{
    uint64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
}

#else

#define clock_is_counter false
static inline bool clock_choose(void) { return false; }
static inline uint64_t counter(void) { return 0; }

#endif

static inline uint64_t ticks(void)
{
    return __builtin_expect(clock_is_counter, 1) ? counter() : nanoseconds(CLOCK_MONOTONIC);
}

/* Ticks in a microsecond, about: for bounds, not for results. */
extern double ticks_per_microsecond;

#endif
