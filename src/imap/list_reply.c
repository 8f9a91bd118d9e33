#include "imap/list_reply.h"

#include "imap/engine.h"
#include "imap/write.h"

static void put_attribute(struct buf *out, bool *is_first, struct str attribute)
{
    if (attribute.len == 0)
        return;
    if (!*is_first)
        buf_put(out, STR(" "));
    *is_first = false;
    buf_put(out, attribute);
}

void imap_write_list_start(struct imap_session *s, struct str name,
                           const struct vault_folder *folder, bool is_subscribed)
{
    struct buf *out = &s->out;
    bool is_first = true;

    buf_put(out, STR("* LIST ("));
    if (folder == NULL) {
        put_attribute(out, &is_first, STR("\\NonExistent"));
    } else {
        if (!folder->is_selectable)
            put_attribute(out, &is_first, STR("\\Noselect"));
        put_attribute(out, &is_first,
                      folder->has_children ? STR("\\HasChildren") : STR("\\HasNoChildren"));
        put_attribute(out, &is_first, imap_use_name(folder->use));
    }
    if (is_subscribed)
        put_attribute(out, &is_first, STR("\\Subscribed"));
    buf_put(out, STR(") \"/\" "));
    imap_write_mailbox(out, name, imap_names_are_utf8(s));
}

void imap_write_list(struct imap_session *s, struct str name, const struct vault_folder *folder,
                     bool is_subscribed, struct str old_name)
{
    imap_write_list_start(s, name, folder, is_subscribed);
    if (old_name.len > 0) {
        buf_put(&s->out, STR(" (\"OLDNAME\" ("));
        imap_write_mailbox(&s->out, old_name, imap_names_are_utf8(s));
        buf_put(&s->out, STR("))"));
    }
    buf_put(&s->out, STR("\r\n"));
}
