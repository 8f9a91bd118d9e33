/*
 * The record of all changes, in shared memory: a header of 64 bytes, then records of multiples of 16.
 * A record counts once its `is_complete` is set; the space is taken by one atomic addition, so that
 * any number of processes may write at once. powercut.py reads it.
 */
#include "interpose.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct journal {
    _Atomic uint64_t tail;  /* next free byte; the test adds 2^40 to it to cut the power */
    _Atomic uint64_t limit; /* size of the file */
    char reserved[48];
};

struct record {
    _Atomic uint32_t is_complete;
    uint32_t kind;
    uint64_t inode;
    uint64_t offset;
    uint32_t path_size;
    uint32_t data_size;
};

static struct journal *journal;

__attribute__((constructor(102))) static void map_journal(void)
{
    const char *path = getenv("SEALPOST_FAULTS_JOURNAL");
    struct stat status;
    long fd;

    if (path == NULL || journal != NULL)
        return;
    fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0 || fstat((int)fd, &status) != 0) {
        fprintf(stderr, "interpose: cannot open the journal %s\n", path);
        abort();
    }
    /* Untouched pages of the mapping cost nothing; locked memory would make it all real. */
    journal = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    syscall(SYS_close, fd);
    if (journal == MAP_FAILED) {
        fprintf(stderr, "interpose: cannot map the journal %s\n", path);
        abort();
    }
}

bool journal_is_on(void)
{
    return journal != NULL;
}

uint64_t journal_position(void)
{
    return journal == NULL ? 0 : atomic_load(&journal->tail);
}

void journal_add(enum record_kind kind, uint64_t inode, uint64_t offset, const char *path,
                 const void *data, size_t data_size)
{
    size_t path_size = path == NULL ? 0 : strlen(path);
    uint64_t size = (sizeof(struct record) + path_size + data_size + 15) & ~UINT64_C(15);
    uint64_t at;
    struct record *record;

    if (journal == NULL)
        return;
    at = atomic_fetch_add(&journal->tail, size);
    if (at + size > atomic_load(&journal->limit)) {
        static const char words[] = "interpose: the journal is full\n";

        control_wait_if_cut();
        if (at < UINT64_C(1) << 39)
            (void)!write(STDERR_FILENO, words, sizeof(words) - 1);
        control_stop_here();
    }
    record = (struct record *)(void *)((char *)journal + at);
    record->kind = (uint32_t)kind;
    record->inode = inode;
    record->offset = offset;
    record->path_size = (uint32_t)path_size;
    record->data_size = (uint32_t)data_size;
    if (path_size > 0)
        memcpy((char *)(record + 1), path, path_size);
    if (data_size > 0)
        memcpy((char *)(record + 1) + path_size, data, data_size);
    atomic_store(&record->is_complete, 1);
}
