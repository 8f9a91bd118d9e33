/*
 * Answers are written in a small notation, one message a row:
 *
 *   f HHHH              the flags (8180 unless said)
 *   q NAME TYPE         the question; several, or none, are possible
 *   an|ns|ar NAME TYPE TTL DATA     records; DATA is hex, with "@name;" for a name
 *   n SECTION COUNT     what the header claims instead of the true count
 *   +HEX                bytes behind everything
 *
 * A NAME "^HHHH" is raw hex (a compression pointer); "." is the root. And an independent reader, ldns,
 * makes messages and reads our questions.
 */
#include "dns/message.h"

#include "base/encode.h"
#include "base/macros.h"
#include "dns/name.h"

#include <ldns/ldns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- The notation ---- */

enum { QUESTION, ANSWER, AUTHORITY, ADDITIONAL, SECTIONS };

struct maker {
    struct buf out, body;
    unsigned flags, counts[SECTIONS];
};

static void put_hex(struct buf *out, struct str hex)
{
    assert_int_equal(decode_hex(out, hex), ERR_OK);
}

static void put_u16(struct buf *out, unsigned value)
{
    char bytes[2] = {(char)(value >> 8), (char)value};

    buf_put(out, str_make(bytes, 2));
}

static void put_name(struct buf *out, struct str name)
{
    struct str label;

    if (name.len > 0 && name.ptr[0] == '^') {
        put_hex(out, str_from(name, 1));
        return;
    }
    if (str_equal(name, STR(".")))
        name.len = 0;
    while (name.len > 0 && str_split(&name, '.', &label)) {
        char len = (char)label.len;

        buf_put(out, str_make(&len, 1));
        buf_put(out, label);
    }
    buf_put(out, str_make("", 1));
}

static void put_data(struct buf *out, struct str data)
{
    struct buf bytes;

    buf_init(&bytes, SIZE_MAX);
    while (data.len > 0) {
        if (data.ptr[0] == '@') {
            ptrdiff_t end = str_index(data, ';');

            assert_true(end > 0);
            put_name(&bytes, str_upto(str_from(data, 1), (size_t)end - 1));
            data = str_from(data, (size_t)end + 1);
        } else {
            put_hex(&bytes, str_upto(data, 2));
            data = str_from(data, 2);
        }
    }
    put_u16(out, (unsigned)bytes.len);
    buf_put(out, buf_str(&bytes));
    buf_free(&bytes);
}

static unsigned number_of(struct str text)
{
    uint32_t value;

    if (!parse_u32(text, &value))
        fail_msg("not a number: %.*s", STR_ARG(text));
    return value;
}

static unsigned section_of(struct str word)
{
    static const char *const names[] = {"q", "an", "ns", "ar"};
    unsigned section = 0;

    while (section < SECTIONS && !str_equal(word, str_from_c(names[section])))
        section++;
    return section;
}

static void make_line(struct maker *maker, struct str line, unsigned claimed[SECTIONS])
{
    struct str words[6] = {{"", 0}};
    size_t count = 0;
    unsigned section;

    while (count < ARRAY_LEN(words) && line.len > 0 && str_split(&line, ' ', &words[count]))
        count++;
    section = section_of(words[0]);
    if (words[0].ptr[0] == '+') {
        put_hex(&maker->body, str_from(words[0], 1));
    } else if (str_equal(words[0], STR("f"))) {
        struct buf flags;

        buf_init(&flags, SIZE_MAX);
        put_hex(&flags, words[1]);
        maker->flags = (unsigned)(unsigned char)flags.ptr[0] << 8 | (unsigned char)flags.ptr[1];
        buf_free(&flags);
    } else if (str_equal(words[0], STR("n"))) {
        claimed[section_of(words[1])] = number_of(words[2]);
    } else {
        assert_true(section < SECTIONS);
        maker->counts[section]++;
        put_name(&maker->body, words[1]);
        put_u16(&maker->body, number_of(words[2]));
        put_u16(&maker->body, section == ADDITIONAL ? 1232 : 1);
        if (section != QUESTION) {
            uint32_t ttl = number_of(words[3]);

            put_u16(&maker->body, ttl >> 16);
            put_u16(&maker->body, ttl & 0xffff);
            put_data(&maker->body, words[4]);
        }
    }
}

