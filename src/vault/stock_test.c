/*
 * A user can leave (design §1.6): an unmodified SQLite3 Multiple Ciphers, the program in argv[1],
 * opens the mailbox with the password and finds everything intact. It is the promise that a
 * password in the shape of a raw key is only a password, too.
 */
#include "vault/fixture.h"

#include "base/memory.h"
#include "secret/crypt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *stock_path;

static void run_stock(struct fixture *f, const char *sql, char *out, size_t room)
{
    char command[1024];
    size_t len;
    FILE *pipe;

    snprintf(command, sizeof(command), "%s '%s' 'correct horse' 0 \"%s\"", stock_path, f->path,
             sql);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    len = fread(out, 1, room - 1, pipe);
    out[len] = '\0';
    assert_int_equal(pclose(pipe), 0);
}

static void test_stock_opens_mailbox(void **state)
{
    struct fixture *f = *state;
    char out[4096];

    for (int i = 0; i < 40; i++)
        fixture_append(f, f->inbox, fixture_message(f, "hello stock"), 0);
    /* While it is open here, for reading beside us ... */
    run_stock(f, "SELECT count(*) FROM message", out, sizeof(out));
    assert_string_equal(out, "40\n");
    vault_close(&f->vault);
    /* ... and when it is closed: one file. */
    run_stock(f,
              "PRAGMA integrity_check; SELECT name FROM folder ORDER BY id;"
              "SELECT count(*) FROM message; SELECT subject FROM content LIMIT 1;",
              out, sizeof(out));
    assert_string_equal(out, "ok\nINBOX\nDrafts\nSent\nJunk\nTrash\nArchive\n40\nhello stock\n");
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &f->vault), ERR_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stock_opens_mailbox, fixture_set_up,
                                        fixture_tear_down),
    };

    if (argc != 2)
        return 2;
    stock_path = argv[1];
    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
