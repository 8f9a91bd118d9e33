/* Reading a file of aliases, line by line, and sending it in portions. */
#include "cli/import.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A portion's text; with every byte escaped, it still fits into a frame. */
enum { PORTION_BYTES_MAX = 20 * 1024, PROBLEMS_SHOWN = 100 };

struct import {
    const struct cli_import_portion *portion;
    bool is_quiet, has_terminal;
    json_t *lines; /* own; the portion that is being gathered */
    size_t portion_bytes;
    uint64_t line_number;        /* read so far */
    uint64_t numbers[ADMIN_LINES_MAX]; /* of the portion's lines in the file */
    uint64_t added, there, wrong;
    json_t *problems; /* own */
};

static void put_number(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void note_problem(struct import *import, uint64_t line_number, const char *reason)
{
    json_t *problem;

    import->wrong++;
    if (import->wrong > PROBLEMS_SHOWN)
        return;
    problem = json_object();
    put_number(problem, "line", line_number);
    json_object_set_new(problem, "reason", json_string(reason));
    json_array_append_new(import->problems, problem);
    if (!import->is_quiet)
        (void)fprintf(stderr, "%sline %llu %s\n", import->has_terminal ? "\r" : "",
                      (unsigned long long)line_number, reason);
}

static void show_progress(const struct import *import)
{
    if (!import->is_quiet && import->has_terminal)
        (void)fprintf(stderr, "\r%llu lines, %llu added ", (unsigned long long)import->line_number,
                      (unsigned long long)import->added);
}

static uint64_t number_of(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));

    return value < 0 ? 0 : (uint64_t)value;
}

static enum err send_portion(struct import *import, struct task *task)
{
    json_t *arguments, *answer = NULL;
    const json_t *problems, *message;
    enum err err;

    if (json_array_size(import->lines) == 0)
        return ERR_OK;
    arguments = json_object();
    json_object_set_new(arguments, "file", import->lines);
    import->lines = json_array();
    import->portion_bytes = 0;
    err = import->portion->call(import->portion->owner, task, arguments, &answer);
    json_decref(arguments);
    TRY(err);
    message = json_object_get(answer, "message");
    if (strcmp(json_string_value(json_object_get(answer, "status")), "ok") != 0)
        err = fail(task, ERR_IO, "the service stopped the import: %s",
                   json_is_string(message) ? json_string_value(message) : "its log says why");
    problems = json_object_get(answer, "problems");
    for (size_t i = 0; err == ERR_OK && i < json_array_size(problems); i++) {
        const json_t *problem = json_array_get(problems, i);
        uint64_t line = number_of(problem, "line");

        if (line >= 1 && line <= ADMIN_LINES_MAX)
            note_problem(import, import->numbers[line - 1],
                         json_string_value(json_object_get(problem, "reason")));
    }
    import->added += number_of(answer, "added");
    import->there += number_of(answer, "there_already");
    json_decref(answer);
    show_progress(import);
    return err;
}

static enum err add_line(struct import *import, struct task *task, struct str line)
{
    json_t *value;

    import->line_number++;
    line = str_trim(line);
    if (line.len > ADMIN_LINE_MAX) {
        note_problem(import, import->line_number, "is too long");
        return ERR_OK;
    }
    value = json_stringn(line.ptr, line.len);
    if (value == NULL) {
        note_problem(import, import->line_number, "is not UTF-8 text");
        return ERR_OK;
    }
    import->numbers[json_array_size(import->lines)] = import->line_number;
    json_array_append_new(import->lines, value);
    import->portion_bytes += line.len + 3;
    if (json_array_size(import->lines) == ADMIN_LINES_MAX ||
        import->portion_bytes + ADMIN_LINE_MAX > PORTION_BYTES_MAX)
        return send_portion(import, task);
    return ERR_OK;
}

static enum err read_lines(struct import *import, struct task *task, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    enum err err = ERR_OK;

    while (err == ERR_OK && (len = getline(&line, &room, file)) >= 0)
        err = add_line(import, task, str_make(line, (size_t)len));
    if (err == ERR_OK && ferror(file) != 0)
        err = fail(task, ERR_IO, "the file cannot be read: %s", strerror(errno));
    free(line);
    return err == ERR_OK ? send_portion(import, task) : err;
}

static json_t *totals(struct import *import)
{
    json_t *answer = json_object();
    char words[160];

    (void)snprintf(words, sizeof(words),
                   "%llu lines: %llu aliases added, %llu there already, %llu lines wrong.",
                   (unsigned long long)import->line_number, (unsigned long long)import->added,
                   (unsigned long long)import->there, (unsigned long long)import->wrong);
    json_object_set_new(answer, "status", json_string(import->wrong == 0 ? "ok" : "failed"));
    json_object_set_new(answer, "message", json_string(words));
    put_number(answer, "lines", import->line_number);
    put_number(answer, "added", import->added);
    put_number(answer, "there_already", import->there);
    put_number(answer, "wrong", import->wrong);
    if (import->is_quiet) /* for a program; people have seen them */
        json_object_set(answer, "problems", import->problems);
    if (import->wrong > 0)
        json_object_set_new(answer, "hint",
                            json_string("Correct those lines and import the file again: what is "
                                        "there already is left alone."));
    return answer;
}

enum err cli_import(struct task *task, const char *file, bool is_quiet,
                    const struct cli_import_portion *portion, json_t **out_answer)
{
    struct import *import = NEW(struct import);
    FILE *stream = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    enum err err;

    import->portion = portion;
    import->is_quiet = is_quiet;
    import->has_terminal = isatty(STDERR_FILENO) == 1;
    import->lines = json_array();
    import->problems = json_array();
    if (stream == NULL)
        err = fail(task, ERR_INVALID, "%s cannot be opened: %s", file, strerror(errno));
    else
        err = read_lines(import, task, stream);
    if (!is_quiet && import->has_terminal)
        (void)fprintf(stderr, "\r");
    if (err == ERR_OK)
        *out_answer = totals(import);
    if (stream != NULL && stream != stdin)
        (void)fclose(stream);
    json_decref(import->lines);
    json_decref(import->problems);
    mem_free(&import);
    return err;
}
