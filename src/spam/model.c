#include "spam/model.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_BYTES = 8,
    HEAD_BYTES = MAGIC_BYTES + 4 * 4,
    ENTRY_BYTES = 16,
    SUM_BYTES = 8,
    FILE_MAX = HEAD_BYTES + SPAM_MODEL_TOKENS_MAX * ENTRY_BYTES + SUM_BYTES,
};

static const char magic[MAGIC_BYTES] = {'S', 'P', 'M', 'O', 'D', 'E', 'L', '1'};
/* Not a secret: the sum is against damage, not against people. */
static const struct hash_key sum_key = {{UINT64_C(0x5365616c706f7374), UINT64_C(0x6d6f64656c303031)}};

struct entry {
    uint64_t hash;
    struct spam_count count;
};

struct spam_model {
    struct spam_count total;
    struct entry *entries; /* own; by hash */
    size_t count;
};

static uint64_t get(const char *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return value;
}

static void put(struct buf *out, uint64_t value, size_t size)
{
    char bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(value >> (8 * i) & 0xff);
    buf_put(out, str_make(bytes, size));
}

/* --- Reading --- */

static enum err check_head(struct task *task, struct str bytes, size_t *out_count)
{
    size_t count;

    if (bytes.len < HEAD_BYTES + SUM_BYTES || memcmp(bytes.ptr, magic, MAGIC_BYTES) != 0)
        return fail(task, ERR_CORRUPT, "the spam model is not one");
    if (get(bytes.ptr + MAGIC_BYTES, 4) != SPAM_TOKEN_FORM)
        return fail(task, ERR_INVALID,
                    "the spam model is of another version: train it anew from the same messages");
    count = (size_t)get(bytes.ptr + MAGIC_BYTES + 12, 4);
    if (count > SPAM_MODEL_TOKENS_MAX ||
        bytes.len != HEAD_BYTES + count * ENTRY_BYTES + SUM_BYTES)
        return fail(task, ERR_CORRUPT, "the spam model has another length than it says");
    if (get(bytes.ptr + bytes.len - SUM_BYTES, SUM_BYTES) !=
        hash_text(&sum_key, str_upto(bytes, bytes.len - SUM_BYTES)))
        return fail(task, ERR_CORRUPT, "the spam model is damaged: its checksum is wrong");
    *out_count = count;
    return ERR_OK;
}

enum err spam_model_read(struct task *task, struct str bytes, struct spam_model **out_model)
{
    CLEANUP(spam_model_close) struct spam_model *model = NULL;
    const char *at;
    size_t count = 0;

    TRY(check_head(task, bytes, &count));
    model = NEW(struct spam_model);
    model->total.spam = (uint32_t)get(bytes.ptr + MAGIC_BYTES + 4, 4);
    model->total.ham = (uint32_t)get(bytes.ptr + MAGIC_BYTES + 8, 4);
    model->entries = NEW_ARRAY(struct entry, count + 1);
    model->count = count;
    at = bytes.ptr + HEAD_BYTES;
    for (size_t i = 0; i < count; i++, at += ENTRY_BYTES) {
        struct entry *entry = &model->entries[i];

        entry->hash = get(at, 8);
        entry->count.spam = (uint32_t)get(at + 8, 4);
        entry->count.ham = (uint32_t)get(at + 12, 4);
        if (i > 0 && entry->hash <= model->entries[i - 1].hash)
            return fail(task, ERR_CORRUPT, "the spam model is not in order");
    }
    *out_model = model;
    model = NULL;
    return ERR_OK;
}

enum err spam_model_open(struct task *task, const char *path, struct spam_model **out_model)
{
    CLEANUP(buf_free) struct buf bytes = {0};

    buf_init(&bytes, FILE_MAX);
    TRY(file_read(task, AT_FDCWD, path, FILE_MAX, &bytes));
    return spam_model_read(task, buf_str(&bytes), out_model);
}

void spam_model_close(struct spam_model **model)
{
    if (*model == NULL)
        return;
    mem_free(&(*model)->entries);
    mem_free(model);
}

struct spam_count spam_model_total(const struct spam_model *model)
{
    return model->total;
}

size_t spam_model_token_count(const struct spam_model *model)
{
    return model->count;
}

static struct spam_count look_up(const struct spam_model *model, uint64_t hash)
{
    size_t low = 0, high = model->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (model->entries[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < model->count && model->entries[low].hash == hash)
        return model->entries[low].count;
    return (struct spam_count){0, 0};
}

unsigned spam_model_probability(const struct spam_model *model, const struct spam_tokens *tokens)
{
    struct spam_count counts[SPAM_TOKENS_MAX];

    for (size_t i = 0; i < tokens->count; i++)
        counts[i] = look_up(model, tokens->hashes[i]);
    return spam_probability(tokens, counts, model->total);
}

/* --- Training --- */

struct spam_trainer {
    struct spam_count total;
    struct entry *table; /* own; open addressing, hash 0: free */
    size_t room, count;  /* room is a power of two */
};

static struct entry *find(const struct spam_trainer *trainer, uint64_t hash)
{
    size_t place = (size_t)hash & (trainer->room - 1);

