/*
 * Writes docs/rfc-coverage.md: what is implemented of which RFC, from the tables that the program
 * itself works with, and which conversations in this folder cover it.
 *
 *   rfc_coverage tests/protocol > docs/rfc-coverage.md    renews it
 *   rfc_coverage tests/protocol docs/rfc-coverage.md      fails when it is not what would be
 * written
 *
 * A protocol is a function that writes its sections; SECTIONS lists them.
 */
#include "base/file.h"
#include "base/memory.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "pop3/capability.h"
#include "pop3/command.h"
#include "smtp/server/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 1000, NAMES_SHOWN = 6, FILE_MAX = 1 << 20 };

struct transcript {
    struct str name; /* without .txt */
    struct str text;
};

struct transcripts {
    struct arena arena;
    struct transcript *files; /* by name */
    size_t count;
};

/* ---- The conversations ---- */

static int compare_transcripts(const void *a, const void *b)
{
    return str_compare(((const struct transcript *)a)->name, ((const struct transcript *)b)->name);
}

static void read_one(struct transcripts *all, const char *path, struct str name)
{
    struct task task;
    struct buf text;

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    if (file_read(&task, AT_FDCWD, path, FILE_MAX, &text) != ERR_OK || all->count == FILES_MAX) {
        fprintf(stderr, "%s: %s\n", path, task.words);
        exit(2);
    }
    all->files[all->count++] = (struct transcript){name, arena_copy(&all->arena, buf_str(&text))};
    buf_free(&text);
    task_done(&task);
}

static void read_transcripts(struct transcripts *all, const char *folder, const char *protocol)
{
    const char *path = arena_printf(&all->arena, "%s/%s", folder, protocol).ptr;
    DIR *entries = opendir(path);
    struct dirent *entry;

    if (entries == NULL) {
        fprintf(stderr, "%s: no such folder\n", path);
        exit(2);
    }
    all->files = ARENA_ARRAY(&all->arena, struct transcript, FILES_MAX);
    while ((entry = readdir(entries)) != NULL) {
        struct str name = str_from_c(entry->d_name);

        if (str_ends_with(name, STR(".txt")))
            read_one(all, arena_printf(&all->arena, "%s/%s", path, entry->d_name).ptr,
                     arena_copy(&all->arena, str_upto(name, name.len - 4)));
    }
    closedir(entries);
    qsort(all->files, all->count, sizeof(*all->files), compare_transcripts);
}

/* Names of files, as the last cell of a row; the first few of many. */
struct cell {
    struct buf *out;
    size_t count;
};

static void put_file(struct cell *cell, const char *protocol, struct str name)
{
    if (cell->count++ < NAMES_SHOWN)
        buf_putf(cell->out, "%s[%.*s](../tests/protocol/%s/%.*s.txt)", cell->count > 1 ? ", " : " ",
                 STR_ARG(name), protocol, STR_ARG(name));
}

static void end_row(struct cell *cell)
{
    if (cell->count > NAMES_SHOWN)
        buf_putf(cell->out, " and %zu more", cell->count - NAMES_SHOWN);
    buf_put(cell->out, STR(" |\n"));
}

/* ---- IMAP ---- */

/* "1 C: tag NAME …" */
static bool has_command(struct str text, const struct imap_command *command)
{
    struct str line;

    while (str_split(&text, '\n', &line))
        if (line.len > 5 && str_starts_with(str_from(line, 1), STR(" C: ")) &&
            imap_command_of_line(str_from(line, 5)) == command)
            return true;
    return false;
}

static bool has_capability(struct str text, struct str name)
{
    struct str line, mark = STR("# capability: ");

    while (str_split(&text, '\n', &line))
        if (str_starts_with(line, mark) && str_equal_nocase(str_from(line, mark.len), name))
            return true;
    return false;
}

