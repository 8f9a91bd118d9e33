/*
 * The administrator's commands: one table, from which the command line is parsed and checked, the
 * help and the manual page's list are made, requests are checked again where they arrive, and the
 * function that does the work is called.
 *
 * A command whose `run` is admin_job is done in the mailbox's own process: the row's name is that of
 * a kind in mailbox/jobs.c, "address" and "password" say whose mailbox it is and open it, and the
 * other arguments are the kind's. Descriptors go in the order of their arguments in the row.
 *
 * A request is {"command": "alias add", "arguments": {"address": "…", …}}; every argument is a
 * string, true for a flag, or an array of strings for ADMIN_FILE. A reply is an object with
 * "status" (admin_status), "message", maybe "hint", and the command's own members.
 * "confirm" names the command that is asked for next, with "address" and the "password" that the
 * reply has, once somebody was shown it. A list gives
 * "items" and, while more follow, "next", which the next request repeats as argument "after". A job
 * says before its reply how far it is: {"progress": {"what": "…", "done": 3, "total": 20}}.
 */
#ifndef ACCOUNT_ADMIN_COMMAND_H
#define ACCOUNT_ADMIN_COMMAND_H

#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum admin_kind {
    ADMIN_TEXT,    /* a name: UTF-8, no control characters, at most ADMIN_NAME_MAX bytes */
    ADMIN_ADDRESS, /* someone@domain */
    ADMIN_DOMAIN,
    ADMIN_SIZE,     /* bytes, or with K, M, G, T (of 1024), or "none" */
    ADMIN_SERVICES, /* imap, pop3, smtp, with commas between */
    ADMIN_COUNT,    /* a number, "none" or "default" */
    ADMIN_TIME,     /* 2026-12-24, or 2026-12-24T18:00:00.000Z */
    ADMIN_ANSWER,   /* 250, 421 or 550 */
    ADMIN_TARGET,   /* where a forward leads (account/target.h) */
    ADMIN_URL,
    ADMIN_SENDER,  /* an address, a domain, an IP address or network (account/lists.h) */
    ADMIN_MESSAGE, /* a message of the queue, or "all" */
    ADMIN_LETTER,  /* text that may have several lines */
    ADMIN_FLAG,    /* an option without a value */
    ADMIN_SECRET,  /* a password: from a file, standard input or terminal, never an argument */
    ADMIN_FILE,    /* a file whose lines are sent, in portions of ADMIN_LINES_MAX */
    ADMIN_OUTPUT,  /* of a job: a file that is made, or "-"; its name is sent, and a descriptor */
    ADMIN_INPUT,   /* of a job: a file that is read, or "-"; likewise */
    ADMIN_SOURCE, /* of a job: mail to be taken in, read by the command and passed on in one form */
    ADMIN_KEY,  /* of a job: a password for a mailbox file, given like ADMIN_SECRET; what is sent is
                   true, and a pipe with the key that the command derived from it */
    ADMIN_PATH, /* a file that the command reads itself: not sent */
    ADMIN_HINT, /* a word for the command itself: not sent */
};

/* What a disabled alias may answer. */
enum { ADMIN_ANSWER_DROPPED = 250, ADMIN_ANSWER_LATER = 421, ADMIN_ANSWER_REFUSED = 550 };

enum { ADMIN_PORTION = 200 }; /* rows that are removed before others have their turn */
/* A page of a list, in the longest names, stays below a frame (WIRE_FRAME_MAX). */
enum {
    ADMIN_NAME_MAX = 64,
    ADMIN_TEXT_MAX = 512,
    ADMIN_LETTER_MAX = 2000,
    ADMIN_LINES_MAX = 500,
    ADMIN_LINE_MAX = 1024,
    ADMIN_DESCRIPTORS_MAX = 2,
};

struct admin_argument {
    const char *name; /* NULL ends the list; of an option without the dashes */
    enum admin_kind kind;
    bool is_option;
    bool is_required;
    const char *help;
};

struct admin_request;

struct admin_command {
    const char *name; /* "alias add" */
    const char *help; /* one line */
    const char *details;
    const struct admin_argument *arguments;
    /* What is asked before it is done, to be answered with yes; NULL: nothing is lost. */
    const char *question;
    /* Of a list: the members shown in columns, separated by spaces; NULL: not a list. */
    const char *columns;
    enum err (*run)(struct admin_request *request);
    bool is_reading; /* changes nothing */
};

extern const struct admin_command admin_commands[];
extern const size_t admin_command_count;

/* NULL when there is none of that name. */
const struct admin_command *admin_command_find(struct str name);
const struct admin_argument *admin_argument_find(const struct admin_command *command,
                                                 struct str name);

/* How an outcome is called in a reply, and what the program exits with. */
struct admin_status {
    enum err err;
    const char *name;
    int exit_code;
    const char *meaning;
};
extern const struct admin_status admin_statuses[];
extern const size_t admin_status_count;

enum {
    ADMIN_EXIT_OK = 0,
    ADMIN_EXIT_FAILED = 1,
    ADMIN_EXIT_USAGE = 2,
    ADMIN_EXIT_NOT_RUNNING = 3,
};

#endif
