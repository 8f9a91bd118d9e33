/* Inside src/spam: the tokens of a view that is made already. */
#ifndef SPAM_TOKENS_H
#define SPAM_TOKENS_H

#include "spam/model.h"
#include "spam/view.h"

void spam_tokenize_view(struct task *task, const struct spam_view *view, struct spam_tokens *out);

#endif
