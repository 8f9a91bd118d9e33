#include "imap/view.h"

#include "base/memory.h"
#include "imap/engine.h"
#include "imap/flags.h"
#include "imap/vanished.h"
#include "imap/write.h"

#include <string.h>

enum { CURSOR_GAP = 64 /* messages between two that are looked at: worth a new cursor */ };

void imap_view_init(struct imap_view *view)
{
    memset(view, 0, sizeof(*view));
}

void imap_view_done(struct imap_view *view)
{
    mem_free(&view->uids);
    imap_facts_free(&view->facts);
    mem_free(&view->gone);
    mem_free(&view->recent);
    mem_free(&view->saved);
    imap_view_init(view);
}

uint64_t imap_view_keywords(const struct vault *vault, int64_t now_ms)
{
    return (vault_keywords_state(vault) & ~UINT64_C(1)) | vault_keywords_can_grow(vault, now_ms);
}

static void add_message(struct imap_view *view, const struct vault_uid_flags *now)
{
    if (view->count == view->room) {
        view->room = view->room < 16 ? 16 : view->room + view->room / 4;
        view->uids = mem_resize(view->uids, view->room, sizeof(*view->uids));
    }
    view->uids[view->count++] = now->uid;
    view->next_uid = now->uid + 1;
    if (view->facts != NULL)
        imap_facts_add(view->facts, now->flags);
}

/* Of very many ranges (two sessions that are told of new mail in turn) the older half is forgotten:
 * what they take, and how long a look takes, has a limit. */
static void add_recent(struct imap_view *view, uint32_t first, uint32_t last)
{
    struct imap_range *newest =
        view->recent_count == 0 ? NULL : view->recent + view->recent_count - 1;

    if (newest != NULL && first <= newest->last + 1) {
        newest->last = last;
        return;
    }
    if (view->recent_count == IMAP_VIEW_RECENT_MAX) {
        view->recent_count = IMAP_VIEW_RECENT_MAX / 2;
        memmove(view->recent, view->recent + IMAP_VIEW_RECENT_MAX - view->recent_count,
                view->recent_count * sizeof(*view->recent));
    }
    view->recent = mem_resize(view->recent, view->recent_count + 1, sizeof(*view->recent));
    view->recent[view->recent_count++] = (struct imap_range){first, last};
}

/* Takes the messages from `first_new` on that no session has been told of as recent. */
static enum err take_recent(struct imap_view *view, struct vault *vault, struct task *task,
                            uint32_t first_new)
{
    uint32_t first_recent = 0;

    enum err err =
        vault_folder_take_recent(vault, task, view->folder_id, view->is_read_only, &first_recent);

    /* With a full disk they stay recent for the next session too; reading goes on. */
    if ((err == ERR_LIMIT || err == ERR_IO) && !view->is_read_only) {
        task_forgive(task);
        err = vault_folder_take_recent(vault, task, view->folder_id, true, &first_recent);
    }
    TRY(err);
    if (first_recent == 0 || first_recent >= view->next_uid)
        return ERR_OK;
    add_recent(view, first_recent > first_new ? first_recent : first_new, view->next_uid - 1);
    return ERR_OK;
}

enum err imap_view_open(struct imap_view *view, struct vault *vault, struct task *task,
                        const struct vault_folder *folder, bool is_read_only,
                        struct vault_uid_flags **out_messages, size_t *out_first_unseen)
{
    struct vault_uid_flags *messages;
    size_t count;

    imap_view_done(view);
    TRY(vault_message_list_selected(vault, task, folder->id, &messages, &count));
    view->folder_id = folder->id;
    view->uidvalidity = folder->uidvalidity;
    view->incarnation = folder->incarnation;
    view->is_read_only = is_read_only;
    view->modseq = vault_folder_modseq(vault, folder->id);
    view->keywords = imap_view_keywords(vault, task->now_ms);
    view->uids = NEW_ARRAY(uint32_t, count);
    view->room = count;
    view->facts = imap_facts_new();
    view->facts->modseq = view->modseq;
    *out_messages = messages;
    *out_first_unseen = 0;
    for (size_t i = 0; i < count; i++) {
        view->uids[i] = messages[i].uid;
        imap_facts_add(view->facts, messages[i].flags);
        if (*out_first_unseen == 0 && (messages[i].flags & VAULT_FLAG_SEEN) == 0)
            *out_first_unseen = i + 1;
    }
    view->count = count;
    view->next_uid = folder->uidnext;
    if (count > 0 && view->uids[count - 1] >= view->next_uid)
        view->next_uid = view->uids[count - 1] + 1;
    return take_recent(view, vault, task, 1);
}

