/*
 * The messages that roles exchange: one table, from which the structures, the codec and the checks
 * of who may send what to whom are made. Fields are MessagePack-encoded in the order given;
 * descriptors travel beside the message.
 *
 * A request carries a tag that its sender chose; the reply carries the same tag.
 */
#ifndef WIRE_MESSAGES_H
#define WIRE_MESSAGES_H

#include "base/id.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* The roles of design §2 that exist so far. CLI is the administrator's command. */
#define WIRE_ROLES(R)                                                                              \
    R(MASTER, master)                                                                              \
    R(KEEPER, keeper)                                                                              \
    R(GATE, gate)                                                                                  \
    R(STORE, store)                                                                                \
    R(NURSERY, nursery) /* the pre-initialised parent of the mailbox processes */                  \
    R(MAILBOX, mailbox)                                                                            \
    R(SEALER, sealer)                                                                              \
    R(SMTP, smtp)                                                                                  \
    R(RESOLVER, resolver)                                                                          \
    R(EXAMINER, examiner)                                                                          \
    R(SCANNER, scanner) /* asks clamd and rspamd, where they are configured */                     \
    R(COURIER, courier)                                                                            \
    R(ARCHIVIST, archivist) /* the only one that touches where backups are kept */                 \
    R(CLI, cli)

enum wire_role {
#define R(NAME, name) WIRE_ROLE_##NAME,
    WIRE_ROLES(R)
#undef R
        WIRE_ROLE_COUNT
};

#define WIRE_BIT(NAME) (1u << WIRE_ROLE_##NAME)
#define WIRE_SERVICES (WIRE_BIT(KEEPER) | WIRE_BIT(GATE) | WIRE_BIT(STORE) | WIRE_BIT(NURSERY) |   \
                       WIRE_BIT(SEALER) | WIRE_BIT(SMTP) | WIRE_BIT(RESOLVER) |                \
                       WIRE_BIT(EXAMINER) | WIRE_BIT(SCANNER) | WIRE_BIT(COURIER) |     \
                       WIRE_BIT(ARCHIVIST))

enum wire_service {
    WIRE_SERVICE_IMAP,
    WIRE_SERVICE_POP3,
    WIRE_SERVICE_SUBMISSION,
    WIRE_SERVICE_JOB, /* an owner's job (JOB): nothing that a client logs in to */
};

/* What a reply says; a kind exists only where the receiver answers its peer differently. */
enum wire_status {
    WIRE_OK,
    WIRE_DENIED,      /* wrong password, unknown user: one and the same */
    WIRE_THROTTLED,   /* too many failures; the peer is told what DENIED is told */
    WIRE_UNKNOWN,     /* no such recipient */
    WIRE_DISABLED,    /* the recipient exists but takes no mail now */
    WIRE_OVER_QUOTA,
    WIRE_DISK_FULL,   /* temporary */
    WIRE_UNAVAILABLE, /* temporary: busy, restarting, input/output error */
    WIRE_DAMAGED,     /* the mailbox file does not open; an operator must look */
    WIRE_INVALID,     /* the request made no sense */
    WIRE_EXISTS,
    WIRE_NOT_LOCAL, /* the recipient's domain is not one of ours */
    WIRE_REFUSED,   /* by a rule: for good; the reply has the words */
    WIRE_DEFERRED,  /* by a rule: for now (greylisting, a limit); the reply has the words */
};

/*
 * M(NAME, name, senders, receivers, descriptors)
 * Field kinds: u64, i64, flag (bool), id (struct id), str (struct str, borrowed from the frame),
 * secret (struct str whose frame is wiped after its handler returned).
 */
