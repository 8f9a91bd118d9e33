#include "backup/archivist.h"

#include "backup/archivist_admin.h"
#include "backup/archivist_answer.h"
#include "backup/mirrored.h"
#include "backup/let_go.h"
#include "backup/prune_queue.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    ATTEMPTS_MAX = 6,
    FIRST_WAIT_MS = 1000,
    AWAY_MS = 30 * 1000,
};

enum lane { LANE_SMALL, LANE_LARGE, LANE_GET, LANE_OWN, LANE_COUNT };

static const size_t lane_running_max[LANE_COUNT] = {8, 3, 4, 4};

TAILQ_HEAD(orders, order);

/* One message that waits, or is worked on. */
struct order {
    struct archivist *archivist;
    struct wire_channel *asker; /* borrowed; NULL: gone */
    uint64_t tag;
    enum wire_type type;
    struct id mailbox;
    char *name;      /* own; the object's whole name, or the prefix */
    char *after;     /* own; the whole name */
    size_t root_len; /* of name: the mailbox's part and its slash */
    int fd;          /* own; -1: none */
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    enum lane lane;
    bool is_of_the_keepers; /* it takes all of a removed mailbox away */
    bool has_abandoned;     /* uploads, behind a list that had nothing */
    unsigned attempts;
    struct net_timer *timer;  /* own; the next attempt */
    struct backup_call *call; /* own; NULL: waits */
    TAILQ_ENTRY(order) in_orders;
};

struct archivist {
    struct net_loop *loop;                  /* borrowed */
    const struct log *log;                  /* borrowed */
    struct backup_destination *destination; /* own; NULL: none */
    struct backup_mirrors *mirrors;         /* own; NULL: owners have none of their own */
    bool is_told;                           /* who has one */
    struct let_go *let_go; /* own; NULL: nobody remembers what they are to let go */
    /* Own; both together, for reading, and for all that a removed mailbox had. */
    struct backup_destination *readable, *whole;
    struct backup_policy policy;
    enum wire_status without;        /* what is answered without one */
    char words[ARCHIVIST_WORDS_MAX]; /* and why */
    struct orders waiting[LANE_COUNT], running[LANE_COUNT];
    size_t running_count[LANE_COUNT];
    size_t order_count;
    int64_t away_until_ms;         /* monotonic */
    int64_t began_ms;              /* monotonic */
    int64_t late_ms;               /* archivist_set_late */
    struct archivist_admin *admin; /* own */
    uint64_t put_count, put_bytes, failed_count;
    int64_t last_put_ms, last_failure_ms;
    char failure[ARCHIVIST_WORDS_MAX]; /* the last one's words */
    struct prune_queue *prunes;        /* own */
};

static void run_lane(struct archivist *archivist, enum lane lane);

/* ---- Orders ---- */

static void order_free(struct order **pointer)
{
    struct order *order = *pointer;

    backup_cancel(&order->call);
    net_timer_free(&order->timer);
    order->archivist->order_count--;
    mem_free(&order->name);
    mem_free(&order->after);
    fd_close(&order->fd);
    mem_free(pointer);
}

static void finish(struct order *order, const struct archivist_answer *answer)
{
    struct archivist *archivist = order->archivist;
    enum lane lane = order->lane;

    if (order->asker != NULL)
        archivist_answer(archivist->log, order->asker, order->tag, order->type, &order->mailbox,
                         answer);
    TAILQ_REMOVE(&archivist->running[lane], order, in_orders);
    archivist->running_count[lane]--;
    order_free(&order);
    /* What waited for a place, or for this name. */
    for (int each = 0; each < LANE_COUNT; each++)
        run_lane(archivist, (enum lane)each);
}

/* [{"name", "size", "modified"}, …], names without the mailbox's part. */
static char *list_json(const struct order *order, const struct backup_result *result)
{
    json_t *list = json_array();
    char *text;

    for (size_t i = 0; i < result->object_count; i++) {
        const struct backup_object *object = &result->objects[i];
        struct str name = str_from(object->name, order->root_len);
        char modified[CLOCK_ISO_ROOM];

        clock_format_iso(object->modified_ms, modified);
        json_array_append_new(list,
                              json_pack("{s:s%, s:I, s:s}", "name", name.ptr, name.len, "size",
                                        (json_int_t)object->size_bytes, "modified", modified));
    }
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    if (text == NULL)
        abort();
    return text;
}

