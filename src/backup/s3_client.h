/*
 * Requests to one bucket: where its host is, what the URL is, the signature, and what the status means.
 * A request that was not answered, or with "come back later", is sent again a few times.
 */
#ifndef BACKUP_S3_CLIENT_H
#define BACKUP_S3_CLIENT_H

#include "backup/place.h"
#include "base/log.h"
#include "dns/client.h"
#include "net/http.h"
#include "net/target.h"

enum { S3_HEADERS_MAX = 8, S3_SHA256_HEX = 64 };

struct s3_client;
struct s3_exchange; /* one request, with its repetitions */

struct s3_client_options {
    struct net_loop *loop;  /* borrowed, as the next two */
    struct net_http *http;
    struct dns_client *dns;
    const struct backup_place *place; /* copied */
    struct str key_id, region;        /* copied */
    struct secret *secret;            /* taken over */
    /* Which addresses it may have, for a place that a stranger named; borrowed. NULL: any. */
    const struct net_target_rules *rules;
    int64_t first_wait_ms;            /* before a repetition; then twice as long. 0: 500 */
};

struct s3_client *s3_client_new(const struct s3_client_options *options);
/* Another key, for requests that are sent from now on. Takes the secret over. */
void s3_client_set_key(struct s3_client *client, struct str key_id, struct secret *secret);
/* No exchange is under way. */
void s3_client_free(struct s3_client **client);
/* The place's, "" or "…/". */
struct str s3_client_prefix(const struct s3_client *client);

/* As backup_lost_put_ms has it. */
int64_t s3_client_lost_put_ms(const struct s3_client *client, struct str name);

struct s3_request {
    enum net_http_method method;
    struct str name;  /* of an object, without the prefix; empty: the bucket */
    struct str query; /* sorted and encoded (s3_query_put), without "?" */
    const struct str *headers; /* more lines; copied */
    size_t header_count;
    const char *sha256; /* of the body, in hexadecimal; NULL: of no bytes */
    struct str body;    /* copied */
    int body_fd;        /* borrowed for the exchange; with body_len > 0 */
    uint64_t body_start, body_len;
    size_t response_limit;      /* 0: 64 KiB */
    net_http_on_bytes on_bytes; /* repetitions are its owner's then */
};

struct s3_reply {
    enum err err; /* as destination.h has them */
    const char *words;
    unsigned status;
    struct str code; /* of S3's error: "NoSuchUpload" */
    struct str body;
    const struct net_http_response *response; /* for its headers; NULL: none came */
};

typedef void (*s3_on_reply)(void *owner, const struct s3_reply *reply);

/* Answers later, once; the exchange is gone when on_reply returns. */
struct s3_exchange *s3_start(struct s3_client *client, const struct s3_request *request,
                             s3_on_reply on_reply, void *owner);
void s3_cancel(struct s3_exchange **exchange);
/* The response's status, in on_bytes. */
unsigned s3_status(const struct s3_exchange *exchange);
/* One of its headers, in on_bytes; as net_http_call_header has it. */
struct str s3_header(const struct s3_exchange *exchange, const char *name);

/* Appends "name=value", "&" before it where there is something already. */
void s3_query_put(struct buf *query, const char *name, struct str value);

#endif
