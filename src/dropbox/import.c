/*
 * Emptying the drop box into the mailbox. In batches:
 *
 *   1. in the vault, one durable transaction: each message, with its record's id as imported
 *   2. in the drop file, one transaction: those records go, and `taken` says how far we are
 *   3. when none would be left, the file goes instead
 *
 * Neither 2 nor 3 is waited for: a crash after 1 leaves records that are imported already; they are
 * met again, known by their id, and only deleted. Nothing else is ever thrown away: what does not open is kept in the vault's
 * quarantine, and the notice that tells the owner takes the record's id, so that it comes once.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "base/memory.h"
#include "dropbox/damaged.h"
#include "dropbox/dropbox.h"
#include "dropbox/records.h"
#include "dropbox/seal.h"
#include "vault/dropkeys.h"
#include "vault/folder.h"
#include "vault/junk.h"
#include "vault/message.h"

#include <inttypes.h>
#include <string.h>

enum {
    BATCH_RECORDS = 64,
    BATCH_BYTES = 16 * 1024 * 1024,
    SKIP_MAX = 1 << 20, /* boots or messages; more of them cost too much to derive to be believed */
};

/* Where a batch and the chain are. */
struct import {
    const struct dropbox_owner *owner;
    struct records *records;  /* own */
    int64_t inbox;            /* folder id */
    struct vault_lane_root root;
    struct chain_place place; /* of the root and chain; what `root_err` is about */
    bool has_place;
    enum err root_err;        /* ERR_OK: root and chain are set */
    struct chain chain;
    uint64_t expected_n;      /* what should come next in this boot */
    unsigned char public[CRYPT_X25519_BYTES];
    int64_t done[BATCH_RECORDS]; /* records of this batch that may be deleted */
    size_t done_count;
    struct chain_place done_place; /* of the last of them, with the next n and its proof */
    uint64_t done_n;
    bool has_done_proof;
    unsigned char done_proof[CRYPT_HASH_BYTES];
    uint64_t batch_bytes;
    uint64_t imported;
    bool is_full;    /* the mailbox takes no more; the rest waits */
    bool is_refused; /* a record was not taken, for a reason that lies in the vault */
};

static void import_done(struct import *import)
{
    records_close(&import->records);
    chain_done(&import->chain);
    vault_lane_root_done(&import->root);
}

/* --- Notices --- */

static struct id id_from_hash(struct str label, struct str data)
{
    unsigned char hash[CRYPT_HASH_BYTES];

    crypt_hash(STR(""), label, data, hash);
    return id_from_bytes(hash);
}

/* A message to the owner: what is wrong, and what was kept and where. */
static struct str notice_text(struct task *task, const struct id *id, const char *wrong,
                              const char *kept)
{
    char date[CLOCK_RFC5322_ROOM];

    clock_format_rfc5322(task->now_ms, date);
    return arena_printf(
        &task->arena,
        "From: Sealpost <drop-box@sealpost.invalid>\r\n"
        "To: undisclosed-recipients:;\r\n"
        "Subject: Mail that waited for you is missing or damaged\r\n"
        "Date: %s\r\n"
        "Message-ID: <%s@sealpost.invalid>\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n"
        "\r\n"
        "While you were away, mail for you was sealed on the server.\r\n"
        "%s\r\n"
        "\r\n"
        "Nothing was thrown away: %s\r\n"
        "This can come from a failing disk, or from somebody who changed files on the server.\r\n"
        "Please show this message to its operator.\r\n",
        date, id->text, wrong, kept);
}

static struct str quarantine_text(struct task *task, const struct id *id, const char *what)
{
    struct str wrong = arena_printf(
        &task->arena, "As it was taken over into your mailbox just now,\r\n%s.", what);
    struct str kept = arena_printf(
        &task->arena, "what is there is kept, sealed, in this mailbox's quarantine as\r\n%s.",
        id->text);

    return notice_text(task, id, wrong.ptr, kept.ptr);
}

static struct str damage_text(struct task *task, const struct id *id, const char *name)
{
    struct str kept = arena_printf(
        &task->arena,
        "the file is kept on the server as\r\n%s\r\nand tried again each time you log in.", name);

    return notice_text(
        task, id,
        "The file that it waited in is damaged: some of it may be missing in your mailbox.\r\n"
        "Mail that came later is not affected.",
        kept.ptr);
}

/* Keeps `bytes` aside and tells the owner, once for this id. Inside the batch. */
static enum err quarantine(struct import *import, struct task *task, const struct id *id,
                           struct str bytes, const char *reason, const char *what)
{
    struct vault *vault = import->owner->vault;
    struct vault_append notice = {.internal_date_ms = task->now_ms, .drop_record = *id};
    uint32_t uid;
    enum err err;