/* ---- Working on an order ---- */

static const char *what(const struct order *order)
{
    return wire_type_name(order->type);
}

static bool try_later(struct order *order, const struct backup_result *result)
{
    struct archivist *archivist = order->archivist;
    int64_t now_ms = clock_monotonic_ms();

    if (result->err != ERR_BUSY)
        return false;
    if (order->attempts >= ATTEMPTS_MAX || now_ms < archivist->away_until_ms) {
        archivist->away_until_ms = now_ms + AWAY_MS;
        return false;
    }
    log_info(archivist->log, "to be tried again what=%s attempt=%u reason=\"%s\"", what(order),
             order->attempts, result->words);
    net_timer_start(order->timer, (int64_t)FIRST_WAIT_MS << (order->attempts - 1));
    return true;
}

static void count(struct archivist *archivist, const struct order *order,
                  const struct backup_result *result)
{
    if (result->err == ERR_OK && order->type == WIRE_BACKUP_PUT) {
        archivist->put_count++;
        archivist->put_bytes += order->size_bytes;
        archivist->last_put_ms = clock_now_ms();
    } else if (result->err != ERR_OK &&
               (result->err != ERR_NOT_FOUND || order->type == WIRE_BACKUP_PUT)) {
        archivist->failed_count++;
        archivist->last_failure_ms = clock_now_ms();
        (void)snprintf(archivist->failure, sizeof(archivist->failure), "%.*s",
                       (int)sizeof(archivist->failure) - 1, result->words);
    }
}

/* It goes to its owner's own destination, too, and older ones may go. */
static void was_put(struct archivist *archivist, const struct order *order)
{
    struct backup_put put = {.name = str_from_c(order->name),
                             .fd = order->fd,
                             .size_bytes = order->size_bytes,
                             .digest = order->digest};

    if (archivist->mirrors != NULL)
        backup_mirrors_put(archivist->mirrors, &put);
    prune_queue_add(archivist->prunes, &put, order->root_len);
}

static struct backup_destination *destination_of(const struct order *order)
{
    const struct archivist *archivist = order->archivist;

    return order->lane != LANE_OWN    ? archivist->destination
           : order->is_of_the_keepers ? archivist->whole
                                      : archivist->readable;
}

/* Of a removed mailbox nothing is left that a list would show. */
static bool is_last_look(const struct order *order, const struct backup_result *result)
{
    return order->is_of_the_keepers && order->type == WIRE_BACKUP_LIST &&
           id_is_set(&order->mailbox) && result->err == ERR_OK &&
           (order->has_abandoned || (result->object_count == 0 && result->is_last));
}

static bool is_recent(const struct archivist *archivist, int64_t lost_ms)
{
    return lost_ms > 0 && clock_monotonic_ms() - lost_ms < archivist->late_ms;
}

/* May a server have a put of it that nobody waits for any more? */
static bool may_come_late(const struct order *order)
{
    const struct archivist *archivist = order->archivist;
    struct str name = str_from_c(order->name);
    bool is_own = archivist->mirrors != NULL && backup_mirrors_has(archivist->mirrors, name);
    int64_t lost_ms = backup_lost_put_ms(archivist->destination, name);
    int64_t own_lost_ms = is_own ? backup_mirrors_lost_put_ms(archivist->mirrors, name) : 0;

    if (is_own || archivist->destination->kind->lost_put_ms != NULL)
        lost_ms = lost_ms > archivist->began_ms ? lost_ms : archivist->began_ms;
    return is_recent(archivist, lost_ms > own_lost_ms ? lost_ms : own_lost_ms);
}

static void on_done(void *owner, struct backup_result *result);

static bool abandon(struct order *order)
{
    if (order->has_abandoned)
        return false;
    order->has_abandoned = true;
    order->call = backup_abandon(destination_of(order), str_from_c(order->name), on_done, order);
    return order->call != NULL;
}

