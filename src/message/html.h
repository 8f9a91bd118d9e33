/* HTML to its text, for search; not a browser: it finds words, linear in the input. */
#ifndef MESSAGE_HTML_H
#define MESSAGE_HTML_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends the text of a UTF-8 document: without tags, comments, styles and scripts, with character
 * references resolved. Inline tags vanish ("<b>w</b>ord" is "word"), others become a line break.
 */
void html_text(struct str html, struct buf *out);

#endif