    log_error(import->owner->log, "drop box record quarantined mailbox=%s record=%s reason=%s",
              import->owner->mailbox.text, id->text, reason);
    notice.raw = quarantine_text(task, id, what);
    err = vault_drop_quarantine(vault, task, id, bytes, str_from_c(reason));
    if (err == ERR_EXISTS) {
        task_forgive(task);
        err = ERR_OK;
    }
    TRY(err);
    err = vault_message_append(vault, task, import->inbox, &notice, &uid);
    if (err == ERR_EXISTS) {
        task_forgive(task);
        return ERR_OK;
    }
    return err;
}

/* --- Roots and chains --- */

/* proof = H(BK_1, "taken", lane ‖ generation ‖ boot ‖ n): only the owner still knows BK_1. */
static void taken_proof(const struct import *import, uint64_t n,
                        unsigned char out[static CRYPT_HASH_BYTES])
{
    unsigned char data[DROPBOX_LANE_BYTES + 24];

    memcpy(data, import->place.lane, DROPBOX_LANE_BYTES);
    chain_put_u64(data + DROPBOX_LANE_BYTES, import->place.generation);
    chain_put_u64(data + DROPBOX_LANE_BYTES + 8, import->place.boot);
    chain_put_u64(data + DROPBOX_LANE_BYTES + 16, n);
    crypt_hash(secret_str(import->root.boot_key_1), STR("taken"), str_make(data, sizeof(data)),
               out);
}

/* CK_0 of the boot, from the generation's first boot key. */
static void start_chain(struct import *import)
{
    CLEANUP(secret_free)
    struct secret *boot_key = secret_copy(secret_str(import->root.boot_key_1));
    struct chain_place place = import->place;

    for (place.boot = 1; place.boot < import->place.boot; place.boot++)
        chain_next_boot(&place, boot_key, boot_key);
    chain_start(&import->chain, &import->place, boot_key);
}

/* Turns to the boot that a record names. Not having its root is no failure of the import. */
static enum err turn_to(struct import *import, struct task *task, const struct chain_place *place)
{
    unsigned char found[CRYPT_HASH_BYTES], proof[CRYPT_HASH_BYTES];
    uint64_t taken_n;
    bool is_same_root = import->has_place && import->root_err == ERR_OK &&
                        memcmp(place->lane, import->place.lane, DROPBOX_LANE_BYTES) == 0 &&
                        place->generation == import->place.generation;

    if (!is_same_root) {
        vault_lane_root_done(&import->root);
        import->root = (struct vault_lane_root){.boot_key_1 = NULL};
        import->root_err = vault_lane_root_get(import->owner->vault, task, place->lane,
                                               place->generation, &import->root);
        if (import->root_err != ERR_OK && import->root_err != ERR_NOT_FOUND)
            return import->root_err;
        if (import->root_err == ERR_OK)
            crypt_x25519_public(secret_str(import->root.x25519_secret), import->public);
    }
    import->place = *place;
    import->has_place = true;
    import->expected_n = 0;
    if (import->root_err == ERR_OK && (place->boot == 0 || place->boot > SKIP_MAX))
        import->root_err = ERR_LIMIT;
    if (import->root_err != ERR_OK) {
        task_forgive(task);
        return ERR_OK;
    }
    start_chain(import);
    TRY(records_taken(import->records, task, place, &taken_n, found));
    taken_proof(import, taken_n, proof);
    if (taken_n > 0 && secret_equal(str_make(found, sizeof(found)), str_make(proof, sizeof(proof))))
        import->expected_n = taken_n;
    return ERR_OK;
}

static bool is_same_place(const struct chain_place *a, const struct chain_place *b)
{
    return memcmp(a->lane, b->lane, DROPBOX_LANE_BYTES) == 0 && a->generation == b->generation &&
           a->boot == b->boot;
}

/* Steps the chain to n. False when that is implausibly far. */
static bool chain_to(struct import *import, uint64_t n)
{
    if (n < import->chain.n)
        start_chain(import); /* the same n again: a commit that failed and was repeated */
    if (n - import->chain.n > SKIP_MAX)
        return false;
    while (import->chain.n < n)
        chain_step(&import->chain);
    return true;
}

/* --- One record --- */

static enum err report_gap(struct import *import, struct task *task, uint64_t n)
{
    unsigned char data[DROPBOX_LANE_BYTES + 32];
    struct str what;
    struct id id;

    memcpy(data, import->place.lane, DROPBOX_LANE_BYTES);
    chain_put_u64(data + DROPBOX_LANE_BYTES, import->place.generation);
    chain_put_u64(data + DROPBOX_LANE_BYTES + 8, import->place.boot);
    chain_put_u64(data + DROPBOX_LANE_BYTES + 16, import->expected_n);
    chain_put_u64(data + DROPBOX_LANE_BYTES + 24, n);
    id = id_from_hash(STR("gap"), str_make(data, sizeof(data)));
    what = arena_printf(&task->arena, "%" PRIu64 " message%s found to be missing",
                        n - import->expected_n, n - import->expected_n == 1 ? " was" : "s were");
    return quarantine(import, task, &id, STR(""), "gap", what.ptr);
}