#define WIRE_MESSAGES(M)                                                                           \
    /* A connection to another role; replaces an earlier one to the same role and index. */        \
    M(PEER, peer, WIRE_BIT(MASTER), WIRE_SERVICES, 1)                                              \
    /* A listening socket; sent before START. */                                                   \
    M(LISTENER, listener, WIRE_BIT(MASTER), WIRE_SERVICES, 1)                                      \
    /* Configuration as a sealed memfd, then certificate and key (for gate and smtp), host key     \
     * (for keeper). Sent at start, and again on SIGHUP. */                                        \
    M(CONFIGURE, configure, WIRE_BIT(MASTER), WIRE_SERVICES, 4)                                    \
    M(START, start, WIRE_BIT(MASTER), WIRE_SERVICES, 0)                                            \
    M(STOP, stop, WIRE_BIT(MASTER) | WIRE_BIT(STORE), WIRE_SERVICES | WIRE_BIT(MAILBOX), 0)        \
    M(READY, ready, WIRE_SERVICES, WIRE_BIT(MASTER), 0)                                            \
    /* Memory in which all processes of the role count connections (net/census.h); before START.   \
     */                                                                                            \
    M(CENSUS, census, WIRE_BIT(MASTER), WIRE_BIT(GATE) | WIRE_BIT(SMTP), 1)                        \
    /* Logging in. */                                                                              \
    M(LOGIN, login, WIRE_BIT(GATE) | WIRE_BIT(SMTP), WIRE_BIT(KEEPER), 0)                          \
    M(LOGIN_REPLY, login_reply, WIRE_BIT(KEEPER), WIRE_BIT(GATE) | WIRE_BIT(SMTP), 0)              \
    M(SESSION_CLOSE, session_close, WIRE_BIT(GATE), WIRE_BIT(KEEPER) | WIRE_BIT(STORE), 0)         \
    /* After it: the descriptor is the byte stream to the client. */                               \
    M(SESSION_OPEN, session_open, WIRE_BIT(GATE) | WIRE_BIT(STORE),                                \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX), 1)                                                      \
    M(SESSION_OPEN_REPLY, session_open_reply, WIRE_BIT(MAILBOX) | WIRE_BIT(STORE),                 \
      WIRE_BIT(STORE) | WIRE_BIT(GATE), 0)                                                         \
    /* The life of a mailbox process. SPAWN's descriptor is its channel to the store. */           \
    M(MAILBOX_SPAWN, mailbox_spawn, WIRE_BIT(STORE), WIRE_BIT(NURSERY), 1)                         \
    M(MAILBOX_EXITED, mailbox_exited, WIRE_BIT(NURSERY), WIRE_BIT(STORE), 0)                       \
    /* From the nursery, never from the store: a process's channel to the keeper. */               \
    M(MAILBOX_STARTED, mailbox_started, WIRE_BIT(NURSERY), WIRE_BIT(KEEPER), 1)                    \
    /* The other end of it, for a process that runs already: the keeper is a new one. */           \
    M(MAILBOX_KEEPER, mailbox_keeper, WIRE_BIT(NURSERY), WIRE_BIT(MAILBOX), 1)                     \
    M(MAILBOX_KEY, mailbox_key, WIRE_BIT(KEEPER), WIRE_BIT(MAILBOX), 0)                            \
    /* To both: the file is open, or why not. */                                                   \
    M(MAILBOX_OPENED, mailbox_opened, WIRE_BIT(MAILBOX), WIRE_BIT(KEEPER) | WIRE_BIT(STORE), 0)    \
    /* Its file is under the next key now. */                                                      \
    M(MAILBOX_REKEYED, mailbox_rekeyed, WIRE_BIT(MAILBOX), WIRE_BIT(KEEPER), 0)                    \
    M(MAILBOX_USAGE, mailbox_usage, WIRE_BIT(MAILBOX) | WIRE_BIT(SEALER) | WIRE_BIT(STORE),        \
      WIRE_BIT(STORE) | WIRE_BIT(KEEPER), 0)                                                       \
    M(MAILBOX_LIMIT, mailbox_limit, WIRE_BIT(KEEPER), WIRE_BIT(MAILBOX), 0)                        \
    /* Nothing to do for a while: may it end? The store answers with STOP, or sends work. */       \
    M(MAILBOX_IDLE, mailbox_idle, WIRE_BIT(MAILBOX), WIRE_BIT(STORE), 0)                           \
    /* The keeper wants a new mailbox file made; the reply comes when it is on disk. */            \
    M(MAILBOX_CREATE, mailbox_create, WIRE_BIT(KEEPER), WIRE_BIT(STORE), 0)                        \
    M(MAILBOX_CREATE_REPLY, mailbox_create_reply, WIRE_BIT(STORE), WIRE_BIT(KEEPER), 0)            \
    /* The keeper removes a mailbox: its process ends, its files go. */                            \
    M(MAILBOX_REMOVE, mailbox_remove, WIRE_BIT(KEEPER) | WIRE_BIT(STORE),                          \
      WIRE_BIT(STORE) | WIRE_BIT(NURSERY), 0)                                                      \
    M(MAILBOX_REMOVE_REPLY, mailbox_remove_reply, WIRE_BIT(STORE) | WIRE_BIT(NURSERY),             \
      WIRE_BIT(KEEPER) | WIRE_BIT(STORE), 0)                                                       \
    /* All sessions of a mailbox end (its password changed, its alias went, or leads elsewhere).   \
     */                                                                                            \
    M(MAILBOX_EXPEL, mailbox_expel, WIRE_BIT(KEEPER), WIRE_BIT(STORE), 0)                          \
    /* Mail. DELIVER's descriptor is a sealed memfd with the whole message. */                     \
    M(RECIPIENT, recipient, WIRE_BIT(SMTP) | WIRE_BIT(COURIER), WIRE_BIT(KEEPER), 0)               \
    M(RECIPIENT_REPLY, recipient_reply, WIRE_BIT(KEEPER), WIRE_BIT(SMTP) | WIRE_BIT(COURIER), 0)   \
    /* A login's message that did not come to be: its recipients do not count. No answer. */       \
    M(RECIPIENTS_UNUSED, recipients_unused, WIRE_BIT(SMTP), WIRE_BIT(KEEPER), 0)                   \
    M(SENDER, sender, WIRE_BIT(SMTP), WIRE_BIT(KEEPER), 0)                                         \
    M(SENDER_REPLY, sender_reply, WIRE_BIT(KEEPER), WIRE_BIT(SMTP), 0)                             \
    M(DELIVER, deliver, WIRE_BIT(SMTP) | WIRE_BIT(COURIER) | WIRE_BIT(STORE),                      \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX) | WIRE_BIT(SEALER), 1)                                   \
    M(DELIVER_REPLY, deliver_reply, WIRE_BIT(MAILBOX) | WIRE_BIT(SEALER) | WIRE_BIT(STORE),        \
      WIRE_BIT(STORE) | WIRE_BIT(SMTP) | WIRE_BIT(COURIER), 0)                                     \
    /* A foreign message is judged before it is taken; its descriptor is a sealed memfd with the   \
     * message as it came, without our trace. */                                                   \
    M(EXAMINE, examine, WIRE_BIT(SMTP), WIRE_BIT(EXAMINER), 1)                                     \
    M(EXAMINE_REPLY, examine_reply, WIRE_BIT(EXAMINER), WIRE_BIT(SMTP), 0)                         \
    /* The same message for clamd and rspamd. */                                                   \
    M(SCAN, scan, WIRE_BIT(EXAMINER), WIRE_BIT(SCANNER), 1)                                        \
    M(SCAN_REPLY, scan_reply, WIRE_BIT(SCANNER), WIRE_BIT(EXAMINER), 0)                            \
    /* A message as the JSON of a webhook: memfd there, memfd back. */                             \
    M(RENDER, render, WIRE_BIT(COURIER), WIRE_BIT(EXAMINER), 1)                                    \
    M(RENDER_REPLY, render_reply, WIRE_BIT(EXAMINER), WIRE_BIT(COURIER), 1)                        \
    /* To the outbound queue; the reply comes when it is on disk. The descriptor is a sealed memfd \
     * with the message, our trace before it. */                                                   \
    M(QUEUE, queue, WIRE_BIT(SMTP), WIRE_BIT(COURIER), 1)                                          \
    M(QUEUE_REPLY, queue_reply, WIRE_BIT(COURIER), WIRE_BIT(SMTP), 0)                              \
    /* A report of another server came in for one of our users (courier/bounce.c). No answer. */   \
    M(BOUNCE, bounce, WIRE_BIT(SMTP), WIRE_BIT(COURIER), 0)                                        \
    /* The keys that mail of one of our domains is signed with. */                                 \
    M(SIGNING_KEYS, signing_keys, WIRE_BIT(COURIER), WIRE_BIT(KEEPER), 0)                          \
    M(SIGNING_KEYS_REPLY, signing_keys_reply, WIRE_BIT(KEEPER), WIRE_BIT(COURIER), 0)              \
    /* Every question to the DNS. */                                                               \
    M(DNS_QUERY, dns_query,                                                                        \
      WIRE_BIT(SMTP) | WIRE_BIT(EXAMINER) | WIRE_BIT(COURIER) | WIRE_BIT(KEEPER) |                 \
          WIRE_BIT(ARCHIVIST),                                                                     \
      WIRE_BIT(RESOLVER), 0)                                                                       \
    M(DNS_ANSWER, dns_answer, WIRE_BIT(RESOLVER),                                                  \
      WIRE_BIT(SMTP) | WIRE_BIT(EXAMINER) | WIRE_BIT(COURIER) | WIRE_BIT(KEEPER) |                 \
          WIRE_BIT(ARCHIVIST),                                                                     \
      0)                                                                                           \
    /* The drop box changes hands: the sealer finishes, closes the file, forgets the chain. */     \
    M(LANE_RELEASE, lane_release, WIRE_BIT(STORE), WIRE_BIT(SEALER), 0)                            \
    M(LANE_RELEASE_REPLY, lane_release_reply, WIRE_BIT(SEALER), WIRE_BIT(STORE), 0)                \
    /* Keys derived from the host key for the roles that need one (sealer: drop boxes; courier:    \
     * secret/courier.h). */                                                                       \
    M(HOST_KEY, host_key, WIRE_BIT(KEEPER), WIRE_BIT(SEALER) | WIRE_BIT(COURIER), 0)               \
    /* What an owner asked for with his password, done in his mailbox process (mailbox/jobs.h);    \
     * the descriptors are those that his command brought. Replies: progress, and at last the                \
     * outcome. */                                                                                 \
    M(JOB, job, WIRE_BIT(KEEPER) | WIRE_BIT(STORE), WIRE_BIT(STORE) | WIRE_BIT(MAILBOX), 2)        \
    M(JOB_REPLY, job_reply, WIRE_BIT(MAILBOX) | WIRE_BIT(STORE),                                   \
      WIRE_BIT(STORE) | WIRE_BIT(KEEPER), 0)                                                       \
    /* The command went away. */                                                                   \
    M(JOB_CANCEL, job_cancel, WIRE_BIT(KEEPER) | WIRE_BIT(STORE),                                  \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX), 0)                                                      \
    /* Objects of a backup, all of them ciphertext. The store passes on what mailbox processes     \
     * send, and sees to it that each names its own. PUT's descriptor has the bytes, GET_REPLY's,              \
     * too. */                                                                                     \
    M(BACKUP_PUT, backup_put,                                                                      \
      WIRE_BIT(MAILBOX) | WIRE_BIT(SEALER) | WIRE_BIT(KEEPER) | WIRE_BIT(STORE),                   \
      WIRE_BIT(STORE) | WIRE_BIT(ARCHIVIST), 1)                                                    \
    M(BACKUP_PUT_REPLY, backup_put_reply, WIRE_BIT(ARCHIVIST) | WIRE_BIT(STORE),                   \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX) | WIRE_BIT(SEALER) | WIRE_BIT(KEEPER), 0)                \
    M(BACKUP_GET, backup_get, WIRE_BIT(MAILBOX) | WIRE_BIT(KEEPER) | WIRE_BIT(STORE),              \
      WIRE_BIT(STORE) | WIRE_BIT(ARCHIVIST), 0)                                                    \
    M(BACKUP_GET_REPLY, backup_get_reply, WIRE_BIT(ARCHIVIST) | WIRE_BIT(STORE),                   \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX) | WIRE_BIT(KEEPER), 1)                                   \
    M(BACKUP_LIST, backup_list, WIRE_BIT(MAILBOX) | WIRE_BIT(KEEPER) | WIRE_BIT(STORE),            \
      WIRE_BIT(STORE) | WIRE_BIT(ARCHIVIST), 0)                                                    \
    M(BACKUP_LIST_REPLY, backup_list_reply, WIRE_BIT(ARCHIVIST) | WIRE_BIT(STORE),                 \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX) | WIRE_BIT(KEEPER), 0)                                   \
    /* No mailbox process: what takes one over must not take its backups. */                       \
    M(BACKUP_DELETE, backup_delete, WIRE_BIT(KEEPER), WIRE_BIT(ARCHIVIST), 0)                      \
    M(BACKUP_DELETE_REPLY, backup_delete_reply, WIRE_BIT(ARCHIVIST), WIRE_BIT(KEEPER), 0)          \
    /* An owner's own destination for his mailbox's backups (backup/mirror.h). No answer. */       \
    M(BACKUP_OWN, backup_own, WIRE_BIT(KEEPER), WIRE_BIT(ARCHIVIST), 0)                            \
    /* The administrator's commands: JSON both ways (account/admin/command.h). Those about the     \
     * queue the keeper passes on. */                                                              \
    M(ADMIN, admin, WIRE_BIT(CLI) | WIRE_BIT(KEEPER),                                              \
      WIRE_BIT(KEEPER) | WIRE_BIT(COURIER) | WIRE_BIT(ARCHIVIST), 2)                               \
    M(ADMIN_REPLY, admin_reply, WIRE_BIT(KEEPER) | WIRE_BIT(COURIER) | WIRE_BIT(ARCHIVIST),        \
      WIRE_BIT(CLI) | WIRE_BIT(KEEPER), 0)                                                         \
    /* Sessions that sleep (mailbox/hibernate.c). The state goes to the gate, which answers        \
     * whether it holds it now and has sent nothing that is not in it. Such a session goes on with                  \
     * SESSION_OPEN. */                                                                            \
    M(SESSION_HIBERNATE, session_hibernate, WIRE_BIT(MAILBOX) | WIRE_BIT(STORE),                   \
      WIRE_BIT(STORE) | WIRE_BIT(GATE), 0)                                                         \
    M(SESSION_HIBERNATE_REPLY, session_hibernate_reply, WIRE_BIT(GATE) | WIRE_BIT(STORE),          \
      WIRE_BIT(STORE) | WIRE_BIT(MAILBOX), 0)                                                      \
    /* To a sleeping session's gate: it is to go on now (OK), or it ends. */                       \
    M(SESSION_WAKE, session_wake, WIRE_BIT(STORE), WIRE_BIT(GATE), 0)                              \
    /* There are sleepers since before this process was; is_watched: some in IDLE, so say from now \
     * on what changes. */                                                                         \
    M(MAILBOX_SLEEPERS, mailbox_sleepers, WIRE_BIT(STORE), WIRE_BIT(MAILBOX), 0)                   \
    /* This folder changed, and it is on disk; -1: the list of folders did. */                     \
    M(MAILBOX_CHANGED, mailbox_changed, WIRE_BIT(MAILBOX), WIRE_BIT(STORE), 0)

