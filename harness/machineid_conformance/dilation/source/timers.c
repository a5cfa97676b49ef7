/* Timers that the kernel runs by itself: alarm, setitimer(ITIMER_REAL), timer_settime, timerfd_settime.
 *
 * The kernel is armed with real time at the present rate. When the rate changes, each armed timer must be armed again: a thread of ours
 * does that, made when the process arms its first timer (most never do), asleep on the page until a change. All its signals are blocked. A
 * forked child has no such thread and no timers but its parent's timerfds, which the parent goes on to arm.
 *
 * Where the page says from when on the rate is 1, the kernel is given both parts. When the rate falls before that, whoever woke arms the timers
 * of his process again; in another process a timer that the kernel had due before this thread came to run fires early, by the time that
 * the thread waited for a processor times the old rate. Only here: all other waits look at target time before they end. And an alarm that outlives exec is armed by
 * nobody while its old program is gone and the new one not yet there: a change of rate in that moment passes it by.
 */
#include "timers.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ROOM 256 /* timers armed at once that follow a change of rate; what is beyond keeps the rate at which it was armed */
static struct timer timers[ROOM];
static pthread_mutex_t timers_lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t watched_by; /* the process that has the thread */

/* Signals are blocked while the lock is held: alarm() may be called by a handler (signal-safety(7)). */
void timers_hold(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
    pthread_mutex_lock(&timers_lock);
}

