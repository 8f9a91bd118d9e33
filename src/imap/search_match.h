/*
 * One message against a search program. What is not known yet leaves the answer open: a message is
 * looked at with more of it (the row, then its content) only while its keys do so.
 */
#ifndef IMAP_SEARCH_MATCH_H
#define IMAP_SEARCH_MATCH_H

#include "imap/search.h"
#include "message/message.h"

struct imap_session;

enum imap_truth { IMAP_TRUTH_NO, IMAP_TRUTH_YES, IMAP_TRUTH_OPEN };

/* What is known of the message being tested. */
struct imap_search_candidate {
    struct imap_session *s;
    const struct vault_message *row;
    uint32_t number;
    /* with its content */
    bool has_content;
    const struct message_structure *structure;
    struct str raw;
    struct str body, text; /* folded, made when first needed */
    struct task *message_task;
};

enum imap_truth imap_search_matches(struct imap_search_candidate *candidate,
                                    const struct imap_search_args *search);
/* message_fold's form, in the task's arena. */
struct str imap_search_fold(struct task *task, struct str text);

#endif
