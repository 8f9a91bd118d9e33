#include "imap/search_result.h"

#include "imap/engine.h"
#include "imap/write.h"

/* mailbox-data =/ "SEARCH" [1*(SP nz-number) SP search-sort-mod-seq] (RFC 7162 §7) */
void imap_search_write_result(struct imap_session *s, const struct imap_search_args *search)
{
    buf_put(&s->out, STR("* SEARCH"));
    for (size_t i = 0; i < search->found_count; i++) {
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, search->found[i]);
    }
    if (search->has_modseq && search->found_count > 0) {
        buf_put(&s->out, STR(" (MODSEQ "));
        imap_write_number(&s->out, search->found_modseq);
        buf_put(&s->out, STR(")"));
    }
    buf_put(&s->out, STR("\r\n"));
}
