/*
 * For the self test of the power cut: commits numbered rows to a database in WAL mode and prints
 * each number once its commit returned, in two processes with a database each.
 *
 *   faults_sample FOLDER FULL|OFF ROWS
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int result, sqlite3 *db, const char *what)
{
    if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW)
        return;
    fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0) {
        fprintf(stderr, "sync of the folder: disk I/O error\n"); /* in SQLite's words */
        exit(1);
    }
    close(fd);
}

static void commit_rows(const char *folder, const char *level, int process, int rows)
{
    char path[1024], sql[256];
    sqlite3 *db = NULL;

    snprintf(path, sizeof(path), "%s/%d.sqlite", folder, process);
    must(sqlite3_open(path, &db), db, "open");
    snprintf(sql, sizeof(sql), "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s;", level);
    must(sqlite3_exec(db, sql, NULL, NULL, NULL), db, "pragma");
    must(sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x BLOB)", NULL, NULL,
                      NULL),
         db, "create");
    /* The database's own name is not SQLite's to sync. */
    if (strcmp(level, "FULL") == 0)
        sync_folder(folder);
    for (int i = 0; i < rows; i++) {
        snprintf(sql, sizeof(sql), "INSERT INTO t(x) VALUES(zeroblob(%d))", 100 + i * 37 % 9000);
        must(sqlite3_exec(db, sql, NULL, NULL, NULL), db, "insert");
        printf("%d %lld\n", process, (long long)sqlite3_last_insert_rowid(db));
        fflush(stdout);
    }
    must(sqlite3_close(db), db, "close");
}

int main(int argc, char **argv)
{
    pid_t child;

    if (argc != 4)
        return 2;
    child = fork();
    if (child < 0)
        return 1;
    commit_rows(argv[1], argv[2], child == 0 ? 1 : 0, atoi(argv[3]));
    if (child != 0) {
        int status = 0;

        waitpid(child, &status, 0);
        return status == 0 ? 0 : 1;
    }
    return 0;
}
