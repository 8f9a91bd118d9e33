#include "imap/search_score.h"

#include "base/ascii.h"

enum {
    SCORE_WHOLE = 100,
    SCORE_BASE = 10,
    SCORE_PARTS = 30, /* all words are there, be it inside others */
    SCORE_WORDS = 50, /* all of them as words */
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

static bool has_word(struct str text, struct str word)
{
    while (text.len > 0) {
        ptrdiff_t at = str_find(text, word);
        size_t end = at < 0 ? 0 : (size_t)at + word.len;

        if (at < 0)
            return false;
        if ((at == 0 || !is_word_char(text.ptr[at - 1])) &&
            (end == text.len || !is_word_char(text.ptr[end])))
            return true;
        text = str_from(text, (size_t)at + 1);
    }
    return false;
}

static unsigned score_of(struct imap_search_candidate *c, const struct imap_search_program *program,
                         uint32_t at)
{
    const struct imap_search_node *nodes = program->nodes;
    struct str text = imap_search_text(c, &nodes[at]);
    unsigned total = 0, parts = 0, words = 0;

    if (str_find(text, nodes[at].folded) >= 0)
        return SCORE_WHOLE;
    for (uint32_t i = at + 1; i < nodes[at].next; i = nodes[i].next) {
        total++;
        parts += str_find(text, nodes[i].folded) >= 0;
        words += nodes[i].folded.len > 0 && has_word(text, nodes[i].folded);
    }
    return total == 0 ? SCORE_BASE
                      : SCORE_BASE + (SCORE_PARTS * parts + SCORE_WORDS * words) / total;
}

uint8_t imap_search_score(struct imap_search_candidate *c,
                          const struct imap_search_program *program)
{
    unsigned sum = 0, count = 0;

    for (uint32_t i = 0; i < program->node_count; i++) {
        if (!is_text(&program->nodes[i]))
            continue;
        sum += score_of(c, program, i);
        count++;
    }
    return count == 0 ? SCORE_WHOLE : (uint8_t)(sum / count);
}
