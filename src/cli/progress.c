#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_COLUMNS = 40, LINE_EVERY_PERCENT = 10 };

void cli_progress_init(struct cli_progress *progress, bool is_silent)
{
    *progress =
        (struct cli_progress){.is_silent = is_silent, .is_terminal = isatty(STDERR_FILENO) == 1};
}

static void show_bar(struct cli_progress *progress, uint64_t done, uint64_t total, uint64_t percent)
{
    char bar[BAR_COLUMNS + 1];
    size_t filled = (size_t)(percent * BAR_COLUMNS / 100);

    memset(bar, ' ', BAR_COLUMNS);
    memset(bar, '#', filled);
    bar[BAR_COLUMNS] = '\0';
    if (total > 0)
        (void)fprintf(stderr, "\r%-12s [%s] %3u%%  %llu/%llu\033[K", progress->what, bar,
                      (unsigned)percent, (unsigned long long)done, (unsigned long long)total);
    else
        (void)fprintf(stderr, "\r%-12s %llu\033[K", progress->what, (unsigned long long)done);
    progress->has_bar = true;
}

void cli_progress_show(void *owner, const json_t *report)
{
    struct cli_progress *progress = owner;
    const char *what = json_string_value(json_object_get(report, "what"));
    uint64_t done = (uint64_t)json_integer_value(json_object_get(report, "done"));
    uint64_t total = (uint64_t)json_integer_value(json_object_get(report, "total"));
    uint64_t percent = total == 0 ? 0 : done >= total ? 100 : done * 100 / total;
    bool is_other, is_end = percent == 100 && progress->percent < 100;

    if (progress->is_silent || what == NULL)
        return;
    is_other = strncmp(progress->what, what, sizeof(progress->what) - 1) != 0;
    if (!progress->is_terminal && !is_other && !is_end &&
        percent < progress->percent + LINE_EVERY_PERCENT)
        return;
    if (is_other)
        cli_progress_end(progress);
    (void)snprintf(progress->what, sizeof(progress->what), "%s", what);
    progress->percent = percent;
    if (progress->is_terminal)
        show_bar(progress, done, total, percent);
    else if (total > 0)
        (void)fprintf(stderr, "%s: %llu of %llu\n", what, (unsigned long long)done,
                      (unsigned long long)total);
    else
        (void)fprintf(stderr, "%s\n", what);
    (void)fflush(stderr);
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->has_bar)
        (void)fputs("\n", stderr);
    progress->has_bar = false;
}
