/*
 * FETCH and UID FETCH (RFC 3501 §6.4.5). The rows of a run of messages come from one cursor; what
 * the vault holds ready (ENVELOPE and so on) is copied as it is. Sections come last in each answer
 * and are streamed (fetch_section.c): the output never grows far beyond IMAP_OUTPUT_HIGH, whatever
 * a message's size.
 *
 * A message that another session expunged is still answered, until its EXPUNGE was announced.
 */
#include "imap/cmd/fetch.h"

#include "imap/vanished.h"
#include "imap/write.h"

#include <stdlib.h>
#include <string.h>

enum {
    SEEN_BATCH = 256,     /* messages that get \Seen in one transaction */
    ROW_UNITS = 3,        /* imap_spend: a row */
    BYTES_PER_UNIT = 256, /* what is copied from rows */
};

static unsigned columns_of(const struct imap_fetch_args *fetch)
{
    static const struct {
        unsigned item, column;
    } NEEDS[] = {
        {IMAP_FETCH_INTERNALDATE, VAULT_COLUMN_DATES},
        {IMAP_FETCH_SIZE, VAULT_COLUMN_SIZE},
        {IMAP_FETCH_ENVELOPE, VAULT_COLUMN_ENVELOPE},
        {IMAP_FETCH_BODYSTRUCTURE, VAULT_COLUMN_BODYSTRUCTURE},
        {IMAP_FETCH_BODY, VAULT_COLUMN_BODY},
        {IMAP_FETCH_EMAILID | IMAP_FETCH_THREADID, VAULT_COLUMN_IDENTITY},
        {IMAP_FETCH_SAVEDATE, VAULT_COLUMN_DATES},
        {IMAP_FETCH_PREVIEW, VAULT_COLUMN_PREVIEW},
    };
    unsigned columns = VAULT_COLUMN_FLAGS;

    for (size_t i = 0; i < ARRAY_LEN(NEEDS); i++)
        if (fetch->items & NEEDS[i].item)
            columns |= NEEDS[i].column;
    for (size_t i = 0; i < fetch->section_count; i++)
        if (fetch->sections[i].kind != MESSAGE_SECTION_ALL || fetch->sections[i].path_len > 0)
            columns |= VAULT_COLUMN_STRUCTURE;
    return columns;
}

/* UID FETCH … (CHANGEDSINCE n VANISHED) (RFC 7162 §3.2.6). "*" is the last UID that there was: who
 * asks for "1:*" is to hear of the last messages too. */
static enum err tell_vanished(struct imap_session *s, struct task *task,
                              const struct imap_fetch_args *fetch)
{
    struct imap_set among = {
        .ranges = ARENA_ARRAY(&task->arena, struct imap_range, fetch->set.count),
        .count = fetch->set.count,
    };

    if (!imap_is_by_uid(s) || !imap_has(s, IMAP_EXT_QRESYNC) || !fetch->has_changed_since)
        return imap_bad(s, task,
                        "VANISHED is for UID FETCH with CHANGEDSINCE, after ENABLE QRESYNC.");
    memcpy(among.ranges, fetch->set.ranges, among.count * sizeof(*among.ranges));
    imap_set_resolve(&among, s->view.next_uid - 1);
    return imap_tell_vanished(s, task, fetch->changed_since, &among, 0);
}

/* UID FETCH … (PARTIAL 1:100) (RFC 9394 §3.3): a page of the messages that the set names. */
static enum err cut_to_page(struct imap_session *s, struct task *task,
                            struct imap_fetch_args *fetch)
{
    size_t start, end;

    if (!imap_is_by_uid(s))
        return imap_bad(s, task, "PARTIAL is for UID FETCH.");
    imap_partial_range(fetch->partial_first, fetch->partial_last, imap_set_size(&fetch->ranges),
                       &start, &end);
    imap_set_slice(&fetch->ranges, start, end);
    return ERR_OK;
}

static enum err start(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch)
{
    if (imap_is_by_uid(s))
        fetch->items |= IMAP_FETCH_UID;
    if (fetch->is_vanished)
        TRY(tell_vanished(s, task, fetch));
    if (fetch->items & IMAP_FETCH_MODSEQ)
        imap_enable_condstore(s);
    TRY(imap_command_ranges(s, task, fetch->set, &fetch->ranges));
    if (fetch->has_partial)
        TRY(cut_to_page(s, task, fetch));
    imap_limit_ranges(s, &fetch->ranges);
    if (fetch->ranges.count > 0)
        fetch->index = fetch->ranges.ranges[0].first;
    fetch->batch_end = 0;
    if (s->view.is_read_only)
        fetch->sets_seen = false;
    fetch->phase = IMAP_FETCH_ROWS;
    return ERR_OK;
}

