#include "imap/transcript_world.h"

#include "imap/room.h"

#include <stdlib.h>

static bool act_mail(struct transcript_world *world, struct str text, uint32_t count)
{
    struct str folder;
    enum err err = ERR_OK;

    str_split(&text, ' ', &folder);
    if (world->mails_max > 0 && count > world->mails_max - world->mails)
        return false;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        struct task task;

        task_init(&task, world->now_ms);
        err = transcript_vault_deliver(world->home, &task, folder, ++world->mails);
        if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_LIMIT && err != ERR_INVALID)
            abort();
        task_done(&task);
    }
    return err == ERR_OK;
}

static bool act_forget(struct transcript_world *world, struct str text, uint32_t number)
{
    struct vault_folder found;
    struct task task;
    enum err err;

    (void)number;
    task_init(&task, world->now_ms);
    err = vault_folder_find(transcript_vault(world->home), &task, text, &found);
    task_done(&task);
    if (err == ERR_OK)
        transcript_vault_forget(world->home, text, world->now_ms);
    return err == ERR_OK;
}

static bool act_room(struct transcript_world *world, struct str text, uint32_t number)
{
    static const struct str KINDS[] = {[IMAP_ROOM_MESSAGES] = STR_INIT("messages"),
                                       [IMAP_ROOM_VIEWS] = STR_INIT("views"),
                                       [IMAP_ROOM_ORDERS] = STR_INIT("orders")};
    bool is_known = false;
    struct str name;

    str_split(&text, ' ', &name);
    for (size_t i = 0; i < IMAP_ROOM_COUNT; i++) {
        if (str_equal(name, KINDS[i])) {
            imap_group_limit(world->group, (enum imap_room_kind)i, number);
            is_known = true;
        }
    }
    return is_known;
}

static bool act_quota(struct transcript_world *world, struct str text, uint32_t number)
{
    (void)text;
    vault_set_limit(transcript_vault(world->home), number);
    return true;
}

static bool act_messages_max(struct transcript_world *world, struct str text, uint32_t number)
{
    (void)text;
    vault_set_message_limit(transcript_vault(world->home), number);
    return true;
}

static bool act_limit(struct transcript_world *world, struct str text, uint32_t number)
{
    (void)text;
    world->message_limit = number;
    return true;
}

static bool act_later(struct transcript_world *world, struct str text, uint32_t number)
{
    (void)text;
    world->now_ms += (int64_t)number * 1000;
    return true;
}

/* `number` is the last word. */
static const struct {
    struct str verb;
    bool has_number;
    bool (*act)(struct transcript_world *world, struct str text, uint32_t number);
} ACTS[] = {
    {STR_INIT("mail"), true, act_mail},   {STR_INIT("quota"), true, act_quota},
    {STR_INIT("limit"), true, act_limit}, {STR_INIT("messages-max"), true, act_messages_max},
    {STR_INIT("room"), true, act_room},   {STR_INIT("forget"), false, act_forget},
    {STR_INIT("later"), true, act_later},
};

bool transcript_world_act(struct transcript_world *world, struct str text)
{
    struct str verb;

    str_split(&text, ' ', &verb);
    for (size_t i = 0; i < ARRAY_LEN(ACTS); i++) {
        uint32_t number = 0;

        if (str_equal(verb, ACTS[i].verb))
            return (!ACTS[i].has_number ||
                    parse_u32(str_from(text, (size_t)(str_last_index(text, ' ') + 1)), &number)) &&
                   ACTS[i].act(world, text, number);
    }
    return false;
}