static size_t lower_bound(const uint32_t *numbers, size_t count, uint32_t number)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t imap_view_index(const struct imap_view *view, uint32_t uid)
{
    return lower_bound(view->uids, view->count, uid);
}

bool imap_view_has(const struct imap_view *view, uint32_t uid)
{
    size_t index = imap_view_index(view, uid);

    return index < view->count && view->uids[index] == uid;
}

bool imap_view_is_current(const struct imap_view *view, const struct vault *vault)
{
    return view->gone_count == 0 && view->modseq == vault_folder_modseq(vault, view->folder_id);
}

bool imap_view_is_recent(const struct imap_view *view, uint32_t uid)
{
    /* Newest first: that is what is asked for, and there is seldom more than one range. */
    for (size_t i = view->recent_count; i-- > 0;)
        if (uid >= view->recent[i].first)
            return uid <= view->recent[i].last;
    return false;
}

/* The indexes of its messages: from *out_first on, before the one that is returned. */
static size_t find_range(const struct imap_view *view, const struct imap_range *range,
                         size_t *out_first)
{
    *out_first = imap_view_index(view, range->first);
    return range->last == UINT32_MAX ? view->count : imap_view_index(view, range->last + 1);
}

size_t imap_view_recent_count(const struct imap_view *view)
{
    size_t count = 0, first;

    for (size_t i = 0; i < view->recent_count; i++)
        count += find_range(view, &view->recent[i], &first) - first;
    return count;
}

size_t imap_view_recent_ranges(const struct imap_view *view, struct imap_range *out, size_t most)
{
    size_t at = most, first, end, newer_first = 0;

    for (size_t i = view->recent_count; i-- > 0; newer_first = first) {
        end = find_range(view, &view->recent[i], &first);
        if (first == end)
            first = newer_first; /* none of them is left */
        else if (at < most && end == newer_first)
            out[at].first = view->recent[i].first;
        else if (at > 0)
            out[--at] = view->recent[i];
        else
            break;
    }
    memmove(out, out + at, (most - at) * sizeof(*out));
    return most - at;
}

size_t imap_view_stretch(const uint32_t *indexes, size_t count, size_t start)
{
    size_t end = start + 1;

    while (end < count && indexes[end] - indexes[end - 1] < CURSOR_GAP)
        end++;
    return end;
}

/* The messages with UIDs first … last, as message numbers. False: there are none. */
static bool number_range(const struct imap_view *view, struct imap_range uids,
                         struct imap_range *out)
{
    size_t first = imap_view_index(view, uids.first);
    size_t end = uids.last == UINT32_MAX ? view->count : imap_view_index(view, uids.last + 1);

    *out = (struct imap_range){(uint32_t)first + 1, (uint32_t)end};
    return first < end;
}

bool imap_view_save(struct imap_view *view, const uint32_t *indexes, size_t count)
{
    size_t ranges = 0;

    mem_free(&view->saved);
    view->saved_count = 0;
    for (size_t i = 0; i < count; i++)
        ranges += i == 0 || indexes[i] != indexes[i - 1] + 1;
    if (ranges > IMAP_SAVED_RANGES_MAX)
        return false;
    if (ranges == 0)
        return true;
    view->saved = NEW_ARRAY(struct imap_range, ranges);
    for (size_t i = 0; i < count; i++) {
        uint32_t uid = view->uids[indexes[i]];

        if (i == 0 || indexes[i] != indexes[i - 1] + 1)
            view->saved[view->saved_count++].first = uid;
        view->saved[view->saved_count - 1].last = uid;
    }
    return true;
}

