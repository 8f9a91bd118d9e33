/*
 * The table of settings, and what fills a `struct config` from it: the file through libconfuse, then
 * the environment, then what must hold between settings.
 *
 * libconfuse knows every setting as text; what the text means is config_value.h's. It stops at the
 * first unknown name or broken line, but an operator wants to hear of all at once: so such a line is
 * blanked and the file read again, until nothing new is found.
 */
#include "role/config.h"

#include "backup/place.h"
#include "base/ascii.h"
#include "base/memory.h"
#include "net/target.h"
#include "dns/upstream.h"
#include "role/config_value.h"

#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READINGS_MAX = 100, /* so many unknown names are reported at most */
    ENVIRONMENT_ROOM = 64,
    REASON_ROOM = 512,
};

enum setting_kind {
    SETTING_TEXT,
    SETTING_PATH, /* absolute */
    SETTING_HOSTNAME,
    SETTING_ADDRESSES,
    SETTING_DNS_SERVERS, /* a list, too */
    SETTING_HOSTNAMES,       /* a list */
    SETTING_TARGETS, /* a list */
    SETTING_SERVER,      /* one address with port, or a local socket's path */
    SETTING_NUMBER,
    SETTING_SIZE,
    SETTING_DURATION,
    SETTING_FLAG,
    SETTING_LOG_LEVEL,
    SETTING_LOG_FORMAT,
    SETTING_NETWORKS,
    SETTING_BLOCK_LISTS,
    SETTING_NAMES, /* a list of texts, which their role judges at its start */
};

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset;        /* in struct config */
    const char *fallback; /* the default, as it would be written; empty: none */
    uint64_t least, most; /* of numbers, sizes and durations */
    const char *example;  /* what the template sets; NULL: the default, commented out */
    const char *comment;
};

#define AT(field) offsetof(struct config, field)

