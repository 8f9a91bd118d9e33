/*
 * Inside the vault only: the words of a message, as the search index keeps them. Text is folded
 * first (message_fold), so that the index and a search key, folded too, agree byte for byte.
 *
 * A word is a run of letters and digits; of scripts that put no spaces between words (CJK, Thai,
 * …), and of signs like emoji, each character is a word. A character's kind depends on that
 * character alone, so that a text which contains a key contains the key's inner words as whole
 * words, its first as the end of one and its last as the beginning of one.
 *
 * A run is what addresses, host names and message ids are: as many letters, digits and joiners
 * (. - _ @) as stand together, at least one of them a joiner. A key that is a run by itself lies
 * in one run of each text that contains it. Runs of header fields are kept beside their words.
 *
 * A term of the index is a place (below) followed by a word or run. Those longer than
 * WORD_BYTES_MAX are kept as overlapping pieces: whatever is at most WORD_PIECE_STEP bytes of one
 * lies in a piece as a whole, and its end in the last piece.
 */
#ifndef VAULT_WORDS_H
#define VAULT_WORDS_H

#include "base/buf.h"
#include "message/message.h"

enum {
    /*
     * Count it up with every change of what words_of gives for a message (the texts it takes, by
     * message_text's rules, too), of terms, or of the rows of a segment. Folding has a number of
     * its own (message_fold_form).
     */
    WORDS_FORM = 6,

    WORD_BYTES_MAX = 200,
    WORD_PIECE_STEP = 100,
    WORD_NAME_MAX = 100, /* of a header field's name; those of longer ones are only in HEADERS */
    TERM_BYTES_MAX = 2 + WORD_NAME_MAX + WORD_BYTES_MAX,

    /* Of a message's text; what is longer is a candidate for every search. */
    WORDS_TEXT_MAX = 1024 * 1024,
    /* How many bytes of text parts are looked at for it, and how many of headers: markup and
     * encodings take their share. */
    WORDS_RAW_MAX = 4 * 1024 * 1024,
    /* How many bytes of pieces a message may have: more is not language. */
    WORDS_PIECES_MAX = 64 * 1024,
};

/* The first byte of a term. Behind WORDS_NAMED and WORDS_NAMED_RUNS stands the field's name in
 * lower case, and NUL; the empty word behind the former says that the message has such a field. */
enum words_place {
    WORDS_BODY = 'b',
    WORDS_HEADERS = 'h', /* of all levels, names included */
    /* Numbers and identifiers, apart: most words that only one message has are such, and a key
     * with any other character need not be looked for among them. */
    WORDS_BODY_HEX = 'B',
    WORDS_HEADERS_HEX = 'H',
    WORDS_SUBJECT = 's',
    WORDS_FROM = 'f',
    WORDS_TO = 't',
    WORDS_CC = 'c',
    WORDS_BCC = 'x',
    WORDS_NAMED = 'n', /* the message's own fields, by name */
    /* The runs of the same, apart from the words, so that neither is looked for among the other. */
    WORDS_SUBJECT_RUNS = 'S',
    WORDS_FROM_RUNS = 'F',
    WORDS_TO_RUNS = 'T',
    WORDS_CC_RUNS = 'C',
    WORDS_BCC_RUNS = 'X',
    WORDS_NAMED_RUNS = 'N',
};

/* The next word of a folded text from *position on, which moves behind it; false at the end. */
bool words_next(struct str text, size_t *position, struct str *out_word);
/* Likewise the next run. */
bool words_next_run(struct str text, size_t *position, struct str *out_run);
/* Whether the text as a whole is a run. */
bool words_are_run(struct str text);
/* Whether the text, valid UTF-8, holds a character that is a word of its own. */
bool words_has_single(struct str text);

/* Whether the word, or piece of one, has hexadecimal digits only; then its place is the one with
 * HEX, where there is one. */
bool words_are_hex(struct str word);

/* Where the runs of a place are; false: it has none. */
bool words_place_of_runs(enum words_place place, enum words_place *out);

/* The place's bytes: one, or with a field's name. Into `out`, at most 2 + WORD_NAME_MAX bytes. */
struct str words_prefix(enum words_place place, struct str name, char out[static TERM_BYTES_MAX]);

/* How many of a term's bytes are its place's. */
size_t words_prefix_len(struct str term);

/*
 * Shortens every part to what the index uses of it: headers and text up to WORDS_RAW_MAX each,
 * nothing of other bodies. True when that leaves words out.
 */
bool words_limit(struct message_structure *structure);

struct words_source {
    struct str raw; /* what words_limit left, at the places that the structure tells */
    const struct message_structure *structure;
    struct str subject, from, to, cc, bcc; /* the decoded columns */
};
typedef void words_on_term(void *owner, struct str term);
/*
 * Gives every term of the message, some more than once. True when something was left out:
 * such a message is a candidate for every search.
 */
bool words_of(const struct words_source *source, words_on_term *on_term, void *owner);

#endif
