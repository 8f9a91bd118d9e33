/* Command lines, answers as text, and the manual page's completeness. */
#include "cli/parse.h"

#include "base/file.h"
#include "cli/help.h"
#include "cli/import.h"
#include "cli/render.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 16 };

/* Splits at spaces; "|" stands for an empty word. Freed by the caller. */
static int split(char *text, char **argv)
{
    int argc = 0;
    char *state = NULL;

    argv[argc++] = text; /* the program's name */
    for (char *word = strtok_r(text, " ", &state); word != NULL && argc < WORDS_MAX;
         word = strtok_r(NULL, " ", &state))
        argv[argc++] = strcmp(word, "|") == 0 ? word + 1 : word;
    return argc;
}

static const struct {
    const char *line;
    const char *command;   /* NULL: refused */
    const char *arguments; /* as compact JSON, sorted */
} rows[] = {
    {"status", "status", "{}"},
    {"status --json", "status", "{}"},
    {"--json --config /x status", "status", "{}"},
    {"domain add demo.test", "domain add", "{'domain':'demo.test'}"},
    {"domain add demo.test --user ann", "domain add", "{'domain':'demo.test','user':'ann'}"},
    {"domain add --quota=10G demo.test", "domain add", "{'domain':'demo.test','quota':'10G'}"},
    {"alias add a@b.test --config=/x --json", "alias add", "{'address':'a@b.test'}"},
    {"alias add --recovery-key a@b.test", "alias add",
     "{'address':'a@b.test','recovery-key':true}"},
    {"alias add -- -a@b.test", "alias add", "{'address':'-a@b.test'}"},
    {"alias app-password add a@b.test phone --scope imap", "alias app-password add",
     "{'address':'a@b.test','name':'phone','scope':'imap'}"},
    {"alias password a@b.test --old-password-file -", "alias password",
     "{'address':'a@b.test'}"},
    {"domain catch-all b.test --off", "domain catch-all", "{'domain':'b.test','off':true}"},
    {"alias import -", "alias import", "{}"},
    /* What the command reads itself is not sent: of a key, only that there is one. */
    {"export a@b.test out --format file --new-password-file /k", "export",
     "{'address':'a@b.test','file':'out','format':'file','new-password':true}"},
    {"import a@b.test in --file-password-file /p --server-password-file=/s --server-ca-file /c",
     "import", "{'address':'a@b.test','file':'in'}"},
    {"alias add --help", "alias add", "{}"},
    {"", NULL, NULL},
    {"nothing", NULL, NULL},
    {"export a@b.test out --new-password words", NULL, NULL},
    {"import a@b.test in --server-ca-file", NULL, NULL},
    {"import a@b.test in --server-ca-file |", NULL, NULL},
    {"alias", NULL, NULL},
    {"alias nothing", NULL, NULL},
    {"alias app-password", NULL, NULL},
    {"alias add", NULL, NULL},
    {"alias add a@b.test c@d.test", NULL, NULL},
    {"alias add a@b.test --nothing", NULL, NULL},
    {"alias add a@b.test --to", NULL, NULL},
    {"alias add a@b.test --to=", NULL, NULL},
    {"alias add |", NULL, NULL},
    {"alias add \xff@b.test", NULL, NULL},
    {"alias add a@b.test --json=1", NULL, NULL},
    {"alias add a@b.test --recovery-key=yes", NULL, NULL},
    {"alias password a@b.test --old-password secret", NULL, NULL},
    {"alias password a@b.test secret", NULL, NULL},
    {"domain add x.test --config", NULL, NULL},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = strdup(rows[i].line), *argv[WORDS_MAX];
        struct cli_line line;
        struct buf words;
        enum err err;
        int argc;

        argc = split(text, argv);
        buf_init(&words, SIZE_MAX);
        err = cli_parse(argc, argv, &words, &line);
        if (err != (rows[i].command == NULL ? ERR_INVALID : ERR_OK))
            print_error("%s\n", rows[i].line);
        if (rows[i].command == NULL) {
            assert_int_equal(err, ERR_INVALID);
            assert_true(words.len > 0);
        } else {
            char *json = json_dumps(line.arguments, JSON_COMPACT | JSON_SORT_KEYS);

            assert_int_equal(err, ERR_OK);
            assert_string_equal(line.command->name, rows[i].command);
            for (char *at = json; *at != '\0'; at++)
                *at = *at == '"' ? '\'' : *at;
            assert_string_equal(json, rows[i].arguments);
            free(json);
        }
        cli_line_done(&line);
        buf_free(&words);
        free(text);
    }
}

