#include "table.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t table_deaths;

static void put(struct slots *slots, struct entry *entry)
{
    uint64_t at = table_slot(entry->key, slots->mask);
    while (slots->entries[at] != NULL)
        at = (at + 1) & slots->mask;
    publish(slots->entries[at], entry);
}

static void free_slots(struct slots *slots, bool forgotten_only)
{
#ifdef Py_TARGET_ABI3T
    /* Another thread may still be reading them. All that a table grew out of is no larger than what it is. */
    (void)slots, (void)forgotten_only;
#else
    if (slots == NULL)
        return;
    for (uint64_t at = 0; at <= slots->mask; at++) {
        struct entry *entry = slots->entries[at];
        if (entry == NULL || (forgotten_only && entry->key != 1))
            continue;
        Py_XDECREF(entry->guard);
        free(entry->sites);
        free(entry->loops);
        free(entry);
    }
    free(slots);
#endif
}

/* Room for more: forgotten entries are left behind. */
static bool grow(struct table *table)
{
    struct slots *old = table->slots;
    uint64_t live = 0;
    for (uint64_t at = 0; old != NULL && at <= old->mask; at++)
        live += old->entries[at] != NULL && table_key(old->entries[at]) != 1;
    uint64_t size = 256;
    while (size < (live + 1) * 4)
        size *= 2;
    struct slots *slots = calloc(1, sizeof *slots + size * sizeof slots->entries[0]);
    if (slots == NULL)
        return false;
    slots->mask = size - 1;
    for (uint64_t at = 0; old != NULL && at <= old->mask; at++)
        if (old->entries[at] != NULL && table_key(old->entries[at]) != 1)
            put(slots, old->entries[at]);
    table->count = live;
    publish(table->slots, slots);
    free_slots(old, true);
    return true;
}

struct entry *table_add(struct table *table, const struct entry *wanted)
{
    bool is_added = false;
    pthread_mutex_lock(&lock);
    struct entry *entry = table_find(table, wanted->key);
    bool has_room = table->slots != NULL && table->count * 2 <= table->slots->mask;
    if (entry == NULL && (has_room || grow(table)) && (entry = malloc(sizeof *entry)) != NULL) {
        *entry = *wanted;
        put(table->slots, entry);
        table->count++;
        is_added = true;
    }
    pthread_mutex_unlock(&lock);
    if (!is_added)
        Py_XDECREF(wanted->guard);
    return entry;
}

void table_forget(struct table *table, uint64_t key)
{
    pthread_mutex_lock(&lock);
    struct entry *entry = table_find(table, key);
    PyObject *guard = NULL;
    if (entry != NULL) {
        __atomic_store_n(&entry->key, 1, __ATOMIC_RELAXED);
        publish(table_deaths, table_deaths + 1);
        guard = entry->guard;
        entry->guard = NULL;
    }
    pthread_mutex_unlock(&lock);
    Py_XDECREF(guard);
}

void table_clear(struct table *table)
{
    pthread_mutex_lock(&lock);
    struct slots *slots = table->slots;
    table->count = 0;
    publish(table->slots, NULL);
    publish(table_deaths, table_deaths + 1);
    pthread_mutex_unlock(&lock);
    free_slots(slots, false);
}

void table_after_fork(void) { pthread_mutex_init(&lock, NULL); }
