/*
 * Judges messages as the examiner does, for tests/spam/spam.py: `judge_files MODEL` (- for none)
 * reads paths from its standard input, one a line, and for each prints a line
 *
 *   path TAB score TAB refusal TAB microseconds of processor time TAB kB at most TAB reasons
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

/* The most memory that this program ever had; getrusage tells of whoever started it, too. */
static long most_kb(void)
{
    char line[256];
    long found = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            found = strtol(line + 6, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

static void print_verdict(const char *path, const struct spam_verdict *verdict, int64_t cost_us)
{
    printf("%s\t%lld\t%s\t%lld\t%ld\t", path, (long long)verdict->score,
           verdict->refusal == NULL ? "" : verdict->refusal, (long long)cost_us, most_kb());
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
    int64_t start_us;

    task_init(&task, clock_now_ms());
    buf_init(&bytes, SIZE_MAX);
    TRY(file_read(&task, AT_FDCWD, path, MESSAGE_MAX, &bytes));
    start_us = clock_processor_us();
    message_parse(&task, buf_str(&bytes), &summary);
    request.message = buf_str(&bytes);
    request.structure = &summary.structure;
    spam_judge(&task, &request, &verdict);
    print_verdict(path, &verdict, clock_processor_us() - start_us);
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
