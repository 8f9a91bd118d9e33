/* A client's facts, asked of a resolver that answers from a small zone over a real channel. */
#include "smtp/server/checks.h"

#include "base/macros.h"
#include "base/memory.h"
#include "wire/channel.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

/* What is not here does not exist. Data of A as text; a name otherwise. */
static const struct {
    const char *name;
    enum dns_type type;
    bool is_list;
    enum dns_status status;
    const char *name_data;
    const char *address;
    size_t address_len;
} zone[] = {
    {"1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, false, DNS_OK, "mx.client.example", NULL, 0},
    {"mx.client.example", DNS_TYPE_A, false, DNS_OK, NULL, "\xc0\x00\x02\x01", 4},
    /* Anybody can say in his own zone that he is somebody else. */
    {"2.2.0.192.in-addr.arpa", DNS_TYPE_PTR, false, DNS_OK, "mx.client.example", NULL, 0},
    {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNS_TYPE_PTR,
     false, DNS_OK, "six.client.example", NULL, 0},
    {"six.client.example", DNS_TYPE_AAAA, false, DNS_OK, NULL,
     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16},
    {"2.2.0.192.bl.example", DNS_TYPE_A, true, DNS_OK, NULL, "\x7f\0\0\x02", 4},
    {"2.2.0.192.wide.example", DNS_TYPE_A, true, DNS_OK, NULL, "\x7f\0\0\x09", 4},
    /* A list that refuses to answer, and one whose domain was sold. */
    {"1.2.0.192.bl.example", DNS_TYPE_A, true, DNS_OK, NULL, "\x7f\xff\xff\xfe", 4},
    {"1.2.0.192.wide.example", DNS_TYPE_A, true, DNS_OK, NULL, "\x0a\0\0\x01", 4},
    {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example", DNS_TYPE_A, true,
     DNS_OK, NULL, "\x7f\0\0\x02", 4},
    /* The DNS does not say whose address it is, or not whether the name that it says is right. */
    {"3.2.0.192.in-addr.arpa", DNS_TYPE_PTR, false, DNS_FAILED, NULL, NULL, 0},
    {"4.2.0.192.in-addr.arpa", DNS_TYPE_PTR, false, DNS_OK, "mx.failing.example", NULL, 0},
    {"mx.failing.example", DNS_TYPE_A, false, DNS_FAILED, NULL, NULL, 0},
    {"5.2.0.192.in-addr.arpa", DNS_TYPE_PTR, false, DNS_NO_DATA, NULL, NULL, 0},
    {"6.2.0.192.in-addr.arpa", DNS_TYPE_PTR, false, DNS_OK, "gone.example", NULL, 0},
    {"client.example", DNS_TYPE_MX, false, DNS_OK, "mx.client.example", NULL, 0},
    {"none.example", DNS_TYPE_MX, false, DNS_OK, "", NULL, 0},
    {"addressed.example", DNS_TYPE_MX, false, DNS_NO_DATA, NULL, NULL, 0},
    {"failing.example", DNS_TYPE_MX, false, DNS_FAILED, NULL, NULL, 0},
    {"xn--bcher-kva.example", DNS_TYPE_MX, false, DNS_OK, "", NULL, 0},
};

struct fixture {
    struct net_loop *loop;
    struct wire_channel *ours, *resolvers;
    struct dns_client *dns;
    struct smtp_checks *checks;
    struct net_timer *limit;
    bool is_silent; /* the resolver does not answer */
    bool is_known, is_late;
};

static void answer(struct wire_channel *channel, uint64_t tag, const struct dns_answer *answer)
{
    struct wire_dns_answer body = {.status = answer->status};
    struct buf records;

    buf_init(&records, SIZE_MAX);
    dns_answer_encode(answer, &records);
    body.records = buf_str(&records);
    assert_int_equal(wire_send(channel, WIRE_DNS_ANSWER, tag, &body, NULL, 0), ERR_OK);
    buf_free(&records);
}

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct fixture *f = owner;
    const struct wire_dns_query *query = &message->body.dns_query;
    struct dns_answer found = {.status = DNS_NO_NAME};
    struct dns_record record = {.ttl_s = 60};

    if (f->is_silent)
        return;
    for (size_t i = 0; i < ARRAY_LEN(zone); i++) {
        if (!str_equal(query->name, str_from_c(zone[i].name)) || query->type != zone[i].type ||
            query->is_list != zone[i].is_list)
            continue;
        record.name = str_from_c(zone[i].name_data);
        record.data = str_make(zone[i].address, zone[i].address_len);
        found = (struct dns_answer){.status = zone[i].status};
        if (found.status == DNS_OK) {
            found.records = &record;
            found.count = 1;
        }
    }
    answer(channel, message->tag, &found);
}