static void on_done(void *owner, struct backup_result *result)
{
    struct order *order = owner;
    struct archivist *archivist = order->archivist;
    struct archivist_answer answer = {.status = archivist_status_of(result->err),
                                      .words = str_from_c(result->words),
                                      .size_bytes = result->size_bytes,
                                      .fd = -1};
    char *json = NULL;

    order->call = NULL;
    if (try_later(order, result) || (is_last_look(order, result) && abandon(order)))
        return;
    count(archivist, order, result);
    if (result->err != ERR_OK) {
        if (result->err != ERR_NOT_FOUND || order->type == WIRE_BACKUP_PUT)
            log_warning(archivist->log, "backup failed what=%s kind=\"%s\" reason=\"%s\"",
                        what(order), err_name(result->err), result->words);
    } else {
        archivist->away_until_ms = 0;
    }
    if (result->err == ERR_OK && order->type == WIRE_BACKUP_PUT)
        was_put(archivist, order);
    if (order->type == WIRE_BACKUP_GET)
        answer.fd = result->fd;
    if (result->err == ERR_OK && order->type == WIRE_BACKUP_LIST) {
        json = list_json(order, result);
        answer.json = str_from_c(json);
    }
    answer.is_last = result->is_last || result->err != ERR_OK || order->has_abandoned;
    if (is_last_look(order, result) && may_come_late(order)) {
        answer.status = WIRE_DEFERRED;
        answer.words = STR("more may be on its way");
    }
    finish(order, &answer);
    free(json);
}

static void attempt(void *owner)
{
    struct order *order = owner;
    struct backup_destination *destination = destination_of(order);
    struct backup_put put = {.name = str_from_c(order->name),
                             .fd = order->fd,
                             .size_bytes = order->size_bytes,
                             .digest = order->digest};

    order->attempts++;
    order->has_abandoned = false;
    if (order->type == WIRE_BACKUP_PUT)
        order->call = backup_put(destination, &put, on_done, order);
    else if (order->type == WIRE_BACKUP_GET)
        order->call = backup_get(destination, put.name, on_done, order);
    else if (order->type == WIRE_BACKUP_LIST)
        order->call = backup_list(destination, put.name, str_from_c(order->after),
                                  ARCHIVIST_LIST_MAX, on_done, order);
    else
        order->call = backup_delete(destination, put.name, BACKUP_GONE_NOW, on_done, order);
}

/* The lane in which a put of this name waits or runs; LANE_COUNT: none does. */
static enum lane lane_of_put(const struct archivist *archivist, const char *name)
{
    const struct orders *all[] = {archivist->waiting, archivist->running};
    const struct order *order;

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            TAILQ_FOREACH(order, &all[i][lane], in_orders)
            {
                if (order->type == WIRE_BACKUP_PUT && strcmp(order->name, name) == 0)
                    return (enum lane)lane;
            }
        }
    }
    return LANE_COUNT;
}

/* Two puts of one name would find each other's half. */
static bool is_being_put(const struct archivist *archivist, const char *name)
{
    const struct order *order;

    for (int lane = 0; lane < LANE_COUNT; lane++) {
        TAILQ_FOREACH(order, &archivist->running[lane], in_orders)
        {
            if (order->type == WIRE_BACKUP_PUT && strcmp(order->name, name) == 0)
                return true;
        }
    }
    return false;
}

static struct order *next_of(struct archivist *archivist, enum lane lane)
{
    struct order *order;

    TAILQ_FOREACH(order, &archivist->waiting[lane], in_orders)
    {
        if (order->type != WIRE_BACKUP_PUT || !is_being_put(archivist, order->name))
            return order;
    }
    return NULL;
}

static void run_lane(struct archivist *archivist, enum lane lane)
{
    struct order *order;

    while (archivist->running_count[lane] < lane_running_max[lane] &&
           (order = next_of(archivist, lane)) != NULL) {
        TAILQ_REMOVE(&archivist->waiting[lane], order, in_orders);
        TAILQ_INSERT_TAIL(&archivist->running[lane], order, in_orders);
        archivist->running_count[lane]++;
        attempt(order);
    }
}

/* ---- What is asked ---- */

