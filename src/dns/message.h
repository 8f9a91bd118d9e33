/*
 * DNS messages (RFC 1035 §4.1): the question that we send, and what an answer to it says. Ours, not
 * ldns's: an answer is a peer's bytes, read here in linear time and without an allocation for what
 * it claims (ldns follows 65,535 compression pointers for each name). The tests read with both.
 */
#ifndef DNS_MESSAGE_H
#define DNS_MESSAGE_H

#include "dns/answer.h"

enum {
    DNS_MESSAGE_MAX = 65535,
    DNS_UDP_MAX = 1232,        /* what we say that we take in one datagram: no fragments */
    DNS_CHAIN_MAX = 16,        /* aliases behind each other */
    DNS_TTL_MAX_S = 86400,     /* kept no longer than a day */
    DNS_NEGATIVE_MAX_S = 3600, /* RFC 2308 §5: one to three hours */
};

/*
 * Appends a recursive question for class IN that asks for the AD bit (RFC 6840 §5.7). is_padded: to
 * a multiple of 128 bytes, so that its length does not tell the name (RFC 8467). `name` as
 * dns_name_set leaves it.
 */
void dns_message_query(struct buf *out, uint16_t id, struct str name, enum dns_type type,
                       bool is_padded);

struct dns_reply {
    struct dns_answer answer; /* FAILED: the server says so (SERVFAIL, REFUSED …), or the aliases go
                               * in a circle. is_secure: its AD bit */
    uint32_t ttl_s;    /* how long this may be kept: RFC 2181 §8, RFC 2308 §5; 0: not at all */
    bool is_truncated; /* ask again over TCP; nothing else is set */
};

/*
 * Reads an answer to that very question; views of `message` and the task's arena. More records than
 * DNS_RECORDS_MAX are cut. ERR_INVALID: malformed, or the answer to another question.
 */
MUST_CHECK enum err dns_message_parse(struct task *task, struct str message, uint16_t id,
                                      struct str name, enum dns_type type, struct dns_reply *out);

#endif
