/* Waits for nothing but time. */
#include "dilation.h"

#include <signal.h>
#include <threads.h>
#include <unistd.h>

static int sleep_for(int64_t target_ns, struct timespec *left)
{
    int64_t deadline = deadline_after(target_ns);
    int why = sleep_until(deadline);
    if (why && left)
        *left = to_timespec(left_until(deadline));
    return why;
}

PUBLIC int nanosleep(const struct timespec *asked, struct timespec *left)
{
    if (!valid_timespec(asked))
        return REAL(nanosleep)(asked, left); /* says EINVAL */
    int why = sleep_for(from_timespec(asked), left);
    if (why)
        errno = why;
    return why ? -1 : 0;
}

PUBLIC int clock_nanosleep(clockid_t clock, int flags, const struct timespec *asked, struct timespec *left)
{
    if (!scaled(clock) || !valid_timespec(asked))
        return REAL(clock_nanosleep)(clock, flags, asked, left);
    if (flags & TIMER_ABSTIME)
        return sleep_until(deadline_at(clock, asked));
    return sleep_for(from_timespec(asked), left);
}

PUBLIC int usleep(useconds_t microseconds)
{
    int why = sleep_for((int64_t)microseconds * 1000, NULL);
    if (why)
        errno = why;
    return why ? -1 : 0;
}

PUBLIC unsigned int sleep(unsigned int seconds)
{
    struct timespec left = {0};
    if (sleep_for((int64_t)seconds * NS_PER_S, &left) == 0)
        return 0;
    return (unsigned int)left.tv_sec + (left.tv_nsec >= NS_PER_S / 2); /* rounded, as glibc does */
}

PUBLIC int thrd_sleep(const struct timespec *asked, struct timespec *left)
{
    if (!valid_timespec(asked))
        return REAL(thrd_sleep)(asked, left);
    return sleep_for(from_timespec(asked), left) ? -1 : 0;
}

PUBLIC int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info, const struct timespec *restrict asked)
{
    if (!valid_timespec(asked))
        return REAL(sigtimedwait)(set, info, asked);
    int64_t deadline = deadline_after(from_timespec(asked));
    wait_begins(deadline);
    unsigned int before = handlers_run();
    for (;;) {
        struct timespec slice = to_timespec(slice_until(deadline, SLICE_NS));
        int got = REAL(sigtimedwait)(set, info, &slice);
        if (got >= 0 || errno != EAGAIN || left_until(deadline) == 0) {
            wait_over(got < 0 && errno == EAGAIN);
            return got;
        }
        if (handlers_run() != before) {
            wait_over(false);
            errno = EINTR;
            return -1;
        }
    }
}