static enum err append_mail(struct import *import, struct task *task, const struct id *id,
                            const struct dropbox_mail *mail)
{
    struct vault_append append = {
        .raw = mail->raw,
        .internal_date_ms = mail->received_ms,
        .trace_len = mail->trace_len,
        .is_delivery = true,
        .flags = mail->recipient.len == 0 ? VAULT_FLAG_SEEN : 0, /* he sent it himself */
        .drop_record = *id,
    };
    struct vault *vault = import->owner->vault;
    CLEANUP(buf_free) struct buf storage;
    int64_t folder_id;
    uint32_t uid;
    enum err err;

    buf_init(&storage, SIZE_MAX);
    TRY(vault_junk_file(vault, task, mail->folder, &append, &storage, &folder_id));
    err = vault_message_append(vault, task, folder_id, &append, &uid);
    if (err == ERR_EXISTS) {
        task_forgive(task);
        return ERR_OK;
    }
    if (err == ERR_OK)
        import->imported++;
    return err;
}

/* Opens a record and appends what it holds; what does not open goes to quarantine. */
static enum err open_record(struct import *import, struct task *task, const struct record *record,
                            const struct seal_header *header, const struct id *id)
{
    CLEANUP(buf_free) struct buf storage;
    struct dropbox_mail mail;
    const char *reason = NULL;
    enum err err;

    buf_init(&storage, SIZE_MAX);
    if (import->root_err != ERR_OK)
        reason = "no-root";
    else if (!chain_to(import, header->n))
        reason = "implausible";
    else {
        err = seal_open(record->sealed, task, &import->chain, import->root.x25519_secret, &storage,
                        &mail);
        if (err == ERR_OK)
            return append_mail(import, task, id, &mail);
        task_forgive(task);
        reason = err == ERR_DENIED ? "does-not-open" : "no-payload";
    }
    return quarantine(import, task, id, record->sealed, reason,
                      "one message could not be opened");
}

static enum err import_record(struct import *import, struct task *task, const struct record *record)
{
    struct id id = seal_record_id(record->sealed);
    struct seal_header header;
    bool was_imported;

    /* The columns gave the order; a record whose header says otherwise was tampered with. */
    if (!seal_header_parse(record->sealed, &header) || header.n != record->n ||
        !is_same_place(&header.place, &record->place)) {
        id = id_from_hash(STR("broken"), record->sealed);
        return quarantine(import, task, &id, record->sealed, "no-header",
                          "one message could not be opened");
    }
    if (!import->has_place || !is_same_place(&header.place, &import->place))
        TRY(turn_to(import, task, &header.place));
    if (import->root_err == ERR_OK && header.n > import->expected_n &&
        header.n - import->expected_n <= SKIP_MAX)
        TRY(report_gap(import, task, header.n));
    if (header.n >= import->expected_n && header.n < UINT64_MAX)
        import->expected_n = header.n + 1;
    TRY(vault_drop_was_imported(import->owner->vault, task, &id, &was_imported));
    return was_imported ? ERR_OK : open_record(import, task, record, &header, &id);
}

/* records_take: one record of the batch. */
static enum err take_record(void *owner, struct task *task, const struct record *record,
                            bool *out_stop)
{
    struct import *import = owner;
    enum err err = import_record(import, task, record);

    import->is_refused = err != ERR_OK;
    if (err == ERR_LIMIT) { /* over quota, or the disk is full: it waits where it is */
        log_warning(import->owner->log, "drop box waits mailbox=%s reason=%s",
                    import->owner->mailbox.text, task->words);
        task_forgive(task);
        import->is_full = true;
        *out_stop = true;
        return ERR_OK;
    }
    TRY(err);
    import->done[import->done_count++] = record->id;
    import->has_done_proof = import->has_place && import->root_err == ERR_OK;
    import->done_place = import->place;
    import->done_n = import->expected_n;
    if (import->has_done_proof)
        taken_proof(import, import->done_n, import->done_proof);
    import->batch_bytes += record->sealed.len;
    *out_stop = import->batch_bytes >= BATCH_BYTES;
    return ERR_OK;
}

/* --- Batches --- */

static enum err delete_done(struct import *import, struct task *task)
{
    TRY(records_begin(import->records, task));
    for (size_t i = 0; i < import->done_count; i++)
        TRY(records_delete(import->records, task, import->done[i]));
    if (import->has_done_proof)
        TRY(records_set_taken(import->records, task, &import->done_place, import->done_n,
                              import->done_proof));
    /* Need not be durable: what comes back is known as imported. */
    return records_commit(import->records, task, false);
}

