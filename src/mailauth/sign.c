/*
 * DKIM signatures of our own, and their keys. What a signature covers is the table below; a name
 * that is oversigned stands once more in h= than the message has such fields.
 */
#include "mailauth/sign.h"

#include "base/encode.h"
#include "base/memory.h"
#include "mailauth/canon.h"
#include "mailauth/fields.h"
#include "mailauth/signature.h"

#include <openssl/crypto.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum { LINE_MAX_LEN = 76, RSA_BITS = 2048 };

static const struct {
    struct str name;
    bool is_oversigned;
} signed_fields[] = {
    {STR_INIT("From"), true},
    {STR_INIT("Subject"), true},
    {STR_INIT("Date"), true},
    {STR_INIT("To"), true},
    {STR_INIT("Reply-To"), true},
    {STR_INIT("Content-Type"), true},
    {STR_INIT("Sender"), false},
    {STR_INIT("Cc"), false},
    {STR_INIT("Message-ID"), false},
    {STR_INIT("In-Reply-To"), false},
    {STR_INIT("References"), false},
    {STR_INIT("MIME-Version"), false},
    {STR_INIT("Content-Transfer-Encoding"), false},
    {STR_INIT("Content-Disposition"), false},
    {STR_INIT("List-Id"), false},
    {STR_INIT("List-Unsubscribe"), false},
    {STR_INIT("List-Unsubscribe-Post"), false},
};

/* A field under way, folded before a line grows too long. */
struct writer {
    struct buf *out;
    size_t column;
};

static void put_word(struct writer *writer, struct str word)
{
    if (writer->column + word.len > LINE_MAX_LEN) {
        buf_put(writer->out, STR("\r\n\t"));
        writer->column = 8;
        if (str_starts_with(word, STR(" ")))
            word = str_from(word, 1);
    }
    buf_put(writer->out, word);
    writer->column += word.len;
}

/* Text that may be folded anywhere. */
static void put_anywhere(struct writer *writer, struct str text)
{
    while (text.len > 0) {
        size_t room = writer->column < LINE_MAX_LEN ? LINE_MAX_LEN - writer->column : LINE_MAX_LEN;
        struct str piece = str_upto(text, room);

        put_word(writer, piece);
        text = str_from(text, piece.len);
    }
}

static void put_base64(struct writer *writer, struct str bytes)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    if (encode_base64(&text, bytes) != ERR_OK)
        abort(); /* without a limit */
    put_anywhere(writer, buf_str(&text));
}

/* The value of h=, and into the hash what it names. */
static void sign_fields(struct task *task, const struct mailauth_fields *fields,
                        struct writer *writer, EVP_MD_CTX *digest)
{
    struct mailauth_taker taker;
    bool is_first = true;

    mailauth_taker_init(&task->arena, fields, &taker);
    for (size_t i = 0; i < ARRAY_LEN(signed_fields); i++) {
        size_t count = mailauth_fields_count(fields, signed_fields[i].name);

        for (size_t k = 0; k < count + signed_fields[i].is_oversigned; k++) {
            const struct mailauth_field *field = mailauth_take(&taker, signed_fields[i].name);

            if (!is_first)
                put_word(writer, STR(":"));
            put_word(writer, signed_fields[i].name);
            is_first = false;
            if (field != NULL)
                mailauth_canon_field(digest, MAILAUTH_RELAXED, &field->text);
        }
    }
}

/* What is signed, read once. */
struct original {
    struct mailauth_fields fields;
    struct mailauth_body_hash body;
    int64_t now_ms;
};

/* The field up to and with "b=", and into the hash the fields that it names. */
static void write_field(struct task *task, const struct original *original,
                        const struct mailauth_signer *signer, enum mailauth_key_kind kind,
                        struct writer *writer, EVP_MD_CTX *digest)
{
    put_word(writer, STR("DKIM-Signature: v=1;"));
    put_word(writer, kind == MAILAUTH_KEY_RSA ? STR(" a=rsa-sha256;") : STR(" a=ed25519-sha256;"));
    put_word(writer, STR(" c=relaxed/relaxed;"));
    put_word(writer, arena_printf(&task->arena, " d=%.*s;", STR_ARG(signer->domain)));
    put_word(writer, arena_printf(&task->arena, " s=%.*s;", STR_ARG(signer->selector)));
    put_word(writer, arena_printf(&task->arena, " t=%lld;", (long long)(original->now_ms / 1000)));
    put_word(writer, STR(" h="));
    sign_fields(task, &original->fields, writer, digest);
    put_word(writer, STR(";"));
    put_word(writer, STR(" bh="));
    put_base64(writer, str_make(original->body.whole, sizeof(original->body.whole)));
    put_word(writer, STR(";"));
    put_word(writer, STR(" b="));
}

struct mailauth_private {
    EVP_PKEY *key; /* own */
    enum mailauth_key_kind kind;
};

enum err mailauth_private_read(struct task *task, struct str der, struct mailauth_private **out)
{
    enum mailauth_key_kind kind;
    EVP_PKEY *key = mailauth_private_key(der, &kind);

    if (key == NULL)
        return fail(task, ERR_INVALID, "a DKIM key does not read");
    *out = NEW(struct mailauth_private);
    **out = (struct mailauth_private){key, kind};
    return ERR_OK;
}

