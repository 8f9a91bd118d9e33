/* Addresses of clients. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/str.h"

/*
 * What is counted as one client: an IPv4 address (also when it is mapped into IPv6), or the /64 that
 * an IPv6 address lies in, which is what one subscriber has; other text as it is. Gives how many
 * bytes were written.
 */
enum { IP_CLIENT_KEY_MAX = 46 };
size_t ip_client_key(struct str address, unsigned char out[IP_CLIENT_KEY_MAX]);

#endif