static const struct setting settings[] = {
    {"data", SETTING_PATH, AT(data), "/var/lib/sealpost", 0, 0, NULL,
     "The folder that holds everything: accounts, mailboxes, waiting mail, keys."},
    {"hostname", SETTING_HOSTNAME, AT(hostname), "localhost", 0, 0, NULL,
     "This host's name, in greetings, Received fields and the self-signed certificate."},
    {"user", SETTING_TEXT, AT(user), "", 0, 0, NULL,
     "When started by root: the user that the service's processes become."},
    {"imap", SETTING_ADDRESSES, AT(imap), "", 0, 0, "{\"127.0.0.1:1143\"}",
     "IMAP with STARTTLS. Address and port each, several allowed; not set: not offered."},
    {"imaps", SETTING_ADDRESSES, AT(imaps), "", 0, 0, "{\"127.0.0.1:1993\"}", "IMAP over TLS."},
    {"pop3", SETTING_ADDRESSES, AT(pop3), "", 0, 0, "{\"127.0.0.1:1110\"}",
     "POP3 with STLS (port 110)."},
    {"pop3s", SETTING_ADDRESSES, AT(pop3s), "", 0, 0, "{\"127.0.0.1:1995\"}",
     "POP3 over TLS (port 995)."},
    {"mx", SETTING_ADDRESSES, AT(mx), "", 0, 0, "{\"127.0.0.1:1025\"}",
     "SMTP for mail from other servers (port 25)."},
    {"submission", SETTING_ADDRESSES, AT(submission), "", 0, 0, "{\"127.0.0.1:1587\"}",
     "SMTP for the users' own mail, with STARTTLS (port 587)."},
    {"submissions", SETTING_ADDRESSES, AT(submissions), "", 0, 0, "{\"127.0.0.1:1465\"}",
     "SMTP for the users' own mail, over TLS (port 465)."},
    {"certificate", SETTING_PATH, AT(certificate), "", 0, 0, NULL,
     "PEM file with the certificate chain; not set: <data>/tls/certificate.pem."},
    {"key", SETTING_PATH, AT(key), "", 0, 0, NULL,
     "PEM file with the certificate's key; not set: <data>/tls/key.pem."},
    {"host_key", SETTING_PATH, AT(host_key), "", 0, 0, NULL,
     "File with the host key (32 bytes); not set: <data>/host.key, made at the first start."},
    {"admin_socket", SETTING_PATH, AT(admin_socket), "", 0, 0, NULL,
     "Where the administrator's commands meet the service; not set: <data>/run/admin.sock."},
    {"processes", SETTING_NUMBER, AT(processes), "0", 0, 32, NULL,
     "How many processes serve IMAP and POP3 clients, and how many SMTP; 0: one a processor core."},
    {"plain_login_on_loopback", SETTING_FLAG, AT(plain_login_on_loopback), "no", 0, 0, NULL,
     "Whether clients on this machine may log in without TLS."},
    {"loopback_is_foreign", SETTING_FLAG, AT(loopback_is_foreign), "no", 0, 0, NULL,
     "Whether this machine's own addresses are throttled and limited as any other (for tests)."},
    {"sandbox_required", SETTING_FLAG, AT(sandbox_required), "yes", 0, 0, NULL,
     "Whether to refuse to run where the kernel cannot confine the processes."},
    {"log_level", SETTING_LOG_LEVEL, AT(log_level), "info", 0, 0, NULL,
     "debug, info, warning or error. Addresses appear at debug only, content never."},
    {"log_format", SETTING_LOG_FORMAT, AT(log_format), "text", 0, 0, NULL, "text or json."},
    {"message_size_max", SETTING_SIZE, AT(message_size_max), "50M", 1024, UINT64_C(1) << 31, NULL,
     "The largest message accepted."},
    {"imap_message_limit", SETTING_NUMBER, AT(imap_message_limit), "1000000", 1, UINT32_MAX, NULL,
     "The most messages that one IMAP command fetches, changes, copies, moves or appends "
     "(RFC 9738); APPEND takes 256 at most."},
    {"mailbox_messages_max", SETTING_NUMBER, AT(mailbox_messages_max), "0", 0, 1000000000, NULL,
     "The most messages in one mailbox, all its folders together; 0: no limit."},
    {"recipients_max", SETTING_NUMBER, AT(recipients_max), "50", 1, 10000, NULL,
     "The most recipients of one message."},
    {"hops_max", SETTING_NUMBER, AT(hops_max), "25", 1, 1000, NULL,
     "A message with more Received fields than this goes in a circle and is refused."},
    {"check_senders", SETTING_FLAG, AT(check_senders), "yes", 0, 0, NULL,
     "Whether mail is refused whose sender's domain does not exist, or says that it takes none "
     "(RFC 7505)."},
    {"dnsbl", SETTING_BLOCK_LISTS, AT(dnsbl), "", 0, 0, NULL,
     "DNS block lists that clients are looked up in, with the points that each is worth: "
     "\"bl.example.org 3\"."},
    {"dnsbl_refuse", SETTING_NUMBER, AT(dnsbl_refuse), "0", 0, 1000000, NULL,
     "From so many points on a client's mail is refused at once; 0: they only count as spam "
     "points."},
    {"trusted_clients", SETTING_NETWORKS, AT(trusted_clients), "", 0, 0, NULL,
     "Networks, as 192.0.2.0/24, whose mail servers the DNS is not asked about. Loopback is one "
     "anyway."},
    {"login_timeout", SETTING_DURATION, AT(login_timeout_ms), "75s", 100, 3600 * 1000, NULL,
     "A client that has not logged in after this long is cut off."},
    {"idle_timeout", SETTING_DURATION, AT(idle_timeout_ms), "30m", 100,
     UINT64_C(7) * 24 * 3600 * 1000, NULL,
     "A client that is logged in and silent for this long is cut off (RFC 9051 asks for 30m, RFC "
     "1939 for 10m)."},
    {"append_timeout", SETTING_DURATION, AT(append_timeout_ms), "5m", 100,
     UINT64_C(24) * 3600 * 1000, NULL,
     "Of a message that an IMAP client sends, 64 KiB must come in this time: it holds memory that "
     "others of the mailbox wait for."},
    {"connections_max", SETTING_NUMBER, AT(connections_max), "10000", 1, 1000000, NULL,
     "The most connections of one process."},
    {"connections_per_address_max", SETTING_NUMBER, AT(connections_per_address_max), "100", 1,
     1000000, NULL, "And of one client address (IPv6: of its /64), in all processes together."},
    {"sessions_per_mailbox_max", SETTING_NUMBER, AT(sessions_per_mailbox_max), "200", 1, 1000, NULL,
     "The most IMAP and POP3 sessions of one mailbox at a time, those that sleep included."},
    {"failures_per_address", SETTING_NUMBER, AT(failures_per_address), "20", 1, 1000000, NULL,
     "So many failed logins from one address, then its logins are refused for a while."},
    {"failures_per_account", SETTING_NUMBER, AT(failures_per_account), "40", 1, 1000000, NULL,
     "The same for one account from many addresses; its known addresses still get in."},
    {"failures_window", SETTING_DURATION, AT(failures_window_ms), "15m", 100,
     UINT64_C(7) * 24 * 3600 * 1000, NULL, "How long failed logins count."},
    {"hibernate_after", SETTING_DURATION, AT(hibernate_after_ms), "15s", 0, 24 * 3600 * 1000, NULL,
     "When all of a mailbox's sessions are silent for this long its process ends; they sleep. 0: "
     "never."},
    {"bulk_load_max", SETTING_NUMBER, AT(bulk_load_max), "2", 0, 1000000, NULL,
     "With a load above this for each processor, iOS's bulk downloads are asked to come back "
     "later."},
    {"undelete_keep", SETTING_DURATION, AT(undelete_keep_ms), "14d", 0,
     UINT64_C(3650) * 24 * 3600 * 1000, NULL,
     "How long expunged mail stays, hidden, for its owner to bring back (docs/undelete.md); 0: not "
     "at all."},
    {"undelete_limit", SETTING_NUMBER, AT(undelete_limit), "50", 0, 1000, NULL,
     "How much of it, in percent of the mailbox's quota and beside it; the oldest goes first."},
    {"reset_keep", SETTING_DURATION, AT(reset_keep_ms), "30d", 0, UINT64_C(3650) * 24 * 3600 * 1000,
     NULL,
     "How long the files of a mailbox that was given up (alias reset) are kept before they are "
     "removed."},
    {"restore_keep", SETTING_DURATION, AT(restore_keep_ms), "30d", 1000,
     UINT64_C(3650) * 24 * 3600 * 1000, NULL,
     "How long the mailbox file that a restore replaced is kept beside the new one before it is "
     "removed."},
    {"removed_backups_keep", SETTING_DURATION, AT(removed_backups_keep_ms), "0s", 0,
     UINT64_C(36500) * 24 * 3600 * 1000, NULL,
     "How long backups of a removed mailbox stay (they open with its password); 0s: they go with "
     "it."},
    {"mailbox_linger", SETTING_DURATION, AT(mailbox_linger_ms), "5s", 0, 3600 * 1000, NULL,
     "How long a mailbox's process, with its key, stays after the last session."},
    {"queue_lifetime", SETTING_DURATION, AT(queue_lifetime_ms), "5d", 1000,
     UINT64_C(30) * 24 * 3600 * 1000, NULL,
     "How long delivery to another server is tried; then the message goes back to its sender."},
    {"queue_delay_notice", SETTING_DURATION, AT(queue_delay_notice_ms), "4h", 0,
     UINT64_C(30) * 24 * 3600 * 1000, NULL,
     "After this long the sender is told that a message is delayed; 0: never."},
    {"queue_retry_first", SETTING_DURATION, AT(queue_retry_first_ms), "5m", 10, 24 * 3600 * 1000,
     NULL,
     "How long after a first failed attempt the second is made; each further wait is twice as "
     "long."},
    {"queue_retry_most", SETTING_DURATION, AT(queue_retry_most_ms), "3h", 10, 7 * 24 * 3600 * 1000,
     NULL, "The longest wait between two attempts."},
    {"queue_suppress", SETTING_DURATION, AT(queue_suppress_ms), "7d", 0,
     UINT64_C(365) * 24 * 3600 * 1000, NULL,
     "An address whose server said that it does not exist is not tried again for so long; 0: "
     "always tried."},
    {"queue_jobs_max", SETTING_NUMBER, AT(queue_jobs_max), "200", 1, 10000, NULL,
     "The most deliveries to other servers that are under way at once."},
    {"queue_jobs_per_destination", SETTING_NUMBER, AT(queue_jobs_per_destination), "20", 1, 1000,
     NULL, "And to one destination."},
    {"outgoing_routes", SETTING_NAMES, AT(outgoing_routes), "", 0, 0, NULL,
     "Where a domain's mail goes instead of to its MX: \"example.com host:port\"; \"*.example.com "
     "...\": what is below it."},
    {"outgoing_tls", SETTING_NAMES, AT(outgoing_tls), "", 0, 0, NULL,
     "Domains that mail goes to over TLS with a checked certificate only; \"*\": all of them."},
    {"outgoing_ca", SETTING_PATH, AT(outgoing_ca), "", 0, 0, NULL,
     "PEM file with what other servers' certificates lead back to, read at the start and on "
     "SIGHUP; not set: what the system trusts."},
    {"outgoing_allow", SETTING_NETWORKS, AT(outgoing_allow), "", 0, 0, NULL,
     "Networks that mail goes to though they are private, as 10.0.0.0/8; all others that are not "
     "public are refused."},
    {"outgoing_port", SETTING_NUMBER, AT(outgoing_port), "25", 1, 65535, NULL,
     "The port of MX hosts (for tests)."},
    {"outgoing_ipv6", SETTING_FLAG, AT(outgoing_ipv6), "yes", 0, 0, NULL,
     "Whether other servers are reached over IPv6."},
    {"outgoing_per_minute", SETTING_NUMBER, AT(outgoing_per_minute), "0", 0, 1000000, NULL,
     "The most messages in a minute to one destination; 0: no limit."},
    {"outgoing_connect_timeout", SETTING_DURATION, AT(outgoing_connect_timeout_ms), "30s", 100,
     600 * 1000, NULL, "How long a connection to another server may take to come about."},
    {"smarthost", SETTING_TEXT, AT(smarthost), "", 0, 0, NULL,
     "A server that takes all mail that has no route of its own: host and port."},
    {"smarthost_user", SETTING_TEXT, AT(smarthost_user), "", 0, 0, NULL,
     "The name to log in there with, always over TLS with a checked certificate."},
    {"smarthost_password", SETTING_PATH, AT(smarthost_password), "", 0, 0, NULL,
     "The file whose first line is the password, read at the start and on SIGHUP."},
    {"backup", SETTING_TEXT, AT(backup), "", 0, 0, NULL,
     "Where backups go: a folder's path, or S3 as \"s3:https://host/bucket/prefix\" "
     "(docs/backups.md); not set: none are made."},
    {"backup_key_id", SETTING_TEXT, AT(backup_key_id), "", 0, 0, NULL, "The id of the key for S3."},
    {"backup_key_file", SETTING_PATH, AT(backup_key_file), "", 0, 0, NULL,
     "The file whose first line is its secret, read at the start and on SIGHUP."},
    {"backup_region", SETTING_TEXT, AT(backup_region), "us-east-1", 0, 0, NULL,
     "The region that S3 requests are signed for (Cloudflare R2: auto)."},
    {"backup_ca", SETTING_PATH, AT(backup_ca), "", 0, 0, NULL,
     "PEM file with what the S3 server's certificate leads back to, read at the start and on "
     "SIGHUP; not set: what the system trusts."},
    {"backup_interval", SETTING_DURATION, AT(backup_interval_ms), "1h", 1000,
     UINT64_C(365) * 24 * 3600 * 1000, NULL,
     "How often a mailbox that is open, and has changed, is backed up in full; its log goes at "
     "once."},
    {"backup_daily", SETTING_NUMBER, AT(backup_daily), "7", 1, 10000, NULL,
     "How many days' backups are kept, the newest of each."},
    {"backup_hourly", SETTING_NUMBER, AT(backup_hourly), "24", 0, 10000, NULL,
     "And of how many hours."},
    {"backup_drop_after", SETTING_DURATION, AT(backup_drop_after_ms), "10m", 0,
     7 * 24 * 3600 * 1000, NULL, "How soon mail that waits for its owner, sealed, is backed up."},
    {"backup_own_allow", SETTING_TARGETS, AT(backup_own_allow), "", 0, 0, NULL,
     "Hosts by name, and networks as 10.0.0.0/8, that owners' own destinations may be on though "
     "they are not public."},
    {"dns_upstreams", SETTING_DNS_SERVERS, AT(dns_upstreams),
     "https://cloudflare-dns.com/dns-query 1.1.1.1 1.0.0.1 2606:4700:4700::1111, "
     "https://dns.quad9.net/dns-query 9.9.9.9 149.112.112.112 2620:fe::fe",
     0, 0, NULL,
     "DNS over HTTPS servers, the first is asked first: URL and IP addresses. They must check "
     "DNSSEC; their word counts."},
    {"dns_filter_upstreams", SETTING_DNS_SERVERS, AT(dns_filter_upstreams), "", 0, 0, NULL,
     "The same that know bad names, such as \"https://security.cloudflare-dns.com/dns-query "
     "1.1.1.2\"; links in mail are looked up there."},
    {"dns_upstream_ca", SETTING_PATH, AT(dns_upstream_ca), "", 0, 0, NULL,
     "PEM file with what their certificates lead back to, read at the start and on SIGHUP; not "
     "set: what the system trusts."},
    {"dns_list_resolver", SETTING_ADDRESSES, AT(dns_list_resolver), "", 0, 0, NULL,
     "A resolver of your own, by plain DNS, for DNS block lists, which refuse public ones; not "
     "set: the above."},
    {"dns_cache_size", SETTING_SIZE, AT(dns_cache_size), "16M", 64 * 1024, UINT64_C(1) << 32, NULL,
     "The memory for DNS answers."},
    {"redis", SETTING_SERVER, AT(redis), "", 0, 0, NULL,
     "A Redis in which several hosts share DNS answers: address and port, or its socket. Who "
     "writes to it is believed."},
    {"redis_password_file", SETTING_PATH, AT(redis_password_file), "", 0, 0, NULL,
     "File with the Redis' password in its first line, read at the start and on SIGHUP; not set: "
     "it asks for none."},
    {"examiners", SETTING_NUMBER, AT(examiners), "0", 0, CONFIG_EXAMINERS_MAX, NULL,
     "How many processes look at incoming messages, each at one; at least 2; 0: two more than "
     "processor cores."},
    {"dmarc_reject", SETTING_FLAG, AT(dmarc_reject), "yes", 0, 0, NULL,
     "Whether mail is refused when its sender's domain asks for that (DMARC); otherwise it goes to "
     "Junk."},
    {"arc_trust", SETTING_HOSTNAMES, AT(arc_trust), "", 0, 0, NULL,
     "Domains of lists and forwarders whose seal (ARC) excuses mail that fails DMARC on its way "
     "through them."},
    {"clamd", SETTING_SERVER, AT(clamd), "", 0, 0, NULL,
     "ClamAV's daemon, which looks for viruses: address and port, or its socket; not set: not "
     "asked."},
    {"rspamd", SETTING_SERVER, AT(rspamd), "", 0, 0, NULL,
     "rspamd's normal worker, whose score counts beside our own: address and port; not set: not "
     "asked."},
    {"scan_required", SETTING_FLAG, AT(scan_required), "no", 0, 0, NULL,
     "Whether mail waits when one of these two does not answer; otherwise it is taken without."},
    {"webhook_allow", SETTING_TARGETS, AT(webhook_allow), "", 0, 0, NULL,
     "Hosts by name, and networks as 10.0.0.0/8, that webhooks may reach though they are not "
     "public, and by http."},
    {"webhook_http", SETTING_FLAG, AT(webhook_http), "no", 0, 0, NULL,
     "Whether webhooks may go to public hosts by http, without TLS."},
    {"greylist", SETTING_FLAG, AT(greylist), "no", 0, 0, NULL,
     "Whether mail servers that are not known yet are asked to come back (greylisting)."},
    {"greylist_delay", SETTING_DURATION, AT(greylist_delay_ms), "5m", 1000, 3600 * 1000, NULL,
     "How long they wait at least; who comes back within two days is known for five weeks."},
    {"incoming_per_client", SETTING_NUMBER, AT(incoming_per_client), "20000", 0, 1000000000, NULL,
     "Recipients in an hour that one address (IPv6: one /64) may write to; 0: no limit."},
    {"incoming_per_sender", SETTING_NUMBER, AT(incoming_per_sender), "5000", 0, 1000000000, NULL,
     "And one sender at it. Neither counts what an allow list names, nor this machine's own mail."},
    {"submission_per_user", SETTING_NUMBER, AT(submission_per_user), "2000", 0, 1000000000, NULL,
     "Recipients on other servers that a user may write to in a day (UTC); 0: no limit."},
    {"submission_per_domain", SETTING_NUMBER, AT(submission_per_domain), "20000", 0, 1000000000,
     NULL, "The same for all users that write as one domain. Both can be set for each."},
};

