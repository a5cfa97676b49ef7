/* What timer_calls.c needs of timers.c. */
#ifndef MACHINEID_DILATION_TIMERS_H
#define MACHINEID_DILATION_TIMERS_H

#include "dilation.h"

#include <signal.h>

enum kind { ITIMER, POSIX_TIMER, DESCRIPTOR };

struct timer {
    enum kind kind;
    bool used;
    bool behind;     /* the kernel still has it at an earlier rate */
    int fd;          /* DESCRIPTOR */
    timer_t id;      /* POSIX_TIMER */
    int64_t first;   /* target CLOCK_MONOTONIC of the first expiry */
    int64_t interval; /* target nanoseconds; 0: once */
    int64_t next;    /* target CLOCK_MONOTONIC of the expiration that the kernel was given, */
    int64_t given, given_interval, given_at; /* in real nanoseconds, from that real CLOCK_MONOTONIC on */
    int announced;   /* to the harness: time is not to go fast beyond it */
};

/* Signals are blocked while the table is held: alarm() may be called by a handler (signal-safety(7)). */
void timers_hold(sigset_t *before);
void timers_release(const sigset_t *before);

/* The entry of the same timer, or a free one that becomes it; NULL when there is none, or no room. */
struct timer *timer_entry(const struct timer *key, bool make);

/* Arm, or disarm with a zero value. `clock` is for absolute times only. As timerfd_settime(2). */
int timer_arm(struct timer *key, bool absolute, clockid_t clock, const struct itimerspec *asked, struct itimerspec *old);
int timer_left(const struct timer *key, struct itimerspec *now);

#endif