static struct buf make(const char *text)
{
    unsigned claimed[SECTIONS] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct maker maker = {.flags = 0x8180};
    struct str rest = str_from_c(text), line;

    buf_init(&maker.out, SIZE_MAX);
    buf_init(&maker.body, SIZE_MAX);
    while (rest.len > 0 && str_split(&rest, '\n', &line))
        make_line(&maker, line, claimed);
    put_u16(&maker.out, 0x1234);
    put_u16(&maker.out, maker.flags);
    for (unsigned i = 0; i < SECTIONS; i++)
        put_u16(&maker.out, claimed[i] == UINT32_MAX ? maker.counts[i] : claimed[i]);
    buf_put(&maker.out, buf_str(&maker.body));
    buf_free(&maker.body);
    return maker.out;
}

/* ---- Answers ---- */

#define SOA "@ns.test;@root.test;0000000100000e1000000258000151800000003c" /* minimum 60 */
#define ALIAS(from, to) "\nan " from " 5 300 @" to ";"

static void show(const struct dns_reply *reply, struct buf *out)
{
    static const char *const names[] = {"ok", "no-name", "no-data", "failed"};

    buf_putf(out, "%s%s %u", reply->is_truncated ? "truncated " : "",
             names[reply->answer.status], reply->ttl_s);
    if (reply->answer.is_secure)
        buf_putf(out, " secure");
    for (size_t i = 0; i < reply->answer.count; i++) {
        const struct dns_record *record = &reply->answer.records[i];

        buf_putf(out, " [%u", record->preference);
        if (record->port != 0)
            buf_putf(out, " %u %u", record->weight, record->port);
        buf_putf(out, " %.*s ", STR_ARG(record->name));
        assert_int_equal(encode_hex(out, record->data), ERR_OK);
        buf_putf(out, "]");
    }
}

