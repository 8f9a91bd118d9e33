/* Any bytes as a file, and as a file's name. */
#include "spam/content.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    enum spam_content content = spam_content_of(bytes);
    struct spam_name name;

    assert(spam_content_words(content) != NULL);
    assert(!spam_content_is_program(content) || !spam_content_is_archive(content));
    spam_name_judge(bytes, &name);
    assert(!name.is_double || name.is_program);
    assert(!name.is_program || !name.claims_document);
    return 0;
}
