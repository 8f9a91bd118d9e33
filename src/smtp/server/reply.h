/*
 * Every reply that the server gives, in one table, and which of them tells a peer what another
 * role answered. Enhanced codes are RFC 3463's; RFC 2034 says where they stand.
 */
#ifndef SMTP_SERVER_REPLY_H
#define SMTP_SERVER_REPLY_H

#include "base/buf.h"
#include "wire/messages.h"

/* R(NAME, code, enhanced code or "", words) */
#define SMTP_REPLIES(R)                                                                            \
    R(BYE, 221, "2.0.0", "Bye")                                                                    \
    R(LOGGED_IN, 235, "2.7.0", "Authentication succeeded")                                         \
    R(OK, 250, "2.0.0", "OK")                                                                      \
    R(SENDER_OK, 250, "2.1.0", "Sender OK")                                                        \
    R(RECIPIENT_OK, 250, "2.1.5", "Recipient OK")                                                  \
    R(CHUNK_OK, 250, "2.0.0", "Chunk received")                                                    \
    R(CANNOT_VERIFY, 252, "2.5.0", "Not telling; send mail and see")                               \
    R(GO_TLS, 220, "2.0.0", "Begin TLS")                                                           \
    R(GO_DATA, 354, "", "Send the message, end it with <CRLF>.<CRLF>")                             \
    /* The server's condition. */                                                                  \
    R(STOPPING, 421, "4.3.2", "The service is being stopped, try again soon")                      \
    R(TIMEOUT, 421, "4.4.2", "Waited too long, closing the connection")                            \
    R(TOO_MANY_CONNECTIONS, 421, "4.7.0", "Too many connections, try again later")                 \
    R(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors, closing the connection")                    \
    R(NOT_SMTP, 421, "4.7.0", "This is an SMTP server, closing the connection")                    \
    R(UNAVAILABLE, 451, "4.3.0", "Temporarily unavailable, try again later")                       \
    R(PARTLY, 451, "4.3.0", "Not every recipient could be served, try again")                      \
    R(LATER, 451, "4.7.1", "Too much at once, try again later")                                    \
    R(DEFERRED, 451, "4.7.1", "Not taken now, try again later")                                    \
    R(OVER_QUOTA, 452, "4.2.2", "The mailbox is full")                                             \
    R(NO_ROOM, 452, "4.3.1", "No room for mail now, try again later")                              \
    R(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients, send to the rest separately")       \
    R(LOGIN_UNAVAILABLE, 454, "4.7.0", "Temporary authentication failure")                         \
    /* Syntax and sequence. */                                                                     \
    R(UNKNOWN_COMMAND, 500, "5.5.2", "Unknown command")                                            \
    R(BAD_LINE_END, 500, "5.5.2", "A command ends with CRLF and holds no other CR, LF or NUL")     \
    R(LINE_TOO_LONG, 500, "5.5.2", "Line too long")                                                \
    R(LOGIN_TOO_LONG, 500, "5.5.6", "Authentication exchange line is too long")                    \
    R(BAD_ARGUMENT, 501, "5.5.4", "Syntax error in the argument")                                  \
    R(BAD_PARAMETER, 501, "5.5.4", "Bad value of a parameter")                                     \
    R(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax")                                       \
    R(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax")                                 \
    R(BAD_BASE64, 501, "5.5.2", "Cannot decode the response")                                      \
    R(LOGIN_CANCELLED, 501, "5.7.0", "Authentication cancelled")                                   \
    R(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented")                                    \
    R(HELO_FIRST, 503, "5.5.1", "Send EHLO first")                                                 \
    R(MAIL_FIRST, 503, "5.5.1", "Send MAIL first")                                                 \
    R(NESTED_MAIL, 503, "5.5.1", "A sender was given already")                                     \
    R(NOT_IN_TRANSACTION, 503, "5.5.1", "Not during a mail transaction")                           \
    R(CHUNKS_BEGUN, 503, "5.5.1", "The message was begun with BDAT")                               \
    R(TLS_ALREADY, 503, "5.5.1", "TLS is on already")                                              \
    R(LOGGED_IN_ALREADY, 503, "5.5.1", "Already authenticated")                                    \
    R(UNKNOWN_MECHANISM, 504, "5.5.4", "Unknown authentication mechanism")                         \
    R(LOGIN_FIRST, 530, "5.7.0", "Authentication required")                                        \
    R(TLS_FIRST, 530, "5.7.0", "Must issue a STARTTLS command first")                              \
    R(LOGIN_DENIED, 535, "5.7.8", "Authentication credentials invalid")                            \
    R(TLS_BEFORE_LOGIN, 538, "5.7.11", "Encryption required, issue STARTTLS first")                \
    R(NEEDS_TLS, 530, "5.7.10", "REQUIRETLS needs TLS, issue STARTTLS first")                      \
    R(UNKNOWN_PARAMETER, 555, "5.5.4", "Unknown parameter")                                        \
    /* Policy and addresses. */                                                                    \
    R(UNKNOWN_RECIPIENT, 550, "5.1.1", "No such recipient here")                                   \
    R(NO_SENDER_DOMAIN, 550, "5.1.8", "The sender's domain does not exist")                        \
    R(SENDER_TAKES_NONE, 550, "5.7.27", "The sender's domain takes no mail, so none is taken from it") \
    R(CLIENT_LISTED, 554, "5.7.1", "Your address is on block lists, no mail is taken from it")     \
    R(RECIPIENT_DISABLED, 550, "5.2.1", "The mailbox takes no mail")                               \
    R(RELAYING, 550, "5.7.1", "Relaying denied, this address is on another server")                \
    R(NOT_ALLOWED, 550, "5.7.1", "Not allowed")                                                    \
    R(REFUSED, 550, "5.7.1", "Refused by a rule")                                                  \
    R(MESSAGE_REFUSED, 550, "5.7.1", "The message is refused")                                     \
    R(POLICY_REFUSED, 550, "5.7.26", "The message is not from who it says, and its domain forbids that") \
    R(JUNK_NOT_FORWARDED, 550, "5.7.1", "This looks like junk, which is not forwarded")            \
    R(SENDER_NOT_OWN, 550, "5.7.1", "The sender address does not belong to this login")            \
    R(NULL_SENDER, 550, "5.7.1", "Submission needs a sender address of this login")                \
    R(AUTHOR_NOT_OWN, 550, "5.7.1", "An address in From or Sender does not belong to this login")  \
    R(BAD_AUTHOR, 550, "5.6.0", "From or Sender is not a list of addresses")                       \
    R(TOO_MANY_PRIVATE, 550, "5.6.0", "Too many Bcc fields")                                       \
    R(NEEDS_UTF8, 553, "5.6.7", "A non-ASCII address needs SMTPUTF8")                              \
    R(BARE_LINE_END, 550, "5.6.11", "A CR or LF by itself; lines of mail end with CRLF")           \
    R(HAS_NUL, 550, "5.6.0", "A NUL byte in the message")                                          \
    R(TEXT_LINE_TOO_LONG, 550, "5.6.0", "A line of the message is longer than 1 MiB")              \
    R(TOO_LARGE, 552, "5.3.4", "Message too large")                                                \
    R(NO_RECIPIENTS, 554, "5.5.1", "No valid recipients")                                          \
    R(TOO_MANY_HOPS, 554, "5.4.6", "Too many hops, this looks like a mail loop")

enum smtp_reply {
#define R(NAME, code, enhanced, words) SMTP_REPLY_##NAME,
    SMTP_REPLIES(R)
#undef R
};

/* Appends the reply, with the CRLF. */
void smtp_reply_write(struct buf *out, enum smtp_reply reply);
/*
 * The same as another role wants it: with its words unless they are empty, and its code unless that
 * is 0 or says neither "later" nor "never". Words may begin with an enhanced code of their own.
 */
void smtp_reply_write_as(struct buf *out, enum smtp_reply reply, uint64_t code, struct str words);
/* Its words alone. */
void smtp_reply_put_words(struct buf *out, enum smtp_reply reply);
/* The three-digit code. */
unsigned smtp_reply_code(enum smtp_reply reply);

/* What was asked, where the same status is told in different words. */
enum smtp_question {
    SMTP_QUESTION_LOGIN,
    SMTP_QUESTION_SENDER,
    SMTP_QUESTION_AUTHOR,              /* of the message's own header */
    SMTP_QUESTION_RECIPIENT,           /* from anybody */
    SMTP_QUESTION_RECIPIENT_OF_LOGIN,  /* from one of ours */
    SMTP_QUESTION_DELIVERY,
    SMTP_QUESTION_COUNT
};

enum smtp_reply smtp_reply_to(enum smtp_question question, enum wire_status status);

#endif