static const struct {
    const char *rule, *message;
    enum dns_type type;
    const char *shown; /* NULL: refused */
} rows[] = {
    {"an address", "q a.test 1\nan a.test 1 300 c0000201", 1, "ok 300 [0  c0000201]"},
    {"in another case, compressed", "q A.TeSt 1\nan ^c00c 1 300 c0000201", 1, "ok 300 [0  c0000201]"},
    {"the least TTL", "q a.test 1\nan a.test 1 300 c0000201\nan a.test 1 20 c0000202", 1,
     "ok 20 [0  c0000201] [0  c0000202]"},
    {"a TTL with the top bit is 0 (RFC 2181)", "q a.test 1\nan a.test 1 2147483648 c0000201", 1,
     "ok 0 [0  c0000201]"},
    {"kept for a day at most", "q a.test 1\nan a.test 1 900000 c0000201", 1, "ok 86400 [0  c0000201]"},
    {"the AD bit", "f 81a0\nq a.test 1\nan a.test 1 300 c0000201", 1, "ok 300 secure [0  c0000201]"},
    {"IPv6", "q a.test 28\nan a.test 28 300 20010db8000000000000000000000001", 28,
     "ok 300 [0  20010db8000000000000000000000001]"},
    {"MX, and none (RFC 7505)", "q a.test 15\nan a.test 15 300 000a@MX.a.test;\nan a.test 15 300 0000@.;", 15,
     "ok 300 [10 mx.a.test ] [0  ]"},
    {"MX, compressed", "q a.test 15\nan ^c00c 15 300 000a026d78c00c", 15, "ok 300 [10 mx.a.test ]"},
    {"SRV", "q a.test 33\nan a.test 33 300 000100020003@b.test;", 33, "ok 300 [1 2 3 b.test ]"},
    {"PTR", "q 1.2.0.192.in-addr.arpa 12\nan ^c00c 12 300 @b.test;", 12, "ok 300 [0 b.test ]"},
    {"TXT in several strings", "q a.test 16\nan a.test 16 300 026162006563", 16, NULL},
    {"TXT joined", "q a.test 16\nan a.test 16 300 02616200036364", 16, NULL},
    {"TXT, joined", "q a.test 16\nan a.test 16 300 02616200026364", 16, "ok 300 [0  61626364]"},
    {"TXT without strings", "q a.test 16\nan a.test 16 300 ", 16, "ok 300 [0  ]"},
    {"TLSA", "q a.test 52\nan a.test 52 300 030101aabb", 52, "ok 300 [0  030101aabb]"},
    {"TLSA too short", "q a.test 52\nan a.test 52 300 0301", 52, NULL},
    {"an address of five bytes", "q a.test 1\nan a.test 1 300 c000020100", 1, NULL},
    {"an address of three bytes", "q a.test 1\nan a.test 1 300 c00002", 1, NULL},
    {"MX with more behind", "q a.test 15\nan a.test 15 300 000a@b.test;00", 15, NULL},
    {"other owners and types are not ours",
     "q a.test 1\nan b.test 1 300 c0000202\nan a.test 16 300 0161\nan a.test 1 300 c0000201", 1,
     "ok 300 [0  c0000201]"},
    /* Aliases */
    {"an alias", "q a.test 1" ALIAS("a.test", "b.test") "\nan b.test 1 60 c0000201", 1,
     "ok 60 [0  c0000201]"},
    {"a chain, in disorder",
     "q a.test 1\nan d.test 1 400 c0000201" ALIAS("c.test", "d.test") ALIAS("a.test", "b.test")
         ALIAS("b.test", "c.test"), 1, "ok 300 [0  c0000201]"},
    {"an alias to nothing", "q a.test 1" ALIAS("a.test", "b.test") "\nns test 6 900 " SOA, 1, "no-data 60"},
    {"an alias to no name", "f 8183\nq a.test 1" ALIAS("a.test", "b.test") "\nns test 6 900 " SOA, 1,
     "no-name 60"},
    {"an alias to itself", "q a.test 1" ALIAS("a.test", "a.test"), 1, "failed 0"},
    {"a circle", "q a.test 1" ALIAS("a.test", "b.test") ALIAS("b.test", "a.test"), 1, "failed 0"},
    {"asked for the alias itself", "q a.test 5" ALIAS("a.test", "b.test") ALIAS("b.test", "c.test"), 5,
     "ok 300 [0 b.test ]"},
    /* Negative answers, RFC 2308 */
    {"no such name", "f 8183\nq a.test 1\nns test 6 900 " SOA, 1, "no-name 60"},
    {"the SOA's own TTL", "f 8183\nq a.test 1\nns test 6 9 " SOA, 1, "no-name 9"},
    {"no data", "q a.test 1\nns test 6 900 " SOA, 1, "no-data 60"},
    {"no SOA: not kept", "f 8183\nq a.test 1", 1, "no-name 0"},
    {"a SOA of elsewhere", "f 8183\nq a.test 1\nns other 6 900 " SOA, 1, "no-name 0"},
    {"a SOA that only looks like a parent", "f 8183\nq atest 1\nns test 6 900 " SOA, 1, "no-name 0"},
    {"a SOA of the root", "f 8183\nq a.test 1\nns . 6 900 " SOA, 1, "no-name 60"},
    {"no such name, and data: the code counts", "f 8183\nq a.test 1\nan a.test 1 300 c0000201", 1, "no-name 0"},
    {"a broken SOA", "f 8183\nq a.test 1\nns test 6 900 @ns.test;@root.test;00000001", 1, NULL},
    /* Codes */
    {"SERVFAIL", "f 8182\nq a.test 1", 1, "failed 0"},
    {"REFUSED, with the AD bit", "f 81a5\nq a.test 1", 1, "failed 0"},
    {"an extended code", "q a.test 1\nar . 41 16777216 ", 1, "failed 0"},
    {"EDNS", "q a.test 1\nan a.test 1 300 c0000201\nar . 41 0 000c00020000", 1, "ok 300 [0  c0000201]"},
    {"cut", "f 8380\nq a.test 1\nn an 3", 1, "truncated ok 0"},
    /* Not an answer to our question */
    {"a question", "f 0100\nq a.test 1", 1, NULL},
    {"another operation", "f a980\nq a.test 1", 1, NULL},
    {"another name", "q b.test 1\nan b.test 1 300 c0000201", 1, NULL},
    {"another type", "q a.test 28", 1, NULL},
    {"no question", "an a.test 1 300 c0000201", 1, NULL},
    {"two questions", "q a.test 1\nq a.test 1", 1, NULL},
    {"two are claimed", "q a.test 1\nan a.test 1 300 c0000201\nn q 2", 1, NULL},
    {"none is claimed", "q a.test 1\nan a.test 1 300 c0000201\nn q 0", 1, NULL},
    {"a dot in a label", "q ^06612e7465737400 1", 1, NULL},
    /* Malformed */
    {"more is claimed than there is", "q a.test 1\nan a.test 1 300 c0000201\nn an 2", 1, NULL},
    {"less", "q a.test 1\nan a.test 1 300 c0000201\nn an 0", 1, NULL},
    {"bytes behind it", "q a.test 1\nan a.test 1 300 c0000201\n+00", 1, NULL},
    {"a pointer forwards", "q a.test 1\nan ^c0ff 1 300 c0000201", 1, NULL},
    {"a pointer forwards, to a name", "q a.test 1\nan ^c024 5 300 @a.test;", 1, NULL},
    {"a pointer to itself", "q a.test 1\nan ^c018 1 300 c0000201", 1, NULL},
    {"a pointer into the header", "q a.test 1\nan ^c000 1 300 c0000201", 1, NULL},
    {"a label of type 01", "q a.test 1\nan ^4161 1 300 c0000201", 1, NULL},
    {"the message ends in a name", "q a.test 1\nn an 1\n+0561", 1, NULL},
    {"the message ends in a pointer", "q a.test 1\nn an 1\n+c0", 1, NULL},
    {"data beyond the end", "q a.test 1\nn an 1\n+c00c000100010000012c0004c000", 1, NULL},
    /* Names that text cannot say */
    {"an MX with a dot in a label", "q a.test 15\nan a.test 15 300 000a03612e6200", 15, "failed 0"},
    {"beside a good one", "q a.test 15\nan a.test 15 300 000a03612e6200\nan a.test 15 300 000b@b.test;", 15,
     "ok 300 [11 b.test ]"},
};