#define WIRE_FIELDS_peer(F) F(u64, role) F(u64, index)
/* `name` is the setting's: imap, imaps, pop3, pop3s, mx, submission, submissions, admin. */
#define WIRE_FIELDS_listener(F) F(str, name) F(flag, is_tls)
#define WIRE_FIELDS_configure(F) F(u64, descriptor_count)
#define WIRE_FIELDS_start(F) F(u64, index)
#define WIRE_FIELDS_stop(F) F(u64, grace_ms)
#define WIRE_FIELDS_ready(F) F(u64, status)
#define WIRE_FIELDS_census(F) F(u64, index)

/* `address` is the client's IP, for throttling; `is_local` that it is loopback and trusted so. */
#define WIRE_FIELDS_login(F)                                                                       \
    F(id, session) F(u64, service) F(str, username) F(secret, password) F(str, address)            \
    F(flag, is_local)
/* For SUBMISSION no session is kept; `mailbox` tells whose login it is, `slot` by which password.
 * `delay_ms`: wait this long before the refusal is passed on, so that all refusals take the same
 * time. `pass`: of the session (secret/pass.h). */
#define WIRE_FIELDS_login_reply(F)                                                                 \
    F(u64, status) F(id, mailbox) F(u64, delay_ms) F(str, pass) F(id, slot)
