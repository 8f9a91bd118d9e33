/*
 * STORE and UID STORE (RFC 3501 §6.4.6, RFC 7162 §3.1.3). A large set is changed in slices, each a
 * transaction with one MODSEQ, and answered slice by slice.
 */
#include "imap/engine.h"

#include "imap/write.h"

#include <string.h>

enum {
    SLICE_MIN = 500,
    SLICE_MAX = 8000, /* one and a half milliseconds, and a sync; many more where each teaches ($Junk) */
    SLICE_BYTES = 2 * 1024 * 1024, /* of answers that wait to be sent */
    MESSAGE_UNITS = 1,
    SLICE_TURN = IMAP_BUDGET, /* behind a slice others have a turn, who waited for its sync, too */
    ROW_MAX = 64 + 3 * IMAP_DIGITS_MAX, /* of an answer's line, but for its flags */
    SYSTEM_FLAGS_MAX = 64,              /* the names of all of them */
};

/* store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag))) */
IMAP_PARSE(store)
{
    struct imap_store_args *store = &args->store;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_set(parser, &store->set));
    TRY(imap_parse_space(parser));
    if (imap_take(parser, '(')) { /* store-modifier (RFC 7162 §7) */
        if (!imap_take_word(parser, STR("UNCHANGEDSINCE")))
            return imap_expected(parser, "UNCHANGEDSINCE");
        TRY(imap_parse_space(parser));
        TRY(imap_parse_number64(parser, &store->unchanged_since));
        store->has_unchanged_since = true;
        TRY(imap_parse_byte(parser, ')'));
        TRY(imap_parse_space(parser));
    }
    store->mode = VAULT_STORE_REPLACE;
    if (imap_take(parser, '+'))
        store->mode = VAULT_STORE_ADD;
    else if (imap_take(parser, '-'))
        store->mode = VAULT_STORE_REMOVE;
    store->is_silent = imap_take_word(parser, STR("FLAGS.SILENT"));
    if (!store->is_silent && !imap_take_word(parser, STR("FLAGS")))
        return imap_expected(parser, "FLAGS or FLAGS.SILENT");
    TRY(imap_parse_space(parser));
    return imap_parse_flags(parser, true, &store->flags);
}

static enum err start(struct imap_session *s, struct task *task, struct imap_store_args *store)
{
    struct imap_set ranges;

    store->is_started = true;
    if (store->has_unchanged_since)
        imap_enable_condstore(s);
    else
        store->unchanged_since = UINT64_MAX;
    TRY(imap_command_ranges(s, task, store->set, &ranges));
    imap_limit_ranges(s, &ranges);
    imap_view_uids(&s->view, task, &ranges, &store->uids, &store->uid_count);
    store->modified = ARENA_ARRAY(&task->arena, uint32_t, store->uid_count);
    /* -FLAGS of a keyword that nobody has changes nothing and makes none. */
    return imap_flags_bits(s, task, &store->flags, store->mode != VAULT_STORE_REMOVE, &store->bits);
}

/* What ends the line of each message with these flags: neighbours have the same, as a rule. */
struct flags_text {
    uint64_t flags;
    bool is_recent;
    struct buf text; /* own; empty: of none yet */
};

static struct str text_of(struct imap_session *s, const struct imap_store_args *store,
                          struct flags_text *last, uint64_t flags, bool is_recent)
{
    if (last->text.len > 0 && last->flags == flags && last->is_recent == is_recent)
        return buf_str(&last->text);
    buf_truncate(&last->text, 0);
    if (!store->is_silent) {
        buf_put(&last->text, STR("FLAGS "));
        imap_write_flags(&last->text, s->vault, flags, is_recent);
    }
    buf_put(&last->text, STR(")\r\n"));
    last->flags = flags;
    last->is_recent = is_recent;
    return buf_str(&last->text);
}