static void answers_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf message = make(rows[i].message), shown;
        struct str question = str_from(str_from_c(rows[i].message), 0);
        struct dns_reply reply;
        struct task task;
        enum err err;

        task_init(&task, 0);
        buf_init(&shown, SIZE_MAX);
        question = str_find(question, STR("atest 1")) > 0  ? STR("atest")
                   : str_find(question, STR("arpa 12")) > 0 ? STR("1.2.0.192.in-addr.arpa")
                                                            : STR("a.test");
        err = dns_message_parse(&task, buf_str(&message), 0x1234, question, rows[i].type, &reply);
        if (err == ERR_OK)
            show(&reply, &shown);
        if ((err == ERR_OK) != (rows[i].shown != NULL) ||
            (err == ERR_OK && !str_equal(buf_str(&shown), str_from_c(rows[i].shown))))
            fail_msg("%s: %s %.*s", rows[i].rule, err_name(err), STR_ARG(buf_str(&shown)));
        if (err == ERR_OK) /* any other id is somebody else's */
            assert_int_equal(dns_message_parse(&task, buf_str(&message), 0x1235, question,
                                               rows[i].type, &reply),
                             ERR_INVALID);
        /* However it is cut, it is read without a step beyond it. */
        for (size_t len = 0; len < message.len; len++) {
            struct buf part;

            buf_init(&part, SIZE_MAX);
            buf_put(&part, str_upto(buf_str(&message), len));
            err = dns_message_parse(&task, buf_str(&part), 0x1234, question, rows[i].type, &reply);
            if (err == ERR_OK && !reply.is_truncated && rows[i].shown != NULL)
                fail_msg("%s, cut to %zu: accepted", rows[i].rule, len);
            buf_free(&part);
        }
        buf_free(&shown);
        buf_free(&message);
        task_done(&task);
    }
}