struct request {
    struct id mailbox;
    struct str name, after, digest;
    uint64_t size_bytes;
};

static bool read_request(const struct wire_message *message, struct request *out)
{
    if (message->type == WIRE_BACKUP_PUT) {
        const struct wire_backup_put *put = &message->body.backup_put;

        *out = (struct request){.mailbox = put->mailbox,
                                .name = put->name,
                                .digest = put->digest,
                                .size_bytes = put->size_bytes};
    } else if (message->type == WIRE_BACKUP_GET) {
        *out = (struct request){.mailbox = message->body.backup_get.mailbox,
                                .name = message->body.backup_get.name};
    } else if (message->type == WIRE_BACKUP_LIST) {
        *out = (struct request){.mailbox = message->body.backup_list.mailbox,
                                .name = message->body.backup_list.prefix,
                                .after = message->body.backup_list.after};
    } else if (message->type == WIRE_BACKUP_DELETE) {
        *out = (struct request){.mailbox = message->body.backup_delete.mailbox,
                                .name = message->body.backup_delete.name};
    } else {
        return false;
    }
    return true;
}

/* May this role name that? */
static bool may_ask(enum wire_role role, const struct wire_message *message,
                    const struct request *request)
{
    if (role == WIRE_ROLE_KEEPER)
        return true;
    if (!id_is_set(&request->mailbox))
        return false;
    return role == WIRE_ROLE_STORE ||
           (role == WIRE_ROLE_SEALER && message->type == WIRE_BACKUP_PUT &&
            str_starts_with(request->name, STR("drop/")));
}

static char *whole_name(const struct id *mailbox, struct str name)
{
    struct str root = id_is_set(mailbox) ? id_str(mailbox) : STR("host");
    char *text = mem_new(root.len + name.len + 2, 1);

    memcpy(text, root.ptr, root.len);
    text[root.len] = '/';
    if (name.len > 0)
        memcpy(text + root.len + 1, name.ptr, name.len);
    return text;
}

/* With the mailbox's part before it; a NUL would end it early. */
static bool is_valid(const struct id *mailbox, struct str name, bool (*is_good)(struct str name))
{
    char *whole = whole_name(mailbox, name);
    bool is_it = str_index(name, '\0') < 0 && is_good(str_from_c(whole));

    mem_free(&whole);
    return is_it;
}

/* NULL, or what is wrong. */
static const char *find_fault(const struct wire_message *message, const struct request *request)
{
    struct id again;

    if (id_is_set(&request->mailbox) && !id_parse(id_str(&request->mailbox), &again))
        return "no such mailbox";
    if (message->type == WIRE_BACKUP_LIST)
        return is_valid(&request->mailbox, request->name, backup_prefix_is_valid) &&
                       is_valid(&request->mailbox, request->after, backup_prefix_is_valid)
                   ? NULL
                   : "no such names";
    if (!is_valid(&request->mailbox, request->name, backup_name_is_valid))
        return "no such name";
    if (message->type == WIRE_BACKUP_PUT && request->digest.len != CRYPT_HASH_BYTES)
        return "no digest";
    return NULL;
}

/* What is not put is looked for where the owner has it, too. */
static bool is_owners(const struct archivist *archivist, enum wire_type type,
                      const struct request *request)
{
    char name[ID_TEXT_LEN + 2];

    if (type == WIRE_BACKUP_LIST && str_equal(request->name, STR(BACKUP_PROBE_PREFIX)))
        return false;
    (void)snprintf(name, sizeof(name), "%s/", request->mailbox.text);
    return type != WIRE_BACKUP_PUT && archivist->mirrors != NULL &&
           backup_mirrors_has(archivist->mirrors, str_from_c(name));
}

static enum lane lane_of(const struct archivist *archivist, const struct wire_message *message,
                         const struct request *request)
{
    if (is_owners(archivist, message->type, request))
        return LANE_OWN;
    if (message->type == WIRE_BACKUP_GET)
        return LANE_GET;
    return message->type == WIRE_BACKUP_PUT && request->size_bytes > ARCHIVIST_SMALL_BYTES
               ? LANE_LARGE
               : LANE_SMALL;
}

