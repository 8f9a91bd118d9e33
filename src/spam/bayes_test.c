/* The combination of tokens. */
#include "spam/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static unsigned of(size_t spam_only, size_t ham_only, size_t both, size_t unknown)
{
    static struct spam_tokens tokens;
    static struct spam_count counts[SPAM_TOKENS_MAX];
    size_t at = 0;

    for (size_t i = 0; i < spam_only; i++)
        counts[at++] = (struct spam_count){5, 0};
    for (size_t i = 0; i < ham_only; i++)
        counts[at++] = (struct spam_count){0, 5};
    for (size_t i = 0; i < both; i++)
        counts[at++] = (struct spam_count){5, 5};
    for (size_t i = 0; i < unknown; i++)
        counts[at++] = (struct spam_count){0, 0};
    tokens.count = at;
    return spam_probability(&tokens, counts, (struct spam_count){100, 100});
}

static void test_rows(void **state)
{
    static const struct {
        const char *rule;
        size_t spam, ham, both, unknown;
        unsigned least, most;
    } rows[] = {
        {"nothing is known", 0, 0, 0, 0, 500, 500},
        {"only unknown tokens", 0, 0, 0, 300, 500, 500},
        {"tokens of both say nothing", 0, 0, 300, 0, 500, 500},
        {"spam", 20, 0, 0, 0, 990, 1000},
        {"ham", 0, 20, 0, 0, 0, 10},
        {"as much of each: undecided", 20, 20, 0, 0, 450, 550},
        {"one word proves nothing", 1, 0, 0, 100, 500, 990},
        {"mostly spam", 20, 4, 0, 50, 900, 1000},
        {"as many tokens as there can be", 4096, 0, 0, 0, 990, 1000},
        {"and on the other side", 0, 4096, 0, 0, 0, 10},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned found = of(rows[i].spam, rows[i].ham, rows[i].both, rows[i].unknown);

        if (found < rows[i].least || found > rows[i].most)
            fail_msg("%s: %u", rows[i].rule, found);
    }
}

/* A model that learned one kind only, or nothing, or counts that cannot be: no crash, no NaN. */
static void test_totals(void **state)
{
    static struct spam_tokens tokens = {.count = 3};
    const struct spam_count counts[] = {{UINT32_MAX, UINT32_MAX}, {9, 0}, {0, 9}};
    const struct spam_count totals[] = {{0, 0}, {1, 0}, {0, 1}, {UINT32_MAX, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(totals); i++)
        assert_true(spam_probability(&tokens, counts, totals[i]) <= 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_totals)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
