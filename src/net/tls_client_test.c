/* Our server and our client, at the two ends of a socket, in one loop. */
#include "net/connection.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/macros.h"
#include "net/certificate.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { DIGEST_BYTES = 32, RDATA_BYTES = 3 + DIGEST_BYTES };

/* Two hosts; what is trusted is the first one's. */
static struct {
    struct task task;
    struct buf certificates[2], keys[2];
    struct net_tls *servers[2];
    struct net_tls_client *client;
    unsigned char digests[2][DIGEST_BYTES]; /* SHA-256 of the public keys */
} fixture;

struct pair {
    struct net_loop *loop;
    struct net_connection *server, *client;
    struct buf heard;
    bool is_secure, is_closed, starts_in_clear;
    enum net_close_reason reason;
    char problem[200];
};

static void end(struct pair *pair)
{
    net_loop_stop(pair->loop);
}

static void server_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct pair *pair = owner;

    if (pair->starts_in_clear && !net_connection_is_secure(connection)) {
        assert_true(str_equal(bytes, STR("STARTTLS")));
        net_connection_write(connection, STR("go"));
        net_connection_start_tls(connection, fixture.servers[0]);
        return;
    }
    net_connection_write(connection, bytes);
}

static void server_close(void *owner, struct net_connection *connection,
                         enum net_close_reason reason)
{
    (void)owner;
    (void)connection;
    (void)reason;
}

static struct net_tls_peer any = {.trust = NET_TLS_TRUST_ANY, .name = {"one.test", 8}};

static void client_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct pair *pair = owner;

    if (str_equal(bytes, STR("go"))) {
        net_connection_start_tls_client(connection, fixture.client, &any);
        return;
    }
    buf_put(&pair->heard, bytes);
    if (pair->heard.len == 5)
        end(pair);
}

static void client_secure(void *owner, struct net_connection *connection)
{
    struct pair *pair = owner;

    assert_true(str_starts_with(net_connection_tls_words(connection), STR("TLSv1.3, ")));
    pair->is_secure = true;
    net_connection_write(connection, STR("hello"));
}

static void client_close(void *owner, struct net_connection *connection,
                         enum net_close_reason reason)
{
    struct pair *pair = owner;

    pair->is_closed = true;
    pair->reason = reason;
    snprintf(pair->problem, sizeof(pair->problem), "%.*s",
             STR_ARG(net_connection_tls_problem(connection)));
    end(pair);
}

static const struct net_connection_events server_events = {.on_input = server_input,
                                                           .on_close = server_close};
static const struct net_connection_events client_events = {
    .on_input = client_input, .on_secure = client_secure, .on_close = client_close};

static void begin(struct pair *pair, struct net_tls *tls)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    pair->loop = net_loop_new();
    buf_init(&pair->heard, SIZE_MAX);
    pair->server = net_connection_new(pair->loop, fds[0], tls, 64 * 1024, &server_events, pair);
    pair->client = net_connection_new(pair->loop, fds[1], NULL, 64 * 1024, &client_events, pair);
}

static void done(struct pair *pair)
{
    net_connection_free(&pair->server);
    net_connection_free(&pair->client);
    buf_free(&pair->heard);
    net_loop_free(&pair->loop);
}

/* TLSA of host `index`'s public key: usage, SPKI, SHA-256. */
static struct str rdata(unsigned char out[RDATA_BYTES], unsigned char usage, size_t index)
{
    out[0] = usage;
    out[1] = 1;
    out[2] = 1;
    memcpy(out + 3, fixture.digests[index], DIGEST_BYTES);
    return str_make(out, RDATA_BYTES);
}

static const struct {
    const char *rule;
    size_t server;
    enum net_tls_trust trust;
    const char *name;
    int usage; /* -1: no record */
    size_t record_of;
    const char *problem; /* NULL: it is let pass */
} rows[] = {
    {"anybody will do", 1, NET_TLS_TRUST_ANY, "one.test", -1, 0, NULL},
    {"and needs no name", 1, NET_TLS_TRUST_ANY, "", -1, 0, NULL},
    {"a trusted name", 0, NET_TLS_TRUST_NAME, "one.test", -1, 0, NULL},
    {"a trusted address", 0, NET_TLS_TRUST_NAME, "127.0.0.1", -1, 0, NULL},
    {"another name", 0, NET_TLS_TRUST_NAME, "two.test", -1, 0, "hostname mismatch"},
    {"another address", 0, NET_TLS_TRUST_NAME, "192.0.2.1", -1, 0, "IP address mismatch"},
    {"a certificate that nobody vouches for", 1, NET_TLS_TRUST_NAME, "two.test", -1, 0,
     "self-signed certificate"},
    {"DANE-EE, whatever the name", 1, NET_TLS_TRUST_DANE, "three.test", 3, 1, NULL},
    {"DANE-EE of another key", 1, NET_TLS_TRUST_DANE, "two.test", 3, 0,
     "no matching DANE TLSA records"},
    {"though the trust store knows it", 0, NET_TLS_TRUST_DANE, "one.test", 3, 1,
     "no matching DANE TLSA records"},
    {"DANE-TA is of an issuer, not of the server's own key", 1, NET_TLS_TRUST_DANE, "two.test", 2,
     1, "no matching DANE TLSA records"},
    {"a record that is not usable is none", 0, NET_TLS_TRUST_DANE, "one.test", 1, 0,
     "what the server must show cannot be asked for"},
    {"no record at all", 0, NET_TLS_TRUST_DANE, "one.test", -1, 0,
     "what the server must show cannot be asked for"},
    {"no name to look for", 0, NET_TLS_TRUST_NAME, "", -1, 0,
     "what the server must show cannot be asked for"},
};

