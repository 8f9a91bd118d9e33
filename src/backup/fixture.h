/* What the tests of destinations share: a loop, a folder, calls that wait, contents. */
#ifndef BACKUP_FIXTURE_H
#define BACKUP_FIXTURE_H

#include "backup/destination.h"
#include "base/buf.h"
#include "net/loop.h"

struct backup_fixture {
    struct net_loop *loop;
    struct backup_destination *destination;
    /* Of the last call. */
    bool is_done;
    enum err err;
    char words[512];
    struct buf content; /* get */
    unsigned char digest[CRYPT_HASH_BYTES];
    struct buf names;   /* list: one a line */
    bool is_last;
};

/* A folder for the test, and away with it and all that is in it. Gives what a teardown gives. */
enum { FIXTURE_ROOT_ROOM = 100 };
void fixture_make_root(char out[static FIXTURE_ROOT_ROOM], const char *name);
int fixture_remove_root(const char *root);

/* A directory as the destination, made where it is not there; and a loop where none is set. */
void fixture_open(struct backup_fixture *fixture, const char *folder);
void fixture_done(struct backup_fixture *fixture);
/* A memfd with `size` bytes that depend on `seed`; appended to `copy` unless NULL. */
int fixture_memfd(size_t size, unsigned seed, struct buf *copy);
/* Each waits for its answer and gives the call's error. */
enum err fixture_put(struct backup_fixture *fixture, const char *name, size_t size, unsigned seed);
enum err fixture_put_fd(struct backup_fixture *fixture, const char *name, int fd, uint64_t size,
                        const unsigned char *digest);
enum err fixture_get(struct backup_fixture *fixture, const char *name);
/* The content of the last get is that of fixture_put with these. */
bool fixture_is(const struct backup_fixture *fixture, size_t size, unsigned seed);
enum err fixture_list(struct backup_fixture *fixture, const char *prefix, const char *after,
                      size_t count_max);
enum err fixture_delete(struct backup_fixture *fixture, const char *name);
void fixture_on_done(void *owner, struct backup_result *result);

#endif
