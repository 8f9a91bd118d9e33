#include "imap/list_reply.h"

#include "imap/engine.h"
#include "imap/write.h"

void imap_write_list(struct imap_session *s, struct str name, const struct vault_folder *folder,
                     bool is_subscribed, struct str old_name)
{
    struct buf *out = &s->out;

    buf_put(out, STR("* LIST ("));
    if (folder == NULL)
        buf_put(out, STR("\\NonExistent"));
    else if (!folder->is_selectable)
        buf_put(out, STR("\\Noselect \\HasChildren"));
    else
        buf_put(out, folder->has_children ? STR("\\HasChildren") : STR("\\HasNoChildren"));
    if (is_subscribed)
        buf_put(out, STR(" \\Subscribed"));
    buf_put(out, STR(") \"/\" "));
    imap_write_mailbox(out, name);
    if (old_name.len > 0) {
        buf_put(out, STR(" (\"OLDNAME\" ("));
        imap_write_mailbox(out, old_name);
        buf_put(out, STR("))"));
    }
    buf_put(out, STR("\r\n"));
}
