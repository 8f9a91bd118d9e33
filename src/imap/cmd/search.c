/* SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 7162 §3.1.5). */
#include "imap/engine.h"
#include "imap/search_result.h"
#include "imap/search_run.h"

IMAP_PARSE(search)
{
    TRY(imap_parse_space(parser));
    return imap_search_parse(parser, &args->search);
}

IMAP_COMMAND(search)
{
    struct imap_search_args *search = &args->search;

    if (search->is_wrong_charset)
        return imap_refuse(s, task, IMAP_REFUSAL_CHARSET);
    TRY(imap_search_run(s, task, search));
    if (s->pause == IMAP_PAUSE_NONE)
        imap_search_write_result(s, search);
    return ERR_OK;
}
