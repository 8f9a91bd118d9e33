/* Any bytes from a server, however they are cut: the same responses end at the same places. */
#include "imap/client/response.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 16 };

static enum err scan_in_pieces(struct task *task, struct str bytes, size_t piece, size_t *out_len)
{
    struct imap_response_scanner scanner = {0};
    enum err err = ERR_OK;

    *out_len = 0;
    for (size_t len = piece; err == ERR_OK && *out_len == 0; len += piece) {
        err = imap_response_scan(&scanner, task, str_upto(bytes, len), LIMIT, out_len);
        if (len >= bytes.len)
            break;
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size);

    while (rest.len > 0) {
        CLEANUP(task_done) struct task task;
        struct imap_response response;
        size_t whole, cut;
        uint32_t number;
        enum err err;

        task_init(&task, 0);
        err = scan_in_pieces(&task, rest, rest.len, &whole);
        assert(scan_in_pieces(&task, rest, 1, &cut) == err && whole == cut);
        if (err != ERR_OK || whole == 0)
            break;
        if (imap_response_parse(&task, str_upto(rest, whole), &response) == ERR_OK) {
            assert(response.count <= 2 * IMAP_RESPONSE_TOKENS_MAX);
            (void)imap_response_code(&response, STR("UIDVALIDITY"), &number);
        }
        rest = str_from(rest, whole);
    }
    return 0;
}