static size_t count_of(const struct orders *orders, const struct id *mailbox)
{
    const struct order *order;
    size_t count = 0;

    TAILQ_FOREACH(order, orders, in_orders)
    count += id_equal(&order->mailbox, mailbox) ? 1 : 0;
    return count;
}

static bool has_room(const struct archivist *archivist, const struct id *mailbox, enum lane lane)
{
    return archivist->order_count < ARCHIVIST_ORDERS_MAX &&
           (!id_is_set(mailbox) ||
            count_of(&archivist->waiting[lane], mailbox) < ARCHIVIST_ORDERS_PER_MAILBOX_MAX);
}

static void take(struct archivist *archivist, struct wire_channel *from,
                 struct wire_message *message, const struct request *request)
{
    struct order *order = NEW(struct order);

    order->archivist = archivist;
    order->asker = from;
    order->tag = message->tag;
    order->type = message->type;
    order->mailbox = request->mailbox;
    order->name = whole_name(&request->mailbox, request->name);
    order->after = request->after.len > 0 ? whole_name(&request->mailbox, request->after)
                                          : mem_copy_text("", 0);
    order->root_len = strlen(order->name) - request->name.len;
    order->fd = -1;
    if (message->fd_count > 0) {
        order->fd = message->fds[0];
        message->fds[0] = -1;
    }
    order->size_bytes = request->size_bytes;
    if (request->digest.len == CRYPT_HASH_BYTES)
        memcpy(order->digest, request->digest.ptr, CRYPT_HASH_BYTES);
    order->lane = lane_of(archivist, message, request);
    order->is_of_the_keepers = wire_channel_peer(from) == WIRE_ROLE_KEEPER;
    /* Behind an older one of its name, which would replace it if it came later. */
    if (order->type == WIRE_BACKUP_PUT && lane_of_put(archivist, order->name) != LANE_COUNT)
        order->lane = lane_of_put(archivist, order->name);
    order->timer = net_timer_new(archivist->loop, attempt, order);
    archivist->order_count++;
    TAILQ_INSERT_TAIL(&archivist->waiting[order->lane], order, in_orders);
    run_lane(archivist, order->lane);
}

static void refuse(struct archivist *archivist, struct wire_channel *from,
                   const struct wire_message *message, const struct request *request,
                   enum wire_status status, struct str words)
{
    struct archivist_answer answer = {.status = status, .words = words, .fd = -1, .is_last = true};

    archivist_answer(archivist->log, from, message->tag, message->type, &request->mailbox, &answer);
}

/* ---- A removed mailbox ---- */

/* Nobody wants it any more. */
static void drop_waiting_puts(struct archivist *archivist, const struct id *mailbox)
{
    static const struct archivist_answer answer = {
        .status = WIRE_UNAVAILABLE, .words = STR_INIT("the mailbox was removed"), .fd = -1};
    struct order *order, *next;

    for (int lane = 0; lane < LANE_COUNT; lane++) {
        for (order = TAILQ_FIRST(&archivist->waiting[lane]); order != NULL; order = next) {
            next = TAILQ_NEXT(order, in_orders);
            if (order->type != WIRE_BACKUP_PUT || !id_equal(&order->mailbox, mailbox))
                continue;
            if (order->asker != NULL)
                archivist_answer(archivist->log, order->asker, order->tag, order->type, mailbox,
                                 &answer);
            TAILQ_REMOVE(&archivist->waiting[lane], order, in_orders);
            order_free(&order);
        }
    }
}

/* To the host's destination. */
static bool is_put_under_way(struct archivist *archivist, const struct id *mailbox)
{
    const struct order *order;

    for (int lane = 0; lane < LANE_COUNT; lane++) {
        TAILQ_FOREACH(order, &archivist->running[lane], in_orders)
        {
            if (order->type == WIRE_BACKUP_PUT && id_equal(&order->mailbox, mailbox))
                return true;
        }
    }
    return false;
}

/* Where the keeper lists what a removed mailbox has left: no put of it begins any more. True: one
 * is under way, and would come behind the list; or its owner may have a destination of which nobody
 * has told yet, whose objects would not be in the list. */