bool imap_view_ranges(const struct imap_view *view, struct task *task, struct imap_set set,
                      bool is_uid, struct imap_set *out_ranges)
{
    uint32_t star =
        is_uid ? (view->count == 0 ? 0 : view->uids[view->count - 1]) : (uint32_t)view->count;
    bool had_ranges = set.count > 0;
    struct imap_set numbers = {0};

    imap_set_resolve(&set, star);
    if (!is_uid && had_ranges &&
        (set.count == 0 || set.ranges[set.count - 1].last > (uint32_t)view->count))
        return false;
    numbers.ranges = ARENA_ARRAY(&task->arena, struct imap_range,
                                 set.count + (set.has_saved ? view->saved_count : 0));
    for (size_t i = 0; i < set.count; i++) {
        numbers.ranges[numbers.count] = set.ranges[i];
        if (!is_uid || number_range(view, set.ranges[i], &numbers.ranges[numbers.count]))
            numbers.count++;
    }
    for (size_t i = 0; set.has_saved && i < view->saved_count; i++)
        if (number_range(view, view->saved[i], &numbers.ranges[numbers.count]))
            numbers.count++;
    if (set.has_saved)
        imap_set_resolve(&numbers, (uint32_t)view->count);
    for (size_t i = 0; i < numbers.count; i++) {
        numbers.ranges[i].first--;
        numbers.ranges[i].last--;
    }
    *out_ranges = numbers;
    return true;
}

void imap_view_uids(const struct imap_view *view, struct task *task, const struct imap_set *ranges,
                    uint32_t **out_uids, size_t *out_count)
{
    size_t count = 0;

    for (size_t i = 0; i < ranges->count; i++)
        count += ranges->ranges[i].last - ranges->ranges[i].first + 1;
    *out_uids = ARENA_ARRAY(&task->arena, uint32_t, count);
    *out_count = count;
    count = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        size_t len = ranges->ranges[i].last - ranges->ranges[i].first + 1;

        memcpy(*out_uids + count, view->uids + ranges->ranges[i].first, len * sizeof(uint32_t));
        count += len;
    }
}

