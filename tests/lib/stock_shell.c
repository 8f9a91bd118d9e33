/*
 * A reader of mailbox files that shares nothing with Sealpost: SQLite3 Multiple Ciphers' own source,
 * compiled as it comes, its own ChaCha20, its own key derivation. It stands for "any SQLite3 Multiple
 * Ciphers tool" of the promise that a user can leave.
 *
 *   stock_shell FILE [SQL]...     the password is the first line of standard input
 *
 * Prints the rows, columns separated by tabs, blobs as hex. Exit 1 with SQLite's words otherwise.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static int fail_with(sqlite3 *db, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
    sqlite3_close(db);
    return 1;
}

static void print_value(sqlite3_stmt *statement, int column)
{
    if (sqlite3_column_type(statement, column) == SQLITE_BLOB) {
        const unsigned char *bytes = sqlite3_column_blob(statement, column);
        int size = sqlite3_column_bytes(statement, column);

        for (int i = 0; i < size; i++)
            printf("%02x", bytes[i]);
    } else {
        const unsigned char *text = sqlite3_column_text(statement, column);

        printf("%s", text == NULL ? "" : (const char *)text);
    }
}

static int run(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    while (result == SQLITE_OK || result == SQLITE_ROW) {
        result = sqlite3_step(statement);
        if (result != SQLITE_ROW)
            break;
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            if (i > 0)
                putchar('\t');
            print_value(statement, i);
        }
        putchar('\n');
    }
    sqlite3_finalize(statement);
    return result == SQLITE_DONE ? 0 : 1;
}

int main(int argc, char **argv)
{
    char password[512], pragma[1100];
    sqlite3 *db = NULL;

    if (argc < 2 || fgets(password, sizeof(password), stdin) == NULL) {
        fprintf(stderr, "usage: stock_shell FILE [SQL]... <password\n");
        return 2;
    }
    password[strcspn(password, "\r\n")] = '\0';
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return fail_with(db, argv[1]);
    if (sqlite3_exec(db, "PRAGMA cipher='chacha20'", NULL, NULL, NULL) != SQLITE_OK)
        return fail_with(db, "cipher");
    sqlite3_snprintf((int)sizeof(pragma), pragma, "PRAGMA key=%Q", password);
    if (sqlite3_exec(db, pragma, NULL, NULL, NULL) != SQLITE_OK)
        return fail_with(db, "key");
    for (int i = 2; i < argc; i++) {
        if (run(db, argv[i]) != 0)
            return fail_with(db, argv[i]);
    }
    sqlite3_close(db);
    return 0;
}