enum { SETTING_COUNT = ARRAY_LEN(settings) };

/* One reading of a configuration. libconfuse's callbacks get no pointer of ours, hence `current`. */
struct reading {
    struct task *task;
    const char *name;     /* of the file, for the words */
    struct buf *problems; /* borrowed; may be NULL */
    struct config *config;
    size_t problem_count;
    int last_line;   /* problems up to here were reported by an earlier reading */
    int broken_line; /* where libconfuse gave up */
    int seen_line[SETTING_COUNT];
    unsigned seen_values[SETTING_COUNT]; /* of a list: how many were taken */
    bool seen_end[SETTING_COUNT];           /* of a list */
};

static struct reading *current;

static void problem(struct reading *reading, const char *format, ...) PRINTF_LIKE(2, 3);

static void problem(struct reading *reading, const char *format, ...)
{
    char words[REASON_ROOM];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    reading->problem_count++;
    if (reading->task->err == ERR_OK)
        (void)fail(reading->task, ERR_INVALID, "%s", words);
    if (reading->problems != NULL)
        buf_putf(reading->problems, "%s\n", words);
}

/* How many letters must change to make one of the other; for "did you mean". */
static size_t distance(struct str a, struct str b)
{
    size_t row[64];

    if (a.len >= ARRAY_LEN(row) || b.len >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = diagonal + (ascii_lower(a.ptr[i - 1]) != ascii_lower(b.ptr[j - 1]));

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[b.len];
}

/* The setting most like `name`, or NULL. */
static const char *nearest(struct str name)
{
    const char *found = NULL;
    size_t best = 4;

    for (size_t i = 0; i < SETTING_COUNT; i++) {
        size_t far = distance(name, str_from_c(settings[i].name));

        if (far < best) {
            best = far;
            found = settings[i].name;
        }
    }
    return found;
}

static const char *set_number(const struct setting *setting, struct reading *reading,
                              const char *reason, uint64_t value)
{
    if (reason == NULL && (value < setting->least || value > setting->most))
        reason = value < setting->least ? "too small" : "too large";
    if (reason == NULL)
        *(uint64_t *)(void *)((char *)reading->config + setting->offset) = value;
    return reason;
}

static bool is_list(const struct setting *setting)
{
    return setting->kind == SETTING_ADDRESSES || setting->kind == SETTING_DNS_SERVERS ||
           setting->kind == SETTING_HOSTNAMES || setting->kind == SETTING_TARGETS ||
           setting->kind == SETTING_NETWORKS || setting->kind == SETTING_BLOCK_LISTS ||
           setting->kind == SETTING_NAMES;
}

/* One more value of a list, kept as text; `reason` why it is none. */
static const char *add_to_list(struct reading *reading, struct str *places, struct str text,
                               const char *reason)
{
    size_t count = 0;

    while (count < CONFIG_ADDRESSES_MAX && places[count].len > 0)
        count++;
    if (reason == NULL && count == CONFIG_ADDRESSES_MAX)
        reason = "too many values";
    if (reason == NULL)
        places[count] = arena_copy(&reading->config->arena, text);
    return reason;
}

/* NULL, or why `text` is no value for it. */
static const char *set_value(struct reading *reading, const struct setting *setting,
                             struct str text)
{
    void *at = (char *)reading->config + setting->offset;
    const char *reason = NULL;
    struct sockaddr_storage address;
    socklen_t address_len;
    struct ip_network network;
    struct str zone;
    struct dns_upstream_place place;
    uint64_t value = 0;

    switch (setting->kind) {
    case SETTING_PATH:
        if (text.len > 0 && text.ptr[0] != '/')
            return "not an absolute path";
        *(struct str *)at = arena_copy(&reading->config->arena, text);
        return NULL;
    case SETTING_HOSTNAME:
        reason = config_parse_hostname(text);
        if (reason != NULL)
            return reason;
        *(struct str *)at = arena_copy(&reading->config->arena, text);
        return NULL;
    case SETTING_TEXT:
        *(struct str *)at = arena_copy(&reading->config->arena, text);
        return NULL;
    case SETTING_ADDRESSES:
        return add_to_list(reading, at, text, config_parse_address(text, &address, &address_len));
    case SETTING_DNS_SERVERS:
        return add_to_list(reading, at, text,
                           dns_upstream_parse(&reading->config->arena, text, &place));
    case SETTING_HOSTNAMES:
        return add_to_list(reading, at, text, config_parse_hostname(text));
    case SETTING_TARGETS:
        return add_to_list(reading, at, text, net_target_allow_reason(text));
    case SETTING_SERVER:
        reason = text.len == 0 ? NULL : config_parse_server(text, &address, &address_len);
        if (reason == NULL)
            *(struct str *)at = arena_copy(&reading->config->arena, text);
        return reason;
    case SETTING_NETWORKS:
        return add_to_list(reading, at, text, config_parse_network(text, &network));
    case SETTING_BLOCK_LISTS:
        return add_to_list(reading, at, text, config_parse_block_list(text, &zone, &value));
    case SETTING_NAMES:
        return add_to_list(reading, at, text, NULL);
    case SETTING_NUMBER:
        reason = config_parse_number(text, &value);
        return set_number(setting, reading, reason, value);
    case SETTING_SIZE:
        reason = config_parse_size(text, &value);
        return set_number(setting, reading, reason, value);
    case SETTING_DURATION:
        reason = config_parse_duration(text, &value);
        return set_number(setting, reading, reason, value);
    case SETTING_FLAG:
        return config_parse_flag(text, at);
    case SETTING_LOG_LEVEL:
        return log_level_parse(text, at) ? NULL : "not one of debug, info, warning, error";
    case SETTING_LOG_FORMAT:
        return log_format_parse(text, at) ? NULL : "neither text nor json";
    }
    return "no such setting";
}

static void clear_addresses(struct reading *reading, const struct setting *setting)
{
    memset((char *)reading->config + setting->offset, 0,
           sizeof(struct str) * CONFIG_ADDRESSES_MAX);
}

static size_t setting_index(const char *name)
{
    size_t i = 0;

    while (i < SETTING_COUNT && strcmp(settings[i].name, name) != 0)
        i++;
    return i;
}

/* libconfuse calls this after each value that it has read, and again at the end of a list. */
static int on_value(cfg_t *cfg, cfg_opt_t *option)
{
    struct reading *reading = current;
    size_t i = setting_index(option->name);
    bool has_list, is_end, is_again, is_new_line = cfg->line > reading->last_line;

    if (i == SETTING_COUNT)
        return 0;
    has_list = is_list(&settings[i]);
    /* A list grows from call to call, the last tells of its end; a second list begins anew. */
    is_end = has_list && cfg_opt_size(option) == reading->seen_values[i] && !reading->seen_end[i];
    is_again = reading->seen_line[i] != 0 && !is_end &&
               (!has_list || cfg_opt_size(option) <= reading->seen_values[i]);
    reading->seen_end[i] = is_end;
    if (has_list && is_again)
        reading->seen_values[i] = cfg_opt_size(option);
    if (is_again && is_new_line)
        problem(reading, "%s:%d: %s was set already in line %d", reading->name, cfg->line,
                settings[i].name, reading->seen_line[i]);
    reading->seen_line[i] = cfg->line;
    for (unsigned n = has_list ? reading->seen_values[i] : 0; n < cfg_opt_size(option); n++) {
        const char *reason =
            set_value(reading, &settings[i], str_from_c(cfg_opt_getnstr(option, n)));

        reading->seen_values[i] = n + 1;
        if (reason != NULL && is_new_line)
            problem(reading, "%s:%d: %s: %s", reading->name, cfg->line, settings[i].name, reason);
    }
    return 0;
}

/* libconfuse's own complaints: it gives up after one. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    struct reading *reading = current;
    const char *suggestion = NULL;
    char words[REASON_ROOM];
    struct str unknown;
    ptrdiff_t quote;

    vsnprintf(words, sizeof(words), format, args);
    if (cfg->line <= reading->last_line)
        return;
    reading->broken_line = cfg->line;
    unknown = str_from_c(words);
    if (!str_starts_with(unknown, STR("no such option '"))) {
        problem(reading, "%s:%d: %s", reading->name, cfg->line, words);
        return;
    }
    unknown = str_from(unknown, sizeof("no such option '") - 1);
    quote = str_last_index(unknown, '\'');
    if (quote >= 0)
        unknown = str_upto(unknown, (size_t)quote);
    suggestion = nearest(unknown);
    problem(reading, "%s:%d: there is no setting '%.*s'%s%s%s", reading->name, cfg->line,
            STR_ARG(str_upto(unknown, 60)), suggestion == NULL ? "" : "; did you mean '",
            suggestion == NULL ? "" : suggestion, suggestion == NULL ? "" : "'?");
}

static void read_text(struct reading *reading, const char *text)
{
    cfg_opt_t options[SETTING_COUNT + 1];
    cfg_t *cfg;

    for (size_t i = 0; i < SETTING_COUNT; i++) {
        cfg_opt_t one = CFG_STR(settings[i].name, NULL, CFGF_NODEFAULT);
        cfg_opt_t several = CFG_STR_LIST(settings[i].name, NULL, CFGF_NODEFAULT);

        options[i] = is_list(&settings[i]) ? several : one;
        options[i].validcb = on_value;
        if (is_list(&settings[i]))
            clear_addresses(reading, &settings[i]);
    }
    options[SETTING_COUNT] = (cfg_opt_t)CFG_END();
    memset(reading->seen_line, 0, sizeof(reading->seen_line));
    memset(reading->seen_values, 0, sizeof(reading->seen_values));
    memset(reading->seen_end, 0, sizeof(reading->seen_end));
    reading->broken_line = 0;
    current = reading;
    cfg = cfg_init(options, CFGF_NONE);
    if (cfg == NULL)
        abort();
    cfg_set_error_function(cfg, on_error);
    if (cfg_parse_buf(cfg, text) != CFG_SUCCESS && reading->broken_line == 0 &&
        cfg->line > reading->last_line) {
        reading->broken_line = cfg->line;
        problem(reading, "%s:%d: this line is not understood", reading->name, cfg->line);
    }
    cfg_free(cfg);
    current = NULL;
}

/* Overwrites a line (from 1) with spaces; false when there is none. */
static bool blank_line(char *text, int line)
{
    for (; line > 1; line--) {
        text = strchr(text, '\n');
        if (text == NULL)
            return false;
        text++;
    }
    for (; *text != '\0' && *text != '\n'; text++)
        *text = ' ';
    return true;
}

static void read_file(struct reading *reading, struct str bytes)
{
    char *text;

    if (memchr(bytes.ptr == NULL ? "" : bytes.ptr, '\0', bytes.len) != NULL) {
        problem(reading, "%s:1: this is not a text file", reading->name);
        return;
    }
    text = mem_copy_text(bytes.ptr, bytes.len);
    for (int i = 0; i < READINGS_MAX; i++) {
        read_text(reading, text);
        if (reading->broken_line == 0 || !blank_line(text, reading->broken_line))
            break;
        reading->last_line = reading->broken_line;
    }
    mem_free(&text);
}

static void environment_name(const struct setting *setting, char out[static ENVIRONMENT_ROOM])
{
    size_t at = (size_t)snprintf(out, ENVIRONMENT_ROOM, "SEALPOST_%s", setting->name);

    for (size_t i = 0; i < at; i++)
        out[i] = out[i] == '.' ? '_' : ascii_upper(out[i]);
}

/* Values of a list are separated by commas; addresses and networks by blanks, too. */
static const char *set_list(struct reading *reading, const struct setting *setting,
                            struct str text)
{
    bool has_blanks =
        setting->kind == SETTING_DNS_SERVERS || setting->kind == SETTING_BLOCK_LISTS ||
        setting->kind == SETTING_NAMES;
    const char *reason = NULL;

    clear_addresses(reading, setting);
    while (text.len > 0 && reason == NULL) {
        size_t len = 0;

        while (len < text.len && text.ptr[len] != ',' &&
               (has_blanks || !ascii_is_space(text.ptr[len])))
            len++;
        if (str_trim(str_upto(text, len)).len > 0)
            reason = set_value(reading, setting, str_trim(str_upto(text, len)));
        text = str_from(text, len + 1);
    }
    return reason;
}

static const char *set_from_environment(struct reading *reading, const struct setting *setting,
                                        struct str text)
{
    return is_list(setting) ? set_list(reading, setting, text)
                            : set_value(reading, setting, str_trim(text));
}

static void read_environment(struct reading *reading)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[ENVIRONMENT_ROOM];
        const char *text, *reason;

        environment_name(&settings[i], name);
        text = getenv(name);
        if (text == NULL)
            continue;
        reason = set_from_environment(reading, &settings[i], str_from_c(text));
        if (reason != NULL)
            problem(reading, "environment: %s: %s", name, reason);
    }
}

