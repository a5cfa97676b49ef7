/* Waits for other threads. Their deadlines are absolute, on the target's clocks; the kernel is asked in real CLOCK_MONOTONIC. */
#include "dilation.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <unistd.h>

/* A spurious wake-up costs its program a turn of its loop: conditions get a longer slice than the rest. */
#define CONDITION_SLICE_NS (2 * SLICE_NS)

static struct timespec slice_end(int64_t deadline, int64_t longest)
{
    return to_timespec(real_now(CLOCK_MONOTONIC) + slice_until(deadline, longest));
}

/* `wait` is one call that gives an error number and takes `until`, on the real CLOCK_MONOTONIC. */
#define IN_SLICES(deadline, wait)                                                  \
    ({                                                                             \
        int why_;                                                                  \
        wait_begins(deadline);                                                     \
        for (;;) {                                                                 \
            struct timespec until = slice_end(deadline, SLICE_NS);                 \
            why_ = (wait);                                                         \
            if (why_ != ETIMEDOUT || left_until(deadline) == 0)                    \
                break;                                                             \
        }                                                                          \
        wait_over(why_ == ETIMEDOUT);                                              \
        why_;                                                                      \
    })

/* The error of a slice that failed, in a wait that signals end. */
static int missed(unsigned int before, int64_t deadline)
{
    int why = errno;
    return why == ETIMEDOUT && handlers_run() != before && left_until(deadline) > 0 ? EINTR : why;
}

/* -- semaphores ---------------------------------------------------------------------------------------------------------------- */

PUBLIC int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *when)
{
    if (!scaled(clock) || !valid_timespec(when))
        return REAL(sem_clockwait)(semaphore, clock, when);
    int64_t deadline = deadline_at(clock, when);
    unsigned int before = handlers_run();
    int why = IN_SLICES(deadline, REAL(sem_clockwait)(semaphore, CLOCK_MONOTONIC, &until) == 0 ? 0 : missed(before, deadline));
    if (why)
        errno = why;
    return why ? -1 : 0;
}

PUBLIC int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict when)
{
    return sem_clockwait(semaphore, CLOCK_REALTIME, when);
}

/* -- conditions ---------------------------------------------------------------------------------------------------------------- */

/* At a slice's end the wait returns as if signalled: POSIX allows spurious wake-ups, and a program that waits on a condition looks at its
 * predicate again. To wait again here would lose a signal sent, without the mutex, between two slices. */
static int condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t deadline)
{
    struct timespec until = slice_end(deadline, CONDITION_SLICE_NS);
    wait_begins(deadline);
    int why = REAL(pthread_cond_clockwait)(condition, mutex, CLOCK_MONOTONIC, &until);
    if (why == ETIMEDOUT && left_until(deadline) > 0) {
        wait_goes_on();
        return 0;
    }
    wait_over(why == ETIMEDOUT);
    return why;
}

PUBLIC int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *when)
{
    if (!scaled(clock) || !valid_timespec(when))
        return REAL(pthread_cond_clockwait)(condition, mutex, clock, when);
    return condition_wait(condition, mutex, deadline_at(clock, when));
}

PUBLIC int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict when)
{
    if (!valid_timespec(when))
        return REAL_VERSION(pthread_cond_timedwait, "GLIBC_2.3.2")(condition, mutex, when);
    /* glibc keeps the clock of pthread_condattr_setclock in this bit (since 2.25). */
    clockid_t clock = condition->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    return condition_wait(condition, mutex, deadline_at(clock, when));
}

PUBLIC int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict when)
{
    int why = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, when);
    return why == 0 ? thrd_success : why == ETIMEDOUT ? thrd_timedout : thrd_error;
}

/* -- locks --------------------------------------------------------------------------------------------------------------------- */

#define LOCK_FUNCTIONS(type, object, clock_name, timed_name)                                                        \
    PUBLIC int clock_name(type *object, clockid_t clock, const struct timespec *when)                               \
    {                                                                                                               \
        if (!scaled(clock) || !valid_timespec(when))                                                                \
            return REAL(clock_name)(object, clock, when);                                                           \
        int64_t deadline = deadline_at(clock, when);                                                                \
        return IN_SLICES(deadline, REAL(clock_name)(object, CLOCK_MONOTONIC, &until));                              \
    }                                                                                                               \
    PUBLIC int timed_name(type *restrict object, const struct timespec *restrict when)                              \
    {                                                                                                               \
        return clock_name(object, CLOCK_REALTIME, when);                                                            \
    }

