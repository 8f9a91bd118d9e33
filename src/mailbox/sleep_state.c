#include "mailbox/sleep_state.h"

#include "base/memory.h"
#include "imap/hibernate.h"
#include "net/compress.h"
#include "secret/crypt.h"

enum { LENGTH_BYTES = 2 };

static const struct str SEALED_FOR = STR_INIT("sleeping-stream");

static struct secret *stream_key(const struct secret *pass_key, const struct id *session)
{
    return crypt_derive(pass_key, SEALED_FOR, str_from_c(session->text));
}

static enum err seal_stream(const struct mailbox_session *session,
                            const struct net_compress *compress, struct buf *state)
{
    CLEANUP(secret_free)
    struct secret *key = stream_key(session->mailbox->pass_key, &session->id);
    CLEANUP(buf_free) struct buf plain;
    enum err err;

    buf_init(&plain, NET_COMPRESS_SAVED_MAX);
    net_compress_save(compress, &plain);
    err = crypt_seal(state, secret_str(key), SEALED_FOR, buf_str(&plain));
    mem_wipe(plain.ptr, plain.len);
    return err;
}

enum err mailbox_sleep_state_pack(const struct mailbox_session *session, struct buf *state)
{
    const struct net_compress *compress = net_connection_compress(session->connection);
    CLEANUP(buf_free) struct buf engine;
    unsigned char length[LENGTH_BYTES];

    buf_init(&engine, IMAP_HIBERNATED_MAX);
    session->kind->hibernate(session->engine, &engine);
    length[0] = (unsigned char)(engine.len >> 8);
    length[1] = (unsigned char)engine.len;
    buf_put(state, str_make(length, sizeof(length)));
    buf_put(state, buf_str(&engine));
    return compress == NULL ? ERR_OK : seal_stream(session, compress, state);
}

static enum err open_stream(const struct secret *pass_key, const struct id *session,
                            struct str sealed, struct buf *out)
{
    CLEANUP(secret_free) struct secret *key = NULL;

    if (pass_key == NULL)
        return ERR_DENIED;
    key = stream_key(pass_key, session);
    return crypt_open(out, secret_str(key), SEALED_FOR, sealed);
}

/* Since it fell asleep the mailbox may have been put under another key. */
static enum err unseal_stream(const struct mailbox *mailbox, const struct id *session,
                              struct str sealed, struct net_compress **out)
{
    const struct secret *const keys[] = {mailbox->pass_key, mailbox->next_pass_key,
                                         mailbox->former_pass_key};
    CLEANUP(buf_free) struct buf plain;
    enum err err = ERR_DENIED;

    buf_init(&plain, NET_COMPRESS_SAVED_MAX);
    for (size_t i = 0; i < ARRAY_LEN(keys) && err != ERR_OK; i++)
        err = open_stream(keys[i], session, sealed, &plain);
    if (err == ERR_OK)
        err = net_compress_restore(buf_str(&plain), out);
    if (plain.len > 0)
        mem_wipe(plain.ptr, plain.len);
    return err;
}

enum err mailbox_sleep_state_unpack(const struct mailbox *mailbox,
                                    const struct wire_session_open *open, struct str *out_engine,
                                    struct net_compress **out)
{
    struct str state = open->state;
    size_t length;

    *out = NULL;
    *out_engine = (struct str){NULL, 0};
    if (state.len == 0)
        return ERR_OK;
    if (state.len < LENGTH_BYTES)
        return ERR_INVALID;
    length = (size_t)(unsigned char)state.ptr[0] << 8 | (unsigned char)state.ptr[1];
    state = str_from(state, LENGTH_BYTES);
    if (length == 0 || length > state.len)
        return ERR_INVALID;
    *out_engine = str_upto(state, length);
    state = str_from(state, length);
    return state.len == 0 ? ERR_OK : unseal_stream(mailbox, &open->session, state, out);
}