static void on_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct fixture *f = owner;

    (void)channel;
    dns_client_message(f->dns, message);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

static const struct wire_channel_events our_events = {.on_message = on_message,
                                                      .on_close = on_close};
static const struct wire_channel_events resolver_events = {.on_message = on_question,
                                                           .on_close = on_close};

static void on_known(void *owner)
{
    struct fixture *f = owner;

    f->is_known = true;
    net_loop_stop(f->loop);
}

static void on_limit(void *owner)
{
    struct fixture *f = owner;

    f->is_late = true;
    net_loop_stop(f->loop);
}

static void begin(struct fixture *f, const char *client)
{
    const struct smtp_check_rules rules = {
        .lists = {{STR_INIT("bl.example"), 3000}, {STR_INIT("wide.example"), 1500}},
        .list_count = 2,
        .refusal_score = 4000,
        .are_domains_checked = true,
    };
    int fds[2];

    *f = (struct fixture){.loop = net_loop_new()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    f->ours = wire_channel_new(f->loop, fds[0], WIRE_ROLE_SMTP, WIRE_ROLE_RESOLVER, &our_events, f,
                               &quiet);
    f->resolvers = wire_channel_new(f->loop, fds[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_SMTP,
                                    &resolver_events, f, &quiet);
    f->dns = dns_client_new(f->loop);
    dns_client_set_peer(f->dns, f->ours);
    f->limit = net_timer_new(f->loop, on_limit, f);
    f->checks = smtp_checks_new(f->loop, f->dns, &rules, str_from_c(client), on_known, f);
}

static void end(struct fixture *f)
{
    smtp_checks_free(&f->checks);
    dns_client_free(&f->dns);
    wire_channel_free(&f->ours);
    wire_channel_free(&f->resolvers);
    net_timer_free(&f->limit);
    net_loop_free(&f->loop);
}

/* The facts once all is known, or after `limit_ms`. */
static struct smtp_facts facts_for(struct fixture *f, const char *domain, int64_t limit_ms)
{
    struct smtp_facts facts;

    f->is_known = f->is_late = false;
    net_timer_start(f->limit, limit_ms);
    if (!smtp_checks_sender(f->checks, str_from_c(domain)))
        net_loop_run(f->loop);
    net_timer_stop(f->limit);
    smtp_checks_facts(f->checks, &facts);
    return facts;
}

static void test_known_client(void **state)
{
    struct fixture f;
    struct smtp_facts facts;

    (void)state;
    begin(&f, "192.0.2.1");
    facts = facts_for(&f, "client.example", 10000);
    assert_true(f.is_known);
    assert_true(str_equal(facts.reverse_name, STR("mx.client.example")));
    assert_int_equal(facts.list_score, 0);
    assert_false(facts.is_refused);
    assert_int_equal(facts.sender_domain, SMTP_DOMAIN_FINE);
    end(&f);
}

static void test_listed_client(void **state)
{
    struct fixture f;
    struct smtp_facts facts;

    (void)state;
    begin(&f, "192.0.2.2");
    facts = facts_for(&f, "", 10000);
    assert_int_equal(facts.reverse_name.len, 0);
    assert_int_equal(facts.list_score, 4500);
    assert_true(facts.is_refused);
    end(&f);
}

static const struct {
    const char *client;
    bool is_nameless;
} names[] = {
    {"192.0.2.1", false}, {"192.0.2.2", true}, {"192.0.2.3", false}, {"192.0.2.4", false},
    {"192.0.2.5", true},  {"192.0.2.6", true}, {"192.0.2.7", true},
};

/* That nobody knows a client's name does not mean that it has none. */
static void test_nameless_clients(void **state)
{
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        begin(&f, names[i].client);
        if (facts_for(&f, "", 10000).is_nameless != names[i].is_nameless)
            fail_msg("%s", names[i].client);
        end(&f);
    }
}

static void test_ipv6_client(void **state)
{
    struct fixture f;
    struct smtp_facts facts;

    (void)state;
    begin(&f, "2001:db8::1");
    facts = facts_for(&f, "client.example", 10000);
    assert_true(str_equal(facts.reverse_name, STR("six.client.example")));
    assert_int_equal(facts.list_score, 3000);
    assert_false(facts.is_refused);
    end(&f);
    begin(&f, "::ffff:192.0.2.1");
    facts = facts_for(&f, "", 10000);
    assert_true(str_equal(facts.reverse_name, STR("mx.client.example")));
    end(&f);
    begin(&f, "local");
    assert_null(f.checks);
    end(&f);
}

static const struct {
    const char *domain;
    enum smtp_domain verdict;
} domains[] = {
    {"client.example", SMTP_DOMAIN_FINE},
    {"none.example", SMTP_DOMAIN_TAKES_NONE},
    {"missing.example", SMTP_DOMAIN_MISSING},
    {"addressed.example", SMTP_DOMAIN_FINE},
    {"failing.example", SMTP_DOMAIN_FINE},
    {"b\xc3\xbc"
     "cher.example",
     SMTP_DOMAIN_TAKES_NONE},
    {"", SMTP_DOMAIN_FINE},
};

/* One connection, several senders after each other. */
static void test_domains(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "192.0.2.1");
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        struct smtp_facts facts = facts_for(&f, domains[i].domain, 10000);

        if (facts.sender_domain != domains[i].verdict)
            fail_msg("%s: %d", domains[i].domain, (int)facts.sender_domain);
    }
    end(&f);
}

