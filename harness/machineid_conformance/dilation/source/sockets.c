/* SO_RCVTIMEO and SO_SNDTIMEO. The kernel keeps what the program asked for, in real time: that is what getsockopt gives, and what holds
 * where a socket went to a program or by a call that we do not see. Here a call that would block waits for readiness, in slices, until
 * target time is up, and is then made without blocking.
 *
 * Only descriptors on which a timeout was set are looked at: one byte each, zero nearly always. A copy made by dup keeps real time.
 */
#include "dilation.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
static bool timed[DESCRIPTORS];

/* Flags of calls that never wait, or that wait for more than the first byte. */
#define NOT_OURS (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB | MSG_WAITALL)

PUBLIC int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    int done = REAL(setsockopt)(fd, level, name, value, length);
    if (done == 0 && level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO) && fd < DESCRIPTORS && page_present())
        timed[fd] = true;
    return done;
}

/* The timeout of a socket in target nanoseconds; 0: none, or a descriptor that does not block. The number may be another file's by now. */
static int64_t limit_of(int fd, int name)
{
    if (fd < 0 || fd >= DESCRIPTORS || __builtin_expect(!timed[fd], 1))
        return 0;
    int saved = errno;
    struct timeval limit = {0};
    socklen_t length = sizeof limit;
    int64_t ns = 0;
    if (REAL(getsockopt)(fd, SOL_SOCKET, name, &limit, &length) != 0)
        timed[fd] = false;
    else if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
        ns = from_timeval(limit.tv_sec, limit.tv_usec);
    errno = saved;
    return ns;
}

/* Whether the call may be made now. False: target time is up (EAGAIN), or a handler ran (EINTR). */
static bool ready(int fd, short events, int64_t deadline)
{
    unsigned int before = handlers_run();
    wait_begins(deadline);
    for (;;) {
        struct pollfd one = {.fd = fd, .events = events};
        struct timespec slice = to_timespec(slice_until(deadline, SLICE_NS));
        int count = REAL(ppoll)(&one, 1, &slice, NULL);
        bool by_time = count == 0 && left_until(deadline) == 0;
        if (count == 0 && !by_time && handlers_run() == before)
            continue;
        wait_over(by_time);
        if (count == 0)
            errno = by_time ? EAGAIN : EINTR;
        return count > 0;
    }
}

/* -- receiving ----------------------------------------------------------------------------------------------------------------- */

/* `at_once` is the call that does not block: what was ready may be another thread's by then. */
#define RECEIVE(fd, flags, plain, at_once)                                               \
    ({                                                                                   \
        int64_t limit_ = (flags) & NOT_OURS ? 0 : limit_of(fd, SO_RCVTIMEO);             \
        __typeof__(plain) done_;                                                         \
        if (limit_ == 0) {                                                               \
            done_ = (plain);                                                             \
        } else {                                                                         \
            int64_t deadline_ = deadline_after(limit_);                                  \
            do                                                                           \
                done_ = ready(fd, POLLIN, deadline_) ? (at_once) : -1;                   \
            while (done_ < 0 && errno == EAGAIN && left_until(deadline_) > 0);           \
        }                                                                                \
        done_;                                                                           \
    })

PUBLIC ssize_t read(int fd, void *buffer, size_t room)
{
    return RECEIVE(fd, 0, REAL(read)(fd, buffer, room), REAL(recv)(fd, buffer, room, MSG_DONTWAIT));
}

PUBLIC ssize_t readv(int fd, const struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
    return RECEIVE(fd, 0, REAL(readv)(fd, pieces, count), REAL(recvmsg)(fd, &message, MSG_DONTWAIT));
}

PUBLIC ssize_t recv(int fd, void *buffer, size_t room, int flags)
{
    return RECEIVE(fd, flags, REAL(recv)(fd, buffer, room, flags), REAL(recv)(fd, buffer, room, flags | MSG_DONTWAIT));
}