/* ---- \Seen ---- */

static int compare_uids(const void *a, const void *b)
{
    uint32_t left = ((const struct vault_uid_flags *)a)->uid,
             right = ((const struct vault_uid_flags *)b)->uid;

    return left < right ? -1 : left > right;
}

static bool is_now_seen(const struct imap_fetch_args *fetch, uint32_t uid)
{
    const struct vault_uid_flags key = {.uid = uid};

    return fetch->now_seen_count > 0 &&
           bsearch(&key, fetch->now_seen, fetch->now_seen_count, sizeof(key), compare_uids) != NULL;
}

/* Finds the unseen of the batch that begins at `index`, of those that will be answered. */
static enum err find_unseen(struct imap_session *s, struct task *task,
                            const struct imap_fetch_args *fetch, uint32_t **out, size_t *out_count)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    uint32_t *unseen = ARENA_ARRAY(&task->arena, uint32_t, SEEN_BATCH);
    size_t count = 0;
    struct vault_message row;
    bool has_row = true;

    TRY(vault_cursor_open(s->vault, task, s->view.folder_id, s->view.uids[fetch->index],
                          s->view.uids[fetch->batch_end - 1], VAULT_COLUMN_FLAGS, true, &cursor));
    while (has_row) {
        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (has_row && (row.flags & VAULT_FLAG_SEEN) == 0 && imap_view_has(&s->view, row.uid) &&
            (!fetch->has_changed_since || row.modseq > fetch->changed_since) && count < SEEN_BATCH)
            unseen[count++] = row.uid;
    }
    *out = unseen;
    *out_count = count;
    return ERR_OK;
}

/*
 * Sets \Seen on the next messages before they are read, in one transaction (RFC 3501 §6.4.5: the
 * flag "is implicitly set"), and notes of them what each one's answer is to tell. Reading goes on
 * where that fails: with a full disk, mail stays readable.
 */
static enum err mark_batch(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch)
{
    struct vault_stored stored;
    uint32_t *unseen;
    size_t count;
    enum err err;

    TRY(find_unseen(s, task, fetch, &unseen, &count));
    if (count == 0)
        return ERR_OK;
    TRY(imap_view_sync(s, task, false));
    err = vault_message_store_telling(s->vault, task, s->view.folder_id, unseen, count,
                                      VAULT_STORE_ADD, VAULT_FLAG_SEEN, UINT64_MAX, &stored);
    imap_spend(s, count * 10);
    if (err != ERR_OK) {
        log_failure(s->options.log, "marking messages as seen", task);
        task_forgive(task);
        return vault_is_broken(s->vault) ? fail(task, ERR_IO, "the vault is broken") : ERR_OK;
    }
    memcpy(fetch->now_seen, stored.now, stored.now_count * sizeof(*stored.now));
    fetch->now_seen_count = stored.now_count;
    for (size_t i = 0; i < stored.now_count; i++) /* told in a later turn */
        s->subscriber.keywords_held |= stored.now[i].flags;
    imap_view_take_own(s, stored.now, stored.now_count);
    return ERR_OK;
}

static enum err mark_seen(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch,
                          uint32_t last)
{
    struct task own; /* what the batches take does not add up */
    enum err err;

    fetch->batch_end = last - fetch->index < SEEN_BATCH ? last + 1 : fetch->index + SEEN_BATCH;
    fetch->now_seen_count = 0;
    if (fetch->now_seen == NULL)
        fetch->now_seen = ARENA_ARRAY(&task->arena, struct vault_uid_flags, SEEN_BATCH);
    task_init(&own, task->now_ms);
    err = mark_batch(s, &own, fetch);
    if (err != ERR_OK)
        err = fail(task, err, "%s", own.words);
    task_done(&own);
    return err;
}

/* ---- The items that a row holds ---- */

static void put_item(struct imap_session *s, bool *is_first, struct str name)
{
    if (!*is_first)
        buf_put(&s->out, STR(" "));
    buf_put(&s->out, name);
    *is_first = false;
}

static void put_text(struct imap_session *s, bool *is_first, struct str name, struct str text)
{
    put_item(s, is_first, name);
    buf_put(&s->out, text);
    imap_spend(s, text.len / BYTES_PER_UNIT);
}

/* The client hears of a keyword before it meets it. */
static void announce_keywords(struct imap_session *s, uint64_t flags)
{
    if (flags >> VAULT_KEYWORD_FIRST != 0)
        imap_view_announce_keywords(s);
}

