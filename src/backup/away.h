/* For the tests of this folder: a destination in memory, and a shipper that puts into it. */
#ifndef BACKUP_AWAY_H
#define BACKUP_AWAY_H

#include "backup/restore.h"
#include "backup/shipper.h"
#include "vault/fixture.h"

enum { AWAY_OBJECTS_MAX = 200 };

struct away {
    struct {
        char name[96];
        int fd;
    } objects[AWAY_OBJECTS_MAX];
    size_t count;
    size_t puts;
    bool is_down;      /* SHIPPER_AGAIN to all */
    bool is_lossy;     /* stores, but the answer does not come */
    bool has_question; /* an answer is owed */
    enum shipper_answer answer;
    struct shipper *shipper;
    struct shipper_options options;
    struct away *into; /* borrowed; whose objects it puts; NULL: its own */
};

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

#endif