static void the_server_must_be_who_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char bytes[RDATA_BYTES];
        struct str record = rdata(bytes, (unsigned char)rows[i].usage, rows[i].record_of);
        struct net_tls_peer peer = {.trust = rows[i].trust,
                                    .name = str_from_c(rows[i].name),
                                    .records = &record,
                                    .record_count = rows[i].usage < 0 ? 0 : 1};
        struct pair pair = {0};

        begin(&pair, fixture.servers[rows[i].server]);
        net_connection_start_tls_client(pair.client, fixture.client, &peer);
        net_loop_run(pair.loop);
        if ((rows[i].problem == NULL) != pair.is_secure)
            fail_msg("%s: %s", rows[i].rule, pair.problem);
        if (rows[i].problem == NULL) {
            assert_true(str_equal(buf_str(&pair.heard), STR("hello")));
        } else {
            assert_int_equal(pair.reason, NET_CLOSED_TLS);
            if (strstr(pair.problem, rows[i].problem) == NULL)
                fail_msg("%s: %s", rows[i].rule, pair.problem);
        }
        done(&pair);
    }
}

static void in_the_middle_of_a_connection(void **state)
{
    struct pair pair = {.starts_in_clear = true};

    (void)state;
    begin(&pair, NULL);
    net_connection_write(pair.client, STR("STARTTLS"));
    net_loop_run(pair.loop);
    assert_true(pair.is_secure);
    assert_true(str_equal(buf_str(&pair.heard), STR("hello")));
    done(&pair);
}

static void which_records_are_usable(void **state)
{
    static const struct {
        unsigned char bytes[3];
        size_t data_len;
        bool is_usable;
    } records[] = {
        {{3, 1, 1}, 32, true},  {{3, 0, 2}, 64, true},    {{2, 0, 0}, 500, true},
        {{0, 1, 1}, 32, false}, {{1, 1, 1}, 32, false},   {{3, 2, 1}, 32, false},
        {{3, 1, 3}, 32, false}, {{3, 1, 1}, 31, false},   {{3, 1, 2}, 32, false},
        {{3, 1, 0}, 0, false},  {{255, 1, 1}, 32, false},
    };
    unsigned char bytes[600] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        memcpy(bytes, records[i].bytes, 3);
        assert_int_equal(net_tls_is_usable(str_make(bytes, 3 + records[i].data_len)),
                         records[i].is_usable);
    }
    assert_false(net_tls_is_usable(STR("")));
    assert_false(net_tls_is_usable(str_make("\3\1", 2)));
}

static void a_trust_file_that_is_none(void **state)
{
    struct net_tls_client *client = NULL;

    (void)state;
    assert_int_equal(net_tls_client_new(&fixture.task, STR("no PEM\n"), &client), ERR_INVALID);
    assert_null(client);
    task_forgive(&fixture.task);
}

/* Nothing is trusted then, whatever the system has. */
static void no_trust_at_all(void **state)
{
    struct net_tls_peer peer = {.trust = NET_TLS_TRUST_NAME, .name = STR("one.test")};
    struct net_tls_client *client = NULL;
    struct pair pair = {0};

    (void)state;
    assert_int_equal(net_tls_client_new(&fixture.task, STR(""), &client), ERR_OK);
    begin(&pair, fixture.servers[0]);
    net_connection_start_tls_client(pair.client, client, &peer);
    net_loop_run(pair.loop);
    assert_false(pair.is_secure);
    done(&pair);
    net_tls_client_free(&client);
}

static void digest_key(struct buf *pem, unsigned char out[DIGEST_BYTES])
{
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    assert_true(len > 0);
    assert_int_equal(EVP_Digest(der, (size_t)len, out, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(bio);
}

static int make(void **state)
{
    static const char *const names[] = {"one.test", "two.test"};

    (void)state;
    task_init(&fixture.task, 0);
    for (size_t i = 0; i < 2; i++) {
        buf_init(&fixture.certificates[i], SIZE_MAX);
        buf_init(&fixture.keys[i], SIZE_MAX);
        if (net_certificate_make(&fixture.task, str_from_c(names[i]), clock_now_ms(),
                                 &fixture.certificates[i], &fixture.keys[i]) != ERR_OK ||
            net_tls_new(&fixture.task, buf_str(&fixture.certificates[i]), buf_str(&fixture.keys[i]),
                        &fixture.servers[i]) != ERR_OK)
            return -1;
        digest_key(&fixture.certificates[i], fixture.digests[i]);
    }
    return net_tls_client_new(&fixture.task, buf_str(&fixture.certificates[0]), &fixture.client) ==
                   ERR_OK
               ? 0
               : -1;
}

static int unmake(void **state)
{
    (void)state;
    net_tls_client_free(&fixture.client);
    for (size_t i = 0; i < 2; i++) {
        net_tls_free(&fixture.servers[i]);
        buf_free(&fixture.certificates[i]);
        buf_free(&fixture.keys[i]);
    }
    task_done(&fixture.task);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_must_be_who_it_is),
        cmocka_unit_test(in_the_middle_of_a_connection),
        cmocka_unit_test(which_records_are_usable),
        cmocka_unit_test(a_trust_file_that_is_none),
        cmocka_unit_test(no_trust_at_all),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