static void write_row(struct imap_session *s, const struct imap_fetch_args *fetch,
                      const struct vault_message *row)
{
    bool is_now = is_now_seen(fetch, row->uid), is_first = true;
    unsigned items = fetch->items;

    if (is_now) {
        items |= IMAP_FETCH_FLAGS;
        if (imap_has(s, IMAP_EXT_CONDSTORE)) /* as in every FETCH that tells a change */
            items |= IMAP_FETCH_UID | IMAP_FETCH_MODSEQ;
    }
    /* It is said already; but a list has an item. */
    if (imap_has(s, IMAP_EXT_UIDONLY) && (items != IMAP_FETCH_UID || fetch->section_count > 0))
        items &= ~(unsigned)IMAP_FETCH_UID;
    if (items & IMAP_FETCH_FLAGS)
        announce_keywords(s, row->flags);
    imap_write_fetch_start(s, fetch->index, row->uid);
    if (items & IMAP_FETCH_UID) {
        put_item(s, &is_first, STR("UID "));
        imap_write_number(&s->out, row->uid);
    }
    if (items & IMAP_FETCH_FLAGS) {
        put_item(s, &is_first, STR("FLAGS "));
        imap_write_flags(&s->out, s->vault, row->flags, imap_tells_recent(s, row->uid));
    }
    if (items & IMAP_FETCH_MODSEQ) {
        put_item(s, &is_first, STR("MODSEQ ("));
        imap_write_number(&s->out, row->modseq);
        buf_put(&s->out, STR(")"));
        imap_view_note_modseq(&s->view, row->modseq);
    }
    if (items & IMAP_FETCH_INTERNALDATE) {
        put_item(s, &is_first, STR("INTERNALDATE "));
        imap_write_date_time(&s->out, row->internal_date_ms, row->internal_zone_minutes);
    }
    if (items & IMAP_FETCH_SIZE) {
        put_item(s, &is_first, STR("RFC822.SIZE "));
        imap_write_number(&s->out, row->size_bytes);
    }
    if (items & IMAP_FETCH_ENVELOPE)
        put_text(s, &is_first, STR("ENVELOPE "), row->envelope);
    if (items & IMAP_FETCH_BODY)
        put_text(s, &is_first, STR("BODY "), row->body);
    if (items & IMAP_FETCH_BODYSTRUCTURE)
        put_text(s, &is_first, STR("BODYSTRUCTURE "), row->bodystructure);
    imap_fetch_write_facts(s, fetch, row, &is_first);
    if (fetch->section_count > 0 && !is_first)
        buf_put(&s->out, STR(" "));
    imap_spend(s, ROW_UNITS);
}

/* Of a message that cannot be answered: what was done to it is told, as no sync will tell it. */
static void write_seen(struct imap_session *s, const struct imap_fetch_args *fetch,
                       const struct vault_message *row)
{
    struct imap_fetch_args flags_only = *fetch;

    if (!is_now_seen(fetch, row->uid))
        return;
    flags_only.items &= IMAP_FETCH_UID;
    flags_only.section_count = 0;
    write_row(s, &flags_only, row);
    buf_put(&s->out, STR(")\r\n"));
}

/* Nothing more will be answered: of those that were marked and come later, too. */
static void tell_untold(struct imap_session *s, const struct imap_fetch_args *fetch)
{
    uint32_t next = fetch->index < s->view.count ? s->view.uids[fetch->index] : UINT32_MAX;

    for (size_t i = 0; i < fetch->now_seen_count; i++) {
        const struct vault_uid_flags *now = &fetch->now_seen[i];

        if (now->uid < next || !imap_view_has(&s->view, now->uid))
            continue;
        announce_keywords(s, now->flags);
        imap_view_tell_flags(s, now);
    }
}

/* ---- The messages ---- */

static bool is_at_end(const struct imap_fetch_args *fetch)
{
    return fetch->range >= fetch->ranges.count;
}

/* Skips to the view's index of a row; what lies between was purged. False: not in the view. */
static bool reach(struct imap_session *s, struct imap_fetch_args *fetch, uint32_t uid,
                  uint32_t last)
{
    while (fetch->index <= last && s->view.uids[fetch->index] < uid) {
        fetch->has_missing = true;
        fetch->index++;
    }
    return fetch->index <= last && s->view.uids[fetch->index] == uid;
}

