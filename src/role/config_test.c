#include "role/config.h"
#include "role/config_value.h"

#include "base/file.h"
#include "base/macros.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void defaults_hold_for_an_empty_file(void **state)
{
    struct config config;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(config_parse(&task, "f", STR(""), NULL, &config), ERR_OK);
    assert_true(str_equal(config.data, STR("/var/lib/sealpost")));
    assert_true(str_equal(config.hostname, STR("localhost")));
    assert_int_equal(config.imap[0].len, 0);
    assert_true(config.sandbox_required);
    assert_false(config.plain_login_on_loopback);
    assert_int_equal(config.message_size_max, 50 * 1024 * 1024);
    assert_int_equal(config.recipients_max, 50);
    assert_int_equal(config.hops_max, 25);
    assert_int_equal(config.login_timeout_ms, 75000);
    assert_int_equal(config.idle_timeout_ms, 30 * 60 * 1000);
    assert_int_equal(config.failures_per_address, 20);
    assert_int_equal(config.failures_per_account, 40);
    assert_true(str_starts_with(config.dns_upstreams[0], STR("https://")));
    assert_true(config.dns_upstreams[1].len > 0);
    assert_int_equal(config.dns_upstreams[2].len, 0);
    config_done(&config);
    task_done(&task);
}

static void a_file_sets_what_it_says(void **state)
{
    static const char text[] = "# a comment\n"
                               "data = \"/srv/mail\"   # another\n"
                               "hostname = mail.example.org\n"
                               "imap = {\"127.0.0.1:1143\", \"[::1]:1143\"}\n"
                               "message_size_max = 10M\n"
                               "login_timeout = 1500ms\n"
                               "log_level = debug\n"
                               "log_format = \"json\"\n"
                               "plain_login_on_loopback = yes\n";
    struct config config;
    struct task task;

    (void)state;
    task_init(&task, 0);
    if (config_parse(&task, "f", str_from_c(text), NULL, &config) != ERR_OK)
        fail_msg("%s", task.words);
    assert_true(str_equal(config.data, STR("/srv/mail")));
    assert_true(str_equal(config.admin_socket, STR("/srv/mail/run/admin.sock")));
    assert_true(str_equal(config.hostname, STR("mail.example.org")));
    assert_true(str_equal(config.imap[0], STR("127.0.0.1:1143")));
    assert_true(str_equal(config.imap[1], STR("[::1]:1143")));
    assert_int_equal(config.imap[2].len, 0);
    assert_int_equal(config.message_size_max, 10 * 1024 * 1024);
    assert_int_equal(config.login_timeout_ms, 1500);
    assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config.log_format, LOG_FORMAT_JSON);
    assert_true(config.plain_login_on_loopback);
    config_done(&config);
    task_done(&task);
}

