#include "account/greylist.h"

#include "base/buf.h"
#include "base/ip.h"
#include "base/memory.h"
#include "secret/crypt.h"

#include <arpa/inet.h>
#include <string.h>

enum {
    HASH_BYTES = 16,
    SWEEP_EVERY = 256, /* new rows */
    SWEEP_ROWS = 1024,
    TEXT_MAX = 2048,
};

static const int64_t HOUR_MS = 3600 * 1000;
static const int64_t COME_BACK_WITHIN_MS = 48 * HOUR_MS;
static const int64_t PASSED_FOR_MS = 36 * 24 * HOUR_MS;
/* A client that goes on is not written down anew with each message. */
static const int64_t RENEWED_EVERY_MS = 24 * HOUR_MS;

struct account_greylist {
    struct secret *key; /* own */
    uint64_t count;     /* of rows, about */
    bool is_counted;
    unsigned new_rows;  /* since the last sweep */
};

struct account_greylist *account_greylist_new(const struct secret *host_key)
{
    struct account_greylist *greylist = NEW(struct account_greylist);

    greylist->key = crypt_derive(host_key, STR("greylist"), STR(""));
    return greylist;
}

void account_greylist_free(struct account_greylist **greylist)
{
    if (*greylist == NULL)
        return;
    secret_free(&(*greylist)->key);
    mem_free(greylist);
}

/* The client's /24, or its /64. */
static size_t network_of(struct str client, unsigned char out[IP_CLIENT_KEY_MAX])
{
    size_t len = ip_client_key(client, out);

    return len == sizeof(struct in_addr) ? len - 1 : len;
}

static void hash_of(const struct account_greylist *greylist, struct str label, struct str text,
                    unsigned char out[HASH_BYTES])
{
    unsigned char hash[CRYPT_HASH_BYTES];

    crypt_hash(secret_str(greylist->key), label, text, hash);
    memcpy(out, hash, HASH_BYTES);
}

static void hash_triple(const struct account_greylist *greylist, struct str network,
                        struct str sender, struct str recipient, unsigned char out[HASH_BYTES])
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_putf(&text, "%zu ", network.len);
    buf_put(&text, network);
    buf_put(&text, str_upto(sender, TEXT_MAX));
    buf_put(&text, str_make("", 1)); /* a NUL is in no address */
    buf_put(&text, str_upto(recipient, TEXT_MAX));
    hash_of(greylist, STR("triple"), buf_str(&text), out);
}

static enum err make_room(struct account_greylist *greylist, struct account_database *database,
                          struct task *task)
{
    if (!greylist->is_counted) {
        TRY(account_grey_count(database, task, &greylist->count));
        greylist->is_counted = true;
    }
    if (++greylist->new_rows >= SWEEP_EVERY) {
        greylist->new_rows = 0;
        TRY(account_grey_sweep(database, task, SWEEP_ROWS, false));
        TRY(account_grey_count(database, task, &greylist->count));
    }
    if (greylist->count >= ACCOUNT_GREYLIST_MAX) {
        TRY(account_grey_sweep(database, task, SWEEP_ROWS, true));
        TRY(account_grey_count(database, task, &greylist->count));
    }
    greylist->count++;
    return ERR_OK;
}

static enum err set(struct account_greylist *greylist, struct account_database *database,
                    struct task *task, struct str hash, bool is_passed, bool is_new,
                    int64_t for_ms)
{
    struct account_grey grey = {
        .is_passed = is_passed, .since_ms = task->now_ms, .ends_ms = task->now_ms + for_ms};

    if (is_new)
        TRY(make_room(greylist, database, task));
    return account_grey_set(database, task, hash, &grey);
}

/* A network that passed: is it still known? Goes on for as long as it writes. */
static enum err is_known(struct account_greylist *greylist, struct account_database *database,
                         struct task *task, struct str hash, bool *out_is_known)
{
    struct account_grey grey;

    TRY(account_grey_find(database, task, hash, &grey));
    *out_is_known = grey.is_there && grey.is_passed && task->now_ms < grey.ends_ms;
    if (*out_is_known && task->now_ms - grey.since_ms >= RENEWED_EVERY_MS)
        return set(greylist, database, task, hash, true, false, PASSED_FOR_MS);
    return ERR_OK;
}

enum err account_greylist_ask(struct account_greylist *greylist,
                              struct account_database *database, struct task *task,
                              struct str client, struct str sender, struct str recipient,
                              int64_t delay_ms, int64_t *out_wait_ms)
{
    unsigned char network[IP_CLIENT_KEY_MAX], of_network[HASH_BYTES], of_triple[HASH_BYTES];
    struct str network_text = str_make(network, network_of(client, network));
    struct str network_hash = str_make(of_network, HASH_BYTES);
    struct str triple_hash = str_make(of_triple, HASH_BYTES);
    struct account_grey grey;
    bool is_passed;

    *out_wait_ms = 0;
    hash_of(greylist, STR("network"), network_text, of_network);
    TRY(is_known(greylist, database, task, network_hash, &is_passed));
    if (is_passed)
        return ERR_OK;
    hash_triple(greylist, network_text, sender, recipient, of_triple);
    TRY(account_grey_find(database, task, triple_hash, &grey));
    if (!grey.is_there || task->now_ms >= grey.ends_ms || task->now_ms < grey.since_ms) {
        *out_wait_ms = delay_ms;
        return set(greylist, database, task, triple_hash, false, !grey.is_there,
                   COME_BACK_WITHIN_MS);
    }
    if (task->now_ms - grey.since_ms < delay_ms) {
        *out_wait_ms = delay_ms - (task->now_ms - grey.since_ms);
        return ERR_OK;
    }
    TRY(account_grey_remove(database, task, triple_hash));
    return set(greylist, database, task, network_hash, true, false, PASSED_FOR_MS);
}
