/* Contents that are not indexed yet become a segment (index.h). */
#include "vault/index.h"

#include "base/memory.h"
#include "vault/content.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTENTS_IN_SLICE = 64,      /* the bits of term_entry.contents */
    BYTES_IN_SLICE = 768 * 1024, /* of messages; then no further one is begun */
};

/* --- Terms and who has them --- */

struct term_entry {
    struct str term;   /* in the arena */
    uint64_t head;     /* its first bytes, to compare by */
    uint64_t contents; /* a bit for each of the slice */
};

/* Of the hash table. */
struct slot {
    uint32_t hash;
    uint32_t entry; /* its number + 1; 0: free */
};

struct terms {
    struct arena arena;
    struct term_entry *entries; /* own; in the order they came */
    size_t count, room;
    struct slot *slots; /* own; a hash table with open addressing */
    size_t slot_count;  /* a power of two */
    int64_t ids[CONTENTS_IN_SLICE];
    size_t id_count;
};

/* At most 8 bytes, the first one highest, zeros behind them. */
static uint64_t head_of(const char *bytes, size_t len)
{
    uint64_t head = 0;
    uint32_t first, last;

    if (len >= sizeof(head)) {
        memcpy(&head, bytes, sizeof(head));
        return be64toh(head);
    }
    if (len >= sizeof(first)) { /* two halves, which may overlap */
        memcpy(&first, bytes, sizeof(first));
        memcpy(&last, bytes + len - sizeof(last), sizeof(last));
        return (uint64_t)be32toh(first) << 32 | (uint64_t)be32toh(last) << (8 - len) * 8;
    }
    for (size_t i = 0; i < len; i++)
        head |= (uint64_t)(unsigned char)bytes[i] << (7 - i) * 8;
    return head;
}

static uint32_t hash_of(struct str term)
{
    uint64_t hash = term.len;
    size_t at = 0;

    for (; at + sizeof(hash) <= term.len; at += sizeof(hash)) {
        hash = (hash ^ head_of(term.ptr + at, sizeof(hash))) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    hash = (hash ^ head_of(term.ptr + at, term.len - at)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

/* Most terms end within their heads: their texts, which lie elsewhere, are not looked at. */
static bool is_of(const struct term_entry *entry, struct str term, uint64_t head)
{
    const size_t len = term.len, head_len = sizeof(head);

    if (entry->head != head || entry->term.len != len)
        return false;
    if (len <= head_len)
        return true;
    if (len <= 2 * head_len)
        return head_of(entry->term.ptr + len - head_len, head_len) ==
               head_of(term.ptr + len - head_len, head_len);
    return memcmp(entry->term.ptr + head_len, term.ptr + head_len, len - head_len) == 0;
}

static struct slot *slot_of(const struct terms *terms, struct str term, uint64_t head,
                            uint32_t hash)
{
    size_t at = hash & (terms->slot_count - 1);

    while (terms->slots[at].entry != 0 &&
           (terms->slots[at].hash != hash ||
            !is_of(&terms->entries[terms->slots[at].entry - 1], term, head)))
        at = (at + 1) & (terms->slot_count - 1);
    return &terms->slots[at];
}

static void grow(struct terms *terms)
{
    terms->room = terms->room == 0 ? 4096 : terms->room * 2;
    terms->entries = mem_resize(terms->entries, terms->room, sizeof(*terms->entries));
    mem_free(&terms->slots);
    terms->slot_count = terms->room * 2;
    terms->slots = NEW_ARRAY(struct slot, terms->slot_count);
    for (size_t i = 0; i < terms->count; i++) {
        const struct term_entry *entry = &terms->entries[i];
        uint32_t hash = hash_of(entry->term);

        *slot_of(terms, entry->term, entry->head, hash) = (struct slot){hash, (uint32_t)i + 1};
    }
}

static void on_term(void *owner, struct str term)
{
    struct terms *terms = owner;
    uint64_t head = head_of(term.ptr, term.len);
    uint32_t hash = hash_of(term);
    struct slot *slot;

    if (terms->count == terms->room)
        grow(terms);
    slot = slot_of(terms, term, head, hash);
    if (slot->entry == 0) {
        terms->entries[terms->count] =
            (struct term_entry){.term = arena_copy(&terms->arena, term), .head = head};
        *slot = (struct slot){hash, (uint32_t)++terms->count};
    }
    terms->entries[slot->entry - 1].contents |= UINT64_C(1) << terms->id_count;
}

static int compare_entries(const void *a, const void *b)
{
    const struct term_entry *left = a, *right = b;

    if (left->head != right->head)
        return left->head < right->head ? -1 : 1;
    return str_compare(left->term, right->term);
}

static void terms_done(struct terms *terms)
{
    arena_free(&terms->arena);
    mem_free(&terms->entries);
    mem_free(&terms->slots);
}

/* --- Reading the contents --- */

/* Appends a range of the content to `out`; *start is then where it is there. */
static enum err read_range(struct vault_content *content, struct task *task, uint64_t *start,
                           uint64_t len, struct buf *out)
{
    size_t before = out->len;

    if (len > 0)
        TRY(vault_content_read(content, task, *start, (size_t)len, out));
    *start = before;
    return ERR_OK;
}

/* Only what words_limit left is read, so that neither memory nor time grows with attachments; the
 * structure tells where it came to stand in `out`. */
static enum err read_limited(struct vault *vault, struct task *task, int64_t content_id,
                             struct message_structure *structure, struct buf *out)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;

    TRY(vault_content_open(vault, task, content_id, &content));
    for (uint32_t i = 0; i < structure->part_count; i++) {
        struct message_part *part = &structure->parts[i];

        TRY(read_range(content, task, &part->header_start, part->header_len, out));
        TRY(read_range(content, task, &part->body_start, part->body_len, out));
    }
    return ERR_OK;
}

enum column {
    COLUMN_ID,
    COLUMN_STRUCTURE,
    COLUMN_SUBJECT,
    COLUMN_SENDER,
    COLUMN_RECIPIENT,
    COLUMN_CC,
    COLUMN_BCC,
};

static const char contents_sql[] =
    "SELECT id, structure, subject, sender, recipient, cc, bcc FROM content WHERE id > ?1 "
    "ORDER BY id LIMIT ?2";

/* The terms of one content; *out_is_cut when not all of them. */
static enum err add_content(struct vault *vault, struct task *task, sqlite3_stmt *row,
                            struct terms *terms, struct buf *raw, bool *out_is_cut)
{
    struct message_structure structure;
    struct words_source source = {
        .structure = &structure,
        .subject = db_column_text(row, COLUMN_SUBJECT),
        .from = db_column_text(row, COLUMN_SENDER),
        .to = db_column_text(row, COLUMN_RECIPIENT),
        .cc = db_column_text(row, COLUMN_CC),
        .bcc = db_column_text(row, COLUMN_BCC),
    };

    TRY(message_structure_decode(task, db_column_blob(row, COLUMN_STRUCTURE), &structure));
    *out_is_cut = words_limit(&structure);
    TRY(read_limited(vault, task, db_column_int(row, COLUMN_ID), &structure, raw));
    source.raw = buf_str(raw);
    if (words_of(&source, on_term, terms))
        *out_is_cut = true;
    return ERR_OK;
}

static enum err note_unindexed(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "INSERT OR IGNORE INTO unindexed VALUES (?1)", &statement));
    db_bind_int(statement, 1, content_id);
    return db_run(vault->db, task, statement);
}

