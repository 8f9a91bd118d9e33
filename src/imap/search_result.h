/* What SEARCH answers. */
#ifndef IMAP_SEARCH_RESULT_H
#define IMAP_SEARCH_RESULT_H

#include "imap/search.h"

struct imap_session;

void imap_search_write_result(struct imap_session *s, const struct imap_search_args *search);

#endif
