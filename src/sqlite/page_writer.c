#include "sqlite/page_writer.h"

#include "base/memory.h"
#include "sqlite/cipher.h"
#include "sqlite/result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCHES = 4,
    BATCH_BYTES = 256 * 1024,
    PAGE_BYTES_MIN = 512,
    BATCH_PAGES = BATCH_BYTES / PAGE_BYTES_MIN,
};

/* Some pages, one behind the other, and their places in the file. Shared by both processes: the
 * parent's until it says that it is full, then the child's until that says that it is written. */
struct batch {
    uint32_t count;
    size_t len;
    struct {
        uint64_t at;
        uint32_t len;
    } pages[BATCH_PAGES];
    unsigned char bytes[BATCH_BYTES];
};

/* What the child says of a batch. */
enum answer { ANSWER_WRITTEN, ANSWER_FULL, ANSWER_FAILED };

struct page_writer {
    sqlite3_io_methods methods;     /* the new file's, as long as it is attached: they lead here */
    const sqlite3_io_methods *real; /* borrowed; NULL: not attached yet */
    bool is_closed;                 /* it was attached, and is not any more */
    struct helper child;
    struct batch *batches; /* own; shared with the child */
    unsigned filling;      /* number of the batch that is being filled */
    unsigned oldest;       /* of the oldest one that is not written */
    uint64_t pages;
    int failure; /* of SQLite; SQLITE_OK: none */
};

/* --- The child --- */

static bool write_at(int fd, const unsigned char *bytes, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t done = pwrite(fd, bytes, len, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        len -= (size_t)done;
        at += (uint64_t)done;
    }
    return true;
}

/* Pages that are neighbours in the file are written with one call. */
static enum answer write_batch(struct page_cipher *cipher, int fd, struct batch *batch,
                               uint64_t *end)
{
    unsigned char *page = batch->bytes, *run = batch->bytes;
    uint64_t run_at = batch->pages[0].at, at = run_at;

    for (uint32_t i = 0; i <= batch->count; i++) {
        bool is_end = i == batch->count;

        if (is_end || batch->pages[i].at != at) {
            if (!write_at(fd, run, (size_t)(page - run), run_at))
                return result_system(errno, ERR_IO) == ERR_LIMIT ? ANSWER_FULL : ANSWER_FAILED;
            *end = at > *end ? at : *end;
            if (is_end)
                break;
            run = page;
            run_at = at = batch->pages[i].at;
        }
        cipher_pages_encrypt(cipher, (uint32_t)(at / batch->pages[i].len + 1), page,
                             batch->pages[i].len);
        page += batch->pages[i].len;
        at += batch->pages[i].len;
    }
    return ANSWER_WRITTEN;
}

/* What the child inherits. */
struct child {
    struct batch *batches;
    int fd;
    const struct secret *key;
    struct writeback_beside writeback;
};

static void be_child(void *owner, int channel)
{
    struct child *child = owner;
    struct page_cipher *cipher = cipher_pages_new(child->key);
    uint64_t end = 0;
    char word;

    for (unsigned number = 0; recv(channel, &word, 1, 0) == 1; number++) {
        word = (char)write_batch(cipher, child->fd, &child->batches[number % BATCHES], &end);
        if (send(channel, &word, 1, MSG_NOSIGNAL) != 1)
            break;
        writeback_beside_go_on(&child->writeback, end);
    }
    cipher_pages_free(&cipher);
}

