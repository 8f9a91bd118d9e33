/*
 * What the courier is told of a message (docs/routes.md). Of our own users' mail it learns no
 * address of the client.
 */
#include "smtp/server/state.h"

#include "base/ascii.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdlib.h>

/* Bytes that are not UTF-8 (nobody should send such) become question marks. */
static json_t *text_of(struct str text)
{
    CLEANUP(buf_free) struct buf copy;

    buf_init(&copy, SIZE_MAX);
    if (str_is_utf8(text) || text.len == 0)
        return json_stringn(text.len == 0 ? "" : text.ptr, text.len);
    for (size_t i = 0; i < text.len; i++)
        buf_put(&copy, ascii_is_8bit(text.ptr[i]) || text.ptr[i] == '\0'
                           ? STR("?")
                           : str_make(text.ptr + i, 1));
    return json_stringn(copy.ptr, copy.len);
}

static json_t *auth_of(struct str fields)
{
    CLEANUP(buf_free) struct buf line;

    buf_init(&line, SIZE_MAX);
    smtp_header_line(fields, STR("Authentication-Results"), &line);
    return text_of(buf_str(&line));
}

static const char *body_of(enum smtp_body body)
{
    switch (body) {
    case SMTP_BODY_7BIT:
        return "7BIT";
    case SMTP_BODY_8BITMIME:
        break;
    }
    return "8BITMIME";
}

static json_t *recipients_of(const struct smtp_transaction *transaction,
                             const struct smtp_batch *batch)
{
    json_t *all = json_array();

    for (size_t i = batch->first; i < batch->end; i++) {
        const struct smtp_recipient *recipient = &transaction->recipients[i];
        json_t *one, *routes;

        if (!smtp_transaction_is_in(transaction, i, batch))
            continue;
        one = json_object();
        json_object_set_new(one, "address", text_of(recipient->address));
        json_object_set_new(one, "orcpt", text_of(recipient->orcpt));
        json_object_set_new(one, "notify", text_of(recipient->notify));
        json_object_set_new(one, "stored", json_boolean(recipient->has_mailbox));
        if (smtp_transaction_is_held_back(transaction, recipient)) {
            json_object_set_new(one, "held_back", json_true());
            json_object_set_new(one, "routes", json_array());
            json_array_append_new(all, one);
            continue;
        }
        routes = json_loadb(recipient->routes.ptr, recipient->routes.len, 0, NULL);
        json_object_set_new(one, "routes", routes == NULL ? json_array() : routes);
        json_array_append_new(all, one);
    }
    return all;
}

struct str smtp_envelope_write(struct smtp_session *s, const struct smtp_batch *batch)
{
    struct smtp_transaction *transaction = &s->transaction;
    bool is_ours = s->options.service == SMTP_SERVICE_SUBMISSION;
    json_t *root = json_object();
    struct str text;
    char *dump;

    json_object_set_new(root, "id", text_of(id_str(&transaction->trace_id)));
    json_object_set_new(root, "kind", json_string(batch->is_remote ? "submission" : "routes"));
    json_object_set_new(root, "mailbox", text_of(id_str(&s->mailbox)));
    json_object_set_new(root, "sender", text_of(transaction->mail.sender.text));
    json_object_set_new(root, "helo", text_of(is_ours ? STR("") : buf_str(&s->helo)));
    json_object_set_new(root, "client", text_of(is_ours ? STR("") : s->options.client));
    json_object_set_new(root, "ret", text_of(transaction->mail.ret));
    json_object_set_new(root, "envid", text_of(transaction->mail.envid));
    json_object_set_new(root, "require_tls", json_boolean(transaction->mail.needs_tls));
    json_object_set_new(root, "smtputf8", json_boolean(transaction->mail.is_utf8));
    json_object_set_new(root, "body", json_string(body_of(transaction->mail.body)));
    json_object_set_new(root, "auth", auth_of(transaction->verdict.fields));
    json_object_set_new(root, "may_reply", json_boolean(transaction->verdict.may_reply));
    json_object_set_new(root, "is_junk", json_false()); /* it is not passed on */
    json_object_set_new(root, "recipients", recipients_of(transaction, batch));
    dump = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (dump == NULL)
        abort(); /* out of memory: all texts are UTF-8 */
    text = arena_copy(&transaction->arena, str_from_c(dump));
    free(dump);
    return text;
}