static char *put(char *at, struct str text)
{
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/* "* 3 FETCH (UID 17 MODSEQ (5) FLAGS (\Seen))", with of UID and MODSEQ what the client is to have.
 */
static void write_row(struct imap_session *s, const struct imap_store_args *store,
                      struct flags_text *last, size_t index, const struct vault_uid_flags *now)
{
    bool is_uid_only = imap_has(s, IMAP_EXT_UIDONLY);
    struct str end = text_of(s, store, last, now->flags, imap_tells_recent(s, now->uid));
    char *start = imap_write_room(&s->out, ROW_MAX + end.len), *at = start;

    at = put(at, STR("* "));
    at = imap_write_digits(at, is_uid_only ? now->uid : index + 1);
    at = is_uid_only ? put(at, STR(" UIDFETCH (")) : put(at, STR(" FETCH ("));
    if ((imap_is_by_uid(s) || imap_has(s, IMAP_EXT_CONDSTORE)) && !is_uid_only) {
        at = put(at, STR("UID "));
        at = imap_write_digits(at, now->uid);
        *at++ = ' ';
    }
    if (imap_has(s, IMAP_EXT_CONDSTORE)) {
        at = put(at, STR("MODSEQ ("));
        at = imap_write_digits(at, now->modseq);
        at = put(at, store->is_silent ? STR(")") : STR(") "));
        imap_view_note_modseq(&s->view, now->modseq);
    }
    at = put(at, end);
    buf_commit(&s->out, (size_t)(at - start));
}

/* Of messages that are expunged but still numbered: the flags that they went with. */
static enum err add_gone(struct imap_session *s, struct task *task, struct vault_stored *stored)
{
    size_t total = stored->now_count + stored->gone_count, live = 0, count = 0;
    struct vault_uid_flags *all = ARENA_ARRAY(&task->arena, struct vault_uid_flags, total);

    for (size_t i = 0; i < stored->gone_count; i++) {
        CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
        uint32_t uid = stored->gone[i];
        struct vault_message row;
        bool has_row;

        while (live < stored->now_count && stored->now[live].uid < uid)
            all[count++] = stored->now[live++];
        TRY(vault_cursor_open(s->vault, task, s->view.folder_id, uid, uid, VAULT_COLUMN_FLAGS, true,
                              &cursor));
        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (has_row)
            all[count++] =
                (struct vault_uid_flags){.uid = uid, .flags = row.flags, .modseq = row.modseq};
    }
    while (live < stored->now_count)
        all[count++] = stored->now[live++];
    stored->now = all;
    stored->now_count = count;
    return ERR_OK;
}

/* The new flags of the slice, but for those that its condition left alone. */
static enum err tell(struct imap_session *s, struct task *task, const struct imap_store_args *store,
                     struct vault_stored *stored)
{
    const struct imap_view *view = &s->view;
    struct flags_text last = {0};
    size_t index = 0;

    buf_init(&last.text, SIZE_MAX);
    if (stored->gone_count > 0)
        TRY(add_gone(s, task, stored));
    for (size_t i = 0; i < stored->now_count; i++) {
        /* They are neighbours, as a rule. */
        if (i == 0 || index == view->count || view->uids[index] != stored->now[i].uid)
            index = imap_view_index(view, stored->now[i].uid);
        write_row(s, store, &last, index++, &stored->now[i]);
    }
    buf_free(&last.text);
    return ERR_OK;
}

/* How many messages: fewer where their flags are told and there are many keywords, or long ones, which
 * each of them may have. */
static size_t slice_max(const struct imap_session *s, const struct imap_store_args *store)
{
    size_t row = ROW_MAX + SYSTEM_FLAGS_MAX, count;

    if (store->is_silent)
        return SLICE_MAX;
    for (uint64_t left = vault_keywords(s->vault); left != 0; left &= left - 1)
        row += vault_keyword_name(s->vault, (unsigned)__builtin_ctzll(left)).len + 1;
    count = SLICE_BYTES / row;
    return count < SLICE_MIN ? SLICE_MIN : count < SLICE_MAX ? count : SLICE_MAX;
}

static enum err store_slice(struct imap_session *s, struct task *task,
                            struct imap_store_args *store)
{
    const uint32_t *uids = store->uids + store->next;
    size_t count = store->uid_count - store->next, max = slice_max(s, store);
    struct vault_stored stored;

    if (count > max)
        count = max;
    /* What others did comes first, so that afterwards only our own change is left to tell. */
    TRY(imap_view_sync(s, task, false));
    TRY(vault_message_store_telling(s->vault, task, s->view.folder_id, uids, count, store->mode,
                                    store->bits, store->unchanged_since, &stored));
    imap_view_take_own(s, stored.now, stored.now_count);
    imap_view_announce_keywords(s);
    if (!store->is_silent || imap_has(s, IMAP_EXT_CONDSTORE))
        TRY(tell(s, task, store, &stored));
    for (size_t i = 0; i < stored.modified_count; i++)
        store->modified[store->modified_count++] =
            imap_is_by_uid(s) ? stored.modified[i]
                              : (uint32_t)imap_view_index(&s->view, stored.modified[i]) + 1;
    store->has_gone |= stored.gone_count > 0;
    store->next += count;
    imap_spend(s, store->next < store->uid_count ? SLICE_TURN : count * MESSAGE_UNITS);
    return ERR_OK;
}

static void outcome(struct imap_session *s, struct task *task, const struct imap_store_args *store)
{
    struct buf code;

    if (store->modified_count > 0) {
        buf_init(&code, SIZE_MAX);
        buf_put(&code, STR("MODIFIED "));
        imap_write_set(&code, store->modified, store->modified_count);
        s->code = arena_copy(&task->arena, buf_str(&code));
        s->words = "Conditional STORE failed for some.";
        buf_free(&code);
    } else if (store->has_gone && !imap_is_by_uid(s)) {
        s->code = STR("EXPUNGEISSUED");
        s->words = "Some of the messages are expunged.";
    }
}

IMAP_COMMAND(store)
{
    struct imap_store_args *store = &args->store;

    if (!store->is_started)
        TRY(start(s, task, store));
    while (store->next < store->uid_count) {
        if (imap_must_give_way(s)) {
            imap_give_way_at(s, store->next, store->uid_count);
            return ERR_OK;
        }
        TRY(store_slice(s, task, store));
    }
    outcome(s, task, store);
    return ERR_OK;
}
