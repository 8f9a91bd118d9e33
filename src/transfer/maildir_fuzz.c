/* Any bytes as a file's name, as Dovecot's and Courier's lists, as an index and as names of
 * folders. */
#include "transfer/index.h"
#include "transfer/maildir.h"
#include "transfer/names.h"
#include "transfer/places.h"
#include "transfer/uidl.h"
#include "vault/maildrop.h"

#include <assert.h>

/* Escaped it takes three times as much at most, and so no level is shortened to a digest. */
enum { SHORT_NAME = 70 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_names(struct arena *arena, struct str text)
{
    struct str name = transfer_clean_name(arena, text), again;

    assert(name.len <= VAULT_FOLDER_NAME_MAX && (name.len == 0 || str_is_utf8(name)));
    assert(str_equal(transfer_clean_name(arena, name), name));
    if (name.len == 0)
        return;
    for (int i = 0; i < 2; i++) {
        again = transfer_path_name(arena, transfer_path(arena, name, i == 1));
        assert(again.len > 0 && (name.len > SHORT_NAME || str_equal(again, name)));
    }
    again = transfer_maildir_name(arena, transfer_maildir(arena, name));
    assert(again.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size), keywords[MAILDIR_KEYWORDS], found[MAILDIR_KEYWORDS];
    struct str *names, folder, file;
    struct transfer_index_line line;
    struct maildir_uids uids;
    struct places places;
    struct place *place;
    size_t count;

    places_init(&places, 0);
    try_names(&places.task.arena, text);
    maildir_parse_keywords(text, keywords);
    (void)maildir_flags(text, keywords, found, &count);
    assert(count <= MAILDIR_KEYWORDS && maildir_base(text).len <= size);
    if (maildir_parse_uids(&places.task.arena, text, &uids)) {
        for (size_t i = 0; i < uids.count; i++)
            assert(maildir_uid_of(&uids, uids.rows[i].base) != NULL);
    }
    if (maildir_parse_courier(&places.task.arena, text, &uids)) {
        for (size_t i = 0; i < uids.count; i++)
            assert(uids.rows[i].uidl.len > 0 || uids.rows[i].base.len == 0);
    }
    file = transfer_uidl_make(&places.task.arena, transfer_uidl_template(text), 7, 1763787600);
    assert(file.len == 0 || vault_uidl_is_valid(file));
    maildir_parse_subscriptions(&places.task.arena, text, &names, &count);
    if (transfer_index_parse(&places.task, text, &line) == ERR_OK)
        assert(line.is_folder == (line.folder.name.len > 0));
    (void)place_kind_of(text, &folder, &file);
    assert(places_get(&places, &places.task, folder, true, &place) == ERR_OK);
    for (int kind = PLACE_INDEX; kind <= PLACE_SIGN; kind++) {
        struct transfer_folder told;

        places_learn(&places, place, (enum place_kind)kind, text);
        places_folder(&places, &places.task, place, STR("INBOX"), &told);
        assert(told.name.len > 0);
    }
    places_done(&places);
    return 0;
}