static void what_is_large_is_bounded(void **state)
{
    struct dns_reply reply;
    struct buf text, message;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    buf_putf(&text, "q a.test 1");
    for (unsigned i = 0; i < 1000; i++)
        buf_putf(&text, "\nan ^c00c 1 300 c000%04x", i);
    buf_put(&text, str_make("", 1));
    message = make(text.ptr);
    assert_int_equal(dns_message_parse(&task, buf_str(&message), 0x1234, STR("a.test"),
                                       DNS_TYPE_A, &reply),
                     ERR_OK);
    assert_int_equal(reply.answer.count, DNS_RECORDS_MAX);
    buf_free(&message);
    buf_reset(&text);
    buf_putf(&text, "q n0.test 1");
    for (unsigned i = 0; i < 20; i++)
        buf_putf(&text, "\nan n%u.test 5 300 @n%u.test;", i, i + 1);
    buf_putf(&text, "\nan n20.test 1 300 c0000201");
    buf_put(&text, str_make("", 1));
    message = make(text.ptr);
    assert_int_equal(dns_message_parse(&task, buf_str(&message), 0x1234, STR("n0.test"),
                                       DNS_TYPE_A, &reply),
                     ERR_OK);
    assert_int_equal(reply.answer.status, DNS_FAILED);
    buf_free(&message);
    buf_free(&text);
    task_done(&task);
}

/* ---- ldns ---- */

static void our_questions_are_read_by_ldns(void **state)
{
    static const char *const names[] = {"", "test", "_25._tcp.mx.example.test",
                                        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeefffffffff.x"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        for (unsigned is_padded = 0; is_padded < 2; is_padded++) {
            struct buf message;
            ldns_pkt *packet;
            ldns_rr *question;
            char *owner;

            buf_init(&message, SIZE_MAX);
            dns_message_query(&message, 0xbeef, str_from_c(names[i]), DNS_TYPE_TLSA, is_padded == 1);
            if (is_padded == 1)
                assert_int_equal(message.len % 128, 0);
            assert_int_equal(ldns_wire2pkt(&packet, (const uint8_t *)message.ptr, message.len),
                             LDNS_STATUS_OK);
            question = ldns_rr_list_rr(ldns_pkt_question(packet), 0);
            owner = ldns_rdf2str(ldns_rr_owner(question));
            assert_int_equal(strlen(owner), strlen(names[i]) + 1);
            assert_memory_equal(owner, names[i], strlen(names[i]));
            assert_int_equal(ldns_pkt_id(packet), 0xbeef);
            assert_int_equal(ldns_rr_get_type(question), LDNS_RR_TYPE_TLSA);
            assert_int_equal(ldns_rr_get_class(question), LDNS_RR_CLASS_IN);
            assert_true(ldns_pkt_rd(packet));
            assert_true(ldns_pkt_ad(packet));
            assert_false(ldns_pkt_qr(packet));
            assert_true(ldns_pkt_edns(packet));
            assert_false(ldns_pkt_edns_do(packet));
            assert_int_equal(ldns_pkt_edns_udp_size(packet), DNS_UDP_MAX);
            free(owner);
            ldns_pkt_free(packet);
            buf_free(&message);
        }
    }
}

