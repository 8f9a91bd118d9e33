/*
 * The Sender Rewriting Scheme. SRS0 wraps an ordinary sender; SRS1 names the first forwarder and
 * keeps what he made, however many forwarders follow, so that an address grows once only:
 *
 *   ann@a.test                          by b.test   SRS0=hash=day=a.test=ann@b.test
 *   SRS0=hash=day=a.test=ann@b.test     by c.test   SRS1=hash=b.test==hash=day=a.test=ann@c.test
 *   SRS1=hash=b.test==hash=…=ann@c.test by d.test   SRS1=hash=b.test==hash=…=ann@d.test
 *
 * Servers on the way may change the case of a local part: hash and day are in base32, compared
 * without case, and the hash is of text in lower case. Six digits, not the customary four: with
 * four, a million attempts make us relay one message.
 */
#include "mailauth/srs.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "secret/secret.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum {
    HASH_LEN = 6,
    DAY_LEN = 2,
    DAY_CYCLE = 1 << 10, /* what two base32 digits count to */
    LOCAL_PART_MAX = 64, /* RFC 5321 §4.5.3.1.1 */
    DOMAIN_MAX = 255,
    DAY_MS = 24 * 60 * 60 * 1000,
};

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static int digit_value(char c)
{
    const char *at = memchr(digits, ascii_upper(c), 32);

    return at == NULL ? -1 : (int)(at - digits);
}

static int64_t day_of(int64_t now_ms)
{
    return now_ms / DAY_MS % DAY_CYCLE;
}

/* Of `kind` (what is hashed under one kind means nothing under another) and the text in lower case.
 */
static void make_hash(struct str key, char kind, struct str text, char out[static HASH_LEN])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    CLEANUP(buf_free) struct buf lower;
    unsigned int len = 0;
    uint32_t bits;

    assert(key.len == SRS_KEY_BYTES);
    buf_init(&lower, SIZE_MAX);
    buf_put(&lower, str_make(&kind, 1));
    buf_put(&lower, text);
    for (size_t i = 0; i < lower.len; i++)
        lower.ptr[i] = ascii_lower(lower.ptr[i]);
    if (HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)lower.ptr, lower.len,
             digest, &len) == NULL)
        abort(); /* out of memory */
    bits = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
    for (size_t i = 0; i < HASH_LEN; i++, bits <<= 5)
        out[i] = digits[bits >> 27];
    mem_wipe(digest, sizeof(digest));
}

static bool is_hash(struct str key, char kind, struct str text, struct str hash)
{
    char expected[HASH_LEN], given[HASH_LEN];

    if (hash.len != HASH_LEN)
        return false;
    for (size_t i = 0; i < HASH_LEN; i++)
        given[i] = ascii_upper(hash.ptr[i]);
    make_hash(key, kind, text, expected);
    return secret_equal(str_make(given, HASH_LEN), str_make(expected, HASH_LEN));
}

/* The local part without its quotes and backslashes, if it has them. */
static struct str unquoted(struct task *task, struct str local)
{
    char *copy;
    size_t len = 0;

    if (local.len < 2 || local.ptr[0] != '"' || local.ptr[local.len - 1] != '"')
        return local;
    local = str_make(local.ptr + 1, local.len - 2);
    copy = arena_alloc(&task->arena, local.len + 1, 1);
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '\\' && i + 1 < local.len)
            i++;
        copy[len++] = local.ptr[i];
    }
    return str_make(copy, len);
}

/* Dot-string (RFC 5321 §4.1.2; UTF-8 by RFC 6531): needs no quotes. */
static bool is_dot_string(struct str local)
{
    char before = '.';

    for (size_t i = 0; i < local.len; i++) {
        char c = local.ptr[i];

        if (c == '.' ? before == '.'
                     : !ascii_is_alnum(c) && !ascii_is_8bit(c) &&
                           memchr("!#$%&'*+-/=?^_`{|}~", c, 19) == NULL)
            return false;
        before = c;
    }
    return before != '.';
}

/* local "@" domain, the local part in quotes where it must be. */
static enum err put_address(struct task *task, struct str local, struct str domain, struct buf *out)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    if (is_dot_string(local)) {
        buf_put(&text, local);
    } else {
        buf_put(&text, STR("\""));
        for (size_t i = 0; i < local.len; i++) {
            if (local.ptr[i] == '"' || local.ptr[i] == '\\')
                buf_put(&text, STR("\\"));
            buf_put(&text, str_make(local.ptr + i, 1));
        }
        buf_put(&text, STR("\""));
    }
    if (text.len > LOCAL_PART_MAX || domain.len > DOMAIN_MAX)
        return fail(task, ERR_LIMIT, "a rewritten sender would be too long");
    buf_put(&text, STR("@"));
    buf_put(&text, domain);
    return buf_append(out, buf_str(&text));
}

/* "SRS0" or "SRS1" and one of the separators that are in use; 0 or 1, or -1. */
static int kind_of(struct str local)
{
    if (local.len < 5 || !str_starts_with_nocase(local, STR("SRS")) ||
        memchr("=+-", local.ptr[4], 3) == NULL)
        return -1;
    return local.ptr[3] == '0' || local.ptr[3] == '1' ? local.ptr[3] - '0' : -1;
}