#define WIRE_FIELDS_session_close(F) F(id, session) F(id, mailbox)

/* `tag` is the login command's, answered by the mailbox process (POP3: role/engine_pop3.c); `input`
 * what the client sent behind it. With a `state` the session has slept and goes on, without tag and
 * input; is_restless: it slept for a moment only. is_bulk: nobody waits for what it loads
 * (imap/session.h). */
#define WIRE_FIELDS_session_open(F)                                                                \
    F(id, session) F(id, mailbox) F(u64, service) F(str, tag) F(str, input) F(flag, is_secure)     \
    F(str, state) F(flag, is_restless) F(flag, is_bulk) F(str, pass)
#define WIRE_FIELDS_session_open_reply(F) F(u64, status)

#define WIRE_FIELDS_mailbox_spawn(F) F(id, mailbox) F(flag, is_new)
#define WIRE_FIELDS_mailbox_exited(F) F(id, mailbox) F(i64, pid) F(i64, wait_status)
/* `is_running`: it had its key from an earlier keeper, and only reports to this one. */
#define WIRE_FIELDS_mailbox_started(F) F(id, mailbox) F(flag, is_new) F(flag, is_running)
#define WIRE_FIELDS_mailbox_keeper(F) F(id, mailbox)
/* `key` is key ‖ salt; `next_key`, if there is one, that under which the file is or is to be (docs/passwords.md); `drop_key` the same for <id>.drop.sqlite; `limit_bytes` UINT64_MAX: none;
 * epoch and change_counter are the registry's, for roll-back detection; sessions of logins up to
 * `passes_since` were ended (account/expelled.h). status other than OK: no
 * session of this mailbox is alive, there is no key. */
