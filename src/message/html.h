/* HTML to its text, for search; not a browser: it finds words, linear in the input. */
#ifndef MESSAGE_HTML_H
#define MESSAGE_HTML_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Makes the text of a UTF-8 document, in steps: without tags, comments, styles and scripts, with
 * character references resolved. Inline tags vanish ("<b>w</b>ord" is "word"), others become a line
 * break. Begin with `html` and `room` set and the rest zero.
 */
struct html_reader {
    struct str html; /* borrowed */
    size_t i;
    char *room; /* borrowed; as long as the input, which is never outgrown */
    size_t len; /* of the text in `room` */
    bool is_attribute;   /* its value, in which "&copy=" is no reference, as browsers have it */
    char blank;          /* white space to write before the next text, 0: none */
    bool has_no_more[2]; /* closing quotes: double, single */
};
/* Reads about `max` bytes on, or to the end of what begins in them. False: that was all. */
bool html_reader_step(struct html_reader *reader, size_t max);
/* Where a tag's '>' is, in a text that begins with its name; the text's length: there is none. */
size_t html_tag_end(struct str tag);

#endif
