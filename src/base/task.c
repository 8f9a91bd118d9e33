#include "base/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void task_init(struct task *task, int64_t now_ms)
{
    memset(task, 0, sizeof(*task));
    task->now_ms = now_ms;
}

void task_done(struct task *task)
{
    arena_free(&task->arena);
}

enum err fail(struct task *task, enum err err, const char *format, ...)
{
    va_list args;

    if (task->err != ERR_OK)
        return err;
    task->err = err;
    va_start(args, format);
    vsnprintf(task->words, sizeof(task->words), format, args);
    va_end(args);
    return err;
}

void task_forgive(struct task *task)
{
    task->err = ERR_OK;
    task->words[0] = '\0';
}