/* The names of one record in the text that ldns reads and prints. */
static void what_ldns_writes_is_read_alike(void **state)
{
    static const struct {
        enum dns_type type;
        const char *records[4];
        const char *shown;
    } cases[] = {
        {DNS_TYPE_MX,
         {"www.example.test. 300 IN MX 10 mx1.example.test.",
          "www.example.test. 200 IN MX 20 mx2.example.test."},
         "ok 200 [10 mx1.example.test ] [20 mx2.example.test ]"},
        {DNS_TYPE_TXT,
         {"www.example.test. 300 IN TXT \"v=spf1 \" \"-all\"", "www.example.test. 300 IN TXT \"\""},
         "ok 300 [0  763d73706631202d616c6c] [0  ]"},
        {DNS_TYPE_AAAA,
         {"www.example.test. 300 IN CNAME a.example.test.", "a.example.test. 100 IN AAAA 2001:db8::1"},
         "ok 100 [0  20010db8000000000000000000000001]"},
        {DNS_TYPE_SRV,
         {"www.example.test. 300 IN SRV 1 2 3 srv.example.test."},
         "ok 300 [1 2 3 srv.example.test ]"},
        {DNS_TYPE_TLSA,
         {"www.example.test. 300 IN TLSA 3 1 1 00ff"},
         "ok 300 [0  03010100ff]"},
        {DNS_TYPE_NS,
         {"www.example.test. 300 IN NS Ns.Example.Test."},
         "ok 300 [0 ns.example.test ]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ldns_pkt *packet = ldns_pkt_query_new(ldns_dname_new_frm_str("www.example.test."),
                                              (ldns_rr_type)cases[i].type, LDNS_RR_CLASS_IN, LDNS_RD);
        struct dns_reply reply;
        struct buf shown;
        struct task task;
        uint8_t *wire;
        size_t len;

        ldns_pkt_set_qr(packet, true);
        ldns_pkt_set_id(packet, 7);
        for (size_t j = 0; j < ARRAY_LEN(cases[i].records) && cases[i].records[j] != NULL; j++) {
            ldns_rr *record;

            assert_int_equal(ldns_rr_new_frm_str(&record, cases[i].records[j], 0, NULL, NULL),
                             LDNS_STATUS_OK);
            ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, record);
        }
        assert_int_equal(ldns_pkt2wire(&wire, packet, &len), LDNS_STATUS_OK);
        task_init(&task, 0);
        buf_init(&shown, SIZE_MAX);
        assert_int_equal(dns_message_parse(&task, str_make(wire, len), 7, STR("www.example.test"),
                                           cases[i].type, &reply),
                         ERR_OK);
        show(&reply, &shown);
        if (!str_equal(buf_str(&shown), str_from_c(cases[i].shown)))
            fail_msg("%s: %.*s", cases[i].records[0], STR_ARG(buf_str(&shown)));
        buf_free(&shown);
        task_done(&task);
        free(wire);
        ldns_pkt_free(packet);
    }
}

static void names_are_labels(void **state)
{
    static const struct {
        const char *text, *name; /* NULL: none */
    } names[] = {
        {"A.Test", "a.test"}, {"a.test.", "a.test"}, {".", ""},       {"", ""},
        {"a..b", NULL},       {".a", NULL},          {"a..", NULL},   {"..", NULL},
        {"_x.y-z", "_x.y-z"},
    };
    char text[300], label[65];
    struct dns_name name;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        bool is_name = dns_name_set(&name, str_from_c(names[i].text));

        assert_int_equal(is_name, names[i].name != NULL);
        if (is_name)
            assert_true(str_equal(dns_name_str(&name), str_from_c(names[i].name)));
    }
    memset(label, 'a', sizeof(label));
    assert_true(dns_name_set(&name, str_make(label, 63)));
    assert_false(dns_name_set(&name, str_make(label, 64)));
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 == 0 ? 'a' : '.';
    assert_true(dns_name_set(&name, str_make(text, 253)));
    assert_true(dns_name_set(&name, str_make(text, 254)));
    assert_false(dns_name_set(&name, str_make(text, 255)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(what_is_large_is_bounded),
        cmocka_unit_test(our_questions_are_read_by_ldns),
        cmocka_unit_test(what_ldns_writes_is_read_alike),
        cmocka_unit_test(names_are_labels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
