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

static enum err sort(struct imap_session *s, struct task *task, struct imap_sort_args *args)
{
    struct imap_search_args *search = &args->search;
    struct imap_search_result result = {.view = &s->view};

    TRY(imap_search_selected(s, task, search));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    if (args->sort.phase == IMAP_SORT_BEGINNING) {
        args->sort.order = &args->order;
        args->sort.view = &s->view;
        args->sort.found = search->run.found;
        args->sort.found_count = search->run.found_count;
        args->sort.modseqs = search->run.modseqs;
        args->sort.scores = search->run.scores;
    }
    TRY(imap_sort_run(s, task, &args->sort));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    result.found = args->sort.found;
    result.count = args->sort.found_count;
    result.modseqs = args->sort.modseqs;
    result.scores = args->sort.scores;
    return imap_search_answer(s, task, &search->wanted, &result);
}

IMAP_COMMAND(sort)
{
    enum err err = sort(s, task, &args->sort);

    return imap_search_end(s, &args->sort.search.wanted, err);
}