static void write_imap(const char *folder, struct buf *out)
{
    struct transcripts all = {0};

    read_transcripts(&all, folder, "imap");
    buf_put(out, STR("\n## IMAP commands\n\n| command | defined in | conversations |\n"
                     "| --- | --- | --- |\n"));
    for (size_t i = 0; i < imap_command_count; i++) {
        const struct imap_command *command = &imap_commands[i];
        struct cell cell = {.out = out};

        buf_putf(out, "| `%.*s` | %s |", STR_ARG(command->name), command->rfc);
        for (size_t k = 0; k < all.count; k++)
            if (has_command(all.files[k].text, command))
                put_file(&cell, "imap", all.files[k].name);
        end_row(&cell);
    }
    buf_put(out, STR("\n## IMAP capabilities\n\n| capability | defined in | conversations |\n"
                     "| --- | --- | --- |\n"));
    for (size_t i = 0; i < imap_capability_count; i++) {
        const struct imap_capability *capability = &imap_capabilities[i];
        struct cell cell = {.out = out};

        buf_putf(out, "| `%.*s` | %s |", STR_ARG(capability->name), capability->rfc);
        for (size_t k = 0; k < all.count; k++)
            if (has_capability(all.files[k].text, capability->name))
                put_file(&cell, "imap", all.files[k].name);
        end_row(&cell);
    }
    arena_free(&all.arena);
}

/* ---- POP3 ---- */

/* "1 C: NAME …" */
static bool has_pop3_command(struct str text, const struct pop3_command *command)
{
    struct str line;

    while (str_split(&text, '\n', &line)) {
        struct str name, words = str_from(line, 5);

        if (line.len > 5 && str_starts_with(str_from(line, 1), STR(" C: ")) &&
            str_split(&words, ' ', &name) && pop3_command_find(name) == command)
            return true;
    }
    return false;
}

/* "1 S: NAME": a line of an answer to CAPA. */
static bool has_pop3_capability(struct str text, struct str capability)
{
    struct str line;

    while (str_split(&text, '\n', &line))
        if (line.len > 5 && str_starts_with(str_from(line, 1), STR(" S: ")) &&
            str_equal(str_from(line, 5), capability))
            return true;
    return false;
}

static void write_pop3(const char *folder, struct buf *out)
{
    struct transcripts all = {0};

    read_transcripts(&all, folder, "pop3");
    buf_put(out, STR("\n## POP3 commands\n\n| command | defined in | conversations |\n"
                     "| --- | --- | --- |\n"));
    for (size_t i = 0; i < pop3_command_count; i++) {
        struct cell cell = {.out = out};

        buf_putf(out, "| `%.*s` | %s |", STR_ARG(pop3_commands[i].name), pop3_commands[i].rfc);
        for (size_t k = 0; k < all.count; k++)
            if (has_pop3_command(all.files[k].text, &pop3_commands[i]))
                put_file(&cell, "pop3", all.files[k].name);
        end_row(&cell);
    }
    buf_put(out, STR("\n## POP3 capabilities\n\n| capability | defined in | conversations |\n"
                     "| --- | --- | --- |\n"));
    for (size_t i = 0; i < pop3_capability_count; i++) {
        struct cell cell = {.out = out};

        buf_putf(out, "| `%.*s` | %s |", STR_ARG(pop3_capabilities[i].line),
                 pop3_capabilities[i].rfc);
        for (size_t k = 0; k < all.count; k++)
            if (has_pop3_capability(all.files[k].text, pop3_capabilities[i].line))
                put_file(&cell, "pop3", all.files[k].name);
        end_row(&cell);
    }
    arena_free(&all.arena);
}

/* ---- SMTP ---- */

/* What the server told in answer to EHLO: "250-NAME" or "250 NAME". */
static bool is_told(struct str text, struct str words)
{
    struct str line;

    while (str_split(&text, '\n', &line)) {
        ptrdiff_t at = str_find(line, STR("250"));

        if (at >= 0 && str_starts_with(str_from(line, (size_t)at + 4), words))
            return true;
    }
    return false;
}