void timers_release(const sigset_t *before)
{
    pthread_mutex_unlock(&timers_lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* -- the kernel's side, in real time, one shape for the three kinds ------------------------------------------------------------ */

static int kernel_get(const struct timer *timer, struct itimerspec *now)
{
    switch (timer->kind) {
    case ITIMER: {
        struct itimerval value;
        int done = REAL(getitimer)(ITIMER_REAL, &value);
        now->it_value = to_timespec(from_timeval(value.it_value.tv_sec, value.it_value.tv_usec));
        now->it_interval = to_timespec(from_timeval(value.it_interval.tv_sec, value.it_interval.tv_usec));
        return done;
    }
    case POSIX_TIMER:
        return REAL_VERSION(timer_gettime, "GLIBC_2.3.3")(timer->id, now);
    default:
        return REAL(timerfd_gettime)(timer->fd, now);
    }
}

static struct timeval up_to_microseconds(struct timespec value)
{
    int64_t ns = value.tv_sec * NS_PER_S + value.tv_nsec;
    return (struct timeval){.tv_sec = (ns + 999) / NS_PER_S, .tv_usec = (ns + 999) % NS_PER_S / 1000};
}

static int kernel_set(const struct timer *timer, const struct itimerspec *value, struct itimerspec *old)
{
    switch (timer->kind) {
    case ITIMER: {
        struct itimerval new = {.it_value = up_to_microseconds(value->it_value), .it_interval = up_to_microseconds(value->it_interval)};
        struct itimerval before;
        int done = REAL(setitimer)(ITIMER_REAL, &new, &before);
        if (old)
            old->it_value = to_timespec(from_timeval(before.it_value.tv_sec, before.it_value.tv_usec));
        return done;
    }
    case POSIX_TIMER:
        return REAL_VERSION(timer_settime, "GLIBC_2.3.3")(timer->id, 0, value, old);
    default:
        return REAL(timerfd_settime)(timer->fd, 0, value, old);
    }
}

static bool armed(const struct timespec *value) { return value->tv_sec || value->tv_nsec; }

/* -- target time --------------------------------------------------------------------------------------------------------------- */

static int64_t next_expiry(const struct timer *timer)
{
    int64_t now = target_now(CLOCK_MONOTONIC);
    if (timer->interval == 0 || timer->first > now || timer->first == FOREVER)
        return timer->first;
    return timer->first + ((now - timer->first) / timer->interval + 1) * timer->interval;
}

/* What the kernel is to be given for the expiration due at `next`, and those after it. Remembers it, to know later which it has made. */
static struct itimerspec in_real_time(struct timer *timer, int64_t next)
{
    int64_t left = left_until(next), real = to_real(left), interval = timer->interval ? to_real(timer->interval) : 0;
    page_withdraw(timer->announced);
    timer->announced = left < NAP_NS || next == FOREVER ? 0 : page_announce(next);
    timer->next = next;
    timer->given = real ? real : 1; /* zero would disarm */
    timer->given_interval = timer->interval && !interval ? 1 : interval;
    timer->given_at = real_now(CLOCK_MONOTONIC);
    return (struct itimerspec){.it_value = to_timespec(timer->given), .it_interval = to_timespec(timer->given_interval)};
}

/* The expiration that the kernel has not made yet, when `left` is what it says is left: it may have been early or late with the last. */
static int64_t not_made_yet(const struct timer *timer, const struct timespec *left)
{
    if (timer->interval == 0)
        return timer->next;
    int64_t since = real_now(CLOCK_MONOTONIC) + from_timespec(left) - timer->given_at - timer->given;
    int64_t made = (since + timer->given_interval / 2) / timer->given_interval;
    return timer->next + (made > 0 ? made : 0) * timer->interval;
}

/* To arm a timerfd is to forget the expirations that its program has not read (timerfd_create(2)). */
static bool unread(const struct timer *timer)
{
    struct pollfd one = {.fd = timer->fd, .events = POLLIN};
    struct timespec none = {0};
    return timer->kind == DESCRIPTOR && REAL(ppoll)(&one, 1, &none, NULL) > 0;
}

/* False: not yet, it is to be tried again soon. */
static bool arm_again(struct timer *timer)
{
    struct itimerspec now, before;
    if (kernel_get(timer, &now) != 0 || !armed(&now.it_value)) {
        timer->used = timer->interval != 0 && timer->used;
        page_withdraw(timer->announced);
        timer->announced = 0;
        return true; /* it has fired, was disarmed, or is gone */
    }
    if (unread(timer))
        return false;
    int64_t next = not_made_yet(timer, &now.it_value);
    struct itimerspec value = in_real_time(timer, next);
    if (kernel_set(timer, &value, &before) != 0)
        return true;
    if (!armed(&before.it_value) || from_timespec(&before.it_value) > from_timespec(&now.it_value)) {
        /* It fired between our look and our arming. A signal is on its way; a descriptor has forgotten, and fires again. */
        if (timer->kind == DESCRIPTOR)
            value.it_value = to_timespec(timer->given = 1);
        else if (timer->interval)
            value = in_real_time(timer, next += timer->interval);
        else
            value = (struct itimerspec){0};
        kernel_set(timer, &value, NULL);
    }
    /* What was due while this thread waited for a processor is made up for, one at a time. */
    return timer->interval == 0 || left_until(next) > 0;
}

/* While the table is held. True: all of them; else the others are to be tried again soon. */
static bool arm_all_again(bool behind_only)
{
    bool all_armed = true;
    for (int n = 0; n < ROOM; n++)
        if (timers[n].used && (!behind_only || timers[n].behind))
            timers[n].behind = !arm_again(&timers[n]);
    for (int n = 0; n < ROOM; n++)
        all_armed = all_armed && !(timers[n].used && timers[n].behind);
    return all_armed;
}

/* Who has woken does it himself, for his process: the thread below might not get a processor before a timer is due at the old rate. */
void timers_slowed(void)
{
    if (watched_by != getpid())
        return;
    sigset_t before;
    int saved = errno;
    timers_hold(&before);
    arm_all_again(false);
    timers_release(&before);
    errno = saved;
}

static void *follow_changes(void *nothing)
{
    const struct timespec soon = to_timespec(SLICE_NS);
    uint32_t seen = page_sequence();
    bool all_armed = true, was_slow = page_slowed();
    (void)nothing;
    for (;;) {
        if (page_sequence() == seen && page_slowed() == was_slow)
            page_await_change(seen, all_armed ? NULL : &soon);
        uint32_t now = page_sequence();
        bool slow = page_slowed();
        if (now == seen && slow == was_slow && all_armed)
            continue;
        pthread_mutex_lock(&timers_lock);
        all_armed = arm_all_again(now == seen && slow == was_slow);
        pthread_mutex_unlock(&timers_lock);
        seen = now;
        was_slow = slow;
    }
    return NULL;
}

/* In a forked child: its parent's itimer and POSIX timers are not its own, and the lock may have been held by another thread. */
static void in_child(void)
{
    pthread_mutex_init(&timers_lock, NULL);
    memset(timers, 0, sizeof timers);
    watched_by = 0;
}

static void watch(void)
{
    if (watched_by == getpid() || !page_present())
        return;
    static bool told;
    if (!told)
        pthread_atfork(NULL, NULL, in_child);
    told = true;
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, follow_changes, NULL) == 0)
        watched_by = getpid();
    pthread_attr_destroy(&attributes);
}