static void every_mistake_is_named_with_its_line(void **state)
{
    static const struct {
        const char *rule;
        const char *text;
        const char *problems;
    } rows[] = {
        {"unknown, with the nearest name", "\nsubmision = \"x\"\n",
         "f:2: there is no setting 'submision'; did you mean 'submission'?\n"},
        {"unknown, like nothing", "zzzzzzzzzzz = 1\n",
         "f:1: there is no setting 'zzzzzzzzzzz'\n"},
        {"all of them, in order",
         "imap = {\"127.0.0.1\"}\nfoobarbaz = 1\nlog_level = loud\n\nquuxquux = {1}\nhops_max = 0\n",
         "f:1: imap: no port; write an address as 127.0.0.1:143 or [::1]:143\n"
         "f:2: there is no setting 'foobarbaz'\n"
         "f:3: log_level: not one of debug, info, warning, error\n"
         "f:5: there is no setting 'quuxquux'\n"
         "f:6: hops_max: too small\n"},
        {"relative path", "data = mail\n", "f:1: data: not an absolute path\n"},
        {"bad port", "imap = {\"127.0.0.1:70000\"}\n",
         "f:1: imap: no port; write an address as 127.0.0.1:143 or [::1]:143\n"},
        {"bad host", "mx = {\"localhost:25\"}\n",
         "f:1: mx: not an IP address; write it as 127.0.0.1:143 or [::1]:143\n"},
        {"size", "message_size_max = 5X\n",
         "f:1: message_size_max: not a size; write bytes, or a number with K, M or G, such as "
         "50M\n"},
        {"overflow", "message_size_max = 99999999999999999999G\n",
         "f:1: message_size_max: not a size; write bytes, or a number with K, M or G, such as "
         "50M\n"},
        {"duration without unit", "login_timeout = 75\n",
         "f:1: login_timeout: not a duration; write a number with ms, s, m, h or d, such as 75s\n"},
        {"flag", "sandbox_required = maybe\n", "f:1: sandbox_required: neither yes nor no\n"},
        {"twice", "hops_max = 3\nhops_max = 4\n", "f:2: hops_max was set already in line 1\n"},
        {"a list twice", "imap = {\"[::1]:1\",\n \"[::1]:2\"\n}\nimap = {\"[::1]:3\"}\n",
         "f:4: imap was set already in line 3\n"},
        {"a DNS server without addresses", "dns_upstreams = {\"https://dns.test/q\"}\n",
         "f:1: dns_upstreams: the server's IP addresses are missing; write them behind the URL\n"},
        {"a DNS server without TLS", "dns_filter_upstreams = {\"http://dns.test/q 192.0.2.1\"}\n",
         "f:1: dns_filter_upstreams: not a server; write it as https://dns.example/dns-query 192.0.2.1 "
         "2001:db8::1\n"},
        {"a Redis that is no address", "redis = \"localhost\"\n",
         "f:1: redis: no port; write an address as 127.0.0.1:143 or [::1]:143\n"},
        {"certificate alone", "certificate = /a\n",
         "f: certificate and key: set both, or neither\n"},
        {"host name", "hostname = \"a..b\"\n",
         "f:1: hostname: not a host name; letters, digits, hyphens and dots make one\n"},
        {"block list without points", "dnsbl = {\"bl.example.org\"}\n",
         "f:1: dnsbl: not a block list; write its zone and its points, such as "
         "\"bl.example.org 3\"\n"},
        {"block list that is no name", "dnsbl = {\"-x 3\"}\n",
         "f:1: dnsbl: not a host name; letters, digits, hyphens and dots make one\n"},
        {"network", "trusted_clients = {\"192.0.2.0/33\"}\n",
         "f:1: trusted_clients: not a network; behind the slash stands how many bits count\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config config;
        struct buf problems;
        struct task task;
        enum err err;

        task_init(&task, 0);
        buf_init(&problems, SIZE_MAX);
        err = config_parse(&task, "f", str_from_c(rows[i].text), &problems, &config);
        if (err != ERR_INVALID)
            fail_msg("%s: accepted", rows[i].rule);
        if (!str_equal(buf_str(&problems), str_from_c(rows[i].problems)))
            fail_msg("%s: %.*s", rows[i].rule, STR_ARG(buf_str(&problems)));
        assert_true(str_starts_with(str_from_c(rows[i].problems), str_from_c(task.words)));
        buf_free(&problems);
        task_done(&task);
    }
}

/* Whatever stands in the file: an answer, never a crash; and broken lines have their number. */
static void broken_files_are_refused(void **state)
{
    static const struct str rows[] = {
        STR_INIT("imap = {\"127.0.0.1:1\", \n"),
        STR_INIT("= = =\n"),
        STR_INIT("data = \"/x\n"),
        STR_INIT("}\n"),
        STR_INIT("data\n"),
        STR_INIT("data = /x\0\n"),
        STR_INIT("include(\"/etc/passwd\")\n"),
        STR_INIT("/* never ends\nfoo = 1\n"),
        STR_INIT("hops_max = {1,2}\n"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config config;
        struct task task;

        task_init(&task, 0);
        if (config_parse(&task, "f", rows[i], NULL, &config) == ERR_OK) {
            config_done(&config);
            /* An unfinished comment at the end is libconfuse's to like. */
            if (!str_starts_with(rows[i], STR("/*")))
                fail_msg("accepted: %s", rows[i].ptr);
        } else {
            assert_true(str_starts_with(str_from_c(task.words), STR("f:")));
        }
        task_done(&task);
    }
}

static void the_environment_overrides(void **state)
{
    struct config config;
    struct buf problems;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&problems, SIZE_MAX);
    setenv("SEALPOST_IMAP", "127.0.0.1:3143, [::1]:3143", 1);
    setenv("SEALPOST_LOGIN_TIMEOUT", "3s", 1);
    assert_int_equal(config_parse(&task, "f",
                                  STR("imap = {\"127.0.0.1:1\"}\nlogin_timeout = 9s\n"), NULL,
                                  &config),
                     ERR_OK);
    assert_true(str_equal(config.imap[0], STR("127.0.0.1:3143")));
    assert_true(str_equal(config.imap[1], STR("[::1]:3143")));
    assert_int_equal(config.imap[2].len, 0);
    assert_int_equal(config.login_timeout_ms, 3000);
    config_done(&config);
    setenv("SEALPOST_LOGIN_TIMEOUT", "soon", 1);
    assert_int_equal(config_parse(&task, "f", STR(""), &problems, &config), ERR_INVALID);
    assert_true(
        str_starts_with(buf_str(&problems), STR("environment: SEALPOST_LOGIN_TIMEOUT: not a")));
    setenv("SEALPOST_DNS_UPSTREAMS", "https://a.test/ 192.0.2.1 192.0.2.2,https://b.test/ 192.0.2.3", 1);
    setenv("SEALPOST_LOGIN_TIMEOUT", "3s", 1);
    assert_int_equal(config_parse(&task, "f", STR(""), NULL, &config), ERR_OK);
    assert_true(str_equal(config.dns_upstreams[0], STR("https://a.test/ 192.0.2.1 192.0.2.2")));
    assert_true(str_equal(config.dns_upstreams[1], STR("https://b.test/ 192.0.2.3")));
    config_done(&config);
    unsetenv("SEALPOST_DNS_UPSTREAMS");
    unsetenv("SEALPOST_IMAP");
    unsetenv("SEALPOST_LOGIN_TIMEOUT");
    buf_free(&problems);
    task_done(&task);
}

/* Each setting has its paragraph, and no other has one. */
static void the_manual_lists_the_settings(void **state)
{
    const char *source = getenv("SEALPOST_SOURCE");
    struct buf manual;
    struct str section;
    struct task task;
    char words[512];
    size_t paragraphs = 0;

    (void)state;
    assert_non_null(source);
    task_init(&task, 0);
    buf_init(&manual, SIZE_MAX);
    (void)snprintf(words, sizeof(words), "%s/man/sealpost.1", source);
    assert_int_equal(file_read(&task, AT_FDCWD, words, 1 << 20, &manual), ERR_OK);
    section = buf_str(&manual);
    assert_true(str_find(section, STR("\n.SH CONFIGURATION\n")) > 0);
    section = str_from(section, (size_t)str_find(section, STR("\n.SH CONFIGURATION\n")) + 1);
    assert_true(str_find(section, STR("\n.SH ")) > 0);
    section = str_upto(section, (size_t)str_find(section, STR("\n.SH ")));
    for (size_t i = 0; i < config_setting_count(); i++) {
        (void)snprintf(words, sizeof(words), "\n.TP\n.B %s\n", config_setting_name(i));
        if (str_find(section, str_from_c(words)) < 0)
            fail_msg("man/sealpost.1: %s is missing", config_setting_name(i));
    }
    for (ptrdiff_t at; (at = str_find(section, STR("\n.TP\n"))) >= 0; paragraphs++)
        section = str_from(section, (size_t)at + 1);
    assert_int_equal(paragraphs, config_setting_count());
    buf_free(&manual);
    task_done(&task);
}

static void the_template_is_a_valid_configuration(void **state)
{
    struct config config;
    struct buf text;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    config_template(&text);
    if (config_parse(&task, "template", buf_str(&text), NULL, &config) != ERR_OK)
        fail_msg("%s", task.words);
    assert_true(str_equal(config.imap[0], STR("127.0.0.1:1143")));
    for (size_t i = 0; i < config_setting_count(); i++)
        assert_true(str_find(buf_str(&text), str_from_c(config_setting_name(i))) > 0);
    config_done(&config);
    /* With every comment sign before a setting removed, it says the same: the defaults. */
    for (size_t i = 0; i + 2 < text.len; i++) {
        if (text.ptr[i] == '#' && memchr(text.ptr + i, '\n', text.len - i) != NULL) {
            struct str line = str_from(buf_str(&text), i + 2);

            line = str_upto(line, (size_t)str_index(line, '\n'));
            if (str_find(line, STR(" = \"")) > 0)
                text.ptr[i] = ' ';
        }
    }
    if (config_parse(&task, "template", buf_str(&text), NULL, &config) != ERR_OK)
        fail_msg("%s", task.words);
    assert_int_equal(config.login_timeout_ms, 75000);
    config_done(&config);
    buf_free(&text);
    task_done(&task);
}

static void addresses_are_of_both_families(void **state)
{
    static const struct {
        const char *text;
        int family; /* 0: refused */
    } rows[] = {
        {"127.0.0.1:143", AF_INET}, {"[::1]:143", AF_INET6}, {"0.0.0.0:1", AF_INET},
        {"[::]:65535", AF_INET6},   {"::1:143", 0},          {"127.0.0.1", 0},
        {"127.0.0.1:0", 0},         {"127.0.0.1:65536", 0},  {":143", 0},
        {"[]:143", 0},              {"[127.0.0.1]:143", 0},  {"127.0.0.1:14 3", 0},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage address;
        socklen_t len;
        const char *reason = config_parse_address(str_from_c(rows[i].text), &address, &len);

        if ((reason == NULL) != (rows[i].family != 0))
            fail_msg("%s: %s", rows[i].text, reason == NULL ? "accepted" : reason);
        if (reason == NULL)
            assert_int_equal(address.ss_family, rows[i].family);
    }
}

static void networks_contain_addresses(void **state)
{
    static const struct {
        const char *network, *address;
        bool is_inside;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/25", "192.0.2.128", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::/0", "192.0.2.1", true},
        {"192.0.2.0/24", "::ffff:192.0.2.9", true},
        {"192.0.2.0/24", "local", false},
        /* Not whatever begins with 24 zeros, which all of IPv4 does. */
        {"::ffff:192.0.2.0/24", "192.0.2.9", true},
        {"::ffff:192.0.2.0/24", "192.0.3.9", false},
        {"::ffff:192.0.2.0/120", "192.0.2.9", true},
        {"::ffff:192.0.2.0/120", "192.0.3.9", false},
        {"::ffff:192.0.2.9", "192.0.2.9", true},
        {"::ffff:192.0.2.9", "192.0.2.8", false},
        {"::ffff:192.0.2.0/24", "::1", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip_network network;

        assert_null(config_parse_network(str_from_c(rows[i].network), &network));
        if (config_network_contains(&network, str_from_c(rows[i].address)) != rows[i].is_inside)
            fail_msg("%s in %s", rows[i].address, rows[i].network);
    }
}

static void what_is_no_network(void **state)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"", "write it as"},
        {"192.0.2", "write it as"},
        {"example.org/24", "write it as"},
        {"/24", "write it as"},
        {"192.0.2.0/", "behind the slash"},
        {"192.0.2.0/33", "behind the slash"},
        {"192.0.2.0/x", "behind the slash"},
        {"2001:db8::/129", "behind the slash"},
        {"::ffff:192.0.2.0/33", "behind the slash"},
        {"::ffff:192.0.2.0/95", "behind the slash"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip_network network;
        const char *reason = config_parse_network(str_from_c(rows[i].text), &network);

        if (reason == NULL || strstr(reason, rows[i].reason) == NULL)
            fail_msg("%s: %s", rows[i].text, reason == NULL ? "taken" : reason);
    }
}

static void block_lists_have_points(void **state)
{
    struct str zone;
    uint64_t score;

    (void)state;
    assert_null(config_parse_block_list(STR(" bl.example.org  3 "), &zone, &score));
    assert_true(str_equal(zone, STR("bl.example.org")));
    assert_int_equal(score, 3000);
    assert_null(config_parse_block_list(STR("b.example 0.25"), &zone, &score));
    assert_int_equal(score, 250);
    assert_non_null(config_parse_block_list(STR("b.example 0.2500"), &zone, &score));
    assert_non_null(config_parse_block_list(STR("b.example -1"), &zone, &score));
    assert_non_null(config_parse_block_list(STR("3"), &zone, &score));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_for_an_empty_file),
        cmocka_unit_test(a_file_sets_what_it_says),
        cmocka_unit_test(every_mistake_is_named_with_its_line),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(the_environment_overrides),
        cmocka_unit_test(the_manual_lists_the_settings),
        cmocka_unit_test(the_template_is_a_valid_configuration),
        cmocka_unit_test(addresses_are_of_both_families),
        cmocka_unit_test(networks_contain_addresses),
        cmocka_unit_test(what_is_no_network),
        cmocka_unit_test(block_lists_have_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
