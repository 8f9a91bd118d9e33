/*
 * The one table of commands. Dispatch, permission, the tests' coverage and the list of RFCs in the
 * documentation read it.
 *
 * `parse` fills the arguments and touches nothing else. `run` acts; it returns when it is done, or
 * after imap_give_way (engine.h), and is called again later with the same arguments.
 */
#ifndef IMAP_COMMAND_H
#define IMAP_COMMAND_H

#include "imap/args.h"
#include "imap/parse.h"

struct imap_session;

enum imap_state {
    IMAP_STATE_NOT_AUTH,
    IMAP_STATE_AUTH,
    IMAP_STATE_SELECTED,
    IMAP_STATE_LOGOUT,
};

/* What the dispatcher ensures. */
enum imap_command_flags {
    IMAP_IN_NOT_AUTH = 1 << IMAP_STATE_NOT_AUTH,
    IMAP_IN_AUTH = 1 << IMAP_STATE_AUTH,
    IMAP_IN_SELECTED = 1 << IMAP_STATE_SELECTED,
    IMAP_BY_UID = 1 << 4,        /* "UID …": sets are of UIDs, answers name UIDs */
    IMAP_NO_EXPUNGE = 1 << 5,    /* message numbers stay as they are (RFC 3501 §7.4.1) */
    IMAP_NO_SYNC = 1 << 6,       /* nothing about the mailbox before the tagged answer */
    IMAP_WRITES = 1 << 7,        /* refused while the mailbox is selected read-only */
    IMAP_TAKES_MESSAGE = 1 << 8, /* a literal may be as large as a message;
                                    borrowed from the input */
    IMAP_TO_FOLDER = 1 << 9,     /* a missing folder is answered with TRYCREATE */
    IMAP_IS_LARGE = 1 << 10,     /* takes much memory while it runs (IMAP_ROOM_ORDERS) */
};

struct imap_command {
    struct str name; /* upper case; "UID FETCH" is a name */
    unsigned flags;
    enum err (*parse)(struct imap_parser *parser, union imap_args *args);
    enum err (*run)(struct imap_session *s, struct task *task, union imap_args *args);
    const char *rfc; /* where it is defined, as "RFC 3501 §6.1.1" */
};

extern const struct imap_command imap_commands[];
extern const size_t imap_command_count;

/* The one that a line "tag NAME …" begins with; NULL: none. For tests and the list of what they
 * cover: dispatch reads such a line with the parser. */
const struct imap_command *imap_command_of_line(struct str line);
/* By name, in any case; NULL: none such. */
const struct imap_command *imap_command_find(struct str name);

/* It names messages by their numbers, and has a twin with "UID" that does not. */
bool imap_command_is_by_number(const struct imap_command *command);

/* Shapes that several commands share. Each one begins behind the command's name. */
enum err imap_parse_none(struct imap_parser *parser, union imap_args *args);
enum err imap_parse_one_mailbox(struct imap_parser *parser, union imap_args *args);
enum err imap_parse_one_set(struct imap_parser *parser, union imap_args *args);
enum err imap_parse_copy(struct imap_parser *parser, union imap_args *args);

#define IMAP_COMMAND(name)                                                                         \
    enum err imap_cmd_##name(struct imap_session *s, struct task *task, union imap_args *args)
#define IMAP_PARSE(name)                                                                           \
    enum err imap_parse_##name(struct imap_parser *parser, union imap_args *args)
IMAP_PARSE(authenticate);
IMAP_PARSE(login);
IMAP_PARSE(select);
IMAP_PARSE(create);
IMAP_PARSE(rename);
IMAP_PARSE(list);
IMAP_PARSE(lsub);
IMAP_PARSE(status);
IMAP_PARSE(append);
IMAP_PARSE(replace);
IMAP_PARSE(search);
IMAP_PARSE(sort);
IMAP_PARSE(thread);
IMAP_PARSE(esearch);
IMAP_PARSE(fetch);
IMAP_PARSE(store);
IMAP_PARSE(id);
IMAP_PARSE(compress);
IMAP_PARSE(enable);
IMAP_PARSE(notify);
/* "(" fetch-att *(SP fetch-att) ")", also for NOTIFY; cmd/fetch_parse.c */
enum err imap_parse_fetch_items(struct imap_parser *parser, struct imap_fetch_args *fetch);
IMAP_PARSE(getmetadata);
IMAP_PARSE(setmetadata);
IMAP_PARSE(getquota);
IMAP_PARSE(setquota);
IMAP_COMMAND(capability);
IMAP_COMMAND(noop);
IMAP_COMMAND(logout);
IMAP_COMMAND(starttls);
IMAP_COMMAND(authenticate);
IMAP_COMMAND(login);
IMAP_COMMAND(select);
IMAP_COMMAND(examine);
IMAP_COMMAND(create);
IMAP_COMMAND(delete);
IMAP_COMMAND(rename);
IMAP_COMMAND(subscribe);
IMAP_COMMAND(unsubscribe);
IMAP_COMMAND(list);
IMAP_COMMAND(lsub);
IMAP_COMMAND(status);
IMAP_COMMAND(append);
IMAP_COMMAND(replace);
IMAP_COMMAND(check);
IMAP_COMMAND(close);
IMAP_COMMAND(expunge);
IMAP_COMMAND(uid_expunge);
IMAP_COMMAND(search);
IMAP_COMMAND(sort);
IMAP_COMMAND(thread);
IMAP_COMMAND(esearch);
IMAP_COMMAND(fetch);
IMAP_COMMAND(store);
IMAP_COMMAND(copy);
IMAP_COMMAND(move);
IMAP_COMMAND(id);
IMAP_COMMAND(compress);
IMAP_COMMAND(enable);
IMAP_COMMAND(namespace);
IMAP_COMMAND(notify);
IMAP_COMMAND(unselect);
IMAP_COMMAND(idle);
IMAP_COMMAND(getmetadata);
IMAP_COMMAND(setmetadata);
IMAP_COMMAND(getquota);
IMAP_COMMAND(getquotaroot);
IMAP_COMMAND(setquota);

#endif