static struct cli_line parse_or_fail(int argc, char **argv)
{
    struct cli_line line;
    struct buf words;

    buf_init(&words, SIZE_MAX);
    assert_int_equal(cli_parse(argc, argv, &words, &line), ERR_OK);
    buf_free(&words);
    return line;
}

static void test_global_options(void **state)
{
    (void)state;
    char *remove[] = {"sealpost", "user", "remove", "ann", "-y", "--json", "--config", "/c"};
    char *help[] = {"sealpost", "--help"};
    char *noun[] = {"sealpost", "alias", "--help"};
    char *old[] = {"sealpost", "alias", "password", "a@b", "--old-password-file=/f"};
    struct cli_line line = parse_or_fail(8, remove);

    assert_true(line.is_yes && line.is_json && !line.wants_help);
    assert_string_equal(line.config, "/c");
    assert_non_null(line.command->question);
    assert_int_equal(line.secret_count, 0);
    cli_line_done(&line);
    line = parse_or_fail(2, help);
    assert_true(line.wants_help && line.command == NULL && line.noun == NULL);
    cli_line_done(&line);
    line = parse_or_fail(3, noun);
    assert_true(line.wants_help && line.command == NULL);
    assert_string_equal(line.noun, "alias");
    cli_line_done(&line);
    line = parse_or_fail(5, old);
    assert_int_equal(line.secret_count, 1);
    assert_string_equal(line.secrets[0].file, "/f");
    assert_string_equal(line.secrets[0].argument->name, "old-password");
    cli_line_done(&line);
}

static void test_every_command_has_help(void **state)
{
    (void)state;
    struct buf text;

    buf_init(&text, SIZE_MAX);
    cli_help_overview(&text, NULL);
    for (size_t i = 0; i < admin_command_count; i++) {
        assert_true(str_find(buf_str(&text), str_from_c(admin_commands[i].name)) >= 0);
        assert_true(strlen(admin_commands[i].help) > 0);
        assert_non_null(admin_commands[i].run);
    }
    for (size_t i = 0; i < admin_command_count; i++) {
        struct str rest, line;

        buf_reset(&text);
        cli_help_command(&text, &admin_commands[i]);
        rest = buf_str(&text);
        while (str_split(&rest, '\n', &line))
            assert_true(line.len <= 100);
    }
    buf_free(&text);
}

