/*
 * The configuration: one commented text file, read with libconfuse; every setting can be overridden
 * from the environment as SEALPOST_<SETTING>, upper case, dots as underscores. One table
 * (config.c) lists the settings: the parser, the environment, `check-config` and the template come
 * from it.
 */
#ifndef ROLE_CONFIG_H
#define ROLE_CONFIG_H

#include "base/buf.h"
#include "base/log.h"
#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

enum { CONFIG_ADDRESSES_MAX = 16, CONFIG_EXAMINERS_MAX = 32 };

struct config {
    /* Strings are in the configuration's own arena. */
    struct str data;          /* data folder, absolute */
    struct str hostname;      /* in greetings, Received, certificates */
    struct str user;          /* roles run as this user when started by root; empty: as they are */
    struct str certificate;   /* PEM files; empty: <data>/tls/certificate.pem and key.pem */
    struct str key;
    struct str host_key;      /* file; empty: <data>/host.key; or a systemd credential's path */
    struct str admin_socket;  /* <data>/run/admin.sock unless set otherwise */
    /* "address:port" each, several allowed; none: the service is not offered. */
    struct str imap[CONFIG_ADDRESSES_MAX], imaps[CONFIG_ADDRESSES_MAX];
    struct str pop3[CONFIG_ADDRESSES_MAX], pop3s[CONFIG_ADDRESSES_MAX];
    struct str mx[CONFIG_ADDRESSES_MAX];
    struct str submission[CONFIG_ADDRESSES_MAX], submissions[CONFIG_ADDRESSES_MAX];
    uint64_t processes;       /* of gate and smtp; 0: one a core */
    bool plain_login_on_loopback; /* login without TLS from loopback */
    bool loopback_is_foreign; /* loopback is throttled and limited as any other client */
    bool sandbox_required;
    enum log_level log_level;
    enum log_format log_format;
    uint64_t message_size_max;     /* bytes; default 50 MiB */
    uint64_t imap_message_limit;   /* of one command; default 1,000,000 */
    uint64_t mailbox_messages_max; /* 0: no limit */
    uint64_t recipients_max;       /* default 50 */
    uint64_t hops_max;             /* default 25 */
    bool check_senders;            /* do their domains exist, and take mail? */
    struct str dnsbl[CONFIG_ADDRESSES_MAX];           /* "zone score" (config_value.h) */
    uint64_t dnsbl_refuse;                            /* points; 0: never */
    struct str trusted_clients[CONFIG_ADDRESSES_MAX]; /* networks: the DNS is not asked about them */
    uint64_t login_timeout_ms;     /* default 75,000: cut before login */
    uint64_t idle_timeout_ms;      /* after login; default 30 min */
    uint64_t append_timeout_ms;    /* for 64 KiB of a message; default 5 min */
    uint64_t connections_max;      /* of one process of gate or smtp */
    uint64_t connections_per_address_max;
    uint64_t sessions_per_mailbox_max;
    uint64_t failures_per_address; /* default 20 */
    uint64_t failures_per_account; /* default 40 */
    uint64_t failures_window_ms;   /* in which they count */
    uint64_t hibernate_after_ms;   /* silent sessions sleep, without a process; 0: never */
    uint64_t bulk_load_max;        /* a processor; above it, iOS's bulk downloads wait */
    uint64_t removed_backups_keep_ms; /* backups stay so long after their mailbox */
    uint64_t undelete_keep_ms;     /* expunged mail stays for its owner; 0: it does not */
    uint64_t undelete_limit;       /* of it, in percent of the mailbox's quota */
    uint64_t reset_keep_ms;        /* the files of a mailbox that was given up */
    uint64_t restore_keep_ms;      /* the file that a restore replaced */
    uint64_t mailbox_linger_ms;    /* how long a mailbox process stays after its last session */
    struct str dns_upstreams[CONFIG_ADDRESSES_MAX]; /* "URL address …" each (dns/upstream.h) */
    struct str dns_filter_upstreams[CONFIG_ADDRESSES_MAX];
    struct str dns_upstream_ca;    /* PEM file; empty: the system's */
    struct str dns_list_resolver[CONFIG_ADDRESSES_MAX];
    uint64_t dns_cache_size;       /* bytes; default 16 MiB */
    struct str redis;              /* "address:port" or a path; empty: none */
    struct str redis_password_file;
    bool greylist;                 /* clients that are not known are asked to come back */
    uint64_t greylist_delay_ms;    /* not before this */
    uint64_t incoming_per_client;  /* recipients in an hour; 0: no limit */
    uint64_t incoming_per_sender;
    uint64_t submission_per_user;  /* recipients elsewhere in a day; 0: no limit */
    uint64_t submission_per_domain;
    uint64_t examiners;            /* processes; 0: two more than cores */
    bool dmarc_reject;             /* what a domain's policy asks to refuse is refused */
    struct str arc_trust[CONFIG_ADDRESSES_MAX]; /* domains whose ARC seal excuses DMARC */
    struct str clamd, rspamd;      /* "address:port", clamd also a path; empty: none */
    bool scan_required;            /* mail that they did not scan is put off */
    struct str webhook_allow[CONFIG_ADDRESSES_MAX]; /* net/target.h */
    bool webhook_http;             /* webhooks by http, too */
    uint64_t queue_lifetime_ms;     /* then a message in the queue comes back */
    uint64_t queue_delay_notice_ms; /* its sender is told before that it waits; 0: never */
    uint64_t queue_retry_first_ms, queue_retry_most_ms;
    uint64_t queue_suppress_ms; /* an address that refused for good is spared; 0: never */
    uint64_t queue_jobs_max, queue_jobs_per_destination;
    /* How other servers are reached (courier/destinations.h, courier/webhook.h). */
    struct str outgoing_routes[CONFIG_ADDRESSES_MAX], outgoing_tls[CONFIG_ADDRESSES_MAX];
    struct str outgoing_allow[CONFIG_ADDRESSES_MAX];
    struct str outgoing_ca; /* PEM file; empty: the system's */
    uint64_t outgoing_port;
    bool outgoing_ipv6;
    uint64_t outgoing_per_minute; /* 0: no limit */
    uint64_t outgoing_connect_timeout_ms;
    struct str smarthost, smarthost_user, smarthost_password; /* the last: a file; empty: none */
    struct str backup;          /* where to (backup/place.h); empty: no backups */
    struct str backup_key_id, backup_key_file, backup_region;
    struct str backup_ca;       /* PEM file; empty: the system's */
    uint64_t backup_interval_ms; /* between full backups of a mailbox that changes */
    uint64_t backup_daily, backup_hourly; /* so many are kept */
    uint64_t backup_drop_after_ms; /* waiting mail */
    struct str backup_own_allow[CONFIG_ADDRESSES_MAX]; /* net/target.h */
    struct arena arena;
};

/*
 * From a file's text (`name` for messages). ERR_INVALID with "file:line: reason" in the task's words
 * for the first mistake; `problems`, when not NULL, gets all of them, one a line.
 */
MUST_CHECK enum err config_parse(struct task *task, const char *name, struct str text,
                                 struct buf *problems, struct config *out);
void config_done(struct config *config);
/* <data>/<rest> in the arena of the task, NUL-terminated. */
const char *config_path(const struct config *config, struct task *task, const char *rest);
/* The commented file with all settings and their defaults, for a first start. */
void config_template(struct buf *out);
/* The settings' names, for the manual's check. */
size_t config_setting_count(void);
const char *config_setting_name(size_t index);

#endif
