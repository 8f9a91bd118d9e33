/*
 * The archivist: the one process that touches where backups are kept (backup/archivist.h). It sees
 * ciphertext only and holds nothing but the key of the destination. It may write to a backup folder,
 * or connect and keep temporary files in <data>/archive; nothing else.
 *
 * A destination that is not there at the start (a disk that was not mounted) does not keep the
 * service from starting: who asks is told so until the next start.
 */
#include "backup/archivist.h"
#include "backup/directory.h"
#include "backup/place.h"

#include "base/memory.h"
#include "dns/client.h"
#include "role/role.h"

struct archivist_role {
    struct archivist *archivist; /* own */
    struct dns_client *dns;      /* own */
    struct backup_place place;
    bool has_destination;
    struct arena arena; /* of the place's texts */
};

static void set_policy(struct role_process *process)
{
    struct archivist_role *state = role_state(process);
    const struct config *config = role_config(process);
    struct backup_policy policy = {.daily = config->backup_daily,
                                   .hourly = config->backup_hourly};

    archivist_set_policy(state->archivist, &policy);
}

static enum err open_destination(struct role_process *process, struct task *task,
                                 struct backup_destination **out)
{
    struct archivist_role *state = role_state(process);
    const char *reason = backup_place_parse(&state->arena, role_config(process)->backup,
                                            &state->place);

    if (reason != NULL)
        return fail(task, ERR_INVALID, "backup: %s", reason);
    if (state->place.is_s3)
        return fail(task, ERR_INVALID, "backup: S3 is not there yet");
    return backup_directory_open(role_loop(process), task, state->place.path.ptr, out);
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct archivist_role *state = NEW(struct archivist_role);
    struct backup_destination *destination = NULL;

    role_set_state(process, state);
    state->dns = dns_client_new(role_loop(process));
    state->archivist = archivist_new(role_loop(process), role_log(process));
    set_policy(process);
    if (role_config(process)->backup.len == 0) {
        archivist_set_destination(state->archivist, NULL, WIRE_DISABLED,
                                  STR("no backups are configured (setting backup)"));
        return ERR_OK;
    }
    if (open_destination(process, task, &destination) != ERR_OK) {
        log_error(role_log(process), "no backups are made: %s", task->words);
        archivist_set_destination(state->archivist, NULL, WIRE_UNAVAILABLE,
                                  str_from_c(task->words));
        task_forgive(task);
        return ERR_OK;
    }
    state->has_destination = true;
    archivist_set_destination(state->archivist, destination, WIRE_OK, STR(""));
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct archivist_role *state = role_state(process);

    if (state->has_destination && !state->place.is_s3)
        sandbox_allow_path(rules, state->place.path.ptr, SANDBOX_READ_WRITE);
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)process;
    (void)task;
    return ERR_OK;
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    struct archivist_role *state = role_state(process);

    if (wire_channel_peer(channel) == WIRE_ROLE_RESOLVER)
        dns_client_set_peer(state->dns, channel);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct archivist_role *state = role_state(process);

    if (message->type == WIRE_DNS_ANSWER)
        dns_client_message(state->dns, message);
    else
        archivist_message(state->archivist, channel, message);
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct archivist_role *state = role_state(process);

    if (wire_channel_peer(channel) == WIRE_ROLE_RESOLVER)
        dns_client_set_peer(state->dns, NULL);
    else
        archivist_asker_gone(state->archivist, channel);
}

/* What is under way ends unfinished: whoever asked has ended before, or asks again. */
static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct archivist_role *state = role_state(process);

    (void)grace_ms;
    archivist_free(&state->archivist);
    dns_client_free(&state->dns);
    arena_free(&state->arena);
    net_loop_stop(role_loop(process));
}

const struct role role_archivist = {
    .kind = WIRE_ROLE_ARCHIVIST,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = set_policy,
    .on_stop = on_stop,
};
