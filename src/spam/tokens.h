/* Inside src/spam: the tokens of a view that is made already. */
#ifndef SPAM_TOKENS_H
#define SPAM_TOKENS_H

#include "spam/model.h"
#include "spam/view.h"

/* Replaces what is in *out, without duplicates; `task` for what is needed meanwhile. */
void spam_tokenize_view(struct task *task, const struct spam_view *view, struct spam_tokens *out);

#endif
