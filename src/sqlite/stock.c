/*
 * A small test program over the unmodified SQLite3 Multiple Ciphers: what a user who leaves would
 * have. `stock FILE PASSWORD PAGE_BYTES SQL` opens with nothing but the cipher's name and the
 * password, runs the SQL and prints the rows, columns separated by '|'. PAGE_BYTES 0 leaves it.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static int print_row(void *unused, int count, char **values, char **names)
{
    (void)unused;
    (void)names;
    for (int i = 0; i < count; i++)
        printf("%s%s", i > 0 ? "|" : "", values[i] == NULL ? "" : values[i]);
    printf("\n");
    return 0;
}

static int run(sqlite3 *db, char *sql)
{
    char *words = NULL;
    int code = sqlite3_exec(db, sql, print_row, NULL, &words);

    if (code != SQLITE_OK)
        printf("error %d %s\n", code, words == NULL ? "" : words);
    sqlite3_free(words);
    return code;
}

static int run_quietly(sqlite3 *db, char *sql)
{
    int code = sql == NULL ? SQLITE_NOMEM : sqlite3_exec(db, sql, NULL, NULL, NULL);

    sqlite3_free(sql);
    return code;
}

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    int code;

    if (argc != 5)
        return 2;
    if (sqlite3_open(argv[1], &db) != SQLITE_OK)
        return 1;
    code = run_quietly(db, sqlite3_mprintf("PRAGMA cipher='chacha20'"));
    if (code == SQLITE_OK && strcmp(argv[3], "0") != 0)
        code = run_quietly(db, sqlite3_mprintf("PRAGMA page_size=%s", argv[3]));
    if (code == SQLITE_OK)
        code = run_quietly(db, sqlite3_mprintf("PRAGMA key=%Q", argv[2]));
    if (code == SQLITE_OK)
        code = run(db, argv[4]);
    sqlite3_close(db);
    return code == SQLITE_OK ? 0 : 1;
}