/* A resolver that says nothing costs the bounded time, and speaks against nobody. */
static void test_silence(void **state)
{
    struct fixture f;
    struct smtp_facts facts;

    (void)state;
    begin(&f, "192.0.2.2");
    f.is_silent = true;
    facts = facts_for(&f, "missing.example", SMTP_CHECKS_WAIT_MS + 3000);
    assert_true(f.is_known && !f.is_late);
    assert_int_equal(facts.list_score, 0);
    assert_false(facts.is_nameless);
    assert_int_equal(facts.sender_domain, SMTP_DOMAIN_FINE);
    end(&f);
}

/* Nobody to ask. */
static void test_absence(void **state)
{
    struct fixture f;
    struct smtp_facts facts;

    (void)state;
    begin(&f, "192.0.2.2");
    dns_client_set_peer(f.dns, NULL);
    facts = facts_for(&f, "missing.example", 3000);
    assert_true(f.is_known);
    assert_false(facts.is_nameless);
    assert_int_equal(facts.sender_domain, SMTP_DOMAIN_FINE);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_client), cmocka_unit_test(test_listed_client),
        cmocka_unit_test(test_ipv6_client),  cmocka_unit_test(test_domains),
        cmocka_unit_test(test_silence),      cmocka_unit_test(test_absence),
        cmocka_unit_test(test_nameless_clients),
    };

    return cmocka_run_group_tests_name("smtp/checks", tests, NULL, NULL);
}
