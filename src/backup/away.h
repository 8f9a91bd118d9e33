/* For the tests of this folder: a destination in memory, and a shipper that puts into it. */
#ifndef BACKUP_AWAY_H
#define BACKUP_AWAY_H

#include "backup/restore.h"
#include "backup/shipper.h"
#include "backup/shipping.h"
#include "vault/fixture.h"

enum { AWAY_OBJECTS_MAX = 200 };

struct away {
    struct {
        char name[96];
        int fd;
    } objects[AWAY_OBJECTS_MAX];
    size_t count;
    size_t puts;
    int last_fd;       /* own; of what was put last, as the archivist has it; -1: none */
    bool is_down;      /* SHIPPER_AGAIN to all */
    int64_t wait_to_begin_ms;
    bool is_lossy;     /* stores, but the answer does not come */
    bool has_question; /* an answer is owed */
    enum shipper_answer answer;
    struct shipper *shipper;
    struct shipper_options options;
    struct away *into; /* borrowed; whose objects it puts; NULL: its own */
};

/* As options.wait_to_begin. */
int64_t away_wait_to_begin(void *away);
/* Of what was put last, as it is now. */
int64_t away_last_size(const struct away *away);
void away_init(struct away *away, struct fixture *f);
void away_done(struct away *away);
/* Opens the fixture's vault with a new shipper, as a mailbox process does. */
void away_open(struct away *away, struct fixture *f);
/* Closes both in order. */
void away_close(struct away *away, struct fixture *f);
/* Runs the shipper until nothing is left to do. */
void away_settle(struct away *away, struct fixture *f);
/* -1: none. */
int away_find(const struct away *away, const char *name);
/* The names that begin with it. */
size_t away_count(const struct away *away, const char *prefix);
/* The id of the n-th generation (from 0) whose manifest came. */
const char *away_generation(const struct away *away, size_t n);
/* Restores from that generation up to a time into <id>.restored. */
enum err away_restore(const struct away *away, struct fixture *f, struct task *task,
                      const char *generation, int64_t until_ms, struct restore **out);
/* What is in the vault, as a text: the folder, UID, flags and bytes of every message. For mem_free. */
char *away_content(struct fixture *f, struct vault *vault);
/* The same of what that restores; a failure is the test's. */
char *away_restored(const struct away *away, struct fixture *f, const char *generation,
                    int64_t until_ms);
/* What a process that dies now leaves for the next one, under that key of a mailbox; false: nothing. */
bool away_has_note(const struct fixture *f, const struct secret *key, struct shipping *out);
/* The files as they are now, as a power cut would leave them if nothing more came to the disk; and
 * these files again in place of what was done since, when the vault is closed. */
void away_keep_files(const struct fixture *f);
void away_bring_files_back(const struct fixture *f);
/* Closes what is open, and what was noted goes. Before fixture_tear_down. */
void away_tear_down(struct away *away, struct fixture *f);

#endif
