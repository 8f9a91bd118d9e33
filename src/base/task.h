/*
 * One piece of work: a command, request, delivery or frame. It owns the memory that goes when its
 * reply is out, and keeps the words of the first failure for the log.
 */
#ifndef BASE_TASK_H
#define BASE_TASK_H

#include "base/arena.h"
#include "base/err.h"
#include "base/macros.h"

#include <stdint.h>

enum { TASK_WORDS_MAX = 256 };

struct task {
    struct arena arena;
    int64_t now_ms; /* wall clock, Unix milliseconds, as the task began */
    enum err err;   /* of the first failure */
    char words[TASK_WORDS_MAX];
};

void task_init(struct task *task, int64_t now_ms);
void task_done(struct task *task);

/*
 * Records why something failed, for the log, and gives `err` back, so that `return fail(...)` does
 * both. The first words win: they are nearest to the cause. No secrets, subjects, addresses or
 * content in them.
 */
enum err fail(struct task *task, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);

/* Forgets a failure that was handled. */
void task_forgive(struct task *task);

/* Passes an error up; the one macro that hides a return. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum err try_err_ = (call);                                                                \
        if (try_err_ != ERR_OK)                                                                    \
            return try_err_;                                                                       \
    } while (0)

#endif