static bool same(const struct timer *one, const struct timer *other)
{
    return one->kind == other->kind && (one->kind == ITIMER || (one->kind == DESCRIPTOR ? one->fd == other->fd : one->id == other->id));
}

struct timer *timer_entry(const struct timer *key, bool make)
{
    struct timer *free_one = NULL;
    for (int n = 0; n < ROOM; n++) {
        if (timers[n].used && same(&timers[n], key))
            return &timers[n];
        if (!timers[n].used && !free_one)
            free_one = &timers[n];
    }
    if (!make || !free_one)
        return NULL;
    *free_one = *key;
    return free_one;
}

/* What is left of a timer, in target time, for the callers that ask. */
static void describe(const struct timer *key, const struct itimerspec *kernel, struct itimerspec *shown)
{
    const struct timer *known = timer_entry(key, false);
    *shown = (struct itimerspec){0};
    if (!known) { /* armed by the parent of this process */
        shown->it_value = to_timespec(to_target(from_timespec(&kernel->it_value)));
        shown->it_interval = to_timespec(to_target(from_timespec(&kernel->it_interval)));
        return;
    }
    shown->it_interval = to_timespec(known->interval);
    if (!armed(&kernel->it_value))
        return;
    int64_t left = left_until(next_expiry(known));
    shown->it_value = to_timespec(left ? left : 1);
}

/* Arm, or disarm with a zero value. `clock` is for absolute times only. */
int timer_arm(struct timer *key, bool absolute, clockid_t clock, const struct itimerspec *asked, struct itimerspec *old)
{
    if (armed(&asked->it_value))
        page_slow_down(); /* before the table is held: it arms the others again */
    sigset_t before;
    timers_hold(&before);
    struct itimerspec kernel_old, value = {0}, shown;
    struct timer *known = NULL;
    if (old && kernel_get(key, &kernel_old) == 0)
        describe(key, &kernel_old, &shown);
    else
        shown = (struct itimerspec){0};
    if ((known = timer_entry(key, false)))
        page_withdraw(known->announced);
    if (armed(&asked->it_value)) {
        key->first = absolute ? deadline_at(clock, &asked->it_value) : deadline_after(from_timespec(&asked->it_value));
        key->interval = from_timespec(&asked->it_interval);
        key->used = true;
        watch();
        value = in_real_time(key, key->first);
        known = timer_entry(key, true);
        if (known)
            *known = *key;
    } else if (known) {
        known->used = false;
        known->announced = 0;
    }
    int done = kernel_set(key, &value, NULL);
    int why = errno;
    if (done != 0 && known)
        known->used = false;
    if (!known || !known->used) {
        page_withdraw(key->announced); /* it is not followed, or is not armed */
        if (known)
            known->announced = 0;
    }
    timers_release(&before);
    if (done == 0 && old)
        *old = shown;
    errno = why;
    return done;
}

int timer_left(const struct timer *key, struct itimerspec *now)
{
    sigset_t before;
    timers_hold(&before);
    struct itimerspec kernel = {0};
    int done = kernel_get(key, &kernel);
    int why = errno;
    if (done == 0)
        describe(key, &kernel, now);
    timers_release(&before);
    errno = why;
    return done;
}

/* An alarm outlives exec (setitimer(2)): the new program's library takes it over. */
__attribute__((constructor)) static void take_over(void)
{
    struct itimerval value;
    if (!page_present() || REAL(getitimer)(ITIMER_REAL, &value) != 0)
        return;
    if (value.it_value.tv_sec == 0 && value.it_value.tv_usec == 0)
        return;
    int64_t left = to_target(from_timeval(value.it_value.tv_sec, value.it_value.tv_usec));
    struct timer key = {.kind = ITIMER, .used = true, .first = deadline_after(left),
                        .interval = to_target(from_timeval(value.it_interval.tv_sec, value.it_interval.tv_usec))};
    in_real_time(&key, key.first); /* as the kernel has it */
    *timer_entry(&key, true) = key;
    watch();
}