static void check_whole(struct reading *reading)
{
    const struct config *config = reading->config;

    if (config->data.len == 0 || config->data.ptr[0] != '/')
        problem(reading, "%s: data: the folder must be given, as an absolute path", reading->name);
    if ((config->certificate.len == 0) != (config->key.len == 0))
        problem(reading, "%s: certificate and key: set both, or neither", reading->name);
    if (config->rspamd.len > 0 && config->rspamd.ptr[0] == '/')
        problem(reading, "%s: rspamd: an address and port is needed", reading->name);
    if (config->backup.len > 0) {
        struct backup_place place;
        const char *reason = backup_place_parse(&reading->task->arena, config->backup, &place);

        if (reason != NULL)
            problem(reading, "%s: backup: %s", reading->name, reason);
        else if (place.is_s3 &&
                 (config->backup_key_id.len == 0 || config->backup_key_file.len == 0))
            problem(reading, "%s: backup: S3 needs backup_key_id and backup_key_file",
                    reading->name);
    }
}

/* Single values beforehand; lists, which grow with each value, where none was given. */
static void set_fallbacks(struct reading *reading, bool of_lists)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        struct str fallback = str_from_c(settings[i].fallback);
        const struct str *first = (const void *)((const char *)reading->config + settings[i].offset);
        const char *reason = NULL;

        if (is_list(&settings[i]) != of_lists)
            continue;
        if (!of_lists)
            reason = set_value(reading, &settings[i], fallback);
        else if (first->len == 0)
            reason = set_list(reading, &settings[i], fallback);
        if (reason != NULL)
            problem(reading, "%s: the default is %s", settings[i].name, reason);
    }
}

