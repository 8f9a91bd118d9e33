/*
 * Whose turn it is among owners' destinations, so that none is in the way of others'.
 *
 *   QUICK   MIRROR_PLACES work, a step each in turn; who was served for the least time is next
 *     │ ^
 *     │ └── nothing is left to do ───────────────────────────────────────┐
 *     └─ a step took quick_ms: it goes on in a free place there, or, if   │
 *        somebody waits for its place here, is given up and waits there ──> SLOW
 *
 *   SLOW    MIRROR_PLACES more, in the order in which they came, each with all that it has to do.
 *           After slow_ms, if others wait for a place, it is the next one's turn: behind the step
 *           that is under way if that ends by itself, else it is given up, as a failure, and waits
 *
 * So whoever answers in time has a place as soon as a step of another's ends, which it does after
 * quick_ms at the latest, and among several the place goes to those who used less time:
 * destinations that take just less than quick_ms for each step have no more of it than others.
 */
#include "backup/mirror_internal.h"

#include "base/clock.h"

void mirrors_init_turns(struct backup_mirrors *mirrors)
{
    for (int lane = 0; lane < MIRROR_LANE_COUNT; lane++) {
        TAILQ_INIT(&mirrors->lanes[lane].ready);
        TAILQ_INIT(&mirrors->lanes[lane].working);
    }
    mirrors->limits = (struct backup_mirrors_limits){MIRROR_QUICK_MS, MIRROR_SLOW_MS};
}

void backup_mirrors_set_limits(struct backup_mirrors *mirrors,
                               const struct backup_mirrors_limits *limits)
{
    mirrors->limits = *limits;
}

static struct mirror_places *places_of(struct mirror *mirror)
{
    return &mirror->mirrors->lanes[mirror->lane];
}

/* ---- Ready ---- */

/* Whoever had nothing to do for a while has not saved time up by that. */
static void insert_by_served(struct mirror *mirror)
{
    struct mirror_queue *ready = &places_of(mirror)->ready;
    struct mirror *before;

    if (mirror->served_ms < mirror->mirrors->served_ms)
        mirror->served_ms = mirror->mirrors->served_ms;
    TAILQ_FOREACH_REVERSE(before, ready, mirror_queue, in_lane)
    {
        if (before->served_ms <= mirror->served_ms)
            break;
    }
    if (before == NULL)
        TAILQ_INSERT_HEAD(ready, mirror, in_lane);
    else
        TAILQ_INSERT_AFTER(ready, before, mirror, in_lane);
}

void mirror_get_ready(struct mirror *mirror)
{
    if (mirror->is_ready || mirror->is_working || mirror->is_waiting || !mirror_has_work(mirror))
        return;
    net_timer_stop(mirror->timer); /* of its rest */
    mirror->is_ready = true;
    if (mirror->lane == MIRROR_LANE_QUICK)
        insert_by_served(mirror);
    else if (mirror->keeps_place)
        TAILQ_INSERT_HEAD(&places_of(mirror)->ready, mirror, in_lane);
    else
        TAILQ_INSERT_TAIL(&places_of(mirror)->ready, mirror, in_lane);
}

bool mirror_begins_at_once(const struct mirror *mirror)
{
    const struct mirror_places *places = &mirror->mirrors->lanes[mirror->lane];

    return !mirror->is_ready && !mirror->is_working && !mirror->is_waiting &&
           !mirror_has_work(mirror) && TAILQ_EMPTY(&places->ready) && places->taken < MIRROR_PLACES;
}

/* ---- Working ---- */

static void enter_place(struct mirror *mirror)
{
    struct mirror_places *places = places_of(mirror);

    TAILQ_INSERT_TAIL(&places->working, mirror, in_lane);
    places->taken++;
    mirror->is_working = true;
    if (mirror->keeps_place)
        return; /* its time runs on */
    mirror->is_overdue = false;
    net_timer_start(mirror->limit, mirror->lane == MIRROR_LANE_QUICK
                                       ? mirror->mirrors->limits.quick_ms
                                       : mirror->mirrors->limits.slow_ms);
}

static void leave_place(struct mirror *mirror)
{
    struct mirror_places *places = places_of(mirror);

    TAILQ_REMOVE(&places->working, mirror, in_lane);
    places->taken--;
    mirror->is_working = false;
    if (mirror->lane == MIRROR_LANE_QUICK) /* however it ends, and wherever it goes on */
        mirror->served_ms += clock_monotonic_ms() - mirror->began_ms + 1;
    if (mirror->keeps_place)
        return;
    mirror->is_overdue = false;
    net_timer_stop(mirror->limit);
}

