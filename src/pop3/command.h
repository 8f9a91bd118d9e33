/*
 * The one table of commands. Dispatch, permission and the tests' coverage read it.
 *
 * `parse` fills the arguments from what follows the command's name and touches nothing else; false
 * is a syntax error. `run` acts; it returns when it is done, or after pop3_give_way (engine.h), and
 * is called again later with the same arguments.
 */
#ifndef POP3_COMMAND_H
#define POP3_COMMAND_H

#include "base/str.h"
#include "base/task.h"

struct pop3_session;

enum pop3_state {
    POP3_STATE_AUTHORIZATION,
    POP3_STATE_OPENING, /* logged in; the maildrop is being listed */
    POP3_STATE_TRANSACTION,
    POP3_STATE_END, /* the output so far is sent */
};

enum pop3_command_flags {
    POP3_IN_AUTHORIZATION = 1 << POP3_STATE_AUTHORIZATION,
    POP3_IN_TRANSACTION = 1 << POP3_STATE_TRANSACTION,
};

/* The arguments as they were given, and how far the command has come. */
union pop3_args {
    struct {
        struct str text;
    } line; /* USER, PASS */
    struct {
        struct str mechanism, initial;
        bool has_initial;
    } auth;
    struct {
        bool has_number;
        bool has_begun;
        uint32_t number; /* of a message */
        size_t next;     /* the next message, counted from 0, when there is no number */
    } list;              /* LIST, UIDL */
    struct {
        uint32_t number;
        uint32_t lines; /* of the body, for TOP */
        bool has_begun;
    } message; /* RETR, TOP, DELE */
};

struct pop3_command {
    struct str name; /* upper case */
    unsigned flags;
    bool (*parse)(struct str text, union pop3_args *args);
    enum err (*run)(struct pop3_session *s, struct task *task, union pop3_args *args);
    const char *rfc; /* where it is defined */
};

extern const struct pop3_command pop3_commands[];
extern const size_t pop3_command_count;

/* By name, in any case; NULL: none such. */
const struct pop3_command *pop3_command_find(struct str name);

#define POP3_COMMAND(name)                                                                         \
    enum err pop3_cmd_##name(struct pop3_session *s, struct task *task, union pop3_args *args)
POP3_COMMAND(quit);
POP3_COMMAND(stat);
POP3_COMMAND(list);
POP3_COMMAND(retr);
POP3_COMMAND(dele);
POP3_COMMAND(noop);
POP3_COMMAND(rset);
POP3_COMMAND(top);
POP3_COMMAND(uidl);
POP3_COMMAND(user);
POP3_COMMAND(pass);
POP3_COMMAND(capa);
POP3_COMMAND(stls);
POP3_COMMAND(auth);
POP3_COMMAND(utf8);

#endif