static json_t *load(const char *text)
{
    json_t *json;
    char *copy = strdup(text);
    json_error_t error;

    for (char *at = copy; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    json = json_loads(copy, 0, &error);
    assert_non_null(json);
    free(copy);
    return json;
}

static void test_rendering(void **state)
{
    (void)state;
    struct cli_render_list list = {.command = admin_command_find(STR("domain list"))};
    json_t *answer = load("{'status':'ok','message':'Done.','used':1536,'quota':null,"
                          "'recovery_key':'abc','enabled':true,'hint':'Next.'}");
    json_t *page = load("{'items':[{'domain':'a.test','user':'u','quota':1073741824,'used':0,"
                        "'created':'x'},{'domain':'l\xc3\xb6nger.test','user':'u','quota':null,"
                        "'used':12,'created':'y'}]}");
    struct buf text;

    buf_init(&text, SIZE_MAX);
    cli_render_answer(&text, answer, false);
    assert_true(str_equal(buf_str(&text), STR("Done.\n"
                                              "  used:          1.5 KiB\n"
                                              "  quota:         none\n"
                                              "  recovery key:  abc\n"
                                              "  enabled:       yes\n"
                                              "Next.\n")));
    assert_int_equal(cli_render_exit_code(answer), 0);
    buf_reset(&text);
    cli_render_list_page(&list, &text, page);
    cli_render_list_end(&list, &text);
    assert_true(str_equal(buf_str(&text), STR("domain       user  quota  used  created\n"
                                              "a.test       u     1 GiB  0 B   x\n"
                                              "l\xc3\xb6nger.test  u     none   12 B  y\n")));
    buf_reset(&text);
    list = (struct cli_render_list){.command = list.command, .is_json = true};
    cli_render_list_end(&list, &text);
    assert_true(str_equal(buf_str(&text), STR("[]\n")));
    buf_free(&text);
    json_decref(answer);
    json_decref(page);
}

/* --- import --------------------------------------------------------------------------------- */

struct portions {
    size_t count, lines, largest;
};

static enum err take_portion(void *owner, struct task *task, json_t *arguments,
                             json_t **out_answer)
{
    struct portions *portions = owner;
    size_t lines = json_array_size(json_object_get(arguments, "file"));
    char *text = json_dumps(arguments, JSON_ENSURE_ASCII);

    (void)task;
    portions->count++;
    portions->lines += lines;
    if (strlen(text) > portions->largest)
        portions->largest = strlen(text);
    free(text);
    *out_answer = load("{'status':'ok','added':0,'there_already':0,"
                       "'problems':[{'line':1,'reason':'is wrong'}]}");
    return ERR_OK;
}

static void test_import_portions(void **state)
{
    (void)state;
    char path[] = "/tmp/cli-import-XXXXXX";
    int fd = mkstemp(path);
    struct portions portions = {0};
    const struct cli_import_portion portion = {take_portion, &portions};
    json_t *answer = NULL;
    struct buf text;
    struct task task;

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    for (int i = 0; i < 1200; i++)
        buf_putf(&text, "n%d@demo.test you@demo.test\r\n", i);
    buf_putf(&text, "\xff@demo.test x@demo.test\n%2000s\n", "x x");
    for (int i = 0; i < 1000; i++)
        buf_put(&text, STR("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc@demo.test\tyou@demo.test\n"));
    buf_putf(&text, "last@demo.test you@demo.test");
    assert_int_equal(fd_write_all(&task, fd, buf_str(&text)), ERR_OK);
    assert_int_equal(cli_import(&task, path, true, &portion, &answer), ERR_OK);
    assert_int_equal(portions.lines, 2201 + 1); /* the one of white space is empty when trimmed */
    assert_true(portions.largest < 128 * 1024);
    assert_int_equal(json_integer_value(json_object_get(answer, "lines")), 2203);
    assert_int_equal(json_integer_value(json_object_get(answer, "wrong")), portions.count + 1);
    assert_int_equal(
        json_integer_value(json_object_get(
            json_array_get(json_object_get(answer, "problems"), 1), "line")),
        501);
    assert_int_equal(cli_render_exit_code(answer), ADMIN_EXIT_FAILED);
    json_decref(answer);
    buf_free(&text);
    task_done(&task);
    (void)close(fd);
    (void)unlink(path);
}

/* --- the manual page ------------------------------------------------------------------------ */

/* Without roff's "\-" for "-". */
static void read_manual(struct buf *out)
{
    const char *source = getenv("SEALPOST_SOURCE");
    struct buf raw;
    struct task task;
    char path[512];

    assert_non_null(source);
    (void)snprintf(path, sizeof(path), "%s/man/sealpost.1", source);
    task_init(&task, 0);
    buf_init(&raw, SIZE_MAX);
    assert_int_equal(file_read(&task, AT_FDCWD, path, 1 << 20, &raw), ERR_OK);
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] != '\\' || i + 1 == raw.len || raw.ptr[i + 1] != '-')
            buf_put(out, str_make(&raw.ptr[i], 1));
    }
    buf_free(&raw);
    task_done(&task);
}

static void test_the_manual_is_complete(void **state)
{
    (void)state;
    struct buf manual;

    buf_init(&manual, SIZE_MAX);
    read_manual(&manual);
    for (size_t i = 0; i < admin_command_count; i++) {
        const struct admin_command *command = &admin_commands[i];
        char heading[128];
        ptrdiff_t at, end;
        struct str section;

        (void)snprintf(heading, sizeof(heading), "\n.SS %s\n", command->name);
        at = str_find(buf_str(&manual), str_from_c(heading));
        if (at < 0)
            print_error("man/sealpost.1 has no section%s", heading);
        assert_true(at >= 0);
        section = str_from(buf_str(&manual), (size_t)at + strlen(heading));
        end = str_find(section, STR("\n.S"));
        section = str_upto(section, end < 0 ? section.len : (size_t)end);
        for (const struct admin_argument *argument = command->arguments; argument->name != NULL;
             argument++) {
            char name[64];

            if (!argument->is_option)
                continue;
            (void)snprintf(name, sizeof(name), "--%s%s", argument->name,
                           argument->kind == ADMIN_SECRET ? "-file" : "");
            if (str_find(section, str_from_c(name)) < 0)
                print_error("man/sealpost.1: %s: %s is missing\n", command->name, name);
            assert_true(str_find(section, str_from_c(name)) >= 0);
        }
    }
    for (size_t i = 0; i < admin_status_count; i++)
        assert_true(str_find(buf_str(&manual), str_from_c(admin_statuses[i].meaning + 1)) >= 0);
    buf_free(&manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_global_options),
        cmocka_unit_test(test_every_command_has_help),
        cmocka_unit_test(test_rendering),
        cmocka_unit_test(test_import_portions),
        cmocka_unit_test(test_the_manual_is_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