enum err config_parse(struct task *task, const char *name, struct str text, struct buf *problems,
                      struct config *out)
{
    struct config config = {.processes = 0};
    struct reading reading = {
        .task = task, .name = name, .problems = problems, .config = &config};

    set_fallbacks(&reading, false);
    read_file(&reading, text);
    read_environment(&reading);
    set_fallbacks(&reading, true);
    check_whole(&reading);
    if (config.admin_socket.len == 0)
        config.admin_socket =
            arena_printf(&config.arena, "%.*s/run/admin.sock", STR_ARG(config.data));
    if (reading.problem_count > 0) {
        config_done(&config);
        return ERR_INVALID;
    }
    *out = config;
    return ERR_OK;
}

void config_done(struct config *config)
{
    arena_free(&config->arena);
    *config = (struct config){.processes = 0};
}

const char *config_path(const struct config *config, struct task *task, const char *rest)
{
    return arena_printf(&task->arena, "%.*s/%s", STR_ARG(config->data), rest).ptr;
}

/* {"one", "another"}: as a list is written in the file. */
static void put_list(struct buf *out, struct str values)
{
    const char *separator = "";
    struct str value;

    buf_putf(out, "{");
    while (values.len > 0 && str_split(&values, ',', &value)) {
        buf_putf(out, "%s\"%.*s\"", separator, STR_ARG(str_trim(value)));
        separator = ", ";
    }
    buf_putf(out, "}");
}

void config_template(struct buf *out)
{
    buf_put(out, STR("# The configuration of a Sealpost. A line that begins with # is a comment; the "
                     "settings that\n# are commented out show their defaults. Every setting can be "
                     "overridden from the environment:\n# data as SEALPOST_DATA, log_level as "
                     "SEALPOST_LOG_LEVEL, and so on.\n"));
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];

        buf_putf(out, "\n# %s\n", setting->comment);
        if (setting->example != NULL)
            buf_putf(out, "%s = %s\n", setting->name, setting->example);
        else if (!is_list(setting))
            buf_putf(out, "# %s = \"%s\"\n", setting->name, setting->fallback);
        if (setting->example != NULL || !is_list(setting))
            continue;
        buf_putf(out, "# %s = ", setting->name);
        put_list(out, str_from_c(setting->fallback));
        buf_putf(out, "\n");
    }
}

size_t config_setting_count(void)
{
    return SETTING_COUNT;
}

const char *config_setting_name(size_t index)
{
    return settings[index].name;
}