PUBLIC ssize_t recvfrom(int fd, void *restrict buffer, size_t room, int flags, struct sockaddr *restrict from, socklen_t *restrict length)
{
    return RECEIVE(fd, flags, REAL(recvfrom)(fd, buffer, room, flags, from, length),
                   REAL(recvfrom)(fd, buffer, room, flags | MSG_DONTWAIT, from, length));
}

PUBLIC ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return RECEIVE(fd, flags, REAL(recvmsg)(fd, message, flags), REAL(recvmsg)(fd, message, flags | MSG_DONTWAIT));
}

/* accept has no flag that keeps it from blocking: where another thread was faster, the kernel's own timeout, in real time, ends it. */
PUBLIC int accept(int fd, struct sockaddr *restrict from, socklen_t *restrict length)
{
    return RECEIVE(fd, 0, REAL(accept)(fd, from, length), REAL(accept)(fd, from, length));
}

PUBLIC int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict length, int flags)
{
    return RECEIVE(fd, 0, REAL(accept4)(fd, from, length, flags), REAL(accept4)(fd, from, length, flags));
}

/* recvmmsg looks at its timeout only after a message (recvmmsg(2), BUGS): so do we, on the target's clock. */
PUBLIC int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
    if (timeout && !valid_timespec(timeout))
        return REAL(recvmmsg)(fd, messages, count, flags, timeout);
    int64_t deadline = timeout ? deadline_after(from_timespec(timeout)) : FOREVER;
    unsigned int got = 0;
    while (got < count) {
        int mine = flags & ~MSG_WAITFORONE;
        int one = RECEIVE(fd, mine, REAL(recvmmsg)(fd, messages + got, 1, mine, NULL),
                          REAL(recvmmsg)(fd, messages + got, 1, mine | MSG_DONTWAIT, NULL));
        if (one <= 0) {
            if (got == 0)
                return one;
            break;
        }
        got++;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (left_until(deadline) == 0)
            break;
    }
    if (timeout)
        *timeout = to_timespec(left_until(deadline));
    return (int)got;
}

/* Fortified programs (_FORTIFY_SOURCE) call these; the compiler knows how large the buffer is. */
PUBLIC ssize_t __read_chk(int fd, void *buffer, size_t room, size_t size)
{
    if (room > size)
        __builtin_trap();
    return read(fd, buffer, room);
}

PUBLIC ssize_t __recv_chk(int fd, void *buffer, size_t room, size_t size, int flags)
{
    if (room > size)
        __builtin_trap();
    return recv(fd, buffer, room, flags);
}

PUBLIC ssize_t __recvfrom_chk(int fd, void *restrict buffer, size_t room, size_t size, int flags, struct sockaddr *restrict from,
                              socklen_t *restrict length)
{
    if (room > size)
        __builtin_trap();
    return recvfrom(fd, buffer, room, flags, from, length);
}

/* -- sending ------------------------------------------------------------------------------------------------------------------- */

/* A blocking send gives its bytes away one part after another, and its timeout is for all of them (socket(7)): a count that is short means
 * that time was up. */
static ssize_t send_until(int fd, const struct msghdr *message, int flags, int64_t deadline)
{
    struct msghdr rest = *message;
    struct iovec pieces[rest.msg_iovlen ? rest.msg_iovlen : 1];
    memcpy(pieces, message->msg_iov, rest.msg_iovlen * sizeof *pieces);
    rest.msg_iov = pieces;
    ssize_t sent = 0;
    for (;;) {
        ssize_t now = ready(fd, POLLOUT, deadline) ? REAL(sendmsg)(fd, &rest, flags | MSG_DONTWAIT) : -1;
        if (now < 0) {
            if (errno == EAGAIN && left_until(deadline) > 0)
                continue;
            return sent ? sent : -1;
        }
        sent += now;
        rest.msg_control = NULL, rest.msg_controllen = 0; /* went with the first byte */
        while (rest.msg_iovlen && (size_t)now >= rest.msg_iov->iov_len) {
            now -= (ssize_t)rest.msg_iov->iov_len;
            rest.msg_iov++, rest.msg_iovlen--;
        }
        if (rest.msg_iovlen == 0)
            return sent;
        rest.msg_iov->iov_base = (char *)rest.msg_iov->iov_base + now;
        rest.msg_iov->iov_len -= (size_t)now;
    }
}