#define WIRE_FIELDS_mailbox_key(F)                                                                 \
    F(u64, status)                                                                                 \
    F(secret, key)                                                                                 \
    F(secret, drop_key) F(u64, limit_bytes) F(u64, epoch) F(u64, change_counter)                   \
        F(secret, next_key) F(u64, passes_since) F(secret, former_pass_key)
/* `check` names that key (secret/pass.h). */
#define WIRE_FIELDS_mailbox_rekeyed(F) F(id, mailbox) F(str, check)
#define WIRE_FIELDS_mailbox_opened(F) F(id, mailbox) F(u64, status) F(flag, was_rolled_back)
/* bytes and messages in the mailbox; drop_bytes waiting in the drop box (absolute values). The
 * mailbox sends bytes, messages, epoch, counter; the sealer drop_bytes; `is_drop` tells which. */
#define WIRE_FIELDS_mailbox_usage(F)                                                               \
    F(id, mailbox) F(flag, is_drop) F(u64, bytes) F(u64, messages) F(u64, epoch)                   \
    F(u64, change_counter)
#define WIRE_FIELDS_mailbox_limit(F) F(u64, limit_bytes)
#define WIRE_FIELDS_mailbox_idle(F) F(id, mailbox)
#define WIRE_FIELDS_mailbox_create(F) F(id, mailbox)
#define WIRE_FIELDS_mailbox_create_reply(F) F(id, mailbox) F(u64, status)
#define WIRE_FIELDS_mailbox_remove(F) F(id, mailbox)
#define WIRE_FIELDS_mailbox_remove_reply(F) F(id, mailbox) F(u64, status)
/* is_for_good: its aliases lead to another one; mail that was meant for it comes again. */
#define WIRE_FIELDS_mailbox_expel(F) F(id, mailbox) F(flag, is_for_good)