static void begin_turn(struct mirror *mirror)
{
    struct backup_mirrors *mirrors = mirror->mirrors;

    TAILQ_REMOVE(&places_of(mirror)->ready, mirror, in_lane);
    mirror->is_ready = false;
    enter_place(mirror);
    mirror->keeps_place = false;
    mirror->began_ms = clock_monotonic_ms();
    if (mirror->lane == MIRROR_LANE_QUICK && mirrors->served_ms < mirror->served_ms)
        mirrors->served_ms = mirror->served_ms;
    mirror_go_on(mirror);
}

void mirror_end_turn(struct mirror *mirror)
{
    struct backup_mirrors *mirrors = mirror->mirrors;
    bool is_done = !mirror->is_waiting && !mirror_has_work(mirror);

    mirror->keeps_place = mirror->lane == MIRROR_LANE_SLOW && !is_done && !mirror->is_waiting &&
                          !(mirror->is_overdue && !TAILQ_EMPTY(&places_of(mirror)->ready));
    leave_place(mirror);
    if (is_done)
        mirror->lane = MIRROR_LANE_QUICK;
    mirror_get_ready(mirror);
    if (is_done)
        net_timer_start(mirror->timer, MIRROR_OPEN_MS);
    mirrors_run(mirrors);
}

void mirror_leave_turns(struct mirror *mirror)
{
    if (mirror->is_ready)
        TAILQ_REMOVE(&places_of(mirror)->ready, mirror, in_lane);
    mirror->is_ready = mirror->keeps_place = false;
    if (mirror->is_working)
        leave_place(mirror);
    net_timer_stop(mirror->limit);
    mirror->lane = MIRROR_LANE_QUICK;
}

/* ---- Whose turn ---- */

static struct mirror *find_overdue(struct backup_mirrors *mirrors, enum mirror_lane lane)
{
    struct mirror *mirror;

    TAILQ_FOREACH(mirror, &mirrors->lanes[lane].working, in_lane)
    {
        if (mirror->is_overdue)
            break;
    }
    return mirror;
}

/* Somebody waits for its place. */
static void turn_out(struct mirror *mirror)
{
    if (mirror->lane == MIRROR_LANE_SLOW) {
        mirror_put_off(mirror, "it takes long, and others wait");
        return;
    }
    mirror_give_up(mirror);
    leave_place(mirror);
    mirror->lane = MIRROR_LANE_SLOW;
    mirror_get_ready(mirror);
}

/* True: one began, or was turned out. */
static bool run_next(struct backup_mirrors *mirrors, enum mirror_lane lane)
{
    struct mirror_places *places = &mirrors->lanes[lane];
    struct mirror *overdue;

    if (TAILQ_EMPTY(&places->ready))
        return false;
    if (places->taken < MIRROR_PLACES) {
        begin_turn(TAILQ_FIRST(&places->ready));
        return true;
    }
    overdue = find_overdue(mirrors, lane);
    if (overdue != NULL)
        turn_out(overdue);
    return overdue != NULL;
}

/* A step that takes long goes on in a place that nobody wants. */
static bool move_overdue(struct backup_mirrors *mirrors)
{
    struct mirror *mirror = find_overdue(mirrors, MIRROR_LANE_QUICK);

    if (mirror == NULL || mirrors->lanes[MIRROR_LANE_SLOW].taken == MIRROR_PLACES)
        return false;
    leave_place(mirror);
    mirror->lane = MIRROR_LANE_SLOW;
    enter_place(mirror);
    return true;
}

void mirrors_run(struct backup_mirrors *mirrors)
{
    if (mirrors->is_running)
        return; /* a turn that ended at once: the loop below goes on */
    mirrors->is_running = true;
    while (run_next(mirrors, MIRROR_LANE_SLOW) || move_overdue(mirrors) ||
           run_next(mirrors, MIRROR_LANE_QUICK)) {
    }
    mirrors->is_running = false;
}

static void on_limit(void *owner)
{
    struct mirror *mirror = owner;

    mirror->is_overdue = true;
    mirrors_run(mirror->mirrors);
}

void mirror_init_turns(struct mirror *mirror)
{
    mirror->limit = net_timer_new(mirror->mirrors->loop, on_limit, mirror);
}

void mirror_done_turns(struct mirror *mirror)
{
    net_timer_free(&mirror->limit);
}