bool srs_is_one(struct str local)
{
    if (local.len > 0 && local.ptr[0] == '"')
        local = str_from(local, 1);
    return kind_of(local) >= 0;
}

/* `opaque`: what the first forwarder has behind his "SRS0", separator included. */
static enum err rewrite_again(struct task *task, struct str key, struct str forwarder,
                              struct str opaque, struct str domain, struct buf *out)
{
    struct str inner = arena_printf(&task->arena, "%.*s=%.*s", STR_ARG(forwarder), STR_ARG(opaque));
    char hash[HASH_LEN];

    make_hash(key, '1', inner, hash);
    return put_address(task,
                       arena_printf(&task->arena, "SRS1=%.*s=%.*s", HASH_LEN, hash, STR_ARG(inner)),
                       domain, out);
}

static enum err rewrite_first(struct task *task, struct str key, struct str local,
                              struct str sender_domain, struct str domain, int64_t now_ms,
                              struct buf *out)
{
    int64_t day = day_of(now_ms);
    struct str inner = arena_printf(&task->arena, "%c%c=%.*s=%.*s", digits[day >> 5],
                                    digits[day & 31], STR_ARG(sender_domain), STR_ARG(local));
    char hash[HASH_LEN];

    make_hash(key, '0', inner, hash);
    return put_address(task,
                       arena_printf(&task->arena, "SRS0=%.*s=%.*s", HASH_LEN, hash, STR_ARG(inner)),
                       domain, out);
}

enum err srs_rewrite(struct task *task, struct str key, struct str sender, struct str domain,
                     int64_t now_ms, struct buf *out)
{
    ptrdiff_t at = str_last_index(sender, '@');
    struct str local, sender_domain;

    if (sender.len == 0)
        return ERR_OK; /* the null sender stays what it is */
    if (at < 1 || str_index(str_from(sender, (size_t)at), '=') >= 0)
        return fail(task, ERR_INVALID, "a sender without a domain cannot be rewritten");
    if (sender.len > LOCAL_PART_MAX + 1 + DOMAIN_MAX)
        return fail(task, ERR_LIMIT, "a rewritten sender would be too long");
    local = unquoted(task, str_upto(sender, (size_t)at));
    sender_domain = str_from(sender, (size_t)at + 1);
    /* NUL would end what arena_printf copies, and no address has control characters. */
    for (size_t i = 0; i < sender.len; i++)
        if (ascii_is_control(sender.ptr[i]))
            return fail(task, ERR_INVALID, "a sender with control characters");
    if (kind_of(local) == 0)
        return rewrite_again(task, key, sender_domain, str_from(local, 4), domain, out);
    if (kind_of(local) == 1) {
        struct str rest = str_from(local, 5), hash, forwarder;

        /* "SRS1=" hash "=" forwarder "=" opaque: somebody's hash goes, ours comes. */
        if (str_split(&rest, '=', &hash) && str_split(&rest, '=', &forwarder) && rest.len > 0 &&
            forwarder.len > 0)
            return rewrite_again(task, key, forwarder, rest, domain, out);
    }
    return rewrite_first(task, key, local, sender_domain, domain, now_ms, out);
}

/* Days since, of a time stamp in base32; -1: it is none. A clock may be a day behind. */
static int64_t age_in_days(struct str stamp, int64_t now_ms)
{
    int high, low;
    int64_t age;

    if (stamp.len != DAY_LEN)
        return -1;
    high = digit_value(stamp.ptr[0]);
    low = digit_value(stamp.ptr[1]);
    if (high < 0 || low < 0)
        return -1;
    age = (day_of(now_ms) - (high << 5 | low) + DAY_CYCLE) % DAY_CYCLE;
    return age == DAY_CYCLE - 1 ? 0 : age;
}

enum err srs_reverse(struct task *task, struct str key, struct str local, int64_t now_ms,
                     struct buf *out)
{
    static const char refusal[] = "not a rewritten sender of ours";
    struct str hash, inner, rest, first;
    int kind;

    local = unquoted(task, local);
    kind = kind_of(local);
    rest = str_from(local, 5);
    if (kind < 0 || local.len > LOCAL_PART_MAX || !str_split(&rest, '=', &hash))
        return fail(task, ERR_DENIED, "%s", refusal);
    inner = rest;
    if (inner.ptr == NULL || !is_hash(key, kind == 0 ? '0' : '1', inner, hash) ||
        !str_split(&rest, '=', &first) || rest.len == 0)
        return fail(task, ERR_DENIED, "%s", refusal);
    if (kind == 0) {
        int64_t age = age_in_days(first, now_ms);
        struct str domain;

        if (age < 0 || !str_split(&rest, '=', &domain) || rest.ptr == NULL)
            return fail(task, ERR_DENIED, "%s", refusal);
        if (age > SRS_LIFETIME_DAYS)
            return fail(task, ERR_DENIED, "a rewritten sender that is too old");
        return put_address(task, rest, domain, out);
    }
    return put_address(task, arena_printf(&task->arena, "SRS0%.*s", STR_ARG(rest)), first, out);
}
