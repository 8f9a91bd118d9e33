/*
 * What the files of NOTIFY share: notify.c has what is wanted, what is heard, and the telling;
 * notify_list.c the folders as the client knows them, and LIST of those whose names changed.
 */
#ifndef IMAP_NOTIFY_INTERNAL_H
#define IMAP_NOTIFY_INTERNAL_H

#include "base/arena.h"
#include "base/task.h"
#include "imap/command.h"
#include "imap/notify.h"

enum { IMAP_NOTIFY_HEARD_MAX = 64 /* mailboxes at a time; with more, all are looked at */ };

struct imap_notify_note {
    int64_t folder_id;
    bool is_foreign; /* not only this session's own doing, which is not told (RFC 5465 §5) */
};

struct imap_notify {
    struct task task; /* its arena holds what follows */
    struct imap_notify_args args;
    const struct imap_notify_group *selected; /* in args; NULL: none */

    /* What the client knows, or would if it had asked. */
    struct arena arena;         /* of the names */
    struct vault_folder *known; /* own; by id */
    size_t known_count;
    struct str *subscriptions; /* in the arena; sorted */
    size_t subscription_count;

    /* What was heard since. */
    struct imap_notify_note heard[IMAP_NOTIFY_HEARD_MAX];
    size_t heard_count;
    bool is_all_heard, is_list_heard;
    bool is_list_foreign, is_selected_foreign;
    bool is_selected_missed; /* others changed it, and not all is told: `known` has it as before */
    uint32_t first_new, last_new; /* UIDs to FETCH in the selected mailbox; 0: none */

    /* IDLE, while a FETCH runs inside it. */
    bool is_fetching, has_idle;
    const struct imap_command *idle_command;
    struct task idle_task;
    union imap_args *idle_args;
    struct str idle_tag;
};

/* --- notify.c --- */

bool imap_notify_is_at_or_below(struct str name, struct str top);
/* All that the client wants of a mailbox with this name, but what SELECTED has. */
unsigned imap_notify_name_events(const struct imap_notify *notify, struct str name,
                                 bool is_subscribed);
/* STATUS, of what is wanted and differs (RFC 5465 §5.1 to §5.3). */
MUST_CHECK enum err imap_notify_tell_status(struct imap_session *s, struct task *task,
                                            const struct vault_folder *was,
                                            const struct vault_folder *now);
/* The client knows this now: but of the selected mailbox no more than it is told of that. */
void imap_notify_take_known(struct imap_session *s, struct vault_folder *known,
                            struct vault_folder now);

/* --- notify_list.c --- */

/* What the client knows of this folder; NULL: nothing. Valid until the next imap_notify_list_keep.
 */
struct vault_folder *imap_notify_list_known(const struct imap_notify *notify, int64_t folder_id);
/* The folders by id, and the subscriptions sorted, as they are now; in the task's arena. */
MUST_CHECK enum err imap_notify_list_read(struct imap_session *s, struct task *task,
                                          struct vault_folder **out_folders, size_t *out_count,
                                          struct str **out_subscriptions,
                                          size_t *out_subscription_count);
/* Such lists are what the client knows from here on; they are copied. */
void imap_notify_list_keep(struct imap_notify *notify, const struct vault_folder *folders,
                           size_t count, const struct str *subscriptions,
                           size_t subscription_count);
/* LIST of the names that changed, and STATUS of new ones (§5.4, §5.5); then they are known. */
MUST_CHECK enum err imap_notify_list_tell(struct imap_session *s, struct task *task);

#endif
