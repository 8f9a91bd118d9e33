/*
 * Header fields that say where a message has been, as the courier reads and writes them. What our
 * own server put before a message (its trace) is Return-Path first, then Received, results of
 * checks, and for submission a Date or Message-ID that was missing.
 */
#ifndef COURIER_TRACE_H
#define COURIER_TRACE_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Without the Return-Path at its head: it is for mailboxes, not for the way (RFC 5321 §4.4). */
struct str trace_without_return_path(struct str message);
/* Appends the Received fields of a trace, and nothing else of it. */
void trace_put_received(struct buf *out, struct str trace);
/* The value of the first field of that name, trimmed; false: there is none. */
bool trace_field(struct str message, struct str name, struct str *out_value);
/* Has it been delivered to this address before (Delivered-To)? Without case. */
bool trace_was_delivered_to(struct str message, struct str address);
/* The header, with the empty line that ends it. */
struct str trace_header(struct str message);

#endif
