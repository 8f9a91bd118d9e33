#include "net/tls_client.h"

#include "base/ip.h"
#include "base/memory.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum {
    NAME_MAX_LEN = 255,
    TLSA_USAGE_TRUST_ANCHOR = 2, /* RFC 7218 */
    TLSA_USAGE_END_ENTITY = 3,
    TLSA_SELECTOR_PUBLIC_KEY = 1,
    TLSA_MATCH_WHOLE = 0,
    TLSA_MATCH_SHA256 = 1,
    TLSA_MATCH_SHA512 = 2,
    TLSA_DATA = 3, /* where it begins */
};

struct net_tls_client {
    SSL_CTX *context;   /* own */
    BIO_METHOD *method; /* own */
};

enum err net_tls_client_set_trust(struct net_tls_client *client, struct task *task, struct str pem)
{
    X509_STORE *store = X509_STORE_new();
    BIO *bio = pem.len == 0 || pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *certificate;
    size_t count = 0;

    while (store != NULL && bio != NULL && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (X509_STORE_add_cert(store, certificate) == 1)
            count++;
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the text */
    if (store == NULL)
        abort();
    if (count == 0 && pem.len > 0) {
        X509_STORE_free(store);
        return fail(task, ERR_INVALID, "no certificate to trust is in the file");
    }
    SSL_CTX_set_cert_store(client->context, store); /* which frees the old one */
    return ERR_OK;
}

enum err net_tls_client_new(struct task *task, struct str trust_pem,
                            struct net_tls_client **out_client)
{
    struct net_tls_client *client = NEW(struct net_tls_client);
    enum err err;

    client->context = SSL_CTX_new(TLS_client_method());
    if (client->context == NULL || SSL_CTX_dane_enable(client->context) != 1)
        abort();
    client->method = net_tls_carrier_method();
    err = net_tls_set_policy(task, client->context);
    if (err == ERR_OK && trust_pem.len > 0)
        err = net_tls_client_set_trust(client, task, trust_pem);
    if (err != ERR_OK) {
        net_tls_client_free(&client);
        return err;
    }
    *out_client = client;
    return ERR_OK;
}

void net_tls_client_free(struct net_tls_client **client)
{
    if (*client == NULL)
        return;
    SSL_CTX_free((*client)->context);
    BIO_meth_free((*client)->method);
    mem_free(client);
}

bool net_tls_is_usable(struct str tlsa_rdata)
{
    const unsigned char *bytes = (const unsigned char *)tlsa_rdata.ptr;
    size_t len = tlsa_rdata.len;

    if (len <= TLSA_DATA ||
        (bytes[0] != TLSA_USAGE_TRUST_ANCHOR && bytes[0] != TLSA_USAGE_END_ENTITY) ||
        bytes[1] > TLSA_SELECTOR_PUBLIC_KEY)
        return false;
    return bytes[2] == TLSA_MATCH_WHOLE ||
           (bytes[2] == TLSA_MATCH_SHA256 && len == TLSA_DATA + 32) ||
           (bytes[2] == TLSA_MATCH_SHA512 && len == TLSA_DATA + 64);
}

static bool is_ip_address(const char *name)
{
    struct ip_address address;

    return ip_address_parse(str_from_c(name), &address);
}

static bool expect_name(SSL *ssl, const char *name)
{
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_ip_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    return SSL_set1_host(ssl, name) == 1;
}

/* At least one record must have been taken: with none, OpenSSL would fall back to the trust store.
 */
static bool expect_records(SSL *ssl, const char *name, const struct net_tls_peer *peer,
                           struct arena *arena)
{
    bool has_one = false;

    if (SSL_dane_enable(ssl, name) != 1)
        return false;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* An end entity's key says it all: neither its name nor its dates count (RFC 7672 §3.1.1). */
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    if (peer->other_name.len > 0 &&
        SSL_add1_host(ssl, arena_copy(arena, peer->other_name).ptr) != 1)
        return false;
    for (size_t i = 0; i < peer->record_count; i++) {
        const unsigned char *bytes = (const unsigned char *)peer->records[i].ptr;

        if (net_tls_is_usable(peer->records[i]) &&
            SSL_dane_tlsa_add(ssl, bytes[0], bytes[1], bytes[2], bytes + TLSA_DATA,
                              peer->records[i].len - TLSA_DATA) > 0)
            has_one = true;
    }
    return has_one;
}

static bool expect(SSL *ssl, const struct net_tls_peer *peer, struct arena *arena)
{
    const char *name = arena_copy(arena, peer->name).ptr;

    if (peer->name.len > NAME_MAX_LEN || (peer->name.len == 0 && peer->trust != NET_TLS_TRUST_ANY))
        return false;
    if (peer->name.len > 0 && !is_ip_address(name) && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    switch (peer->trust) {
    case NET_TLS_TRUST_ANY:
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        return true;
    case NET_TLS_TRUST_NAME:
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
        return expect_name(ssl, name);
    case NET_TLS_TRUST_DANE:
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
        return expect_records(ssl, name, peer, arena);
    }
    return false;
}

SSL *net_tls_connect(struct net_tls_client *client, const struct net_tls_peer *peer,
                     struct tls_carrier *carrier)
{
    struct arena arena = {NULL};
    SSL *ssl = net_tls_carry(client->context, client->method, carrier);

    if (ssl == NULL)
        return NULL;
    SSL_set_connect_state(ssl);
    if (!expect(ssl, peer, &arena)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    arena_free(&arena);
    ERR_clear_error();
    return ssl;
}

const char *net_tls_problem(const SSL *ssl)
{
    long verdict = SSL_get_verify_result(ssl);
    unsigned long error = ERR_peek_last_error();

    if (verdict != X509_V_OK && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        ERR_clear_error();
        return X509_verify_cert_error_string(verdict);
    }
    if (error == 0)
        return "the server ended the handshake";
    return net_tls_reason();
}
