/*
 * A second processor for VACUUM INTO: a child encrypts and writes the pages of the new file, while
 * SQLite reads, decrypts and copies on. What is on its way is bounded, and a page that is wanted back
 * is waited for; so is everything, with its errors, when the file's size is asked for or it is closed.
 *
 * The pages go to the child in memory that both share, in clear as in any page cache, and are
 * overwritten by their ciphertext there. The child has the key, ends with its parent, and does nothing
 * else. Without this, or until it is attached, pages are encrypted and written as always.
 */
#ifndef SQLITE_PAGE_WRITER_H
#define SQLITE_PAGE_WRITER_H

#include "base/writeback.h"
#include "secret/secret.h"
#include "sqlite/db.h"

struct page_writer;

/* `fd` (borrowed) is the new file, open for writing; `key` (borrowed for the call) the one that `db` is
 * opened with. What was written is told to `writeback` (borrowed for the call; NULL: to nobody). ERR_IO: no
 * process. */
MUST_CHECK enum err page_writer_start(struct task *task, int fd, const struct secret *key,
                                      const struct writeback_beside *writeback,
                                      struct page_writer **out_writer);
/*
 * To be called while VACUUM INTO runs, from a progress handler; the first time that the new file is
 * there it is taken over, until SQLite closes it, which is before VACUUM INTO returns.
 */
void page_writer_attach(struct page_writer *writer, struct db *db);
/* Behind VACUUM INTO: how many pages went this way. */
uint64_t page_writer_pages(const struct page_writer *writer);
/* ERR_LIMIT: no room; ERR_IO: something was not written, or the child died. VACUUM INTO has failed
 * already then, but for what closing the file had to write. */
MUST_CHECK enum err page_writer_finish(struct page_writer *writer, struct task *task);
void page_writer_free(struct page_writer **writer);

#endif
