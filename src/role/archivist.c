/*
 * The archivist: the one process that touches where backups are kept (backup/archivist.h). It sees
 * ciphertext only and holds nothing but the keys of destinations, the host's and those that owners
 * have of their own. It may write to a backup folder, connect, and keep temporary files in
 * <data>/archive; nothing else.
 *
 * A destination that is not there at the start (a disk that was not mounted) does not keep the
 * service from starting: who asks is told so until the next start. Where it is counts from the start
 * on; what it is reached with (the key, whom to trust) and where owners' may be, from a reload on.
 */
#include "backup/archivist.h"
#include "backup/directory.h"
#include "backup/place.h"
#include "backup/s3.h"

#include "base/file.h"
#include "base/memory.h"
#include "dns/client.h"
#include "role/role.h"

#include <fcntl.h>
#include <string.h>

enum {
    /* Of owners' own buckets, which may hang, all at once: those that are worked on, read and tried
     * (backup/archivist.h) leave some for sweeps. */
    OWN_CONNECTIONS_MAX = 2 * MIRROR_PLACES + 16,
    OWN_SWEEP_MS = 10 * 1000,
};

struct archivist_role {
    struct archivist *archivist; /* own */
    struct dns_client *dns;      /* own */
    struct net_http *http;       /* own; for the host's S3; NULL: a folder */
    struct net_http *own_http;   /* own; for owners' */
    struct net_target_rules *own_rules; /* own; where those may be */
    char *work_folder;           /* own; for S3 */
    struct buf system_trust;     /* what the system trusts, as it was at the start */
    struct backup_destination *destination; /* borrowed from `archivist`; NULL: there is none */
    struct backup_place place;
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

/* Of owners' buckets: what the system trusts, and what `backup_ca` names besides. */
static void put_own_trust(struct role_process *process, struct buf *out)
{
    struct archivist_role *state = role_state(process);

    buf_put(out, buf_str(&state->system_trust));
    if (role_config(process)->backup_ca.len == 0)
        return;
    buf_put(out, STR("\n"));
    buf_put(out, role_trust_pem(process));
}

static size_t allowed_count(const struct config *config)
{
    size_t count = 0;

    while (count < ARRAY_LEN(config->backup_own_allow) && config->backup_own_allow[count].len > 0)
        count++;
    return count;
}

static enum err make_own_http(struct role_process *process, struct task *task)
{
    struct archivist_role *state = role_state(process);
    const struct config *config = role_config(process);
    struct net_http_options options = {.connections_max = OWN_CONNECTIONS_MAX,
                                       .connections_per_host_max = OWN_CONNECTIONS_MAX};
    CLEANUP(buf_free) struct buf pem;

    if (net_http_read_trust(task, STR(""), &state->system_trust) != ERR_OK)
        task_forgive(task); /* a host without a bundle may trust its own CA all the same */
    buf_init(&pem, SIZE_MAX);
    put_own_trust(process, &pem);
    options.trust_pem = str_trim(buf_str(&pem));
    if (net_http_new(role_loop(process), task, &options, &state->own_http) != ERR_OK) {
        log_failure(role_log(process), "certificates for owners' own buckets", task);
        task_forgive(task);
        options.trust_pem = STR("");
        TRY(net_http_new(role_loop(process), task, &options, &state->own_http));
    }
    state->own_rules =
        net_target_rules_new(config->backup_own_allow, allowed_count(config), false);
    return ERR_OK;
}

static enum err open_own(void *owner, struct task *task, const struct backup_own *own,
                         struct backup_destination **out)
{
    struct role_process *process = owner;
    struct archivist_role *state = role_state(process);
    struct backup_s3_options options = {.work_folder = state->work_folder,
                                        .log = role_log(process),
                                        .sweep_ms = OWN_SWEEP_MS};
    struct backup_place place;
    const char *reason = backup_place_parse(&task->arena, own->place, &place);

    if (reason != NULL || !place.is_s3)
        return fail(task, ERR_INVALID, "%s", reason != NULL ? reason : "it is not S3");
    options.client = (struct s3_client_options){
        .loop = role_loop(process),
        .http = state->own_http,
        .dns = state->dns,
        .place = &place,
        .key_id = own->key_id,
        .region = own->region,
        .secret = secret_copy(own->secret),
        .rules = state->own_rules,
    };
    return backup_s3_new(task, &options, out);
}

static enum err open_s3(struct role_process *process, struct task *task,
                        struct backup_destination **out)
{
    struct archivist_role *state = role_state(process);
    const struct config *config = role_config(process);
    struct net_http_options http = {.connections_max = 16, .trust_pem = role_trust_pem(process)};
    struct backup_s3_options options = {.log = role_log(process)};

