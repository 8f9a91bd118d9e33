#include "imap/vanished.h"

#include "imap/engine.h"
#include "imap/write.h"

void imap_write_vanished(struct imap_session *s, const uint32_t *uids, size_t count)
{
    if (count == 0)
        return;
    buf_put(&s->out, STR("* VANISHED "));
    imap_write_set(&s->out, uids, count);
    buf_put(&s->out, STR("\r\n"));
}

/* All UIDs that the folder has given and the view does not have, above `known_uid`. */
static void list_absent(const struct imap_session *s, struct task *task, uint32_t known_uid,
                        struct imap_set *out)
{
    const struct imap_view *view = &s->view;
    uint32_t next = known_uid + 1;

    out->ranges = ARENA_ARRAY(&task->arena, struct imap_range, view->count + 1);
    out->count = 0;
    for (size_t i = imap_view_index(view, next); i < view->count; i++) {
        if (view->uids[i] > next)
            out->ranges[out->count++] = (struct imap_range){next, view->uids[i] - 1};
        next = view->uids[i] + 1;
    }
    if (next < view->next_uid)
        out->ranges[out->count++] = (struct imap_range){next, view->next_uid - 1};
}

/*
 * The log's ranges without what is still in the view: that is told by VANISHED without EARLIER when
 * its time comes, since it changes the message numbers (RFC 7162 §3.2.10).
 */
static void leave_out_view(const struct imap_session *s, struct task *task,
                           const struct vault_uid_range *ranges, size_t count, struct imap_set *out)
{
    const struct imap_view *view = &s->view;
    size_t inside = 0;

    for (size_t i = 0; i < count; i++)
        inside +=
            imap_view_index(view, ranges[i].last) + 1 - imap_view_index(view, ranges[i].first);
    out->ranges = ARENA_ARRAY(&task->arena, struct imap_range, count + inside);
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t next = ranges[i].first;

        for (size_t k = imap_view_index(view, next);
             k < view->count && view->uids[k] <= ranges[i].last; k++) {
            if (view->uids[k] > next)
                out->ranges[out->count++] = (struct imap_range){next, view->uids[k] - 1};
            next = view->uids[k] + 1;
        }
        if (next <= ranges[i].last)
            out->ranges[out->count++] = (struct imap_range){next, ranges[i].last};
    }
}

static enum err list_vanished(struct imap_session *s, struct task *task, uint64_t since,
                              uint32_t known_uid, struct imap_set *out)
{
    struct vault_uid_range *ranges;
    size_t count;
    bool is_known;

    TRY(vault_vanished_since(s->vault, task, s->view.folder_id, since, &is_known, &ranges, &count));
    if (is_known)
        leave_out_view(s, task, ranges, count, out);
    else
        list_absent(s, task, known_uid, out);
    return ERR_OK;
}

enum err imap_tell_vanished(struct imap_session *s, struct task *task, uint64_t since,
                            const struct imap_set *among, uint32_t known_uid)
{
    struct imap_set vanished, told;

    TRY(list_vanished(s, task, since, known_uid, &vanished));
    imap_set_intersect(task, among, &vanished, &told);
    imap_spend(s, (vanished.count + among->count) / 8);
    if (told.count == 0)
        return ERR_OK;
    buf_put(&s->out, STR("* VANISHED (EARLIER) "));
    imap_write_ranges(&s->out, &told);
    buf_put(&s->out, STR("\r\n"));
    return ERR_OK;
}

/* A place in a set that is walked number by number, in the order in which it was written. */
struct walk {
    const struct imap_set *set;
    size_t range;
    uint32_t offset;
};

static bool step(struct walk *walk, uint32_t *out_number)
{
    const struct imap_range *range;

    if (walk->range == walk->set->count)
        return false;
    range = &walk->set->ranges[walk->range];
    if (range->last < range->first)
        return false; /* not ascending */
    *out_number = range->first + walk->offset;
    if (*out_number == range->last) {
        walk->range++;
        walk->offset = 0;
    } else {
        walk->offset++;
    }
    return true;
}

uint32_t imap_match_sequence(const struct imap_session *s, const struct imap_set *numbers,
                             const struct imap_set *uids)
{
    struct walk by_number = {.set = numbers}, by_uid = {.set = uids};
    uint32_t number, uid, matched = 0, above = 0;

    /* The numbers ascend, so this ends within the mailbox, whatever the sets. */
    while (step(&by_number, &number) && step(&by_uid, &uid)) {
        if (number <= above || number > s->view.count)
            break;
        above = number;
        if (s->view.uids[number - 1] == uid)
            matched = uid;
    }
    return matched;
}
