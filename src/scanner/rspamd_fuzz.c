/* A reply of rspamd's: the score is in bounds, the symbols are a few plain words; and what goes to
 * it as a header field is one line. */
#include "scanner/rspamd.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size), headers[RSPAMD_HEADERS];
    struct rspamd_reply reply;
    struct task task;
    size_t count;

    task_init(&task, 0);
    if (rspamd_reply_parse(&task, text, &reply) == ERR_OK) {
        assert(reply.score >= -RSPAMD_SCORE_LARGEST && reply.score <= RSPAMD_SCORE_LARGEST);
        assert(reply.symbols.len <= RSPAMD_SYMBOLS_NAMED * (RSPAMD_SYMBOL_MAX + 1));
        for (size_t i = 0; i < reply.symbols.len; i++)
            assert(reply.symbols.ptr[i] >= ' ' && reply.symbols.ptr[i] < 0x7f);
    }
    count = rspamd_headers(&task, text, text, text, text, headers);
    for (size_t i = 0; i < count; i++) {
        assert(memchr(headers[i].ptr, '\n', headers[i].len) == NULL);
        assert(memchr(headers[i].ptr, '\r', headers[i].len) == NULL);
        assert(memchr(headers[i].ptr, '\0', headers[i].len) == NULL);
    }
    task_done(&task);
    return 0;
}
