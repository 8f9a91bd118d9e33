/*
 * FETCH and UID FETCH (RFC 3501 §6.4.5). The rows of a run of messages come from one cursor; what
 * the vault holds ready (ENVELOPE and so on) is copied as it is. Sections come last in each answer
 * and are streamed: the output never grows far beyond IMAP_OUTPUT_HIGH, whatever a message's size.
 *
 * A message that another session expunged is still answered, until its EXPUNGE was announced.
 */
#include "imap/engine.h"

#include "imap/vanished.h"
#include "imap/write.h"

#include <stdlib.h>

enum {
    SEEN_BATCH = 256,       /* messages that get \Seen in one transaction */
    CHUNK = 64 * 1024,      /* of a message, read at once */
    ROW_UNITS = 3,          /* imap_spend: a row */
    BYTES_PER_UNIT = 256,   /* what is copied from rows */
    CONTENT_PER_UNIT = 128, /* what is read from messages */
    SECTION_UNITS = 30,
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

/* UID FETCH … (CHANGEDSINCE n VANISHED) (RFC 7162 §3.2.6). */
static enum err tell_vanished(struct imap_session *s, struct task *task,
                              const struct imap_fetch_args *fetch)
{
    struct imap_set among = fetch->set;

    if (!imap_is_by_uid(s) || !imap_has(s, IMAP_EXT_QRESYNC) || !fetch->has_changed_since)
        return imap_bad(s, task,
                        "VANISHED is for UID FETCH with CHANGEDSINCE, after ENABLE QRESYNC.");
    imap_set_resolve(&among, s->view.count == 0 ? 0 : s->view.uids[s->view.count - 1]);
    return imap_tell_vanished(s, task, fetch->changed_since, &among, 0);
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
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

static bool is_now_seen(const struct imap_fetch_args *fetch, uint32_t uid)
{
    return fetch->now_seen_count > 0 &&
           bsearch(&uid, fetch->now_seen, fetch->now_seen_count, sizeof(uid), compare_uids) != NULL;
}

/* Finds the unseen of the batch that begins at `index`, of those that will be answered. */
static enum err find_unseen(struct imap_session *s, struct task *task,
                            struct imap_fetch_args *fetch)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    struct vault_message row;
    bool has_row;

    TRY(vault_cursor_open(s->vault, task, s->view.folder_id, s->view.uids[fetch->index],
                          s->view.uids[fetch->batch_end - 1], VAULT_COLUMN_FLAGS, true, &cursor));
    for (;;) {
        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (!has_row)
            return ERR_OK;
        if ((row.flags & VAULT_FLAG_SEEN) == 0 && imap_view_has(&s->view, row.uid) &&
            (!fetch->has_changed_since || row.modseq > fetch->changed_since) &&
            fetch->now_seen_count < SEEN_BATCH)
            fetch->now_seen[fetch->now_seen_count++] = row.uid;
    }
}

/*
 * Sets \Seen on the next messages before they are read, in one transaction (RFC 3501 §6.4.5: the
 * flag "is implicitly set"). Reading goes on where that fails: with a full disk, mail stays
 * readable.
 */
static enum err mark_seen(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch,
                          uint32_t last)
{
    uint32_t *modified, *gone;
    size_t modified_count, gone_count;
    enum err err;

    fetch->batch_end = last - fetch->index < SEEN_BATCH ? last + 1 : fetch->index + SEEN_BATCH;
    fetch->now_seen_count = 0;
    if (fetch->now_seen == NULL)
        fetch->now_seen = ARENA_ARRAY(&task->arena, uint32_t, SEEN_BATCH);
    TRY(find_unseen(s, task, fetch));
    if (fetch->now_seen_count == 0)
        return ERR_OK;
    TRY(imap_view_sync(s, task, false));
    err = vault_message_store(s->vault, task, s->view.folder_id, fetch->now_seen,
                              fetch->now_seen_count, VAULT_STORE_ADD, VAULT_FLAG_SEEN, UINT64_MAX,
                              &modified, &modified_count, &gone, &gone_count);
    imap_spend(s, fetch->now_seen_count * 10);
    if (err != ERR_OK) {
        log_failure(s->options.log, "marking messages as seen", task);
        task_forgive(task);
        fetch->now_seen_count = 0;
        return vault_is_broken(s->vault) ? fail(task, ERR_IO, "the vault is broken") : ERR_OK;
    }
    imap_view_skip_own(s);
    return ERR_OK;
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
    if (imap_has(s, IMAP_EXT_UIDONLY)) /* it is said already */
        items &= ~(unsigned)IMAP_FETCH_UID;
    imap_write_fetch_start(s, fetch->index, row->uid);
    if (items & IMAP_FETCH_UID) {
        put_item(s, &is_first, STR("UID "));
        imap_write_number(&s->out, row->uid);
    }
    if (items & IMAP_FETCH_FLAGS) {
        put_item(s, &is_first, STR("FLAGS "));
        imap_write_flags(&s->out, s->vault, row->flags, imap_view_is_recent(&s->view, row->uid));
    }
    if (items & IMAP_FETCH_MODSEQ) {
        put_item(s, &is_first, STR("MODSEQ ("));
        imap_write_number(&s->out, row->modseq);
        buf_put(&s->out, STR(")"));
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
    if (fetch->section_count > 0 && !is_first)
        buf_put(&s->out, STR(" "));
    imap_spend(s, ROW_UNITS);
}

/* ---- Sections ---- */

static void end_message(struct imap_session *s, struct imap_fetch_args *fetch)
{
    buf_put(&s->out, STR(")\r\n"));
    vault_content_close(&s->content);
    arena_free(&s->message_arena);
    fetch->index++;
    fetch->phase = IMAP_FETCH_ROWS;
}

/* Before a byte of the answer is written, so that a message that cannot be read spoils nothing. */
static enum err open_message(struct imap_session *s, struct task *task,
                             struct imap_fetch_args *fetch, const struct vault_message *row,
                             unsigned columns)
{
    TRY(vault_content_open(s->vault, task, row->content_id, &s->content));
    fetch->structure = (struct message_structure){0};
    if (columns & VAULT_COLUMN_STRUCTURE) {
        struct task decoding;
        enum err err;

        task_init(&decoding, task->now_ms);
        err = message_structure_decode(&decoding, row->structure, &fetch->structure);
        s->message_arena = decoding.arena;
        if (err != ERR_OK) {
            vault_content_close(&s->content);
            arena_free(&s->message_arena);
            return fail(task, err, "%s", decoding.words);
        }
    }
    fetch->section = 0;
    return ERR_OK;
}

static void put_literal_size(struct imap_session *s, uint64_t size)
{
    buf_put(&s->out, STR("{"));
    imap_write_number(&s->out, size);
    buf_put(&s->out, STR("}\r\n"));
}

/* HEADER.FIELDS: the block is read whole, filtered, and written at once. */
static enum err write_fields(struct imap_session *s, struct task *task,
                             const struct imap_section *section, struct message_range range)
{
    CLEANUP(buf_free) struct buf header;
    CLEANUP(buf_free) struct buf chosen;
    struct str text;

    buf_init(&header, SIZE_MAX);
    buf_init(&chosen, SIZE_MAX);
    TRY(vault_content_read(s->content, task, range.start, (size_t)range.len, &header));
    message_header_fields(buf_str(&header), section->fields, section->field_count, section->is_not,
                          &chosen);
    text = buf_str(&chosen);
    if (section->is_partial)
        text = str_upto(str_from(text, section->offset), section->len);
    put_literal_size(s, text.len);
    buf_put(&s->out, text);
    imap_spend(s, range.len / CONTENT_PER_UNIT);
    return ERR_OK;
}

/* Writes a section's label and what needs no streaming; else leaves position and left. */
static enum err begin_section(struct imap_session *s, struct task *task,
                              struct imap_fetch_args *fetch)
{
    const struct imap_section *section = &fetch->sections[fetch->section];
    uint64_t size = vault_content_size(s->content);
    struct message_range range = {0, size};

    imap_spend(s, SECTION_UNITS);
    if (fetch->section > 0)
        buf_put(&s->out, STR(" "));
    buf_put(&s->out, section->label);
    buf_put(&s->out, STR(" "));
    fetch->section++;
    if ((section->path_len > 0 || section->kind != MESSAGE_SECTION_ALL) &&
        !message_section_range(&fetch->structure, section->path, section->path_len, section->kind,
                               &range)) {
        buf_put(&s->out, STR("NIL"));
        return ERR_OK;
    }
    if (range.start > size || range.len > size - range.start)
        return fail(task, ERR_CORRUPT, "a part lies outside its message");
    if (section->fields != NULL)
        return write_fields(s, task, section, range);
    if (section->is_partial) {
        uint64_t offset = section->offset < range.len ? section->offset : range.len;

        range.start += offset;
        range.len -= offset;
        if (range.len > section->len)
            range.len = section->len;
    }
    put_literal_size(s, range.len);
    fetch->position = range.start;
    fetch->left = range.len;
    if (range.len > 0)
        fetch->phase = IMAP_FETCH_LITERAL;
    return ERR_OK;
}

static enum err write_literal(struct imap_session *s, struct task *task,
                              struct imap_fetch_args *fetch)
{
    size_t len = fetch->left < CHUNK ? (size_t)fetch->left : CHUNK, before = s->out.len;

    TRY(vault_content_read(s->content, task, fetch->position, len, &s->out));
    if (s->out.len - before != len)
        return fail(task, ERR_CORRUPT, "a message ended before its size");
    imap_spend(s, len / CONTENT_PER_UNIT);
    fetch->position += len;
    fetch->left -= len;
    if (fetch->left == 0)
        fetch->phase = IMAP_FETCH_SECTION;
    return ERR_OK;
}

/* Until the message is written, or it is time to give way (the phase tells which). */
static enum err write_sections(struct imap_session *s, struct task *task,
                               struct imap_fetch_args *fetch)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && fetch->phase != IMAP_FETCH_ROWS && !imap_must_give_way(s)) {
        if (fetch->phase == IMAP_FETCH_LITERAL)
            err = write_literal(s, task, fetch);
        else if (fetch->section < fetch->section_count)
            err = begin_section(s, task, fetch);
        else
            end_message(s, fetch);
    }
    /* No way to go on but a new connection; and a literal is not filled up with other bytes. */
    if (err != ERR_OK && fetch->phase == IMAP_FETCH_LITERAL)
        imap_session_end(s);
    if (err != ERR_OK && s->state != IMAP_STATE_LOGOUT) {
        buf_put(&s->out, STR("\r\n"));
        imap_session_bye(s, "[UNAVAILABLE] A message could not be read.");
    }
    return err;
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
    if (fetch->section_count == 0) {
        write_row(s, fetch, row);
        end_message(s, fetch);
        return ERR_OK;
    }
    err = open_message(s, task, fetch, row, columns);
    if (err != ERR_OK) {
        log_failure(s->options.log, "reading a message", task);
        if (err == ERR_NOT_FOUND)
            fetch->has_missing = true;
        else
            fetch->message_err = err;
        task_forgive(task);
        fetch->index++;
        return vault_is_broken(s->vault) ? fail(task, ERR_IO, "the vault is broken") : ERR_OK;
    }
    write_row(s, fetch, row);
    fetch->phase = IMAP_FETCH_SECTION;
    return write_sections(s, task, fetch);
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
    if (fetch->message_err != ERR_OK)
        return fail(task, fetch->message_err, "a message could not be read");
    /* RFC 5530 §3, RFC 2180 §4.1 */
    if (fetch->has_missing && !imap_is_by_uid(s)) {
        s->code = STR("EXPUNGEISSUED");
        s->words = "Some of the messages are expunged.";
    }
    return ERR_OK;
}

enum err imap_cmd_fetch(struct imap_session *s, struct task *task, union imap_args *args)
{
    struct imap_fetch_args *fetch = &args->fetch;

    if (fetch->phase == IMAP_FETCH_START)
        TRY(start(s, task, fetch));
    for (;;) {
        if (imap_must_give_way(s)) {
            imap_give_way_at(s, fetch->index, fetch->phase == IMAP_FETCH_ROWS ? s->view.count : 0);
            return ERR_OK;
        }
        if (fetch->phase != IMAP_FETCH_ROWS) {
            TRY(write_sections(s, task, fetch));
        } else if (is_at_end(fetch)) {
            return outcome(s, task, fetch);
        } else if (fetch->index > fetch->ranges.ranges[fetch->range].last) {
            fetch->range++;
            if (!is_at_end(fetch))
                fetch->index = fetch->ranges.ranges[fetch->range].first;
        } else {
            TRY(write_rows(s, task, fetch));
        }
    }
}