static bool end_puts(struct archivist *archivist, const struct wire_channel *from,
                     const struct wire_message *message, const struct request *request)
{
    char name[ID_TEXT_LEN + 2];
    bool is_being_copied;

    if (wire_channel_peer(from) != WIRE_ROLE_KEEPER || message->type != WIRE_BACKUP_LIST ||
        !id_is_set(&request->mailbox))
        return false;
    drop_waiting_puts(archivist, &request->mailbox);
    (void)snprintf(name, sizeof(name), "%s/", request->mailbox.text);
    is_being_copied = archivist->mirrors != NULL &&
                      backup_mirrors_end_copying(archivist->mirrors, str_from_c(name));
    return is_being_copied || is_put_under_way(archivist, &request->mailbox) ||
           (archivist->mirrors != NULL && !archivist->is_told);
}

static void on_admin(struct archivist *archivist, struct wire_channel *from,
                     const struct wire_message *message)
{
    struct archivist_state state = {
        .destination = archivist->readable != NULL ? archivist->readable : archivist->destination,
        .mirrors = archivist->mirrors,
        .words = archivist->words,
        .put_count = archivist->put_count,
        .put_bytes = archivist->put_bytes,
        .failed_count = archivist->failed_count,
        .last_put_ms = archivist->last_put_ms,
        .last_failure_ms = archivist->last_failure_ms,
        .failure = archivist->failure,
        .policy = archivist->policy,
    };

    for (int lane = 0; lane < LANE_COUNT; lane++)
        state.running += archivist->running_count[lane];
    state.waiting = archivist->order_count - state.running;
    archivist_admin_message(archivist->admin, &state, from, message);
}

static void on_own(struct archivist *archivist, const struct wire_backup_own *body)
{
    struct backup_own own = {.mailbox = body->mailbox,
                             .place = body->place,
                             .region = body->region,
                             .key_id = body->key_id,
                             .secret = body->secret};
    struct id again;

    if (archivist->mirrors == NULL)
        return;
    if (!id_is_set(&body->mailbox)) {
        backup_mirrors_all_told(archivist->mirrors);
        archivist->is_told = true;
        if (archivist->let_go != NULL)
            let_go_told(archivist->let_go);
    } else if (id_parse(id_str(&body->mailbox), &again)) {
        backup_mirrors_set(archivist->mirrors, &own);
    }
}

void archivist_keeper_came(struct archivist *archivist)
{
    if (archivist->mirrors != NULL)
        backup_mirrors_tell(archivist->mirrors);
}

void archivist_message(struct archivist *archivist, struct wire_channel *from,
                       struct wire_message *message)
{
    struct request request;
    const char *fault;

    if (message->type == WIRE_ADMIN)
        on_admin(archivist, from, message);
    else if (message->type == WIRE_BACKUP_OWN)
        on_own(archivist, &message->body.backup_own);
    if (!read_request(message, &request))
        return;
    fault = find_fault(message, &request);
    if (!may_ask(wire_channel_peer(from), message, &request))
        refuse(archivist, from, message, &request, WIRE_DENIED, STR("not yours"));
    else if (fault != NULL)
        refuse(archivist, from, message, &request, WIRE_INVALID, str_from_c(fault));
    else if (archivist->destination == NULL)
        refuse(archivist, from, message, &request, archivist->without,
               str_from_c(archivist->words));
    else if (message->type == WIRE_BACKUP_PUT && message->fd_count == 0)
        refuse(archivist, from, message, &request, WIRE_UNAVAILABLE, STR("its bytes were lost"));
    else if (end_puts(archivist, from, message, &request))
        refuse(archivist, from, message, &request, WIRE_DEFERRED, STR("more is on its way"));
    else if (!has_room(archivist, &request.mailbox, lane_of(archivist, message, &request)))
        refuse(archivist, from, message, &request, WIRE_UNAVAILABLE,
               STR("too much is waiting already"));
    else
        take(archivist, from, message, &request);
}

/* ---- Beginning and end ---- */

struct archivist *archivist_new(struct net_loop *loop, const struct log *log)
{
    struct archivist *archivist = NEW(struct archivist);