static ssize_t send_message(int fd, const struct msghdr *message, int flags, int64_t limit)
{
    if (message->msg_iovlen > IOV_MAX)
        return REAL(sendmsg)(fd, message, flags); /* says EMSGSIZE */
    return send_until(fd, message, flags, deadline_after(limit));
}

PUBLIC ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    page_slow_down(); /* whoever talks runs */
    int64_t limit = flags & MSG_DONTWAIT ? 0 : limit_of(fd, SO_SNDTIMEO);
    return limit ? send_message(fd, message, flags, limit) : REAL(sendmsg)(fd, message, flags);
}

PUBLIC ssize_t sendto(int fd, const void *buffer, size_t count, int flags, const struct sockaddr *to, socklen_t length)
{
    page_slow_down();
    int64_t limit = flags & MSG_DONTWAIT ? 0 : limit_of(fd, SO_SNDTIMEO);
    if (limit == 0)
        return REAL(sendto)(fd, buffer, count, flags, to, length);
    struct iovec piece = {.iov_base = (void *)buffer, .iov_len = count};
    struct msghdr message = {.msg_name = (void *)to, .msg_namelen = to ? length : 0, .msg_iov = &piece, .msg_iovlen = 1};
    return send_message(fd, &message, flags, limit);
}

PUBLIC ssize_t send(int fd, const void *buffer, size_t count, int flags) { return sendto(fd, buffer, count, flags, NULL, 0); }

PUBLIC ssize_t write(int fd, const void *buffer, size_t count)
{
    return limit_of(fd, SO_SNDTIMEO) ? sendto(fd, buffer, count, 0, NULL, 0) : REAL(write)(fd, buffer, count);
}

PUBLIC ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    int64_t limit = count < 0 ? 0 : limit_of(fd, SO_SNDTIMEO);
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
    return limit ? send_message(fd, &message, 0, limit) : REAL(writev)(fd, pieces, count);
}

/* A blocking connect obeys SO_SNDTIMEO: it comes back with EINPROGRESS, and goes on by itself; on a Unix socket whose listener is full it
 * comes back with EAGAIN, and has not begun. The kernel is given one slice for it. */
PUBLIC int connect(int fd, const struct sockaddr *to, socklen_t length)
{
    page_slow_down();
    int64_t limit = limit_of(fd, SO_SNDTIMEO);
    if (limit == 0)
        return REAL(connect)(fd, to, length);
    int64_t deadline = deadline_after(limit);
    struct timeval slice = {.tv_usec = SLICE_NS / 1000}, asked;
    socklen_t size = sizeof asked;
    REAL(getsockopt)(fd, SOL_SOCKET, SO_SNDTIMEO, &asked, &size);
    REAL(setsockopt)(fd, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof slice);
    unsigned int before = handlers_run();
    int done;
    do
        done = REAL(connect)(fd, to, length);
    while (done != 0 && errno == EAGAIN && left_until(deadline) > 0 && handlers_run() == before);
    int why = done ? errno : 0;
    if (why == EAGAIN && handlers_run() != before && left_until(deadline) > 0)
        why = EINTR;
    REAL(setsockopt)(fd, SOL_SOCKET, SO_SNDTIMEO, &asked, sizeof asked);
    if (why == EINPROGRESS) {
        if (ready(fd, POLLOUT, deadline)) {
            size = sizeof why;
            REAL(getsockopt)(fd, SOL_SOCKET, SO_ERROR, &why, &size);
        } else if (errno != EAGAIN) {
            why = errno;
        }
    }
    if (why)
        errno = why;
    return why ? -1 : 0;
}
