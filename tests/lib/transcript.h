/*
 * What the conversations in tests/protocol have in common, whatever they speak: the lines' own
 * notation. $name captures a word, or demands (or says) the same again; $name! captures one that no
 * variable has yet; $(x*70000) is 70,000 times x, which may be several characters, among them $i,
 * the how manieth it is; \xNN is that byte; "..." is any text.
 */
#ifndef TESTS_TRANSCRIPT_H
#define TESTS_TRANSCRIPT_H

#include "base/arena.h"
#include "base/buf.h"

enum { TRANSCRIPT_VARIABLES_MAX = 50 };

/* The variables of one conversation. All-zero is none. */
struct transcript_variables {
    struct arena arena;
    struct {
        struct str name, value;
    } at[TRANSCRIPT_VARIABLES_MAX];
    size_t count;
};

void transcript_variables_done(struct transcript_variables *variables);

/* Appends what a client's line means. False: it means nothing. */
bool transcript_expand(const struct transcript_variables *variables, struct str text,
                       struct buf *out);
/* Whether the server's line is as expected; with `may_have_words`, or that and more words. */
bool transcript_match(struct transcript_variables *variables, struct str expected, struct str line,
                      bool may_have_words);

#endif
