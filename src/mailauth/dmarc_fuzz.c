/* The first line is the record of every domain, the second the author's domain, as a From field has
 * it. */
#include "mailauth/dmarc.h"
#include "mailauth/examine_fuzz.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size), record = STR(""), author = STR("");
    struct mailauth_dmarc_record parsed;
    enum mailauth_dmarc_form form;
    struct mailauth_verdict verdict;
    struct task task;

    task_init(&task, 0);
    (void)str_split(&rest, '\n', &record);
    (void)str_split(&rest, '\n', &author);
    form = mailauth_dmarc_parse(record, &parsed);
    assert(parsed.percent <= 100);
    examine_fuzz(&task, arena_printf(&task.arena, "From: a@%.*s\r\n\r\n", STR_ARG(author)), record,
                 &verdict);
    if (form == MAILAUTH_DMARC_NOT_ONE)
        assert(verdict.dmarc == MAILAUTH_NONE || verdict.dmarc == MAILAUTH_PERMERROR);
    if (verdict.author_domain.len > 0 && form == MAILAUTH_DMARC_VALID)
        assert(verdict.dmarc == MAILAUTH_FAIL || verdict.dmarc == MAILAUTH_PASS ||
               verdict.dmarc == MAILAUTH_PERMERROR || verdict.dmarc == MAILAUTH_NONE);
    task_done(&task);
    return 0;
}