/* `size_bytes` as announced with SIZE, 0: unknown. `login`: whose submission it is, unset: mail from
 * outside. `sender` is the envelope's; `client` an IP address, empty for the courier's own mail. */
#define WIRE_FIELDS_recipient(F)                                                                   \
    F(str, address) F(u64, size_bytes) F(id, login) F(str, sender) F(str, client) F(str, helo)     \
    F(flag, is_tls)
/* `detail` is the +tag, for filing. With OK: `mailbox` (if it stores: has_mailbox) and `routes`
 * (JSON for the courier, docs/routes.md; empty: none) say where it goes; neither: it is accepted
 * and dropped. `reply_code` (421, 450, 550, …; 0: the status's own) and `words` are for the peer.
 * `trust`: an allow list names the sender (1), nothing does (0); is_checked: spam is looked for.
 * `counted_day`: it counts among what `login` and `sender`, those that were asked about, may send to
 * other servers on this day (since 1970); 0: it does not. */
#define WIRE_FIELDS_recipient_reply(F)                                                             \
    F(u64, status)                                                                                 \
    F(id, mailbox) F(str, detail) F(flag, has_mailbox) F(str, routes) F(u64, reply_code)           \
        F(str, words) F(u64, trust) F(flag, is_checked) F(u64, counted_day) F(id, login)           \
            F(str, sender)
#define WIRE_FIELDS_recipients_unused(F)                                                           \
    F(id, login) F(str, sender) F(u64, counted_day) F(u64, count)
#define WIRE_FIELDS_sender(F) F(id, mailbox) F(str, address) F(id, slot)
#define WIRE_FIELDS_sender_reply(F) F(u64, status)

/* One for each recipient mailbox. `folder` empty: INBOX. `recipient` empty: a copy of what its owner
 * sent himself, so he has read it. trace_len: how many leading bytes of the
 * message we added ourselves (vault/message.h). */
#define WIRE_FIELDS_deliver(F)                                                                     \
    F(id, mailbox) F(str, sender) F(str, recipient) F(str, folder) F(i64, received_ms)             \
    F(u64, size_bytes) F(u64, trace_len)
