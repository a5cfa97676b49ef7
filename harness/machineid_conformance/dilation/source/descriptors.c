/* Waits for file descriptors. Level- or edge-triggered makes no difference: what is not reported stays to be reported. */
#include "dilation.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A wait of a finite positive time, in slices: `wait` is one call that takes `slice` (a timespec) and gives a count. */
#define IN_SLICES(deadline, wait)                                          \
    ({                                                                     \
        int count_;                                                        \
        unsigned int before_ = handlers_run();                             \
        wait_begins(deadline);                                             \
        for (;;) {                                                         \
            struct timespec slice = to_timespec(slice_until(deadline, SLICE_NS));    \
            count_ = (wait);                                               \
            if (count_ != 0 || left_until(deadline) == 0)                  \
                break;                                                     \
            if (handlers_run() != before_) {                               \
                errno = EINTR;                                             \
                count_ = -1;                                               \
                break;                                                     \
            }                                                              \
        }                                                                  \
        wait_over(count_ == 0);                                            \
        count_;                                                            \
    })

/* An epoll or poll timeout of less than a millisecond would be 0 and spin: one is the least, the target's clock decides in the end. */
static int milliseconds(struct timespec slice)
{
    return (int)(slice.tv_sec * 1000 + (slice.tv_nsec + 999999) / 1000000);
}

PUBLIC int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    if (timeout <= 0)
        return REAL(poll)(fds, count, timeout);
    int64_t deadline = deadline_after((int64_t)timeout * 1000000);
    return IN_SLICES(deadline, REAL(ppoll)(fds, count, &slice, NULL));
}

PUBLIC int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    if (!valid_timespec(timeout) || from_timespec(timeout) == 0)
        return REAL(ppoll)(fds, count, timeout, mask);
    int64_t deadline = deadline_after(from_timespec(timeout));
    return IN_SLICES(deadline, REAL(ppoll)(fds, count, &slice, mask));
}

/* Fortified programs (_FORTIFY_SOURCE) call these; the bounds were checked by the compiler's length, which we keep to. */
PUBLIC int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t length)
{
    if (length / sizeof *fds < count)
        __builtin_trap();
    return poll(fds, count, timeout);
}

PUBLIC int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t length)
{
    if (length / sizeof *fds < count)
        __builtin_trap();
    return ppoll(fds, count, timeout, mask);
}

/* Programs ask for more descriptors than their sets have room for (`select(getdtablesize(), ...)`), and are safe, because the kernel looks
 * at no more than its own table has. So must we, when we put back what it has emptied. */
static int table_size(void)
{
    static const char key[] = "FDSize:";
    char text[4096];
    int fd = (int)REAL(syscall)(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
    long length = fd < 0 ? -1 : REAL(syscall)(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0)
        REAL(syscall)(SYS_close, fd);
    text[length > 0 ? length : 0] = 0;
    const char *found = strstr(text, key);
    return found ? atoi(found + sizeof key - 1) : FD_SETSIZE;
}

static int select_in_slices(int count, fd_set *read, fd_set *write, fd_set *except, int64_t deadline, const sigset_t *mask)
{
    int table = count > FD_SETSIZE ? table_size() : count;
    size_t bytes = (((size_t)(count < table ? count : table) + 63) / 64) * 8;
    char asked[3][bytes ? bytes : 1];
    fd_set *sets[3] = {read, write, except};
    for (int n = 0; n < 3; n++)
        if (sets[n])
            memcpy(asked[n], sets[n], bytes);
    unsigned int before = handlers_run();
    wait_begins(deadline);
    for (;;) {
        struct timespec slice = to_timespec(slice_until(deadline, SLICE_NS));
        int ready = REAL(pselect)(count, read, write, except, &slice, mask);
        if (ready != 0 || left_until(deadline) == 0) {
            wait_over(ready == 0);
            return ready;
        }
        if (handlers_run() != before) {
            wait_over(false);
            errno = EINTR;
            ready = -1;
        }
        for (int n = 0; n < 3; n++) /* a slice without an event has emptied them */
            if (sets[n])
                memcpy(sets[n], asked[n], bytes);
        if (ready < 0)
            return ready;
    }
}

PUBLIC int select(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except, struct timeval *restrict timeout)
{
    if (!timeout || count < 0 || timeout->tv_sec < 0 || timeout->tv_usec < 0 || (timeout->tv_sec == 0 && timeout->tv_usec == 0))
        return REAL(select)(count, read, write, except, timeout);
    int64_t deadline = deadline_after(from_timeval(timeout->tv_sec, timeout->tv_usec));
    int ready = select_in_slices(count, read, write, except, deadline, NULL);
    int64_t left = left_until(deadline); /* Linux writes back what is left (select(2), NOTES) */
    if (left != FOREVER)
        *timeout = (struct timeval){.tv_sec = left / NS_PER_S, .tv_usec = left % NS_PER_S / 1000};
    return ready;
}

PUBLIC int pselect(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                   const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
    if (count < 0 || !valid_timespec(timeout) || from_timespec(timeout) == 0)
        return REAL(pselect)(count, read, write, except, timeout, mask);
    return select_in_slices(count, read, write, except, deadline_after(from_timespec(timeout)), mask);
}

/* epoll_pwait2 counts in nanoseconds; kernels before 5.11 do not have it, nor some sandboxes. */
static int epoll_slice(int epoll, struct epoll_event *events, int room, struct timespec slice, const sigset_t *mask)
{
    static bool absent;
    if (!__atomic_load_n(&absent, __ATOMIC_RELAXED) && real_exists(REAL_LINK(epoll_pwait2, NULL))) {
        int ready = REAL(epoll_pwait2)(epoll, events, room, &slice, mask);
        if (ready >= 0 || (errno != ENOSYS && errno != EPERM))
            return ready;
        __atomic_store_n(&absent, true, __ATOMIC_RELAXED);
    }
    return REAL(epoll_pwait)(epoll, events, room, milliseconds(slice), mask);
}

PUBLIC int epoll_pwait(int epoll, struct epoll_event *events, int room, int timeout, const sigset_t *mask)
{
    if (timeout <= 0)
        return REAL(epoll_pwait)(epoll, events, room, timeout, mask);
    int64_t deadline = deadline_after((int64_t)timeout * 1000000);
    return IN_SLICES(deadline, epoll_slice(epoll, events, room, slice, mask));
}

PUBLIC int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
    return epoll_pwait(epoll, events, room, timeout, NULL);
}

PUBLIC int epoll_pwait2(int epoll, struct epoll_event *events, int room, const struct timespec *timeout, const sigset_t *mask)
{
    if (!valid_timespec(timeout) || from_timespec(timeout) == 0)
        return REAL(epoll_pwait2)(epoll, events, room, timeout, mask);
    int64_t deadline = deadline_after(from_timespec(timeout));
    return IN_SLICES(deadline, epoll_slice(epoll, events, room, slice, mask));
}
