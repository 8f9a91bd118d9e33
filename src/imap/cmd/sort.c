/* SORT and UID SORT (RFC 5256 §3, RFC 5267 §3, RFC 5957): a search, put in order. */
#include "imap/engine.h"

/* sort = "SORT" [search-return-opts] SP sort-criteria SP search-criteria */
IMAP_PARSE(sort)
{
    TRY(imap_parse_space(parser));
    TRY(imap_search_return_parse(parser, &args->sort.search.wanted));
    TRY(imap_sort_parse(parser, &args->sort.order));
    TRY(imap_parse_space(parser));
    TRY(imap_search_parse_with_charset(parser, &args->sort.search.program));
    if (imap_sort_has_relevancy(&args->sort.order))
        args->sort.search.run.wants_scores = true;
    return imap_search_parse_end(parser, &args->sort.search);
}

IMAP_COMMAND(sort)
{
    struct imap_sort_args *sort = &args->sort;
    struct imap_search_args *search = &sort->search;
    struct imap_search_result result = {.view = &s->view};

    TRY(imap_search_selected(s, task, search));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    if (sort->sort.phase == IMAP_SORT_BEGINNING) {
        sort->sort.order = &sort->order;
        sort->sort.view = &s->view;
        sort->sort.found = search->run.found;
        sort->sort.found_count = search->run.found_count;
        sort->sort.modseqs = search->run.modseqs;
        sort->sort.scores = search->run.scores;
    }
    TRY(imap_sort_run(s, task, &sort->sort));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    result.found = sort->sort.found;
    result.count = sort->sort.found_count;
    result.modseqs = sort->sort.modseqs;
    result.scores = sort->sort.scores;
    return imap_search_answer(s, task, &search->wanted, &result);
}