    archivist->loop = loop;
    archivist->log = log;
    archivist->admin = archivist_admin_new(log);
    archivist->without = WIRE_UNAVAILABLE;
    archivist->began_ms = clock_monotonic_ms();
    archivist->policy = (struct backup_policy){.daily = 7, .hourly = 24};
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        TAILQ_INIT(&archivist->waiting[lane]);
        TAILQ_INIT(&archivist->running[lane]);
    }
    archivist->prunes = prune_queue_new(log, &archivist->policy);
    return archivist;
}

void archivist_set_policy(struct archivist *archivist, const struct backup_policy *policy)
{
    archivist->policy = *policy;
}

void archivist_set_destination(struct archivist *archivist, struct backup_destination *destination,
                               enum wire_status status, struct str words)
{
    archivist->destination = destination;
    prune_queue_set_destination(archivist->prunes, destination);
    archivist->without = status;
    words = str_upto(words, sizeof(archivist->words) - 1);
    if (words.len > 0)
        memcpy(archivist->words, words.ptr, words.len);
    archivist->words[words.len] = '\0';
}

void archivist_allow_own(struct archivist *archivist, backup_own_open open, void *owner)
{
    if (archivist->destination == NULL)
        return;
    archivist->mirrors =
        backup_mirrors_new(archivist->loop, archivist->log, archivist->destination, open, owner);
    prune_queue_set_mirrors(archivist->prunes, archivist->mirrors);
    archivist->readable =
        backup_mirrored_new(archivist->loop, archivist->destination, archivist->mirrors,
                            archivist->log, BACKUP_OWN_PATIENCE_MS, false);
    archivist->whole =
        backup_mirrored_new(archivist->loop, archivist->destination, archivist->mirrors,
                            archivist->log, BACKUP_OWN_ALONE_MS, true);
}

enum err archivist_remember(struct archivist *archivist, struct task *task, const char *folder)
{
    if (archivist->mirrors == NULL)
        return ERR_OK;
    TRY(let_go_new(task, archivist->loop, archivist->log, folder, archivist->mirrors,
                   &archivist->let_go));
    prune_queue_set_let_go(archivist->prunes, archivist->let_go);
    return ERR_OK;
}

void archivist_set_late(struct archivist *archivist, int64_t late_ms)
{
    archivist->late_ms = late_ms;
}

/* Those that wait are dropped; of those that run, a put is finished. */
static void forget(struct orders *orders, struct archivist *archivist, struct wire_channel *asker,
                   bool is_running)
{
    struct order *order, *next;

    for (order = TAILQ_FIRST(orders); order != NULL; order = next) {
        next = TAILQ_NEXT(order, in_orders);
        if (order->asker != asker)
            continue;
        order->asker = NULL;
        if (is_running && order->type == WIRE_BACKUP_PUT)
            continue;
        TAILQ_REMOVE(orders, order, in_orders);
        if (is_running)
            archivist->running_count[order->lane]--;
        order_free(&order);
    }
}

void archivist_asker_gone(struct archivist *archivist, struct wire_channel *asker)
{
    archivist_admin_gone(archivist->admin, asker);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        forget(&archivist->waiting[lane], archivist, asker, false);
        forget(&archivist->running[lane], archivist, asker, true);
        run_lane(archivist, (enum lane)lane);
    }
}

static void free_orders(struct orders *orders)
{
    struct order *order;

    while ((order = TAILQ_FIRST(orders)) != NULL) {
        TAILQ_REMOVE(orders, order, in_orders);
        order_free(&order);
    }
}

void archivist_free(struct archivist **pointer)
{
    struct archivist *archivist = *pointer;

    if (archivist == NULL)
        return;
    prune_queue_free(&archivist->prunes);
    archivist_admin_free(&archivist->admin);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        free_orders(&archivist->waiting[lane]);
        free_orders(&archivist->running[lane]);
    }
    backup_destination_free(&archivist->readable);
    backup_destination_free(&archivist->whole);
    let_go_free(&archivist->let_go);
    backup_mirrors_free(&archivist->mirrors);
    backup_destination_free(&archivist->destination);
    mem_free(pointer);
}