static enum err collect(struct vault *vault, struct task *task, struct terms *terms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(buf_free) struct buf raw = {0};
    size_t bytes = 0;
    bool has_row;

    buf_init(&raw, SIZE_MAX);
    TRY(db_prepare(vault->db, task, contents_sql, &statement));
    db_bind_int(statement, 1, vault->indexed_content_id);
    db_bind_int(statement, 2, CONTENTS_IN_SLICE);
    while (terms->id_count < CONTENTS_IN_SLICE && bytes < BYTES_IN_SLICE) {
        struct task content_task;
        bool is_cut = false;
        enum err err;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        task_init(&content_task, task->now_ms);
        buf_truncate(&raw, 0);
        terms->ids[terms->id_count] = db_column_int(statement, COLUMN_ID);
        err = add_content(vault, &content_task, statement, terms, &raw, &is_cut);
        if (err == ERR_CORRUPT) { /* reported when it is read; the others go on */
            err = ERR_OK;
            is_cut = true;
        }
        if (err == ERR_OK && is_cut)
            err = note_unindexed(vault, &content_task, terms->ids[terms->id_count]);
        if (err != ERR_OK)
            err = fail(task, err, "%s", content_task.words);
        task_done(&content_task);
        TRY(err);
        bytes += raw.len;
        terms->id_count++;
    }
    return ERR_OK;
}

/* --- Writing the segment --- */

static enum err write_entry(struct segment_writer *writer, struct task *task,
                            const struct terms *terms, const struct term_entry *entry)
{
    char postings[CONTENTS_IN_SLICE * VARINT_MAX];
    int64_t before = writer->segment.first_content_id;
    uint64_t count = 0;
    size_t len = 0;

    for (uint64_t left = entry->contents; left != 0; left &= left - 1) {
        int64_t id = terms->ids[__builtin_ctzll(left)];

        len += varint_put((uint64_t)(id - before), postings + len);
        before = id;
        count++;
    }
    return segment_writer_put(writer, task, entry->term, count, str_make(postings, len));
}

static enum err write_entries(struct segment_writer *writer, struct task *task,
                              const struct terms *terms)
{
    for (size_t i = 0; i < terms->count; i++)
        TRY(write_entry(writer, task, terms, &terms->entries[i]));
    return segment_writer_flush(writer, task);
}

static enum err insert_segment(struct vault *vault, struct task *task, struct segment *segment)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "INSERT INTO word_segment(state, level, first_content_id, last_content_id, "
                   "form) VALUES (1, 0, ?1, ?2, ?3)",
                   &statement));
    db_bind_int(statement, 1, segment->first_content_id);
    db_bind_int(statement, 2, segment->last_content_id);
    db_bind_int(statement, 3, index_form());
    TRY(db_run(vault->db, task, statement));
    segment->id = sqlite3_last_insert_rowid(db_handle(vault->db));
    return ERR_OK;
}

static enum err write_segment(struct vault *vault, struct task *task, struct terms *terms)
{
    struct segment segment = {.first_content_id = terms->ids[0],
                              .last_content_id = terms->ids[terms->id_count - 1]};
    struct segment_writer writer;
    enum err err;

    if (terms->count > 0)
        qsort(terms->entries, terms->count, sizeof(*terms->entries), compare_entries);
    TRY(insert_segment(vault, task, &segment));
    err = segment_writer_open(&writer, vault, task, &segment);
    if (err == ERR_OK)
        err = write_entries(&writer, task, terms);
    segment_writer_close(&writer);
    TRY(err);
    vault->indexed_content_id = segment.last_content_id;
    return ERR_OK;
}

enum err index_fold(struct vault *vault, struct task *task, bool *out_did)
{
    CLEANUP(terms_done) struct terms terms = {0};

    TRY(collect(vault, task, &terms));
    if (terms.id_count == 0)
        return ERR_OK;
    *out_did = true;
    return write_segment(vault, task, &terms);
}
