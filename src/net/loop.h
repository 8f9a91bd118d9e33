/*
 * The event loop of a process: one, single-threaded, over libevent. Timers and readiness; sockets
 * with clients are in net/connection.h, listeners in net/listener.h, TLS in net/tls.h.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_loop;

/* Aborts when the kernel refuses. Signals are left as they are, but for SIGPIPE, which is ignored. */
struct net_loop *net_loop_new(void);
void net_loop_free(struct net_loop **loop);
/* Until net_loop_stop. */
void net_loop_run(struct net_loop *loop);
void net_loop_stop(struct net_loop *loop);

/*
 * To be called before the loop runs: it may linger. Before it sleeps it then looks for what comes
 * next for NET_LOOP_LINGER_US, wherever that was enough the last times: where processes answer each
 * other, being put to sleep and woken costs more than the answers. It does so only while nobody else
 * wants the processor, and spends nothing in silence.
 */
enum { NET_LOOP_LINGER_US = 50 };
void net_loop_allow_linger(struct net_loop *loop);

/*
 * The loop's room for bytes that were just read: one for all connections, since a process handles
 * one at a time. Whoever uses it wipes what he put there before he returns to the loop.
 */
char *net_loop_scratch(struct net_loop *loop, size_t *out_size);

typedef void (*net_callback)(void *owner);

/* Calls on_time once after `delay_ms` (0: after the events that are due now). */
struct net_timer;
struct net_timer *net_timer_new(struct net_loop *loop, net_callback on_time, void *owner);
void net_timer_free(struct net_timer **timer);
void net_timer_start(struct net_timer *timer, int64_t delay_ms); /* restarts a running one */
void net_timer_stop(struct net_timer *timer);

/* Level-triggered readiness of a descriptor (borrowed). */
struct net_watch;
struct net_watch *net_watch_new(struct net_loop *loop, int fd, net_callback on_readable,
                                net_callback on_writable, void *owner);
void net_watch_free(struct net_watch **watch);
void net_watch_want(struct net_watch *watch, bool is_reading, bool is_writing);

/* Calls on_signal in the loop, once for any number of signals that came meanwhile. The signal is
 * blocked from now on, also in children, which unblock it. */
struct net_signal;
struct net_signal *net_signal_new(struct net_loop *loop, int signal_number, net_callback on_signal,
                                  void *owner);
void net_signal_free(struct net_signal **signal);

#endif