void mailauth_private_free(struct mailauth_private **key)
{
    if (*key != NULL)
        mailauth_key_free(&(*key)->key);
    mem_free(key);
}

static enum err sign_one(struct task *task, const struct original *original,
                         const struct mailauth_signer *signer, struct buf *out)
{
    CLEANUP(mailauth_digest_free) EVP_MD_CTX *digest = mailauth_digest_new();
    CLEANUP(mailauth_private_free) struct mailauth_private *own = NULL;
    const struct mailauth_private *key = signer->key;
    CLEANUP(buf_free) struct buf text, signature;
    unsigned char hash[MAILAUTH_DIGEST_BYTES];
    struct header_field field;
    struct writer writer = {.out = &text};
    size_t position = 0;

    buf_init(&text, SIZE_MAX);
    buf_init(&signature, SIZE_MAX);
    if (key == NULL) {
        TRY(mailauth_private_read(task, signer->key_der, &own));
        key = own;
    }
    write_field(task, original, signer, key->kind, &writer, digest);
    if (!header_field_next(buf_str(&text), &position, &field))
        abort(); /* we made it */
    mailauth_canon_signature(digest, MAILAUTH_RELAXED, &field);
    mailauth_digest_end(&digest, hash);
    if (mailauth_signature_make(key->key, key->kind, hash, &signature) != ERR_OK)
        return fail(task, ERR_INVALID, "a DKIM key does not sign");
    put_base64(&writer, buf_str(&signature));
    buf_put(&text, STR("\r\n"));
    return buf_append(out, buf_str(&text));
}

enum err mailauth_sign(struct task *task, struct str message, const struct mailauth_signer *signers,
                       size_t count, int64_t now_ms, struct buf *out)
{
    struct original *original = ARENA_NEW(&task->arena, struct original);
    size_t before = out->len;
    enum err err = ERR_OK;

    original->now_ms = now_ms;
    mailauth_fields_read(&task->arena, message, &original->fields);
    if (original->fields.is_too_many)
        return fail(task, ERR_LIMIT, "a message with too many header fields is not signed");
    mailauth_canon_body(MAILAUTH_RELAXED, original->fields.body, &original->body);
    for (size_t i = 0; i < count; i++) {
        enum err one = sign_one(task, original, &signers[i], out);

        err = one != ERR_OK ? one : err;
    }
    if (out->len == before)
        return err;
    task_forgive(task);
    return ERR_OK;
}

/* The TXT record of a key: RSA as SubjectPublicKeyInfo, Ed25519 as its 32 bytes (RFC 8463 §4). */
static enum err put_record(struct task *task, EVP_PKEY *key, enum mailauth_key_kind kind,
                           struct buf *out)
{
    unsigned char raw[64], *der = NULL;
    size_t raw_len = sizeof(raw);
    enum err err = ERR_INVALID;
    int der_len;

    switch (kind) {
    case MAILAUTH_KEY_RSA:
        der_len = i2d_PUBKEY(key, &der);
        if (der_len > 0) {
            err = buf_append(out, STR("v=DKIM1; k=rsa; p="));
            if (err == ERR_OK)
                err = encode_base64(out, str_make(der, (size_t)der_len));
        }
        OPENSSL_free(der);
        break;
    case MAILAUTH_KEY_ED25519:
        if (EVP_PKEY_get_raw_public_key(key, raw, &raw_len) == 1) {
            err = buf_append(out, STR("v=DKIM1; k=ed25519; p="));
            if (err == ERR_OK)
                err = encode_base64(out, str_make(raw, raw_len));
        }
        break;
    }
    return err == ERR_OK ? ERR_OK : fail(task, err, "a DKIM key has no public half");
}

enum err mailauth_key_record(struct task *task, struct str key_der, struct buf *out_record)
{
    enum mailauth_key_kind kind;
    CLEANUP(mailauth_key_free) EVP_PKEY *key = mailauth_private_key(key_der, &kind);

    if (key == NULL)
        return fail(task, ERR_INVALID, "a DKIM key does not read");
    return put_record(task, key, kind, out_record);
}

static enum err put_pkcs8(struct task *task, EVP_PKEY *key, struct secret **out_key)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = info == NULL ? 0 : i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    PKCS8_PRIV_KEY_INFO_free(info);
    if (len <= 0)
        return fail(task, ERR_IO, "a DKIM key cannot be written");
    *out_key = secret_copy(str_make(der, (size_t)len));
    OPENSSL_clear_free(der, (size_t)len);
    return ERR_OK;
}

enum err mailauth_key_make(struct task *task, enum mailauth_algorithm algorithm,
                           struct secret **out_key, struct buf *out_record)
{
    CLEANUP(mailauth_key_free) EVP_PKEY *key = NULL;
    CLEANUP(secret_free) struct secret *made = NULL;
    enum mailauth_key_kind kind = MAILAUTH_KEY_RSA;

    switch (algorithm) {
    case MAILAUTH_RSA_2048:
        key = EVP_RSA_gen(RSA_BITS);
        break;
    case MAILAUTH_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        kind = MAILAUTH_KEY_ED25519;
        break;
    }
    if (key == NULL)
        return fail(task, ERR_IO, "a DKIM key cannot be made");
    TRY(put_pkcs8(task, key, &made));
    TRY(put_record(task, key, kind, out_record));
    *out_key = made;
    made = NULL;
    return ERR_OK;
}