#define WIRE_FIELDS_deliver_reply(F) F(u64, status)

/* `helo` and `sender` as the peer said them; `list_score` is that of the DNS block lists, in
 * thousandths; `reverse_name` the client's confirmed name, may be empty; is_nameless: the DNS says that
 * it has none. is_trusted: this host's own or named in `trusted_clients`: who its mail is from is
 * believed. */
#define WIRE_FIELDS_examine(F)                                                                     \
    F(str, client) F(str, helo) F(str, sender) F(str, reverse_name) F(flag, is_nameless)           \
    F(flag, is_tls) F(flag, is_trusted) F(u64, list_score) F(i64, now_ms)
/* `action` is an examiner_action (examiner/verdict.h); `words` say why, for the peer and the log.
 * `fields` are header fields to put before the message (Authentication-Results, the spam report).
 * `removals`: pairs of u32 (start, length; little-endian) of fields that are not to be kept.
 * may_reply: an automatic reply is allowed (RFC 3834). `score` in thousandths. is_spam: it is
 * rejected for nothing but its score, so whoever trusts its sender gets it all the same. `bounce`: JSON
 * for the courier, if it reports that mail failed elsewhere (examiner/bounce.h); empty: it does not. */
#define WIRE_FIELDS_examine_reply(F)                                                               \
    F(u64, status) F(u64, action) F(str, words) F(str, fields) F(str, removals) F(flag, may_reply) \
    F(i64, score) F(flag, is_authenticated) F(flag, is_spam) F(str, bounce) F(flag, is_from_sender)
#define WIRE_FIELDS_scan(F) F(str, client) F(str, helo) F(str, sender) F(str, reverse_name)
/* is_virus with its name in `words`; `score` of rspamd in thousandths, `symbols` its reasons. */
#define WIRE_FIELDS_scan_reply(F)                                                                  \
    F(u64, status) F(flag, is_virus) F(str, words) F(i64, score) F(str, symbols)
/* `envelope`: JSON to be merged into the result; with_raw: the message itself, too. */
#define WIRE_FIELDS_render(F) F(str, envelope) F(flag, with_raw) F(u64, trace_len)
#define WIRE_FIELDS_render_reply(F) F(u64, status)
/* `envelope`: JSON, docs/routes.md. */
#define WIRE_FIELDS_queue(F) F(str, envelope) F(u64, trace_len) F(i64, received_ms)
#define WIRE_FIELDS_queue_reply(F) F(u64, status)
/* `recipient`: whom the report is for; `report` as EXAMINE_REPLY has it (docs/routes.md). */
#define WIRE_FIELDS_bounce(F) F(str, recipient) F(str, report)
#define WIRE_FIELDS_signing_keys(F) F(str, domain)
/* Keys in DER (PKCS #8); empty where there is none. UNKNOWN: the domain is not ours. */
#define WIRE_FIELDS_signing_keys_reply(F)                                                          \
    F(u64, status) F(str, rsa_selector) F(secret, rsa_key) F(str, ed25519_selector)                \
    F(secret, ed25519_key)
/* `type` as the DNS numbers it; is_list: by the resolver that is for block lists; is_filtered: by the
 * servers that know bad names. */
#define WIRE_FIELDS_dns_query(F) F(str, name) F(u64, type) F(flag, is_list) F(flag, is_filtered)
/* `status` is a dns_status, `records` of dns/answer.h. */
#define WIRE_FIELDS_dns_answer(F) F(u64, status) F(flag, is_secure) F(str, records)

#define WIRE_FIELDS_lane_release(F) F(id, mailbox)
#define WIRE_FIELDS_lane_release_reply(F) F(id, mailbox) F(u64, status)
#define WIRE_FIELDS_host_key(F) F(secret, key)

/* `kind` is a row of mailbox/jobs.h, `json` its arguments. The pass is the session's, as for
 * SESSION_OPEN. */
#define WIRE_FIELDS_job(F)                                                                         \
    F(id, session) F(id, mailbox) F(str, kind) F(secret, json) F(str, pass)
/* is_last false: progress, {"what", "done", "total"}; true: the outcome. */
#define WIRE_FIELDS_job_reply(F)                                                                   \
    F(id, session) F(id, mailbox) F(u64, status) F(secret, json) F(flag, is_last)