void imap_view_announce_keywords(struct imap_session *s)
{
    uint64_t system = (UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1;
    uint64_t keywords = imap_view_keywords(s->vault, s->now_ms);

    /* That there may be more again, for a while, is told with other names only, or by SELECT: else
     * a client that goes on asking for one too many would have it told to all, over and over. */
    if (s->view.keywords == keywords || (s->view.keywords | 1) == keywords)
        return;
    s->view.keywords = keywords;
    buf_put(&s->out, STR("* FLAGS "));
    imap_write_flags(&s->out, s->vault, vault_keywords(s->vault) | system, false);
    buf_put(&s->out, STR("\r\n* OK [PERMANENTFLAGS "));
    imap_write_permanent_flags(s);
    buf_put(&s->out, STR("] Flags permitted.\r\n"));
}

/* Remembers what was expunged, of what the client knows. */
static void add_gone(struct imap_view *view, const uint32_t *expunged, size_t count)
{
    uint32_t *all;
    size_t a = 0, b = 0, all_count = 0;

    if (count == 0)
        return;
    all = NEW_ARRAY(uint32_t, view->gone_count + count);
    while (a < view->gone_count || b < count) {
        uint32_t uid;

        if (b == count || (a < view->gone_count && view->gone[a] <= expunged[b])) {
            uid = view->gone[a];
            b += b < count && expunged[b] == uid;
            a++;
        } else {
            uid = expunged[b++];
            if (!imap_view_has(view, uid))
                continue;
        }
        all[all_count++] = uid;
    }
    /* What the client never heard of is not held back from it. */
    if (view->gone_count == 0 && all_count > 0)
        view->safe_modseq = view->modseq;
    mem_free(&view->gone);
    view->gone = all;
    view->gone_count = all_count;
}

/* The log of expunges does not reach back to what the view knows: looks at the folder itself. */
static enum err find_gone(struct imap_view *view, struct vault *vault, struct task *task)
{
    struct vault_uid_flags *messages;
    size_t count, next = 0, gone_count = 0;
    uint32_t *gone = ARENA_ARRAY(&task->arena, uint32_t, view->count);

    TRY(vault_message_list(vault, task, view->folder_id, &messages, &count));
    for (size_t i = 0; i < view->count; i++) {
        while (next < count && messages[next].uid < view->uids[i])
            next++;
        if (next == count || messages[next].uid != view->uids[i])
            gone[gone_count++] = view->uids[i];
    }
    add_gone(view, gone, gone_count);
    return ERR_OK;
}

/* Takes what is gone out of the arrays. */
static void close_up(struct imap_view *view)
{
    size_t *indexes = NEW_ARRAY(size_t, view->gone_count);
    size_t kept = 0, gone = 0;

    for (size_t i = 0; i < view->count; i++) {
        if (gone < view->gone_count && view->gone[gone] == view->uids[i])
            indexes[gone++] = i;
        else
            view->uids[kept++] = view->uids[i];
    }
    view->count = kept;
    if (view->facts != NULL)
        imap_facts_remove(view->facts, indexes, gone);
    mem_free(&indexes);
}

/* Highest number first, so that each one is valid as it stands, then the arrays close up once. */
static void announce_gone(struct imap_session *s)
{
    struct imap_view *view = &s->view;
    bool by_uid = imap_has(s, IMAP_EXT_QRESYNC | IMAP_EXT_UIDONLY);

    if (by_uid)
        imap_write_vanished(s, view->gone, view->gone_count);
    for (size_t i = view->gone_count; !by_uid && i-- > 0;) {
        buf_put(&s->out, STR("* "));
        imap_write_number(&s->out, imap_view_index(view, view->gone[i]) + 1);
        buf_put(&s->out, STR(" EXPUNGE\r\n"));
    }
    close_up(view);
    mem_free(&view->gone);
    view->gone_count = 0;
    view->safe_modseq = 0;
}

/* Up to which MODSEQ the client was told of everything. */
static uint64_t told_modseq(const struct imap_view *view)
{
    uint64_t told = view->modseq;

    if (view->safe_modseq != 0 && view->safe_modseq < told)
        told = view->safe_modseq;
    if (view->flags_modseq != 0 && view->flags_modseq < told)
        told = view->flags_modseq;
    return told;
}

void imap_view_note_modseq(struct imap_view *view, uint64_t modseq)
{
    view->is_modseq_told |= modseq > told_modseq(view);
}

static bool is_all_told(const struct imap_session *s)
{
    return told_modseq(&s->view) == vault_folder_modseq(s->vault, s->view.folder_id);
}

uint64_t imap_view_say_modseq(struct imap_session *s)
{
    s->view.is_modseq_told = false;
    s->view.is_resume_told = !is_all_told(s);
    return told_modseq(&s->view);
}

void imap_view_tell_safe_modseq(struct imap_session *s)
{
    struct imap_view *view = &s->view;
    bool is_due =
        view->safe_modseq != 0 || (is_all_told(s) ? view->is_resume_told : view->is_modseq_told);

    if (is_due && imap_has(s, IMAP_EXT_QRESYNC))
        imap_write_highest_modseq(s, imap_view_say_modseq(s));
    view->is_modseq_told = false;
}

void imap_write_fetch_start(struct imap_session *s, size_t index, uint32_t uid)
{
    bool by_uid = imap_has(s, IMAP_EXT_UIDONLY);

    buf_put(&s->out, STR("* "));
    imap_write_number(&s->out, by_uid ? uid : index + 1);
    buf_put(&s->out, by_uid ? STR(" UIDFETCH (") : STR(" FETCH ("));
}

void imap_view_tell_flags(struct imap_session *s, const struct vault_uid_flags *now)
{
    imap_write_fetch_start(s, imap_view_index(&s->view, now->uid), now->uid);
    /* RFC 7162 §3.1.4, RFC 5465 §5.1 */
    if ((imap_has(s, IMAP_EXT_CONDSTORE) || s->notify != NULL) && !imap_has(s, IMAP_EXT_UIDONLY)) {
        buf_put(&s->out, STR("UID "));
        imap_write_number(&s->out, now->uid);
        buf_put(&s->out, STR(" "));
    }
    if (imap_has(s, IMAP_EXT_CONDSTORE)) {
        buf_put(&s->out, STR("MODSEQ ("));
        imap_write_number(&s->out, now->modseq);
        buf_put(&s->out, STR(") "));
        imap_view_note_modseq(&s->view, now->modseq);
    }
    buf_put(&s->out, STR("FLAGS "));
    imap_write_flags(&s->out, s->vault, now->flags, imap_tells_recent(s, now->uid));
    buf_put(&s->out, STR(")\r\n"));
}

void imap_write_recent(struct imap_session *s)
{
    if (imap_has(s, IMAP_EXT_REV2))
        return;
    buf_put(&s->out, STR("* "));
    imap_write_number(&s->out, imap_view_recent_count(&s->view));
    buf_put(&s->out, STR(" RECENT\r\n"));
}

void imap_view_take_own(struct imap_session *s, const struct vault_uid_flags *now, size_t count)
{
    struct imap_view *view = &s->view;
    bool was_right = view->facts != NULL && view->facts->modseq == view->modseq;
    size_t run = 0;

    /* While nothing is told, others' changes wait before our own. */
    if (view->is_others_known)
        view->modseq = vault_folder_modseq(s->vault, view->folder_id);
    for (size_t i = 0; i < count && was_right; i += run > 0 ? run : 1) {
        size_t index = imap_view_index(view, now[i].uid);

        /* Those that are neighbours in the view, too. */
        for (run = 0; i + run < count && index + run < view->count &&
                      view->uids[index + run] == now[i + run].uid;)
            run++;
        imap_facts_set_run(view->facts, index, now + i, run);
    }
    if (was_right)
        view->facts->modseq = view->modseq;
}

/* A message that is new to the client, or has other flags. */
static void take_change(struct imap_session *s, const struct vault_uid_flags *now,
                        uint32_t first_new)
{
    struct imap_view *view = &s->view;
    size_t index;

    if (now->uid >= first_new) {
        add_message(view, now);
        return;
    }
    index = imap_view_index(view, now->uid);
    if (index == view->count || view->uids[index] != now->uid)
        return;
    if (view->facts != NULL)
        imap_facts_set_flags(view->facts, index, now->flags);
    if (imap_notify_wants_flags(s))
        imap_view_tell_flags(s, now);
    else if (view->flags_modseq == 0)
        view->flags_modseq = view->modseq;
}

enum err imap_view_sync(struct imap_session *s, struct task *task, bool may_expunge)
{
    struct imap_view *view = &s->view;
    uint64_t modseq = vault_folder_modseq(s->vault, view->folder_id);
    bool wants_flags = imap_notify_wants_flags(s);
    /* Flags that were kept back are told, once they are wanted. */
    uint64_t since = wants_flags && view->flags_modseq != 0 ? view->flags_modseq : view->modseq;
    uint32_t first_new = view->next_uid;
    size_t old_count = view->count;
    struct vault_changes changes;
    bool has_new;

    if (modseq == 0 || !vault_folder_is_valid(s->vault, view->folder_id, view->incarnation))
        return fail(task, ERR_NOT_FOUND, "the selected folder is gone");
    view->is_others_known = modseq == view->modseq;
    if (imap_notify_is_muted(s))
        return ERR_OK;
    imap_view_announce_keywords(s);
    if (modseq == since && (view->gone_count == 0 || !may_expunge))
        return ERR_OK;
    if (modseq != since) {
        TRY(vault_changes_since(s->vault, task, view->folder_id, since, &changes));
        add_gone(view, changes.expunged, changes.expunged_count);
        if (changes.is_expunged_unknown)
            TRY(find_gone(view, s->vault, task));
        for (size_t i = 0; i < changes.changed_count; i++)
            take_change(s, &changes.changed[i], first_new);
        if (view->facts != NULL && view->facts->modseq == view->modseq)
            view->facts->modseq = changes.modseq;
        view->modseq = changes.modseq;
        view->is_others_known = true;
        if (wants_flags)
            view->flags_modseq = 0;
    }
    has_new = view->count > old_count;
    if (has_new)
        TRY(take_recent(view, s->vault, task, first_new));
    if (may_expunge && view->gone_count > 0)
        announce_gone(s);
    if (has_new) {
        buf_put(&s->out, STR("* "));
        imap_write_number(&s->out, view->count);
        buf_put(&s->out, STR(" EXISTS\r\n"));
        imap_write_recent(s);
        imap_notify_arrived(s, first_new);
    }
    if (view->is_resume_told && is_all_told(s))
        imap_view_tell_safe_modseq(s);
    return ERR_OK;
}
