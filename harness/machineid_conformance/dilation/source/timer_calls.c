/* The calls by which a program arms the timers of timers.c. */
#include "timers.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CLOCKS_KNOWN 4096
static signed char clock_of_fd[CLOCKS_KNOWN]; /* clock + 1 of the timerfds that this process made */

static struct timespec timespec_of(struct timeval value) { return (struct timespec){.tv_sec = value.tv_sec, .tv_nsec = value.tv_usec * 1000}; }

static struct timeval timeval_of(struct timespec value) { return (struct timeval){.tv_sec = value.tv_sec, .tv_usec = value.tv_nsec / 1000}; }

static bool valid_timeval(const struct timeval *value) { return value->tv_sec >= 0 && value->tv_usec >= 0 && value->tv_usec < 1000000; }

PUBLIC int setitimer(__itimer_which_t which, const struct itimerval *restrict asked, struct itimerval *restrict old)
{
    if (which != ITIMER_REAL || !asked || !valid_timeval(&asked->it_value) || !valid_timeval(&asked->it_interval))
        return REAL(setitimer)(which, asked, old);
    struct timer key = {.kind = ITIMER};
    struct itimerspec value = {.it_value = timespec_of(asked->it_value), .it_interval = timespec_of(asked->it_interval)}, before;
    int done = timer_arm(&key, false, CLOCK_MONOTONIC, &value, old ? &before : NULL);
    if (done == 0 && old)
        *old = (struct itimerval){.it_value = timeval_of(before.it_value), .it_interval = timeval_of(before.it_interval)};
    return done;
}

PUBLIC int getitimer(__itimer_which_t which, struct itimerval *now)
{
    if (which != ITIMER_REAL)
        return REAL(getitimer)(which, now);
    struct timer key = {.kind = ITIMER};
    struct itimerspec value;
    int done = timer_left(&key, &value);
    if (done == 0)
        *now = (struct itimerval){.it_value = timeval_of(value.it_value), .it_interval = timeval_of(value.it_interval)};
    return done;
}

PUBLIC unsigned int alarm(unsigned int seconds)
{
    struct itimerval value = {.it_value.tv_sec = seconds}, old = {0};
    if (setitimer(ITIMER_REAL, &value, &old) != 0)
        return 0;
    unsigned int left = (unsigned int)old.it_value.tv_sec + (old.it_value.tv_usec >= 500000);
    return left == 0 && old.it_value.tv_usec ? 1 : left; /* an alarm that is set is never said to have 0 left (alarm(2)) */
}

PUBLIC useconds_t ualarm(useconds_t value, useconds_t interval)
{
    struct itimerval new = {.it_value = {value / 1000000, value % 1000000}, .it_interval = {interval / 1000000, interval % 1000000}}, old = {0};
    if (setitimer(ITIMER_REAL, &new, &old) != 0)
        return (useconds_t)-1;
    return (useconds_t)(old.it_value.tv_sec * 1000000 + old.it_value.tv_usec);
}

#define CLOCKS_OF_TIMERS 64
static struct { timer_t id; clockid_t clock; bool used; } clock_of_timer[CLOCKS_OF_TIMERS];

PUBLIC int timer_create(clockid_t clock, struct sigevent *restrict event, timer_t *restrict id)
{
    int done = REAL_VERSION(timer_create, "GLIBC_2.3.3")(clock, event, id);
    if (done != 0)
        return done;
    sigset_t before;
    timers_hold(&before);
    for (int n = 0; n < CLOCKS_OF_TIMERS; n++)
        if (!clock_of_timer[n].used || clock_of_timer[n].id == *id) {
            clock_of_timer[n].id = *id;
            clock_of_timer[n].clock = clock;
            clock_of_timer[n].used = true;
            break;
        }
    timers_release(&before);
    return done;
}

PUBLIC int timer_delete(timer_t id)
{
    sigset_t before;
    timers_hold(&before);
    for (int n = 0; n < CLOCKS_OF_TIMERS; n++)
        if (clock_of_timer[n].used && clock_of_timer[n].id == id)
            clock_of_timer[n].used = false;
    struct timer key = {.kind = POSIX_TIMER, .id = id}, *known = timer_entry(&key, false);
    if (known) {
        known->used = false;
        page_withdraw(known->announced);
        known->announced = 0;
    }
    timers_release(&before);
    return REAL_VERSION(timer_delete, "GLIBC_2.3.3")(id);
}

static clockid_t timer_clock(timer_t id)
{
    for (int n = 0; n < CLOCKS_OF_TIMERS; n++)
        if (clock_of_timer[n].used && clock_of_timer[n].id == id)
            return clock_of_timer[n].clock;
    return CLOCK_PROCESS_CPUTIME_ID; /* not known: left alone */
}

PUBLIC int timer_settime(timer_t id, int flags, const struct itimerspec *restrict asked, struct itimerspec *restrict old)
{
    clockid_t clock = timer_clock(id);
    if (!scaled(clock) || !asked || !valid_timespec(&asked->it_value) || !valid_timespec(&asked->it_interval))
        return REAL_VERSION(timer_settime, "GLIBC_2.3.3")(id, flags, asked, old);
    struct timer key = {.kind = POSIX_TIMER, .id = id};
    return timer_arm(&key, flags & TIMER_ABSTIME, clock, asked, old);
}

PUBLIC int timer_gettime(timer_t id, struct itimerspec *now)
{
    if (!scaled(timer_clock(id)))
        return REAL_VERSION(timer_gettime, "GLIBC_2.3.3")(id, now);
    struct timer key = {.kind = POSIX_TIMER, .id = id};
    return timer_left(&key, now);
}

PUBLIC int timerfd_create(clockid_t clock, int flags)
{
    int fd = REAL(timerfd_create)(clock, flags);
    if (fd >= 0 && fd < CLOCKS_KNOWN)
        clock_of_fd[fd] = (signed char)(clock + 1);
    return fd;
}

PUBLIC int timerfd_settime(int fd, int flags, const struct itimerspec *asked, struct itimerspec *old)
{
    if (!asked || !valid_timespec(&asked->it_value) || !valid_timespec(&asked->it_interval))
        return REAL(timerfd_settime)(fd, flags, asked, old);
    bool absolute = flags & TFD_TIMER_ABSTIME;
    clockid_t clock = CLOCK_REALTIME;
    if (fd >= 0 && fd < CLOCKS_KNOWN && clock_of_fd[fd])
        clock = clock_of_fd[fd] - 1;
    else if (asked->it_value.tv_sec < 1000000000) /* made elsewhere: 30 years of uptime there are not, and 1999 is past */
        clock = CLOCK_MONOTONIC;
    struct timer key = {.kind = DESCRIPTOR, .fd = fd};
    return timer_arm(&key, absolute, clock, asked, old);
}

PUBLIC int timerfd_gettime(int fd, struct itimerspec *now)
{
    struct timer key = {.kind = DESCRIPTOR, .fd = fd};
    return timer_left(&key, now);
}