static void write_smtp(const char *folder, struct buf *out)
{
    struct transcripts all = {0};
    const char *words, *rfc;

    read_transcripts(&all, folder, "smtp");
    buf_put(out,
            STR("\n## SMTP extensions\n\n| extension | defined in | conversations that have it "
                "|\n| --- | --- | --- |\n"));
    for (size_t i = 0; smtp_extension_at(i, &words, &rfc); i++) {
        struct cell cell = {.out = out};

        buf_putf(out, "| `%s` | %s |", words, rfc);
        for (size_t k = 0; k < all.count; k++)
            if (is_told(all.files[k].text, str_from_c(words)))
                put_file(&cell, "smtp", all.files[k].name);
        end_row(&cell);
    }
    arena_free(&all.arena);
}

/* ---- What is done otherwise, on purpose ---- */

static const struct {
    const char *rfc, *asks, *does, *file;
} DEPARTURES[] = {
    {"RFC 6855 §4",
     "refuse an APPEND with 8-bit header fields from a client that did not enable UTF8=ACCEPT",
     "taken: old mail has them, the programs that move mailboxes enable nothing, and what is "
     "refused "
     "to them is lost",
     "imap/utf8"},
    {"RFC 3501 §4.3.1", "no NUL in a literal",
     "refused in a client's literal (a literal8 takes it); what FETCH BODY[] gives of a message "
     "that "
     "has one are its bytes as they came, and BINARY[] gives them in a literal8",
     "imap/append"},
};

static void write_departures(const char *folder, struct buf *out)
{
    (void)folder;
    buf_put(out, STR("\n## Otherwise, on purpose\n\n| text | asks | here | conversation |\n"
                     "| --- | --- | --- | --- |\n"));
    for (size_t i = 0; i < ARRAY_LEN(DEPARTURES); i++)
        buf_putf(out, "| %s | %s | %s | [%s](../tests/protocol/%s.txt) |\n", DEPARTURES[i].rfc,
                 DEPARTURES[i].asks, DEPARTURES[i].does, DEPARTURES[i].file, DEPARTURES[i].file);
}

/* ---- The document ---- */

static void (*const SECTIONS[])(const char *folder, struct buf *out) = {
    write_imap, write_pop3, write_smtp, write_departures};

static const char HEAD[] =
    "# What is implemented of which RFC\n\n"
    "Made from the tables of commands, capabilities and extensions that the program works with, "
    "and\n"
    "from the conversations in `tests/protocol` that cover them. A test compares; this renews it:\n"
    "`build/tests/protocol/rfc_coverage tests/protocol > docs/rfc-coverage.md`\n";

static int compare(const char *path, struct str fresh)
{
    struct task task;
    struct buf committed;
    bool is_same;

    task_init(&task, 0);
    buf_init(&committed, SIZE_MAX);
    is_same = file_read(&task, AT_FDCWD, path, FILE_MAX, &committed) == ERR_OK &&
              str_equal(buf_str(&committed), fresh);
    buf_free(&committed);
    task_done(&task);
    if (is_same)
        return 0;
    fprintf(stderr,
            "%s is not what the tables and transcripts say now. This renews it:\n"
            "  build/tests/protocol/rfc_coverage tests/protocol > docs/rfc-coverage.md\n",
            path);
    return 1;
}

int main(int argc, char **argv)
{
    struct buf out;
    int status = 0;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: rfc_coverage tests/protocol [docs/rfc-coverage.md]\n");
        return 2;
    }
    buf_init(&out, SIZE_MAX);
    buf_put(&out, str_from_c(HEAD));
    for (size_t i = 0; i < ARRAY_LEN(SECTIONS); i++)
        SECTIONS[i](argv[1], &out);
    if (argc == 3)
        status = compare(argv[2], buf_str(&out));
    else if (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
        status = 2;
    buf_free(&out);
    return status;
}
