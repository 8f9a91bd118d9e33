#include "net/tls.h"

#include "base/memory.h"
#include "net/tls_internal.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct net_tls {
    SSL_CTX *context;   /* own */
    BIO_METHOD *method; /* own; of the carriers' BIOs */
};

const char *net_tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return reason == NULL ? "unknown reason" : reason;
}

/* An encrypted key is an error, not a question on the terminal. */
static int no_passphrase(char *room, int size, int is_writing, void *data)
{
    (void)room;
    (void)size;
    (void)is_writing;
    (void)data;
    return -1;
}

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
    *bio = NULL;
}

static void context_free(SSL_CTX **context)
{
    SSL_CTX_free(*context);
    *context = NULL;
}

static enum err use_certificate(struct task *task, SSL_CTX *context, struct str pem)
{
    CLEANUP(bio_free) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    bool is_used;

    if (certificate == NULL)
        return fail(task, ERR_INVALID, "the certificate file holds no PEM certificate (%s)",
                    net_tls_reason());
    is_used = SSL_CTX_use_certificate(context, certificate) == 1;
    X509_free(certificate);
    if (!is_used)
        return fail(task, ERR_INVALID, "the certificate is not usable: %s", net_tls_reason());
    while ((certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(context, certificate) != 1) {
            X509_free(certificate);
            return fail(task, ERR_INVALID, "the certificate's chain: %s", net_tls_reason());
        }
    }
    ERR_clear_error(); /* the end of the file */
    return ERR_OK;
}

static enum err use_key(struct task *task, SSL_CTX *context, struct str pem)
{
    CLEANUP(bio_free) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    bool is_used;

    if (key == NULL)
        return fail(task, ERR_INVALID, "the key file holds no unencrypted PEM key (%s)",
                    net_tls_reason());
    is_used = SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    if (!is_used || SSL_CTX_check_private_key(context) != 1)
        return fail(task, ERR_INVALID, "the key does not belong to the certificate (%s)",
                    net_tls_reason());
    return ERR_OK;
}

enum err net_tls_set_policy(struct task *task, SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* No 16 KiB buffers for a connection that is silent; records as they come; and a buffer that
     * moved between two attempts at a write is the same buffer to us. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        return fail(task, ERR_IO, "TLS: %s", net_tls_reason());
    /* Post-quantum where this OpenSSL offers it. */
    if (SSL_CTX_set1_groups_list(context, "X25519MLKEM768:X25519:P-256:P-384") == 1)
        return ERR_OK;
    ERR_clear_error();
    if (SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1)
        return fail(task, ERR_IO, "TLS groups: %s", net_tls_reason());
    return ERR_OK;
}

static enum err set_server_policy(struct task *task, SSL_CTX *context)
{
    TRY(net_tls_set_policy(task, context));
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* Resumption by tickets, whose keys are this process's: nothing is kept here. */
    SSL_CTX_set_num_tickets(context, 1);
    if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
        return fail(task, ERR_IO, "TLS: %s", net_tls_reason());
    return ERR_OK;
}

static enum err make_context(struct task *task, struct str certificate_pem, struct str key_pem,
                             SSL_CTX **out_context)
{
    CLEANUP(context_free) SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context == NULL)
        abort();
    if (certificate_pem.len > INT32_MAX || key_pem.len > INT32_MAX)
        return fail(task, ERR_LIMIT, "the certificate or key is too large");
    TRY(set_server_policy(task, context));
    TRY(use_certificate(task, context, certificate_pem));
    TRY(use_key(task, context, key_pem));
    *out_context = context;
    context = NULL;
    return ERR_OK;
}

static int carrier_write(BIO *bio, const char *bytes, int len)
{
    struct tls_carrier *carrier = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    return buf_append(&carrier->sealed, str_make(bytes, (size_t)len)) == ERR_OK ? len : -1;
}

static int carrier_read(BIO *bio, char *room, int size)
{
    struct tls_carrier *carrier = BIO_get_data(bio);
    ssize_t got;

    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    do {
        got = recv(carrier->fd, room, (size_t)size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_read(bio);
    carrier->is_at_end = got == 0;
    return (int)got;
}

static long carrier_control(BIO *bio, int command, long number, void *pointer)
{
    struct tls_carrier *carrier = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return carrier->is_at_end;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int carrier_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *net_tls_carrier_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");

    if (method == NULL || BIO_meth_set_write(method, carrier_write) != 1 ||
        BIO_meth_set_read(method, carrier_read) != 1 ||
        BIO_meth_set_ctrl(method, carrier_control) != 1 ||
        BIO_meth_set_create(method, carrier_create) != 1)
        abort();
    return method;
}

SSL *net_tls_carry(SSL_CTX *context, BIO_METHOD *method, struct tls_carrier *carrier)
{
    SSL *ssl = SSL_new(context);
    BIO *bio = ssl == NULL ? NULL : BIO_new(method);

    if (bio == NULL) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, carrier);
    SSL_set_bio(ssl, bio, bio);
    return ssl;
}

SSL *net_tls_accept(struct net_tls *tls, struct tls_carrier *carrier)
{
    SSL *ssl = net_tls_carry(tls->context, tls->method, carrier);

    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}

enum err net_tls_new(struct task *task, struct str certificate_pem, struct str key_pem,
                     struct net_tls **out_tls)
{
    SSL_CTX *context;
    struct net_tls *tls;

    TRY(make_context(task, certificate_pem, key_pem, &context));
    tls = NEW(struct net_tls);
    tls->context = context;
    tls->method = net_tls_carrier_method();
    *out_tls = tls;
    return ERR_OK;
}

enum err net_tls_replace(struct net_tls *tls, struct task *task, struct str certificate_pem,
                         struct str key_pem)
{
    SSL_CTX *context;

    TRY(make_context(task, certificate_pem, key_pem, &context));
    SSL_CTX_free(tls->context); /* connections that use it hold a reference */
    tls->context = context;
    return ERR_OK;
}

void net_tls_free(struct net_tls **tls)
{
    if (*tls == NULL)
        return;
    SSL_CTX_free((*tls)->context);
    BIO_meth_free((*tls)->method);
    mem_free(tls);
}

SSL_CTX *net_tls_context(struct net_tls *tls)
{
    return tls->context;
}
