/*
 * For the tests of the owner's side: a drop box with a sealer and a real mailbox file. Its mails
 * are numbered, and every acknowledged one is to be in the mailbox exactly once.
 */
#ifndef DROPBOX_FIXTURE_H
#define DROPBOX_FIXTURE_H

#include "dropbox/dropbox.h"
#include "dropbox/sealing.h"

enum { FIXTURE_ROOT_ROOM = 256, FIXTURE_PATH_ROOM = 1024, FIXTURE_MAILS_MAX = 8000 };

struct fixture {
    char root[FIXTURE_ROOT_ROOM], drop_root[FIXTURE_ROOT_ROOM + 8];
    char drop[FIXTURE_PATH_ROOM], mail[FIXTURE_PATH_ROOM]; /* the mailbox's folder in each */
    struct id mailbox;
    struct task task;
    struct log log;
    struct secret *root_key, *drop_key, *mailbox_key;
    struct sealing *sealing;
    struct vault *vault;
    struct shared { /* with children */
        uint32_t sent;
        unsigned char is_acknowledged[FIXTURE_MAILS_MAX];
    } * shared;
};

void fixture_init_libraries(void);
struct fixture *fixture_new(void);
void fixture_free(struct fixture **fixture);
/* The same as cmocka's setup and teardown. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* As after another boot of the sealer, which is freed before. */
void fixture_open_sealing(struct fixture *f);
void fixture_reopen_vault(struct fixture *f);
struct dropbox_owner fixture_owner(const struct fixture *f);

/* Message `number`, unlike any other; in the task's arena. */
struct str fixture_message(struct task *task, uint32_t number);
/* Seals the next `count` messages in one commit, and notes them when they are acknowledged. */
enum err fixture_deliver(struct fixture *f, size_t count);
/* All at a login, before a sealer that knows of it: it lets go, the mail is taken over, the lane
 * renewed. */
enum err fixture_take_over(struct fixture *f, bool is_renewing, uint64_t *out_imported);
/* What the mailbox process does at a login. */
enum err fixture_login(const struct dropbox_owner *owner, struct task *task);

/* How often each number is in a folder is added to `seen`; gives the messages that are notices. */
size_t fixture_count(struct fixture *f, struct str folder, uint32_t seen[FIXTURE_MAILS_MAX]);
/* Every acknowledged message once in INBOX, others at most once; gives the notices. */
size_t fixture_check(struct fixture *f);

/* The drop file's name in its folder, and the path of what has this name there. */
const char *fixture_drop_name(struct fixture *f);
const char *fixture_path(struct fixture *f, const char *name);
bool fixture_has_drop_file(struct fixture *f);

#endif
