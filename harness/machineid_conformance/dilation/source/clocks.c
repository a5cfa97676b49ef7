/* Clocks, durations and deadlines, in target time. */
#include "dilation.h"

#include <sys/time.h>

int64_t real_now(clockid_t clock)
{
    struct timespec now;
    if (REAL(clock_gettime)(clock, &now) != 0)
        return 0;
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

bool scaled(clockid_t clock)
{
    switch (clock) {
    case CLOCK_REALTIME: case CLOCK_MONOTONIC: case CLOCK_BOOTTIME: case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE: case CLOCK_MONOTONIC_RAW: case CLOCK_TAI:
    case CLOCK_REALTIME_ALARM: case CLOCK_BOOTTIME_ALARM:
        return true;
    default:
        return false;
    }
}

int64_t target_now(clockid_t clock)
{
    if (!scaled(clock))
        return real_now(clock);
    struct reading got = read_page();
    if (clock == CLOCK_MONOTONIC)
        return got.now + got.drift;
    /* The drift is read first: a sum of two readings that each never fall, the later of the later, never falls either. A thread that lost
     * the processor between the two would see target time late by that while times the rate: it looks again. */
    for (int turn = 0;; turn++) {
        int64_t real = real_now(clock);
        if (turn == 20 || real_now(CLOCK_MONOTONIC) - got.now < 20000)
            return real + got.drift;
        got = read_page();
    }
}

int64_t to_real(int64_t target_ns)
{
    struct reading got = read_page();
    __int128 real = (((__int128)target_ns << 32) + (got.rate - 1)) / got.rate;
    if (real > got.lasts) /* and the rest at 1 */
        real = got.lasts + (target_ns - (((__int128)got.lasts * got.rate) >> 32));
    return real > FOREVER ? FOREVER : (int64_t)real;
}

int64_t to_target(int64_t real_ns)
{
    __int128 target = ((__int128)real_ns * read_page().rate) >> 32;
    return target > FOREVER ? FOREVER : (int64_t)target;
}

int64_t from_timespec(const struct timespec *value)
{
    if (value->tv_sec >= FOREVER / NS_PER_S - 1)
        return FOREVER;
    return value->tv_sec < 0 ? -1 : value->tv_sec * NS_PER_S + value->tv_nsec;
}

int64_t from_timeval(int64_t seconds, int64_t microseconds)
{
    if (seconds >= FOREVER / NS_PER_S - 1)
        return FOREVER;
    return seconds * NS_PER_S + microseconds * 1000;
}

struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

bool valid_timespec(const struct timespec *value)
{
    return value && value->tv_nsec >= 0 && value->tv_nsec < NS_PER_S && value->tv_sec >= 0;
}

/* How long the wait that this thread has begun is to last at most, and the absolute time that it was given. */
static __thread int64_t asked;
static __thread struct timespec asked_until;
static __thread bool continued; /* the wait is the one before, which has come back after a slice */

int64_t deadline_after(int64_t target_ns)
{
    asked = target_ns;
    asked_until = (struct timespec){0};
    continued = false;
    if (target_ns == FOREVER)
        return FOREVER;
    int64_t now = target_now(CLOCK_MONOTONIC);
    return target_ns > FOREVER - 1 - now ? FOREVER : now + target_ns;
}

int64_t deadline_at(clockid_t clock, const struct timespec *when)
{
    /* A condition's waiter comes back with the same time after each slice: that is one wait, and as long as it was at first. */
    bool again = when->tv_sec == asked_until.tv_sec && when->tv_nsec == asked_until.tv_nsec;
    int64_t before = asked, at = from_timespec(when), deadline = FOREVER;
    if (at != FOREVER) {
        int64_t left = at - target_now(clock);
        deadline = deadline_after(left > 0 ? left : 0);
    }
    asked = again ? before : deadline == FOREVER ? FOREVER : asked;
    asked_until = *when;
    continued = again;
    return deadline;
}

/* What this thread has announced. A handler of signals that waits, in a wait, takes its place. */
static __thread int announced;
static __thread bool nap;
static __thread int64_t ticked; /* how long the last wait was to be, if it ended by time */
static __thread int64_t sliced; /* likewise, if it came back after a slice */

static bool alike(int64_t one, int64_t other)
{
    int64_t between = one > other ? one - other : other - one;
    return between < one / 16;
}

void wait_begins(int64_t deadline)
{
    if (!continued) {
        /* Who came back after a slice, and begins anew for as long, never comes to its end (HotSpot's own threads). */
        nap = asked < NAP_NS || (asked < TICK_NS && alike(asked, ticked)) || alike(asked, sliced);
        if (!nap)
            page_slow_down(); /* whoever begins to wait ran until now: the last of a loop of naps was no wait */
    }
    page_withdraw(announced);
    announced = nap || deadline == FOREVER ? 0 : page_announce(deadline);
}

void wait_goes_on(void) { sliced = asked; }

void wait_over(bool by_time)
{
    sliced = 0;
    page_withdraw(announced);
    announced = 0;
    ticked = by_time ? asked : 0;
    if (!by_time || !nap)
        page_slow_down();
}

int64_t left_until(int64_t deadline)
{
    if (deadline == FOREVER)
        return FOREVER;
    int64_t left = deadline - target_now(CLOCK_MONOTONIC);
    return left > 0 ? left : 0;
}

int64_t slice_until(int64_t deadline, int64_t longest)
{
    if (!page_present())
        longest = 3600 * NS_PER_S;
    int64_t left = left_until(deadline);
    int64_t real = left == FOREVER ? longest : to_real(left);
    return real < longest ? real : longest;
}

int sleep_until(int64_t deadline)
{
    unsigned int before = handlers_run();
    wait_begins(deadline);
    for (;;) {
        uint32_t sequence = page_sequence();
        int64_t left = left_until(deadline);
        if (left == 0) {
            wait_over(true);
            return 0;
        }
        struct timespec real = to_timespec(left == FOREVER ? FOREVER : to_real(left));
        int why = page_present() ? page_sleep(sequence, &real) : REAL(clock_nanosleep)(CLOCK_MONOTONIC, 0, &real, NULL);
        if (why == EINTR || (handlers_run() != before && left_until(deadline) > 0)) {
            wait_over(false);
            return EINTR;
        }
    }
}

/* -- interposed ---------------------------------------------------------------------------------------------------------------- */

PUBLIC int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!scaled(clock))
        return REAL(clock_gettime)(clock, now);
    /* A machine without a clock that wakes it has no alarm clocks. */
    if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) && REAL(clock_gettime)(clock, now) != 0)
        return -1;
    *now = to_timespec(target_now(clock));
    return 0;
}

PUBLIC int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int done = REAL(gettimeofday)(now, zone);
    int64_t ns = target_now(CLOCK_REALTIME);
    *now = (struct timeval){.tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / 1000};
    return done;
}

PUBLIC time_t time(time_t *now)
{
    time_t seconds = target_now(CLOCK_REALTIME) / NS_PER_S;
    if (now)
        *now = seconds;
    return seconds;
}

PUBLIC int timespec_get(struct timespec *now, int base)
{
    if (base != TIME_UTC)
        return REAL(timespec_get)(now, base);
    *now = to_timespec(target_now(CLOCK_REALTIME));
    return base;
}