static enum err write_message(struct imap_session *s, struct task *task,
                              struct imap_fetch_args *fetch, const struct vault_message *row,
                              unsigned columns)
{
    enum err err;

    if (fetch->has_changed_since && row->modseq <= fetch->changed_since) {
        fetch->index++;
        imap_spend(s, 1);
        return ERR_OK;
    }
    err =
        fetch->section_count == 0 ? ERR_OK : imap_fetch_open_message(s, task, fetch, row, columns);
    if (err == ERR_OK)
        err = imap_fetch_read_facts(s, task, fetch, row);
    if (err != ERR_OK) {
        if (err != ERR_INVALID)
            log_failure(s->options.log, "reading a message", task);
        if (err == ERR_NOT_FOUND)
            fetch->has_missing = true;
        else if (err != ERR_INVALID)
            fetch->message_err = err;
        vault_content_close(&s->content);
        arena_free(&s->message_arena);
        task_forgive(task);
        write_seen(s, fetch, row);
        fetch->index++;
        return vault_is_broken(s->vault) ? fail(task, ERR_IO, "the vault is broken") : ERR_OK;
    }
    write_row(s, fetch, row);
    if (fetch->section_count == 0) {
        imap_fetch_end_message(s, fetch);
        return ERR_OK;
    }
    fetch->phase = IMAP_FETCH_SECTION;
    return imap_fetch_write_sections(s, task, fetch);
}

/* The messages of the present range, as far as they go in this turn. */
static enum err write_rows(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    uint32_t last = fetch->ranges.ranges[fetch->range].last;
    unsigned columns = columns_of(fetch);

    if (fetch->sets_seen) {
        if (fetch->index >= fetch->batch_end)
            TRY(mark_seen(s, task, fetch, last));
        if (last > fetch->batch_end - 1)
            last = fetch->batch_end - 1;
    }
    TRY(vault_cursor_open(s->vault, task, s->view.folder_id, s->view.uids[fetch->index],
                          s->view.uids[last], columns, true, &cursor));
    while (fetch->index <= last && fetch->phase == IMAP_FETCH_ROWS && !imap_must_give_way(s)) {
        struct vault_message row;
        bool has_row;

        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (!has_row) {
            fetch->has_missing |= fetch->index <= last;
            fetch->index = last + 1;
        } else if (reach(s, fetch, row.uid, last)) {
            TRY(write_message(s, task, fetch, &row, columns));
        } else {
            imap_spend(s, 1);
        }
    }
    return ERR_OK;
}

static enum err outcome(struct imap_session *s, struct task *task,
                        const struct imap_fetch_args *fetch)
{
    if (fetch->has_unknown_encoding)
        return imap_refuse(s, task, IMAP_REFUSAL_UNKNOWN_CTE);
    if (fetch->message_err != ERR_OK)
        return fail(task, fetch->message_err, "a message could not be read");
    /* RFC 5530 §3, RFC 2180 §4.1 */
    if (fetch->has_missing && !imap_is_by_uid(s)) {
        s->code = STR("EXPUNGEISSUED");
        s->words = "Some of the messages are expunged.";
    }
    return ERR_OK;
}

/* How many of the messages that it is about it has done. */
static uint64_t position_of(const struct imap_fetch_args *fetch)
{
    struct imap_set before = {.ranges = fetch->ranges.ranges, .count = fetch->range};
    uint64_t position = imap_set_size(&before);

    return is_at_end(fetch) ? position
                            : position + (fetch->index - fetch->ranges.ranges[fetch->range].first);
}

static void give_way(struct imap_session *s, const struct imap_fetch_args *fetch)
{
    if (fetch->phase == IMAP_FETCH_ROWS)
        imap_give_way_at(s, position_of(fetch), imap_set_size(&fetch->ranges));
    else
        imap_give_way(s);
}

enum err imap_cmd_fetch(struct imap_session *s, struct task *task, union imap_args *args)
{
    struct imap_fetch_args *fetch = &args->fetch;
    bool is_ready;

    if (fetch->phase == IMAP_FETCH_START) {
        TRY(imap_fetch_prepare_facts(s, task, fetch, &is_ready));
        if (!is_ready) {
            imap_give_way(s);
            return ERR_OK;
        }
        TRY(start(s, task, fetch));
    }
    for (;;) {
        if (imap_must_give_way(s)) {
            give_way(s, fetch);
            return ERR_OK;
        }
        if (fetch->phase != IMAP_FETCH_ROWS) {
            TRY(imap_fetch_write_sections(s, task, fetch));
        } else if (is_at_end(fetch)) {
            return outcome(s, task, fetch);
        } else if (fetch->index > fetch->ranges.ranges[fetch->range].last) {
            fetch->range++;
            if (!is_at_end(fetch))
                fetch->index = fetch->ranges.ranges[fetch->range].first;
        } else {
            enum err err = write_rows(s, task, fetch);

            if (err != ERR_OK && s->state != IMAP_STATE_LOGOUT) /* BYE is the last word */
                tell_untold(s, fetch);
            TRY(err);
        }
    }
}
