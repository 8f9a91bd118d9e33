/* How text is ordered and compared by SORT and THREAD (RFC 5255 §4.6). */
#ifndef MESSAGE_COLLATE_H
#define MESSAGE_COLLATE_H

#include "base/buf.h"
#include "base/str.h"

/*
 * The canonical form of i;unicode-casemap (RFC 5051 §2): each character in title case, then
 * decomposed, compatibility included. Two texts are equal, or in order, as the bytes of their forms
 * are. Bytes that are not UTF-8 pass as they are. Appends.
 */
void collate_casemap(struct str text, struct buf *out);

#endif