    while (trainer->table[place].hash != 0 && trainer->table[place].hash != hash)
        place = (place + 1) & (trainer->room - 1);
    return &trainer->table[place];
}

static void grow(struct spam_trainer *trainer)
{
    struct entry *old = trainer->table;
    size_t old_room = trainer->room;

    trainer->room = old_room * 2;
    trainer->table = NEW_ARRAY(struct entry, trainer->room);
    for (size_t i = 0; i < old_room; i++) {
        if (old[i].hash != 0)
            *find(trainer, old[i].hash) = old[i];
    }
    mem_free(&old);
}

static struct spam_count *count_of(struct spam_trainer *trainer, uint64_t hash)
{
    struct entry *entry;

    if (trainer->count * 2 >= trainer->room)
        grow(trainer);
    entry = find(trainer, hash);
    trainer->count += entry->hash == 0;
    entry->hash = hash;
    return &entry->count;
}

struct spam_trainer *spam_trainer_new(const struct spam_model *model)
{
    struct spam_trainer *trainer = NEW(struct spam_trainer);

    trainer->room = 1 << 16;
    trainer->table = NEW_ARRAY(struct entry, trainer->room);
    if (model == NULL)
        return trainer;
    trainer->total = model->total;
    for (size_t i = 0; i < model->count; i++) {
        if (model->entries[i].hash != 0)
            *count_of(trainer, model->entries[i].hash) = model->entries[i].count;
    }
    return trainer;
}

void spam_trainer_free(struct spam_trainer **trainer)
{
    if (*trainer == NULL)
        return;
    mem_free(&(*trainer)->table);
    mem_free(trainer);
}

enum err spam_trainer_learn(struct spam_trainer *trainer, struct task *task,
                            const struct spam_tokens *tokens, bool is_spam)
{
    if (trainer->total.spam == UINT32_MAX || trainer->total.ham == UINT32_MAX)
        return fail(task, ERR_LIMIT, "the spam model counts no more messages");
    for (size_t i = 0; i < tokens->count; i++) {
        struct spam_count *count;

        if (tokens->hashes[i] == 0)
            continue;
        count = count_of(trainer, tokens->hashes[i]);
        count->spam += is_spam && count->spam < UINT32_MAX;
        count->ham += !is_spam && count->ham < UINT32_MAX;
    }
    trainer->total.spam += is_spam;
    trainer->total.ham += !is_spam;
    return ERR_OK;
}

struct spam_count spam_trainer_total(const struct spam_trainer *trainer)
{
    return trainer->total;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Tokens seen this often or less must go, so that the rest fits. */
static uint64_t rare_limit(const struct spam_trainer *trainer)
{
    uint64_t limit = 0;
    size_t kept;

    do {
        kept = 0;
        for (size_t i = 0; i < trainer->room; i++) {
            const struct entry *entry = &trainer->table[i];

            kept += entry->hash != 0 && (uint64_t)entry->count.spam + entry->count.ham > limit;
        }
        limit++;
    } while (kept > SPAM_MODEL_TOKENS_MAX);
    return limit - 1;
}

void spam_trainer_write(const struct spam_trainer *trainer, struct buf *out)
{
    uint64_t limit = rare_limit(trainer);
    struct entry *sorted = NEW_ARRAY(struct entry, trainer->count + 1);
    size_t count = 0, start = out->len;

    for (size_t i = 0; i < trainer->room; i++) {
        const struct entry *entry = &trainer->table[i];

        if (entry->hash != 0 && (uint64_t)entry->count.spam + entry->count.ham > limit)
            sorted[count++] = *entry;
    }
    qsort(sorted, count, sizeof(sorted[0]), compare_entries);
    buf_put(out, str_make(magic, MAGIC_BYTES));
    put(out, SPAM_TOKEN_FORM, 4);
    put(out, trainer->total.spam, 4);
    put(out, trainer->total.ham, 4);
    put(out, count, 4);
    for (size_t i = 0; i < count; i++) {
        put(out, sorted[i].hash, 8);
        put(out, sorted[i].count.spam, 4);
        put(out, sorted[i].count.ham, 4);
    }
    mem_free(&sorted);
    put(out, hash_text(&sum_key, str_from(buf_str(out), start)), SUM_BYTES);
}
