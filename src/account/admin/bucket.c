/* `sealpost backup destination …`: the bucket of its owner's own that a mailbox's backups are
 * copied to. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include <string.h>

enum { REGION_MAX = 64 };

static enum err find_mailbox(struct admin_request *request, struct account_alias *out_alias)
{
    TRY(admin_find_alias(request, "address", out_alias));
    if (out_alias->mailbox == 0)
        return admin_refuse(request, ERR_NOT_FOUND, "The alias has no mailbox.");
    return ERR_OK;
}

/* As one part of a signature's scope: "eu-central-1". */
static bool is_region(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                   text.ptr[i]) == NULL)
            return false;
    }
    return text.len > 0 && text.len <= REGION_MAX;
}

static struct account_bucket asked_for(const struct admin_request *request)
{
    struct str region = admin_argument_text(request, "region");

    return (struct account_bucket){
        .mailbox = request->mailbox,
        .place = admin_argument_text(request, "place"),
        .region = region.len > 0 ? region : STR("us-east-1"),
        .key_id = admin_argument_text(request, "key-id"),
    };
}

static json_t *describe(const struct account_bucket *bucket)
{
    json_t *object = json_object();

    admin_put_text(object, "place", bucket->place);
    admin_put_text(object, "region", bucket->region);
    admin_put_text(object, "key_id", bucket->key_id);
    return object;
}

/* The archivist could put something there and take it away. */
static enum err set_tried(struct admin_request *request)
{
    struct admin *admin = request->admin;
    struct account_bucket bucket = asked_for(request);

    TRY(account_bucket_seal(admin->buckets, &request->task, &bucket,
                            admin_argument_text(request, "secret")));
    TRY(account_begin(admin->database, &request->task));
    TRY(account_bucket_put(admin->database, &request->task, &bucket));
    TRY(account_commit(admin->database, &request->task));
    admin->services->bucket_changed(admin->owner, &bucket.mailbox);
    admin_say(request, "Its backups are copied there, too; it was tried and works.");
    admin_hint(request, "How it goes: sealpost backup destination show %.*s",
               STR_ARG(admin_argument_text(request, "address")));
    return ERR_OK;
}

enum err admin_bucket_set(struct admin_request *request)
{
    struct admin *admin = request->admin;
    struct account_alias alias;
    struct account_bucket bucket;
    const char *reason;
    json_t *json;

    TRY(find_mailbox(request, &alias));
    request->mailbox = alias.mailbox_id;
    bucket = asked_for(request);
    reason = admin->services->bucket_reason(admin->owner, &request->task, bucket.place);
    if (reason != NULL) {
        admin_hint(request, "Write it as s3:https://host/bucket/prefix, or as "
                            "s3-host:https://bucket.host/prefix.");
        return admin_refuse(request, ERR_INVALID, "\"%.*s\" is no destination: %s.",
                            STR_ARG(bucket.place), reason);
    }
    if (!is_region(bucket.region))
        return admin_refuse(request, ERR_INVALID, "\"%.*s\" is no region.", STR_ARG(bucket.region));
    json = describe(&bucket);
    admin_put_text(json, "mailbox", id_str(&bucket.mailbox));
    admin_put_text(json, "secret", admin_argument_text(request, "secret"));
    request->answered = set_tried;
    return admin_ask(request, ADMIN_OTHER_ARCHIVIST, json);
}

static enum err find_bucket(struct admin_request *request, struct account_bucket *out_bucket)
{
    struct account_alias alias;
    enum err err;

    TRY(find_mailbox(request, &alias));
    err = account_bucket_find(request->admin->database, &request->task, &alias.mailbox_id,
                              out_bucket);
    if (err == ERR_NOT_FOUND) {
        admin_hint(request, "Its backups go where the host's do. Set one with: sealpost backup "
                            "destination set");
        return admin_refuse(request, err, "The mailbox has no destination of its own.");
    }
    return err;
}

enum err admin_bucket_show(struct admin_request *request)
{
    struct account_bucket bucket;
    json_t *known;

    TRY(find_bucket(request, &bucket));
    known = describe(&bucket);
    admin_put_text(known, "created", bucket.created);
    return admin_ask(request, ADMIN_OTHER_ARCHIVIST,
                     json_pack("{s:s, s:o}", "mailbox", bucket.mailbox.text, "known", known));
}

enum err admin_bucket_remove(struct admin_request *request)
{
    struct admin *admin = request->admin;
    struct account_bucket bucket;

    TRY(find_bucket(request, &bucket));
    TRY(account_begin(admin->database, &request->task));
    TRY(account_bucket_remove(admin->database, &request->task, &bucket.mailbox));
    TRY(account_commit(admin->database, &request->task));
    admin->services->bucket_changed(admin->owner, &bucket.mailbox);
    admin_say(request, "Nothing more is copied to %.*s.", STR_ARG(bucket.place));
    admin_hint(request, "What is there stays there, below %s/, and is not looked at any more.",
               bucket.mailbox.text);
    return ERR_OK;
}
