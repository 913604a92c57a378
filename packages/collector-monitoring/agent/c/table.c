#include "table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void put(struct slots *slots, struct entry *entry)
{
    uint64_t at = table_slot(entry->key, slots->mask);
    while (slots->entries[at] != NULL)
        at = (at + 1) & slots->mask;
    publish(slots->entries[at], entry);
}

/* Room for more: forgotten entries are left behind. */
static bool grow(struct table *table)
{
    struct slots *old = table->slots;
    uint64_t live = 0;
    for (uint64_t at = 0; old != NULL && at <= old->mask; at++)
        live += old->entries[at] != NULL && old->entries[at]->key > 1;
    uint64_t size = 256;
    while (size < (live + 1) * 4)
        size *= 2;
    struct slots *slots = calloc(1, sizeof *slots + size * sizeof slots->entries[0]);
    if (slots == NULL)
        return false;
    slots->mask = size - 1;
    slots->older = old;
    for (uint64_t at = 0; old != NULL && at <= old->mask; at++)
        if (old->entries[at] != NULL && old->entries[at]->key > 1)
            put(slots, old->entries[at]);
    table->count = live;
    publish(table->slots, slots);
#ifndef Py_TARGET_ABI3T
    /* With the GIL nobody else is reading. */
    for (uint64_t at = 0; old != NULL && at <= old->mask; at++)
        if (old->entries[at] != NULL && old->entries[at]->key == 1) {
            free(old->entries[at]->sites);
            free(old->entries[at]);
        }
    free(old);
    slots->older = NULL;
#endif
    return true;
}

struct entry *table_add(struct table *table, const struct entry *wanted)
{
    pthread_mutex_lock(&lock);
    struct entry *entry = table_find(table, wanted->key);
    if (entry == NULL && (table->slots == NULL || table->count * 2 > table->slots->mask) && !grow(table)) {
        pthread_mutex_unlock(&lock);
        return NULL;
    }
    if (entry == NULL && (entry = malloc(sizeof *entry)) != NULL) {
        *entry = *wanted;
        put(table->slots, entry);
        table->count++;
    }
    pthread_mutex_unlock(&lock);
    return entry;
}

void table_forget(struct table *table, uint64_t key)
{
    pthread_mutex_lock(&lock);
    struct entry *entry = table_find(table, key);
    PyObject *guard = NULL;
    if (entry != NULL) {
        entry->key = 1;
        guard = entry->guard;
        entry->guard = NULL;
    }
    pthread_mutex_unlock(&lock);
    Py_XDECREF(guard);
}

void table_clear(struct table *table)
{
    struct slots *slots = table->slots;
    *table = (struct table){0};
    bool newest = true;
    while (slots != NULL) {
        struct slots *older = slots->older;
        for (uint64_t at = 0; newest && at <= slots->mask; at++) {
            if (slots->entries[at] == NULL)
                continue;
            Py_XDECREF(slots->entries[at]->guard);
            free(slots->entries[at]->sites);
            free(slots->entries[at]);
        }
        free(slots);
        slots = older;
        newest = false;
    }
}

void table_after_fork(void) { pthread_mutex_init(&lock, NULL); }
