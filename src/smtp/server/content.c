#include "smtp/server/content.h"

#include "base/memory.h"
#include "smtp/header.h"

#include <string.h>

enum {
    FIRST_BLOCK = 8 * 1024,
    LARGEST_BLOCK = 256 * 1024,
};

struct smtp_block {
    struct smtp_block *next;
    size_t len;
    size_t room;
    char bytes[];
};

void smtp_content_init(struct smtp_content *content, struct smtp_memory *memory,
                       size_t limit_bytes)
{
    *content = (struct smtp_content){.memory = memory, .limit_bytes = limit_bytes};
}

void smtp_content_wipe(struct smtp_content *content)
{
    while (content->first != NULL) {
        struct smtp_block *block = content->first;

        content->first = block->next;
        mem_wipe(block->bytes, block->len);
        mem_free(&block);
    }
    content->last = NULL;
}

void smtp_content_done(struct smtp_content *content)
{
    smtp_content_wipe(content);
    content->memory->used_bytes -= content->charged_bytes;
    content->charged_bytes = 0;
    content->len = 0;
}

static enum err add_block(struct smtp_content *content)
{
    size_t room = content->last == NULL ? FIRST_BLOCK : content->last->room * 2;
    struct smtp_memory *memory = content->memory;
    struct smtp_block *block;

    if (room > LARGEST_BLOCK)
        room = LARGEST_BLOCK;
    if (memory->used_bytes > memory->limit_bytes || room > memory->limit_bytes - memory->used_bytes)
        return ERR_BUSY;
    block = mem_new(1, sizeof(*block) + room);
    block->room = room;
    memory->used_bytes += room;
    content->charged_bytes += room;
    if (content->last == NULL)
        content->first = block;
    else
        content->last->next = block;
    content->last = block;
    return ERR_OK;
}

enum err smtp_content_append(struct smtp_content *content, struct str bytes)
{
    if (bytes.len > content->limit_bytes - content->len)
        return ERR_LIMIT;
    while (bytes.len > 0) {
        struct smtp_block *last = content->last;
        size_t len;

        if (last == NULL || last->len == last->room) {
            enum err err = add_block(content);

            if (err != ERR_OK)
                return err;
            last = content->last;
        }
        len = bytes.len < last->room - last->len ? bytes.len : last->room - last->len;
        memcpy(last->bytes + last->len, bytes.ptr, len);
        last->len += len;
        content->len += len;
        bytes = str_from(bytes, len);
    }
    return ERR_OK;
}

bool smtp_content_next(const struct smtp_content *content, const void **position,
                       struct str *out_bytes)
{
    const struct smtp_block *block = *position;

    block = block == NULL ? content->first : block->next;
    if (block == NULL)
        return false;
    *position = block;
    *out_bytes = str_make(block->bytes, block->len);
    return true;
}

struct str smtp_content_header(const struct smtp_content *content, struct buf *storage)
{
    const void *position = NULL;
    struct str bytes = STR("");

    if (!smtp_content_next(content, &position, &bytes))
        return bytes;
    if (bytes.len == content->len || smtp_header_len(bytes) < bytes.len)
        return str_upto(bytes, smtp_header_len(bytes));
    do {
        size_t before = storage->len;
        ptrdiff_t end;

        buf_put(storage, bytes);
        /* The empty line may begin in the block before. */
        before = before < 3 ? 0 : before - 3;
        end = str_find(str_from(buf_str(storage), before), STR("\r\n\r\n"));
        if (end >= 0)
            return str_upto(buf_str(storage), before + (size_t)end + 4);
    } while (smtp_content_next(content, &position, &bytes));
    return buf_str(storage);
}
