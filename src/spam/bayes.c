/*
 * How likely is it spam? Each token's own probability is drawn towards the middle where little is
 * known of it (Robinson, "A statistical approach to the spam problem", 2003); the most telling ones
 * are combined by Fisher's method: under the hypothesis that tokens say nothing, -2 ln of their
 * product follows a chi-square distribution.
 */
#include "spam/model.h"

#include <math.h>
#include <stdlib.h>

enum { TELLING_MAX = 150 };

static const double BELIEF = 0.45;    /* the weight of not knowing, in messages */
static const double TELLING = 0.1;    /* from the middle: less says nothing */
static const double MIDDLE = 0.5;

static double token_probability(struct spam_count count, struct spam_count total)
{
    double spam = total.spam > 0 ? (double)count.spam / total.spam : 0;
    double ham = total.ham > 0 ? (double)count.ham / total.ham : 0;
    double messages = (double)count.spam + (double)count.ham;

    if (messages <= 0 || spam + ham <= 0)
        return MIDDLE;
    return (BELIEF * MIDDLE + messages * (spam / (spam + ham))) / (BELIEF + messages);
}

/* The probability that chi-square with 2 * `pairs` degrees of freedom is at least `value`. */
static double chi_square_over(double value, size_t pairs)
{
    double half = value / 2, term = exp(-half), sum = term;

    if (half > 700) /* exp gives 0; what is left is the last terms */
        return 0;
    for (size_t i = 1; i < pairs; i++) {
        term *= half / (double)i;
        sum += term;
    }
    return sum < 1 ? sum : 1;
}

static int compare_telling(const void *a, const void *b)
{
    double x = fabs(*(const double *)a - MIDDLE), y = fabs(*(const double *)b - MIDDLE);

    return (x < y) - (x > y);
}

unsigned spam_probability(const struct spam_tokens *tokens, const struct spam_count *counts,
                          struct spam_count total)
{
    double telling[SPAM_TOKENS_MAX], spam_log = 0, ham_log = 0, spam, ham;
    size_t count = 0;

    for (size_t i = 0; i < tokens->count; i++) {
        double p = token_probability(counts[i], total);

        if (fabs(p - MIDDLE) >= TELLING)
            telling[count++] = p;
    }
    if (count == 0)
        return 500;
    qsort(telling, count, sizeof(telling[0]), compare_telling);
    if (count > TELLING_MAX)
        count = TELLING_MAX;
    for (size_t i = 0; i < count; i++) {
        spam_log += log(1 - telling[i]);
        ham_log += log(telling[i]);
    }
    spam = 1 - chi_square_over(-2 * spam_log, count);
    ham = 1 - chi_square_over(-2 * ham_log, count);
    return (unsigned)lround((spam - ham + 1) / 2 * 1000);
}
