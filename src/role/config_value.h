/* The kinds of a setting's value, from text: addresses, sizes, durations, yes and no. */
#ifndef ROLE_CONFIG_VALUE_H
#define ROLE_CONFIG_VALUE_H

#include "base/ip.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Each gives NULL, or the reason why the text is no such value (static words). */

/* "192.0.2.1:143", "[2001:db8::1]:143" */
const char *config_parse_address(struct str text, struct sockaddr_storage *out_address,
                                 socklen_t *out_len);
/* The same, or the absolute path of a local socket. */
const char *config_parse_server(struct str text, struct sockaddr_storage *out_address,
                                socklen_t *out_len);
/* "50M": bytes, or with K, M, G for powers of 1024 */
const char *config_parse_size(struct str text, uint64_t *out_bytes);
/* "75s": ms, s, m, h or d; the unit is needed */
const char *config_parse_duration(struct str text, uint64_t *out_ms);
/* yes, no, true, false, on, off */
const char *config_parse_flag(struct str text, bool *out_flag);
const char *config_parse_number(struct str text, uint64_t *out_value);
/* letters, digits, hyphens and dots, as in RFC 1123 §2.1; at most 253 */
const char *config_parse_hostname(struct str text);

/* "192.0.2.0/24", "2001:db8::/32", or an address alone; IPv4 as ::ffff:a.b.c.d. */
const char *config_parse_network(struct str text, struct ip_network *out);
/* `address` as text without port. */
bool config_network_contains(const struct ip_network *network, struct str address);

/* "zone points": a name and a number with up to three decimals, here in thousandths */
const char *config_parse_block_list(struct str text, struct str *out_zone, uint64_t *out_score);

#endif