/* The records of the batch, or when there are no others, the file: that costs no sync. */
static enum err clear_done(struct import *import, struct task *task)
{
    struct records_totals totals;
    enum err err;

    TRY(records_totals(import->records, task, &totals));
    if (totals.count == import->done_count)
        return records_remove(&import->records, task);
    err = delete_done(import, task);
    if (err != ERR_OK)
        records_rollback(import->records);
    return err;
}

static enum err import_batch(struct import *import, struct task *task)
{
    enum err err, end;

    import->done_count = 0;
    import->batch_bytes = 0;
    TRY(vault_batch_begin(import->owner->vault, task));
    err = records_each(import->records, task, BATCH_RECORDS, take_record, import);
    /* What succeeded before a failure is kept: each append stands by itself. */
    end = vault_batch_end(import->owner->vault, task);
    import->is_refused |= end != ERR_OK;
    TRY(end);
    if (import->done_count > 0)
        TRY(clear_done(import, task));
    return err;
}

/* *out_is_damaged: it failed, and the drop file is why. */
static enum err import_file(struct import *import, struct task *task, bool *out_is_damaged)
{
    struct records_totals totals;
    enum err err;

    do {
        import->is_refused = false;
        err = import_batch(import, task);
        if (err == ERR_CORRUPT && !import->is_refused)
            *out_is_damaged = true;
        TRY(err);
    } while (import->done_count > 0 && import->records != NULL && !import->is_full);
    if (import->records == NULL)
        return ERR_OK;
    /* A crash left a file without records, or some must wait. */
    TRY(records_totals(import->records, task, &totals));
    return totals.count == 0 ? records_remove(&import->records, task) : ERR_OK;
}

/* `name`: of a file that was set aside; NULL: the drop file. */
static enum err open_and_import(const struct dropbox_owner *owner, struct task *task,
                                const char *name, uint64_t *imported, bool *out_is_damaged)
{
    CLEANUP(import_done) struct import import = {.owner = owner};
    enum err err;

    *out_is_damaged = false;
    err = name == NULL ? records_open(task, owner->folder, &owner->mailbox, owner->drop_key, false,
                                      &import.records)
                       : records_open_damaged(task, owner->folder, name, owner->drop_key,
                                              &import.records);
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    *out_is_damaged = err == ERR_CORRUPT || err == ERR_DENIED;
    TRY(err);
    TRY(vault_folder_id(owner->vault, task, STR("INBOX"), &import.inbox));
    err = import_file(&import, task, out_is_damaged);
    *imported += import.imported;
    return err;
}

/* --- Damaged files --- */

/* Once for each file, by its name. */
static enum err tell_of_damage(const struct dropbox_owner *owner, struct task *task,
                               const char *name)
{
    struct id id = id_from_hash(STR("damaged"), str_from_c(name));
    struct vault_append notice = {.internal_date_ms = task->now_ms, .drop_record = id};
    int64_t inbox;
    bool was_told;
    uint32_t uid;

    TRY(vault_drop_was_imported(owner->vault, task, &id, &was_told));
    if (was_told)
        return ERR_OK;
    log_error(owner->log, "a drop file is damaged mailbox=%s file=%s", owner->mailbox.text, name);
    TRY(vault_folder_id(owner->vault, task, STR("INBOX"), &inbox));
    notice.raw = damage_text(task, &id, name);
    return vault_message_append(owner->vault, task, inbox, &notice, &uid);
}

/* What was set aside, by the sealer or at an earlier login. */
static enum err import_damaged(const struct dropbox_owner *owner, struct task *task,
                               uint64_t *imported)
{
    const char **names;
    size_t count;

    TRY(damaged_list(task, owner->folder, &owner->mailbox, &names, &count));
    for (size_t i = 0; i < count; i++) {
        bool is_damaged;
        enum err err = open_and_import(owner, task, names[i], imported, &is_damaged);

        if (is_damaged) {
            task_forgive(task);
            err = tell_of_damage(owner, task, names[i]);
        }
        TRY(err);
    }
    return ERR_OK;
}

enum err dropbox_import(const struct dropbox_owner *owner, struct task *task,
                        uint64_t *out_imported)
{
    uint64_t imported = 0;
    const char *name;
    bool is_damaged;
    enum err err;

    err = import_damaged(owner, task, &imported);
    if (err != ERR_OK) { /* no reason to keep what came later waiting */
        log_failure(owner->log, "taking over a damaged drop file", task);
        task_forgive(task);
    }
    err = open_and_import(owner, task, NULL, &imported, &is_damaged);
    *out_imported = imported;
    if (!is_damaged)
        return err;
    task_forgive(task);
    TRY(damaged_set_aside(task, owner->folder, &owner->mailbox, &name));
    return tell_of_damage(owner, task, name);
}
