/* Any bytes as an archive: the work stays within the budget, whatever is found. */
#include "spam/archives.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    enum spam_content kind = spam_content_of(bytes);
    struct spam_budget budget;
    struct spam_archive archive;

    if (!spam_content_is_archive(kind))
        return 0;
    spam_budget_init(&budget);
    spam_archive_init(&archive, &budget);
    spam_archive_look(&archive, kind, bytes);
    assert(archive.output_left <= SPAM_ARCHIVE_OUTPUT_MAX);
    assert(archive.entries_left <= SPAM_ARCHIVE_ENTRIES_MAX);
    assert(archive.program == SPAM_CONTENT_OTHER || spam_content_is_program(archive.program));
    return 0;
}
