#include "imap/search_score.h"

#include "base/ascii.h"
#include "imap/engine.h"

enum {
    SCORE_WHOLE = 100,
    SCORE_BASE = 10,
    SCORE_PARTS = 30, /* all words are there, be it inside others */
    SCORE_WORDS = 50, /* all of them as words */

    WORD_BYTES_MAX = 256, /* a longer one counts as a part only */
};

/* A FUZZY that stands for the words of a text; the others stand for the word FUZZY itself. */
static bool is_text(const struct imap_search_node *node)
{
    return node->op == IMAP_SEARCH_FUZZY && node->text.len > 0;
}

bool imap_search_scores_content(const struct imap_search_program *program)
{
    for (uint32_t i = 0; i < program->node_count; i++)
        if (is_text(&program->nodes[i]) && imap_search_is_in_content(program->nodes[i].field))
            return true;
    return false;
}

static bool is_word_char(char c)
{
    return ascii_is_alnum(c) || ascii_is_8bit(c);
}

/* Where the word is found, but inside another, it is looked for behind that one. */
static bool has_word(struct str text, struct str word)
{
    size_t at = 0;

    while (at < text.len && word.len <= WORD_BYTES_MAX) {
        ptrdiff_t found = str_find(str_from(text, at), word);
        size_t end;

        if (found < 0)
            return false;
        at += (size_t)found;
        end = at + word.len;
        if ((at == 0 || !is_word_char(text.ptr[at - 1])) &&
            (end == text.len || !is_word_char(text.ptr[end])))
            return true;
        do
            at++;
        while (at < text.len && is_word_char(text.ptr[at - 1]) && is_word_char(text.ptr[at]));
    }
    return false;
}

/* The key at hand is scored. */
static void end_key(struct imap_search_scoring *scoring)
{
    scoring->sum +=
        scoring->is_whole ? SCORE_WHOLE
        : scoring->total == 0
            ? SCORE_BASE
            : SCORE_BASE +
                  (SCORE_PARTS * scoring->parts + SCORE_WORDS * scoring->words) / scoring->total;
    scoring->count++;
}

static void begin_key(struct imap_search_candidate *c, const struct imap_search_node *nodes,
                      struct imap_search_scoring *scoring)
{
    const struct imap_search_node *key = &nodes[scoring->at];

    scoring->text = imap_search_text(c, key);
    scoring->end = key->next;
    scoring->total = scoring->parts = scoring->words = 0;
    scoring->is_whole = str_find(scoring->text, key->folded) >= 0;
    scoring->at = scoring->is_whole ? key->next : scoring->at + 1;
}

static void look_for_word(const struct imap_search_node *nodes, struct imap_search_scoring *scoring)
{
    const struct imap_search_node *word = &nodes[scoring->at];

    scoring->total++;
    scoring->parts += str_find(scoring->text, word->folded) >= 0;
    scoring->words += word->folded.len > 0 && has_word(scoring->text, word->folded);
    scoring->at = word->next;
}

bool imap_search_score(struct imap_search_candidate *c, const struct imap_search_program *program,
                       struct imap_search_scoring *scoring)
{
    const struct imap_search_node *nodes = program->nodes;

    while (scoring->at < program->node_count && !imap_must_give_way(c->s)) {
        if (scoring->at < scoring->end) {
            look_for_word(nodes, scoring);
        } else if (is_text(&nodes[scoring->at])) {
            begin_key(c, nodes, scoring);
        } else {
            scoring->at++;
            continue;
        }
        imap_spend(c->s, 1 + scoring->text.len / IMAP_SEARCH_BYTES_PER_UNIT);
        if (scoring->at == scoring->end)
            end_key(scoring);
    }
    return scoring->at == program->node_count;
}

uint8_t imap_search_score_of(const struct imap_search_scoring *scoring)
{
    return scoring->count == 0 ? SCORE_WHOLE : (uint8_t)(scoring->sum / scoring->count);
}