LOCK_FUNCTIONS(pthread_mutex_t, mutex, pthread_mutex_clocklock, pthread_mutex_timedlock)
LOCK_FUNCTIONS(pthread_rwlock_t, lock, pthread_rwlock_clockrdlock, pthread_rwlock_timedrdlock)
LOCK_FUNCTIONS(pthread_rwlock_t, lock, pthread_rwlock_clockwrlock, pthread_rwlock_timedwrlock)

PUBLIC int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict when)
{
    int why = pthread_mutex_timedlock((pthread_mutex_t *)mutex, when);
    return why == 0 ? thrd_success : why == ETIMEDOUT ? thrd_timedout : thrd_error;
}

PUBLIC int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *when)
{
    if (!when || !scaled(clock) || !valid_timespec(when))
        return REAL(pthread_clockjoin_np)(thread, result, clock, when);
    int64_t deadline = deadline_at(clock, when);
    return IN_SLICES(deadline, REAL(pthread_clockjoin_np)(thread, result, CLOCK_MONOTONIC, &until));
}

PUBLIC int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *when)
{
    return pthread_clockjoin_np(thread, result, CLOCK_REALTIME, when);
}

/* -- system calls that a runtime makes by itself ------------------------------------------------------------------------------- */

static long futex_wait(long *argument)
{
    const struct timespec *timeout = (const struct timespec *)argument[3];
    long operation = argument[1];
    int command = operation & FUTEX_CMD_MASK;
    int64_t deadline;
    if (command == FUTEX_WAIT)
        deadline = deadline_after(from_timespec(timeout));
    else
        deadline = deadline_at(operation & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, timeout);
    unsigned int before = handlers_run();
    wait_begins(deadline);
    for (;;) {
        struct timespec slice = to_timespec(slice_until(deadline, SLICE_NS));
        struct timespec until = slice_end(deadline, SLICE_NS);
        const struct timespec *given = command == FUTEX_WAIT ? &slice : &until;
        long done = REAL(syscall)(SYS_futex, argument[0], operation & ~FUTEX_CLOCK_REALTIME, argument[2], given, argument[4], argument[5]);
        if (done != 0)
            errno = missed(before, deadline);
        if (done == 0 || errno != ETIMEDOUT || left_until(deadline) == 0) {
            wait_over(done != 0 && errno == ETIMEDOUT);
            return done;
        }
    }
}

PUBLIC long syscall(long number, ...)
{
    long argument[6];
    va_list given;
    va_start(given, number);
    for (int n = 0; n < 6; n++)
        argument[n] = va_arg(given, long);
    va_end(given);
    switch (number) {
    case SYS_futex: {
        int command = (int)argument[1] & FUTEX_CMD_MASK;
        if ((command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && page_present() &&
            valid_timespec((const struct timespec *)argument[3]))
            return futex_wait(argument);
        break;
    }
    case SYS_clock_gettime:
        return clock_gettime((clockid_t)argument[0], (struct timespec *)argument[1]);
    case SYS_nanosleep:
        return nanosleep((const struct timespec *)argument[0], (struct timespec *)argument[1]);
    case SYS_clock_nanosleep: {
        int why = clock_nanosleep((clockid_t)argument[0], (int)argument[1], (const struct timespec *)argument[2], (struct timespec *)argument[3]);
        if (why)
            errno = why;
        return why ? -1 : 0;
    }
    case SYS_gettimeofday:
        return gettimeofday((struct timeval *)argument[0], (void *)argument[1]);
    case SYS_time:
        return time((time_t *)argument[0]);
    case SYS_poll:
        return poll((struct pollfd *)argument[0], (nfds_t)argument[1], (int)argument[2]);
    case SYS_ppoll:
        return ppoll((struct pollfd *)argument[0], (nfds_t)argument[1], (const struct timespec *)argument[2], (const sigset_t *)argument[3]);
    case SYS_epoll_wait:
        return epoll_wait((int)argument[0], (struct epoll_event *)argument[1], (int)argument[2], (int)argument[3]);
    case SYS_epoll_pwait:
        return epoll_pwait((int)argument[0], (struct epoll_event *)argument[1], (int)argument[2], (int)argument[3], (const sigset_t *)argument[4]);
    default:
        break;
    }
    return REAL(syscall)(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
