/*
 * Judges messages as the examiner does, for tests/spam/spam.py: `judge_files MODEL` (- for none)
 * reads paths from its standard input, one a line, and for each prints a line
 *
 *   path TAB score TAB refusal TAB microseconds of processor time TAB kB beside the message, at most
 *   TAB reasons
 */
#include "base/clock.h"
#include "base/file.h"
#include "message/message.h"
#include "spam/spam.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 64 * 1024 * 1024 };

/* A line of the kernel's about our memory: what is in use now, or was at most. */
static long memory_kb(const char *name)
{
    char line[256];
    long found = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            found = strtol(line + strlen(name), NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* From now on "at most" begins anew. */
static void forget_most(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");

    if (file != NULL) {
        (void)fputs("5", file);
        (void)fclose(file);
    }
}

static void print_verdict(const char *path, const struct spam_verdict *verdict, int64_t cost_us,
                          long cost_kb)
{
    printf("%s\t%lld\t%s\t%lld\t%ld\t", path, (long long)verdict->score,
           verdict->refusal == NULL ? "" : verdict->refusal, (long long)cost_us, cost_kb);
    for (size_t i = 0; i < verdict->reason_count; i++)
        printf("%s%s=%lld", i == 0 ? "" : ",", verdict->reasons[i].name,
               (long long)verdict->reasons[i].score);
    printf("\n");
    fflush(stdout);
}

static enum err judge(const char *path, const struct spam_model *model)
{
    CLEANUP(task_done) struct task task;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct message_summary summary;
    struct spam_request request = {.model = model, .now_ms = clock_now_ms()};
    struct spam_verdict verdict;
    int64_t start_us, cost_us;
    long start_kb;

    task_init(&task, clock_now_ms());
    buf_init(&bytes, SIZE_MAX);
    TRY(file_read(&task, AT_FDCWD, path, MESSAGE_MAX, &bytes));
    forget_most();
    start_kb = memory_kb("VmRSS:");
    start_us = clock_processor_us();
    message_parse(&task, buf_str(&bytes), &summary);
    request.message = buf_str(&bytes);
    request.structure = &summary.structure;
    spam_judge(&task, &request, &verdict);
    cost_us = clock_processor_us() - start_us;
    print_verdict(path, &verdict, cost_us, memory_kb("VmHWM:") - start_kb);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct spam_model *model = NULL;
    struct task task;
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int status = EXIT_SUCCESS;

    if (argc != 2)
        return EXIT_FAILURE;
    message_init_library();
    task_init(&task, clock_now_ms());
    if (strcmp(argv[1], "-") != 0 && spam_model_open(&task, argv[1], &model) != ERR_OK) {
        fprintf(stderr, "%s\n", task.words);
        return EXIT_FAILURE;
    }
    while ((len = getline(&line, &room, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        if (judge(line, model) != ERR_OK) {
            fprintf(stderr, "%s cannot be read\n", line);
            status = EXIT_FAILURE;
        }
    }
    free(line);
    spam_model_close(&model);
    task_done(&task);
    return status;
}