enum err page_writer_start(struct task *task, int fd, const struct secret *key,
                           const struct writeback_beside *writeback, struct page_writer **out_writer)
{
    CLEANUP(page_writer_free) struct page_writer *writer = NEW(struct page_writer);
    struct child child = {.fd = fd, .key = key, .writeback.helper.channel = -1};
    enum err err;

    writer->batches = mmap(NULL, BATCHES * sizeof(struct batch), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (writer->batches == MAP_FAILED)
        abort();
    child.batches = writer->batches;
    if (writeback != NULL)
        child.writeback = *writeback;
    secret_set_inherited(true);
    err = helper_start(task, be_child, &child, &writer->child);
    secret_set_inherited(false);
    TRY(err);
    *out_writer = writer;
    writer = NULL;
    return ERR_OK;
}

/* --- The parent --- */

static struct page_writer *writer_of(sqlite3_file *file)
{
    return CONTAINER_OF(file->pMethods, struct page_writer, methods);
}

static struct batch *batch_of(struct page_writer *writer, unsigned number)
{
    return &writer->batches[number % BATCHES];
}

/* The oldest batch is written; what was on its way with the first error is as lost as that. */
static int wait_for_one(struct page_writer *writer)
{
    ssize_t got;
    char word;

    do {
        got = recv(writer->child.channel, &word, 1, 0);
    } while (got < 0 && errno == EINTR);
    writer->oldest++;
    if (got != 1 || word == ANSWER_FAILED)
        writer->failure = SQLITE_IOERR_WRITE;
    else if (word == ANSWER_FULL)
        writer->failure = SQLITE_FULL;
    return writer->failure;
}

/* The one being filled goes to the child; the next one is free behind it. */
static int hand_over(struct page_writer *writer)
{
    const char word = 0;

    if (writer->failure != SQLITE_OK || batch_of(writer, writer->filling)->count == 0)
        return writer->failure;
    if (send(writer->child.channel, &word, 1, MSG_NOSIGNAL) != 1)
        return writer->failure = SQLITE_IOERR_WRITE;
    writer->filling++;
    while (writer->failure == SQLITE_OK && writer->filling - writer->oldest == BATCHES)
        (void)wait_for_one(writer);
    batch_of(writer, writer->filling)->count = 0;
    batch_of(writer, writer->filling)->len = 0;
    return writer->failure;
}

static int drain(struct page_writer *writer)
{
    (void)hand_over(writer);
    while (writer->failure == SQLITE_OK && writer->oldest != writer->filling)
        (void)wait_for_one(writer);
    return writer->failure;
}

static bool is_on_its_way(struct page_writer *writer, uint64_t at, uint64_t len)
{
    for (unsigned number = writer->oldest; number != writer->filling + 1; number++) {
        const struct batch *batch = batch_of(writer, number);

        for (uint32_t i = 0; i < batch->count; i++) {
            if (batch->pages[i].at < at + len && at < batch->pages[i].at + batch->pages[i].len)
                return true;
        }
    }
    return false;
}

static int write_page(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct page_writer *writer = writer_of(file);
    struct batch *batch = batch_of(writer, writer->filling);
    int code;

    /* SQLite writes one page at a time. */
    if (len < PAGE_BYTES_MIN || len > BATCH_BYTES || at % len != 0) {
        code = drain(writer);
        return code != SQLITE_OK ? code : writer->real->xWrite(file, bytes, len, at);
    }
    if (batch->len + (size_t)len > BATCH_BYTES) {
        code = hand_over(writer);
        if (code != SQLITE_OK)
            return code;
        batch = batch_of(writer, writer->filling);
    }
    memcpy(batch->bytes + batch->len, bytes, (size_t)len);
    batch->len += (size_t)len;
    batch->pages[batch->count].at = (uint64_t)at;
    batch->pages[batch->count].len = (uint32_t)len;
    batch->count++;
    writer->pages++;
    return writer->failure;
}

static int read_page(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    struct page_writer *writer = writer_of(file);
    int code = is_on_its_way(writer, (uint64_t)at, (uint64_t)len) ? drain(writer) : SQLITE_OK;

    return code != SQLITE_OK ? code : writer->real->xRead(file, out, len, at);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    int code = drain(writer_of(file));

    return code != SQLITE_OK ? code : writer_of(file)->real->xTruncate(file, size);
}

static int sync_file(sqlite3_file *file, int flags)
{
    int code = drain(writer_of(file));

    return code != SQLITE_OK ? code : writer_of(file)->real->xSync(file, flags);
}

static int size_of_file(sqlite3_file *file, sqlite3_int64 *out)
{
    int code = drain(writer_of(file));

    return code != SQLITE_OK ? code : writer_of(file)->real->xFileSize(file, out);
}

static int close_file(sqlite3_file *file)
{
    struct page_writer *writer = writer_of(file);

    (void)drain(writer); /* page_writer_finish tells of it */
    writer->is_closed = true;
    file->pMethods = writer->real;
    return writer->real->xClose(file);
}

void page_writer_attach(struct page_writer *writer, struct db *db)
{
    sqlite3_file *file = NULL;
    const char *name;

    /* The databases of a connection: main, temp, and while VACUUM INTO runs the new one. */
    if (writer->real != NULL || (name = sqlite3_db_name(db_handle(db), 2)) == NULL ||
        sqlite3_file_control(db_handle(db), name, SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL)
        return;
    writer->real = file->pMethods;
    writer->methods = *file->pMethods;
    writer->methods.iVersion = 1; /* it is neither mapped nor shared */
    writer->methods.xClose = close_file;
    writer->methods.xRead = read_page;
    writer->methods.xWrite = write_page;
    writer->methods.xTruncate = truncate_file;
    writer->methods.xSync = sync_file;
    writer->methods.xFileSize = size_of_file;
    file->pMethods = &writer->methods;
}

uint64_t page_writer_pages(const struct page_writer *writer)
{
    return writer->pages;
}

enum err page_writer_finish(struct page_writer *writer, struct task *task)
{
    int failure = writer->failure;

    if (failure == SQLITE_OK && writer->real != NULL && !writer->is_closed)
        failure = drain(writer);
    if (failure == SQLITE_FULL)
        return fail(task, ERR_LIMIT, "database: the new file does not fit on the disk");
    if (failure != SQLITE_OK)
        return fail(task, ERR_IO, "database: the new file could not be written");
    return ERR_OK;
}

void page_writer_free(struct page_writer **writer_place)
{
    struct page_writer *writer = *writer_place;

    if (writer == NULL)
        return;
    helper_end(&writer->child);
    mem_wipe(writer->batches, BATCHES * sizeof(struct batch));
    (void)munmap(writer->batches, BATCHES * sizeof(struct batch));
    mem_free(writer_place);
}
