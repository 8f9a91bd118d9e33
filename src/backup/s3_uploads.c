/* Uploads that were begun and not ended: their list, and how one of them is dropped. */
#include "backup/s3_internal.h"

struct s3_exchange *s3_uploads_ask(const struct s3 *s3, struct str prefix, s3_on_reply on_reply,
                                   void *owner)
{
    CLEANUP(buf_free) struct buf query;
    CLEANUP(buf_free) struct buf keys;
    struct s3_request request = {.method = NET_HTTP_GET, .response_limit = S3_XML_BODY_MAX};

    buf_init(&query, SIZE_MAX);
    buf_init(&keys, SIZE_MAX);
    buf_put(&keys, s3_client_prefix(s3->client));
    buf_put(&keys, prefix);
    s3_query_put(&query, "prefix", buf_str(&keys));
    s3_query_put(&query, "uploads", STR(""));
    request.query = buf_str(&query);
    return s3_start(s3->client, &request, on_reply, owner);
}

enum err s3_uploads_read(const struct s3 *s3, struct task *task, struct str prefix, struct str body,
                         struct s3_upload **out, size_t *out_count)
{
    struct str root = s3_client_prefix(s3->client);
    struct s3_upload *uploads;
    size_t count, kept = 0;

    TRY(s3_xml_uploads(task, body, &uploads, &count));
    for (size_t i = 0; i < count; i++) {
        struct str name = str_from(uploads[i].key, root.len);

        if (!str_starts_with(uploads[i].key, root) || !str_starts_with(name, prefix) ||
            !backup_name_is_valid(name))
            continue;
        uploads[kept] = uploads[i];
        uploads[kept++].key = name;
    }
    *out = uploads;
    *out_count = kept;
    return ERR_OK;
}

struct s3_upload *s3_uploads_copy(struct arena *arena, const struct s3_upload *uploads,
                                  size_t count)
{
    struct s3_upload *copies = ARENA_ARRAY(arena, struct s3_upload, count + 1);

    for (size_t i = 0; i < count; i++)
        copies[i] = (struct s3_upload){.key = arena_copy(arena, uploads[i].key),
                                       .id = arena_copy(arena, uploads[i].id),
                                       .initiated_ms = uploads[i].initiated_ms};
    return copies;
}

struct s3_exchange *s3_upload_drop(const struct s3 *s3, struct str name, struct str id,
                                   s3_on_reply on_reply, void *owner)
{
    CLEANUP(buf_free) struct buf query;
    struct s3_request request = {.method = NET_HTTP_DELETE, .name = name};

    buf_init(&query, SIZE_MAX);
    s3_query_put(&query, "uploadId", id);
    request.query = buf_str(&query);
    return s3_start(s3->client, &request, on_reply, owner);
}
