/* SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 7162 §3.1.5, RFC 9394). */
#include "imap/engine.h"

/* search = "SEARCH" [search-return-opts] SP search-program (RFC 4466 §2.6.1) */
IMAP_PARSE(search)
{
    TRY(imap_parse_space(parser));
    TRY(imap_search_return_parse(parser, &args->search.wanted));
    TRY(imap_search_parse(parser, &args->search.program));
    return imap_search_parse_end(parser, &args->search);
}

/* "RELEVANCY ... MUST NOT be used unless a FUZZY search key is also given" (RFC 6203 §4, §6). */
enum err imap_search_parse_end(struct imap_parser *parser, struct imap_search_args *search)
{
    if (search->wanted.options & IMAP_RETURN_RELEVANCY)
        search->run.wants_scores = true;
    if (search->run.wants_scores && !search->program.has_fuzzy)
        return imap_expected(parser, "a FUZZY key with RELEVANCY");
    return ERR_OK;
}

enum err imap_search_selected(struct imap_session *s, struct task *task,
                              struct imap_search_args *search)
{
    if (search->program.is_wrong_charset)
        return imap_refuse(s, task, IMAP_REFUSAL_CHARSET);
    search->run.program = &search->program;
    search->run.view = &s->view;
    return imap_search_run(s, task, &search->run);
}

enum err imap_search_answer(struct imap_session *s, struct task *task,
                            const struct imap_search_return *wanted,
                            const struct imap_search_result *result)
{
    TRY(imap_search_save(s, task, wanted, result));
    imap_search_write_result(s, wanted, result);
    return ERR_OK;
}

static const struct imap_search_return *wanted_of(const struct imap_command *command,
                                                  const union imap_args *args)
{
    if (command->run == imap_cmd_search)
        return &args->search.wanted;
    if (command->run == imap_cmd_sort)
        return &args->sort.search.wanted;
    return command->run == imap_cmd_esearch ? &args->esearch.wanted : NULL;
}

void imap_search_refused(struct imap_session *s, const struct imap_command *command,
                         const union imap_args *args)
{
    const struct imap_search_return *wanted = wanted_of(command, args);

    if (wanted != NULL && (wanted->options & IMAP_RETURN_SAVE))
        imap_view_save(&s->view, NULL, 0);
}

IMAP_COMMAND(search)
{
    struct imap_search_args *search = &args->search;
    struct imap_search_result result = {.is_search = true, .view = &s->view};

    /* IMAP4rev2 has no other answer than ESEARCH (RFC 9051 §6.4.4). */
    if (imap_has(s, IMAP_EXT_REV2) && !search->wanted.is_extended)
        search->wanted =
            (struct imap_search_return){.is_extended = true, .options = IMAP_RETURN_ALL};
    TRY(imap_search_selected(s, task, search));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    result.found = search->run.found;
    result.count = search->run.found_count;
    result.modseqs = search->run.modseqs;
    result.scores = search->run.scores;
    return imap_search_answer(s, task, &search->wanted, &result);
}