#define WIRE_FIELDS_job_cancel(F) F(id, session) F(id, mailbox)
/* `name` is the object's, below the mailbox's part of the destination ("full/…"; backup/name.h); an
 * unset mailbox: the host's own. `digest`: SHA-256 of the bytes (32 bytes, not hexadecimal), kept
 * beside the object and compared when it is read. Replies: DISABLED, no destination is configured;
 * UNKNOWN, no such object (or bucket); DAMAGED, not the bytes that were put; DISK_FULL, no room;
 * DENIED, the destination does not take our key or certificate; INVALID, the name or digest is wrong;
 * UNAVAILABLE, after some tries: it is not reached, or too much is waiting. */
#define WIRE_FIELDS_backup_put(F) F(id, mailbox) F(str, name) F(u64, size_bytes) F(str, digest)
#define WIRE_FIELDS_backup_put_reply(F) F(id, mailbox) F(u64, status) F(str, words)
#define WIRE_FIELDS_backup_get(F) F(id, mailbox) F(str, name)
#define WIRE_FIELDS_backup_get_reply(F) F(id, mailbox) F(u64, status) F(u64, size_bytes) F(str, words)
/* Names that begin with `prefix` and sort after `after`; JSON: [{"name", "size", "modified"}, …]. One
 * reply each: not is_last, so ask again with the last name as `after`. */
#define WIRE_FIELDS_backup_list(F) F(id, mailbox) F(str, prefix) F(str, after)
#define WIRE_FIELDS_backup_list_reply(F)                                                           \
    F(id, mailbox) F(u64, status) F(str, json) F(flag, is_last) F(str, words)
#define WIRE_FIELDS_backup_delete(F) F(id, mailbox) F(str, name)
#define WIRE_FIELDS_backup_delete_reply(F) F(id, mailbox) F(u64, status) F(str, words)

/* `place` as backup/place.h has it, empty: none any more. A keeper tells of all when it came, or the
 * archivist did; then of none (an unset mailbox): whom it did not name has none. */
#define WIRE_FIELDS_backup_own(F)                                                                  \
    F(id, mailbox) F(str, place) F(str, region) F(str, key_id) F(secret, secret)

#define WIRE_FIELDS_admin(F) F(secret, json)
/* `is_last` false: more replies to the same tag follow. */
#define WIRE_FIELDS_admin_reply(F) F(secret, json) F(flag, is_last)

enum { WIRE_SLEEP_STATE_MAX = 36 * 1024 }; /* bytes of the `state` of a session that sleeps */

/* `consumed_bytes`, `said_bytes`: all that the mailbox process has read from the session's stream
 * and written there, as it was on the way; `state`: mailbox/sleep_state.h. watched_folder: whose
 * changes the client must hear of at once, 0: none. */
#define WIRE_FIELDS_session_hibernate(F)                                                           \
    F(id, session) F(id, mailbox) F(u64, consumed_bytes) F(u64, said_bytes)                        \
        F(flag, is_compressed) F(i64, watched_folder) F(str, state)
#define WIRE_FIELDS_session_hibernate_reply(F) F(id, session) F(id, mailbox) F(u64, status)
#define WIRE_FIELDS_session_wake(F) F(id, session) F(id, mailbox) F(u64, status)
#define WIRE_FIELDS_mailbox_sleepers(F) F(id, mailbox) F(flag, is_watched)
#define WIRE_FIELDS_mailbox_changed(F) F(id, mailbox) F(i64, folder_id)

enum wire_type {
#define M(NAME, name, senders, receivers, descriptors) WIRE_##NAME,
    WIRE_MESSAGES(M)
#undef M
        WIRE_TYPE_COUNT
};

/* The structures: struct wire_login { struct id session; uint64_t service; … }. */
#define WIRE_C_u64 uint64_t
#define WIRE_C_i64 int64_t
#define WIRE_C_flag bool
#define WIRE_C_id struct id
#define WIRE_C_str struct str
#define WIRE_C_secret struct str
#define WIRE_FIELD(kind, name) WIRE_C_##kind name;
#define M(NAME, name, senders, receivers, descriptors)                                             \
    struct wire_##name {                                                                           \
        WIRE_FIELDS_##name(WIRE_FIELD)                                                             \
    };
WIRE_MESSAGES(M)
#undef M

union wire_body {
#define M(NAME, name, senders, receivers, descriptors) struct wire_##name name;
    WIRE_MESSAGES(M)
#undef M
};

const char *wire_role_name(enum wire_role role);
const char *wire_type_name(enum wire_type type);

#endif
