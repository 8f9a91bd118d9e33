/*
 * http and https URLs (RFC 3986) that a stranger wrote, read in one way only: what is understood
 * here is written anew, so that whoever gets the text afterwards (libcurl) cannot understand it
 * otherwise.
 *
 *   url       = ("http" / "https") "://" host [":" port] [path] ["?" query] ["#" fragment]
 *
 * Refused: user and password, backslashes, percent signs in the host, white space and control
 * characters. A host that ends in a number is an IPv4 address in one of the spellings that programs
 * have understood ever since inet_aton ("0x7f.1", "017700000001", "2130706433"), or nothing; it
 * becomes what it stands for. The fragment is dropped.
 */
#ifndef NET_URL_H
#define NET_URL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/ip.h"

enum { NET_URL_MAX = 2048 };

struct net_url {
    bool is_https;
    bool is_address; /* the host is one: `address` */
    struct ip_address address;
    struct str host; /* lower-case ASCII, no dot at the end, no brackets */
    uint16_t port;
    struct str target; /* path and query, "/" at least */
};

/* NULL, or why it is no such URL (constant words). Texts are in the arena. */
MUST_CHECK const char *net_url_parse(struct arena *arena, struct str text, struct net_url *out);
/* A reference in the sight of `base` (RFC 3986 §5.2): the value of a Location field. */
MUST_CHECK const char *net_url_resolve(struct arena *arena, const struct net_url *base,
                                       struct str reference, struct net_url *out);
/* "https://[2001:db8::1]:8443/path?query"; the port only where it is not the scheme's. */
struct str net_url_text(struct arena *arena, const struct net_url *url);
/* "host" or "host:port", as in a Host field. */
struct str net_url_authority(struct arena *arena, const struct net_url *url);

#endif
