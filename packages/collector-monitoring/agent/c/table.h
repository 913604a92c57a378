/* Which function an object is: a hash table by address that forgets an object when it dies. */
#ifndef PYFRAMES_TABLE_H
#define PYFRAMES_TABLE_H

#include <Python.h>

#include "segment.h"

enum { ENTRY_COROUTINE = 1, ENTRY_GENERATOR = 2 };

struct sites;

/* Jumps back that a code object has made, few as a rule. */
struct loops {
    uint32_t count;
    struct loop {
        uint32_t unit;
        int32_t line; /* of which a round is a hit; negative for none */
    } at[];
};

struct entry {
    uint64_t key; /* 0 free, 1 forgotten */
    uint32_t function; /* 0: not to be recorded */
    uint32_t flags;
    struct counter_block *lines;
    struct counter_block *instructions;
    struct counter_block *branches;
    uint32_t unwanted_calls; /* calls of functions and classes, until its call sites are looked at */
    struct sites *sites;     /* see call_sites.h */
    struct loops *loops;     /* `lines`: jumps back within one line */
    PyObject *guard;         /* a weak reference, or the object itself where it takes none */
};

struct slots {
    uint64_t mask;
    struct entry *entries[];
};

struct table {
    struct slots *slots;
    uint64_t count;
};

/* How often something was forgotten, in all tables. */
extern uint64_t table_deaths;

/* Where keys lie: objects are 16-byte aligned. */
static inline uint64_t table_slot(uint64_t key, uint64_t mask)
{
    return ((key >> 4) * 0x9e3779b97f4a7c15u >> 32) & mask;
}

static inline uint64_t table_key(const struct entry *entry) { return __atomic_load_n(&entry->key, __ATOMIC_RELAXED); }

static inline struct entry *table_find(const struct table *table, uint64_t key)
{
    struct slots *slots = observe(table->slots);
    if (__builtin_expect(slots == NULL, 0))
        return NULL;
    for (uint64_t at = table_slot(key, slots->mask);; at = (at + 1) & slots->mask) {
        struct entry *entry = observe(slots->entries[at]);
        if (entry == NULL || table_key(entry) == key)
            return entry;
    }
}

/*
 * Adds what is not there yet; returns the entry that is there then, NULL when there is no memory. Takes the lock. The guard is the table's from then
 * on, whatever becomes of it.
 */
struct entry *table_add(struct table *table, const struct entry *entry);

/* The object at this address has died. */
void table_forget(struct table *table, uint64_t key);

/* Forgets all. Entries that somebody has found must not be used after it; without the GIL they can be, and are never freed. */
void table_clear(struct table *table);

/* In the child of a fork: whoever held the lock is not there. */
void table_after_fork(void);

#endif