    TRY(net_http_new(role_loop(process), task, &http, &state->http));
    options.work_folder = state->work_folder;
    options.client = (struct s3_client_options){
        .loop = role_loop(process),
        .http = state->http,
        .dns = state->dns,
        .place = &state->place,
        .key_id = config->backup_key_id,
        .region = config->backup_region,
        .secret = secret_copy(role_password(process)),
    };
    return backup_s3_new(task, &options, out);
}

static enum err open_destination(struct role_process *process, struct task *task,
                                 struct backup_destination **out)
{
    struct archivist_role *state = role_state(process);
    const struct config *config = role_config(process);
    const char *reason = backup_place_parse(&state->arena, config->backup, &state->place);
    const char *folder = config_path(config, task, "archive");

    if (reason != NULL)
        return fail(task, ERR_INVALID, "backup: %s", reason);
    state->work_folder = mem_copy_text(folder, strlen(folder));
    TRY(dir_make(task, AT_FDCWD, state->work_folder, false));
    TRY(make_own_http(process, task));
    if (state->place.is_s3)
        return open_s3(process, task, out);
    return backup_directory_open(role_loop(process), task, state->place.path.ptr, out);
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct archivist_role *state = NEW(struct archivist_role);

    role_set_state(process, state);
    buf_init(&state->system_trust, SIZE_MAX);
    state->dns = dns_client_new(role_loop(process));
    state->archivist = archivist_new(role_loop(process), role_log(process));
    set_policy(process);
    if (role_config(process)->backup.len == 0) {
        archivist_set_destination(state->archivist, NULL, WIRE_DISABLED,
                                  STR("no backups are configured (setting backup)"));
        return ERR_OK;
    }
    if (open_destination(process, task, &state->destination) != ERR_OK) {
        log_error(role_log(process), "no backups are made: %s", task->words);
        archivist_set_destination(state->archivist, NULL, WIRE_UNAVAILABLE,
                                  str_from_c(task->words));
        task_forgive(task);
        return ERR_OK;
    }
    archivist_set_destination(state->archivist, state->destination, WIRE_OK, STR(""));
    archivist_allow_own(state->archivist, open_own, process);
    archivist_set_late(state->archivist, ARCHIVIST_LATE_MS);
    if (archivist_remember(state->archivist, task,
                           arena_printf(&task->arena, "%s/let-go", state->work_folder).ptr) != ERR_OK) {
        log_failure(role_log(process), "remembering what owners' own buckets are to let go", task);
        task_forgive(task);
    }
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct archivist_role *state = role_state(process);

    if (state->destination == NULL)
        return;
    sandbox_allow_path(rules, state->work_folder, SANDBOX_READ_WRITE);
    if (!state->place.is_s3)
        sandbox_allow_path(rules, state->place.path.ptr, SANDBOX_READ_WRITE);
    rules->may_connect = true;
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
    else if (wire_channel_peer(channel) == WIRE_ROLE_KEEPER)
        archivist_keeper_came(state->archivist);
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

static enum err take_trust(struct role_process *process, struct task *task)
{
    struct archivist_role *state = role_state(process);
    CLEANUP(buf_free) struct buf pem;

    buf_init(&pem, SIZE_MAX);
    put_own_trust(process, &pem);
    TRY(net_http_set_trust(state->own_http, task, str_trim(buf_str(&pem))));
    return state->http == NULL ? ERR_OK
                               : net_http_set_trust(state->http, task, role_trust_pem(process));
}

static void on_reload(struct role_process *process)
{
    struct archivist_role *state = role_state(process);
    const struct config *config = role_config(process);
    struct task task;

    set_policy(process);
    if (state->destination == NULL)
        return;
    task_init(&task, 0);
    if (take_trust(process, &task) != ERR_OK)
        log_failure(role_log(process), "certificates for backups", &task);
    if (state->place.is_s3 && role_password(process).len > 0)
        backup_s3_set_key(state->destination, config->backup_key_id,
                          secret_copy(role_password(process)));
    net_target_rules_set(state->own_rules, config->backup_own_allow, allowed_count(config));
    task_done(&task);
}

/* What is under way ends unfinished: whoever asked has ended before, or asks again. */
static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct archivist_role *state = role_state(process);

    (void)grace_ms;
    archivist_free(&state->archivist);
    net_http_free(&state->http);
    net_http_free(&state->own_http);
    net_target_rules_free(&state->own_rules);
    mem_free(&state->work_folder);
    buf_free(&state->system_trust);
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
    .on_reload = on_reload,
    .on_stop = on_stop,
};
