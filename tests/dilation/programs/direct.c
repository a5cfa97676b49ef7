/* One wait a case: `direct CASE SECONDS` waits in the way of that name, checks what the call answers, and prints the nanoseconds that it took
 * on the clock that it sees. Exit status 1 and a line on stderr: a check failed. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) do { if (!(what)) { fprintf(stderr, "%d: %s (errno %d)\n", __LINE__, #what, errno); _exit(1); } } while (0)
#define S 1000000000LL

static int64_t now_of(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return now.tv_sec * S + now.tv_nsec;
}
static struct timespec span(int64_t ns) { return (struct timespec){ns / S, ns % S}; }
static struct timespec after(clockid_t clock, int64_t ns) { return span(now_of(clock) + ns); }
static struct timeval micro(int64_t ns) { return (struct timeval){ns / S, ns % S / 1000}; }

static volatile sig_atomic_t signals;
static void count(int number) { (void)number; signals = signals + 1; }
static void on(int number, int flags)
{
    struct sigaction action = {.sa_handler = count, .sa_flags = flags};
    CHECK(sigaction(number, &action, NULL) == 0);
}
static void alarm_after(int64_t ns)
{
    struct itimerval value = {.it_value = micro(ns)};
    CHECK(setitimer(ITIMER_REAL, &value, NULL) == 0);
}
/* And again and again: one that came before its program had begun to wait would be waited for in vain. */
static void alarms_from(int64_t ns)
{
    struct itimerval value = {.it_value = micro(ns), .it_interval = micro(S / 10)};
    CHECK(setitimer(ITIMER_REAL, &value, NULL) == 0);
}
static void await_signals(int number)
{
    sigset_t all, before;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_BLOCK, &all, &before) == 0);
    while (signals < number)
        CHECK(sigsuspend(&before) == -1 && errno == EINTR);
    CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
}

/* A thread that holds a lock for good. */
static pthread_barrier_t held;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static void *hold(void *which)
{
    if (which == &mutex)
        pthread_mutex_lock(&mutex);
    else
        pthread_rwlock_wrlock(&rwlock);
    pthread_barrier_wait(&held);
    pause();
    return NULL;
}
static void have_held(void *which)
{
    pthread_t thread;
    pthread_barrier_init(&held, NULL, 2);
    CHECK(pthread_create(&thread, NULL, hold, which) == 0);
    pthread_barrier_wait(&held);
}

static void pair(int sockets[2], int type) { CHECK(socketpair(AF_UNIX, type, 0, sockets) == 0); }
static void limit(int fd, int which, int64_t ns)
{
    struct timeval value = micro(ns), back;
    socklen_t size = sizeof back;
    CHECK(setsockopt(fd, SOL_SOCKET, which, &value, sizeof value) == 0);
    CHECK(getsockopt(fd, SOL_SOCKET, which, &back, &size) == 0 && llabs((back.tv_sec - value.tv_sec) * 1000000 + back.tv_usec - value.tv_usec) <= 10000);
}
static void fill(int fd)
{
    char bytes[4096] = {0};
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {}
    CHECK(errno == EAGAIN);
}

/* -- locks */
static void sem_timed(int64_t ns) { sem_t it; sem_init(&it, 0, 0); struct timespec when = after(CLOCK_REALTIME, ns); CHECK(sem_timedwait(&it, &when) == -1 && errno == ETIMEDOUT); }
static void sem_clock(int64_t ns) { sem_t it; sem_init(&it, 0, 0); struct timespec when = after(CLOCK_MONOTONIC, ns); CHECK(sem_clockwait(&it, CLOCK_MONOTONIC, &when) == -1 && errno == ETIMEDOUT); }
static void *post(void *it) { usleep(300000); sem_post(it); return NULL; }
static void sem_posted(int64_t ns)
{
    sem_t it;
    pthread_t thread;
    sem_init(&it, 0, 0);
    struct timespec when = after(CLOCK_REALTIME, 1000 * ns);
    CHECK(pthread_create(&thread, NULL, post, &it) == 0 && sem_timedwait(&it, &when) == 0);
    nanosleep(&(struct timespec){.tv_sec = ns / S}, NULL);
}
static void condition(clockid_t clock, bool by_call, int64_t ns)
{
    pthread_condattr_t attributes;
    pthread_cond_t it;
    pthread_condattr_init(&attributes);
    if (!by_call)
        CHECK(pthread_condattr_setclock(&attributes, clock) == 0);
    pthread_cond_init(&it, &attributes);
    struct timespec when = after(clock, ns);
    int why = 0, spurious = 0;
    CHECK(pthread_mutex_lock(&mutex) == 0);
    while (why == 0) { /* spurious wake-ups are allowed, and counted for nothing */
        why = by_call ? pthread_cond_clockwait(&it, &mutex, clock, &when) : pthread_cond_timedwait(&it, &mutex, &when);
        CHECK(pthread_mutex_trylock(&mutex) == EBUSY && ++spurious < 100000);
    }
    CHECK(why == ETIMEDOUT);
}
static void cond_realtime(int64_t ns) { condition(CLOCK_REALTIME, false, ns); }
static void cond_monotonic(int64_t ns) { condition(CLOCK_MONOTONIC, false, ns); }
static void cond_clockwait(int64_t ns) { condition(CLOCK_MONOTONIC, true, ns); }
static void mutex_timed(int64_t ns) { have_held(&mutex); struct timespec when = after(CLOCK_REALTIME, ns); CHECK(pthread_mutex_timedlock(&mutex, &when) == ETIMEDOUT); }
static void mutex_inherit(int64_t ns)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0 && pthread_mutex_init(&mutex, &attributes) == 0);
    mutex_timed(ns);
}
static void rwlock_read(int64_t ns) { have_held(&rwlock); struct timespec when = after(CLOCK_REALTIME, ns); CHECK(pthread_rwlock_timedrdlock(&rwlock, &when) == ETIMEDOUT); }
static void rwlock_write(int64_t ns) { have_held(&rwlock); struct timespec when = after(CLOCK_MONOTONIC, ns); CHECK(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &when) == ETIMEDOUT); }
static void join_timed(int64_t ns)
{
    pthread_t thread;
    pthread_barrier_init(&held, NULL, 2);
    CHECK(pthread_create(&thread, NULL, hold, &mutex) == 0);
    pthread_barrier_wait(&held);
    struct timespec when = after(CLOCK_REALTIME, ns);
    CHECK(pthread_timedjoin_np(thread, NULL, &when) == ETIMEDOUT);
}
static void futex(int64_t ns)
{
    uint32_t word = 0;
    struct timespec asked = span(ns), bad = {.tv_nsec = -1};
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &bad, NULL, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &asked, NULL, 0) == -1 && errno == EAGAIN);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &asked, NULL, 0) == -1 && errno == ETIMEDOUT);
}
static void futex_absolute(int64_t ns)
{
    uint32_t word = 0;
    struct timespec when = after(CLOCK_REALTIME, ns);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &when, NULL, ~0u) == -1 && errno == ETIMEDOUT);
}

/* -- sleeps */
static void sleep_absolute(int64_t ns) { struct timespec when = after(CLOCK_REALTIME, ns); CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL) == 0); }
static void sleep_plain(int64_t ns) { CHECK(sleep((unsigned)(ns / S)) == 0); }
static void sleep_syscall(int64_t ns) { struct timespec asked = span(ns); CHECK(syscall(SYS_nanosleep, &asked, NULL) == 0); }
static void sleep_interrupted(int64_t ns)
{
    struct timespec asked = span(1000 * ns), left = {0};
    on(SIGALRM, SA_RESTART);
    alarms_from(ns);
    int64_t began = now_of(CLOCK_MONOTONIC);
    CHECK(nanosleep(&asked, &left) == -1 && errno == EINTR && signals >= 1);
    int64_t rest = left.tv_sec * S + left.tv_nsec;
    CHECK(rest < 1000 * ns && rest >= 1000 * ns - (now_of(CLOCK_MONOTONIC) - began));
}
static void *sleep_long(void *nothing) { sleep(1000000); return nothing; }
static void sleep_cancelled(int64_t ns)
{
    pthread_t thread;
    void *result = NULL;
    struct timespec asked = span(ns);
    CHECK(pthread_create(&thread, NULL, sleep_long, NULL) == 0 && nanosleep(&asked, NULL) == 0 && pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}
static void sleep_wrong(int64_t ns)
{
    struct timespec bad = {.tv_nsec = S}, negative = {.tv_sec = -1}, zero = {0}, asked = span(ns);
    CHECK(nanosleep(&bad, NULL) == -1 && errno == EINVAL);
    CHECK(nanosleep(&negative, NULL) == -1 && errno == EINVAL);
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL) == EINVAL);
    CHECK(clock_nanosleep(12345, 0, &zero, NULL) == EINVAL);
    CHECK(nanosleep(&zero, NULL) == 0 && usleep(0) == 0 && sleep(0) == 0);
    CHECK(clock_gettime(12345, &bad) == -1 && errno == EINVAL);
    CHECK(poll(NULL, 0, 0) == 0 && select(0, NULL, NULL, NULL, &(struct timeval){0}) == 0);
    CHECK(select(0, NULL, NULL, NULL, &(struct timeval){.tv_sec = -1}) == -1 && errno == EINVAL);
    CHECK(ppoll(NULL, 0, &negative, NULL) == -1 && errno == EINVAL);
    sem_t it;
    sem_init(&it, 0, 0);
    CHECK(sem_timedwait(&it, &zero) == -1 && errno == ETIMEDOUT);
    CHECK(sem_timedwait(&it, &bad) == -1 && errno == EINVAL);
    nanosleep(&asked, NULL);
}
static void sleep_overflow(int64_t ns) /* what nobody lives to see: an alarm ends it */
{
    struct timespec asked = {.tv_sec = INT64_MAX, .tv_nsec = S - 1};
    on(SIGALRM, 0);
    alarms_from(ns);
    CHECK(nanosleep(&asked, NULL) == -1 && errno == EINTR);
    CHECK(pselect(0, NULL, NULL, NULL, &asked, NULL) == -1 && errno == EINTR);
    CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &asked, NULL) == EINTR && signals >= 3);
}

/* -- descriptors */
static void poll_mask(int64_t ns)
{
    sigset_t none, blocked;
    struct timespec asked = span(ns), much = span(1000 * ns);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    on(SIGUSR1, SA_RESTART);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && raise(SIGUSR1) == 0 && signals == 0);
    CHECK(ppoll(NULL, 0, &much, &none) == -1 && errno == EINTR && signals == 1); /* pending when the mask opens */
    CHECK(ppoll(NULL, 0, &asked, &none) == 0);
}
static void select_mask(int64_t ns)
{
    sigset_t none, blocked;
    struct timespec asked = span(ns), much = span(1000 * ns);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    on(SIGUSR1, SA_RESTART);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && raise(SIGUSR1) == 0 && signals == 0);
    CHECK(pselect(0, NULL, NULL, NULL, &much, &none) == -1 && errno == EINTR && signals == 1);
    CHECK(pselect(0, NULL, NULL, NULL, &asked, &none) == 0);
}
static void select_wide(int64_t ns) /* more descriptors asked for than the sets have room for, and what is behind them stays as it was */
{
    struct { fd_set set; char canary[1 << 17]; } it;
    memset(&it, 0, sizeof it);
    memset(it.canary, 'c', sizeof it.canary);
    int ends[2];
    CHECK(pipe(ends) == 0);
    FD_SET(ends[0], &it.set);
    struct timeval asked = micro(ns);
    CHECK(select(1 << 20, &it.set, NULL, NULL, &asked) == 0 && asked.tv_sec == 0 && asked.tv_usec == 0 && !FD_ISSET(ends[0], &it.set));
    for (size_t n = 0; n < sizeof it.canary; n++)
        CHECK(it.canary[n] == 'c');
}
static void epoll_two(int64_t ns)
{
    int epoll = epoll_create1(0), sockets[2];
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    struct timespec asked = span(ns);
    pair(sockets, SOCK_STREAM);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[0], &event) == 0);
    CHECK(write(sockets[1], "x", 1) == 1 && epoll_wait(epoll, &event, 1, 1000000) == 1); /* an edge, reported once */
    CHECK(epoll_pwait2(epoll, &event, 1, &asked, NULL) == 0);
}

/* -- sockets */
static void receive(int64_t ns) { int it[2]; char byte; pair(it, SOCK_STREAM); limit(it[0], SO_RCVTIMEO, ns); CHECK(recv(it[0], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN); CHECK(recv(it[0], &byte, 1, 0) == -1 && errno == EAGAIN); }
static void receive_read(int64_t ns) { int it[2]; char byte; pair(it, SOCK_STREAM); limit(it[0], SO_RCVTIMEO, ns); CHECK(write(it[1], "x", 1) == 1 && read(it[0], &byte, 1) == 1 && byte == 'x'); CHECK(read(it[0], &byte, 1) == -1 && errno == EAGAIN); }
static void receive_interrupted(int64_t ns) { int it[2]; char byte; pair(it, SOCK_STREAM); limit(it[0], SO_RCVTIMEO, 1000 * ns); on(SIGALRM, SA_RESTART); alarms_from(ns); CHECK(read(it[0], &byte, 1) == -1 && errno == EINTR); }
static void receive_many(int64_t ns) /* the timeout is looked at after a message only: SO_RCVTIMEO ends the wait for the first */
{
    int it[2];
    char byte;
    struct iovec piece = {&byte, 1};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}}};
    struct timespec asked = span(ns / 2);
    pair(it, SOCK_DGRAM);
    limit(it[0], SO_RCVTIMEO, ns);
    CHECK(recvmmsg(it[0], messages, 2, 0, &asked) == -1 && errno == EAGAIN);
    CHECK(send(it[1], "x", 1, 0) == 1 && send(it[1], "y", 1, 0) == 1 && send(it[1], "z", 1, 0) == 1);
    asked = (struct timespec){0};
    CHECK(recvmmsg(it[0], messages, 2, 0, &asked) == 1);
    CHECK(recvmmsg(it[0], messages, 2, MSG_WAITFORONE, NULL) == 2);
}
static int listener(struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof *at) == 0 && listen(fd, 0) == 0 && getsockname(fd, (struct sockaddr *)at, &size) == 0);
    return fd;
}
static void accept_timed(int64_t ns) { struct sockaddr_in at; int fd = listener(&at); limit(fd, SO_RCVTIMEO, ns); CHECK(accept(fd, NULL, NULL) == -1 && errno == EAGAIN); }
static void connect_timed(int64_t ns) /* a listener whose queue is full drops what more comes */
{
    struct sockaddr_in at;
    listener(&at);
    int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(one, (struct sockaddr *)&at, sizeof at) == 0);
    limit(two, SO_SNDTIMEO, ns);
    CHECK(connect(two, (struct sockaddr *)&at, sizeof at) == -1 && errno == EINPROGRESS);
    struct timeval still;
    socklen_t size = sizeof still;
    CHECK(getsockopt(two, SOL_SOCKET, SO_SNDTIMEO, &still, &size) == 0 && still.tv_sec == ns / S);
}
static void connect_unix(int64_t ns)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t size = sizeof at;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof(sa_family_t)) == 0 && listen(fd, 0) == 0 && getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    CHECK(connect(one, (struct sockaddr *)&at, size) == 0);
    limit(two, SO_SNDTIMEO, ns);
    CHECK(connect(two, (struct sockaddr *)&at, size) == -1 && errno == EAGAIN);
}
static void send_timed(int64_t ns) { int it[2]; pair(it, SOCK_STREAM); fill(it[0]); limit(it[0], SO_SNDTIMEO, ns); CHECK(send(it[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EAGAIN); }
static void *drain(void *fd)
{
    char bytes[65536];
    ssize_t all = 0, got;
    while (all < 8 << 20 && (got = read(*(int *)fd, bytes, sizeof bytes)) > 0) {
        all += got;
        if (all < 1 << 20)
            syscall(SYS_sched_yield);
    }
    return (void *)all;
}
static void send_large(int64_t ns) /* more than fits, to a peer that reads: all of it is sent by one call, as without us; then part, and time is up */
{
    static char bytes[8 << 20];
    int it[2];
    pthread_t thread;
    void *all;
    pair(it, SOCK_STREAM);
    limit(it[0], SO_SNDTIMEO, 1000 * ns);
    CHECK(pthread_create(&thread, NULL, drain, &it[1]) == 0);
    struct iovec pieces[3] = {{bytes, 1000}, {bytes, 0}, {bytes, sizeof bytes - 1000}};
    CHECK(writev(it[0], pieces, 3) == sizeof bytes && pthread_join(thread, &all) == 0 && (ssize_t)all == sizeof bytes);
    limit(it[0], SO_SNDTIMEO, ns);
    ssize_t part = write(it[0], bytes, sizeof bytes);
    CHECK(part > 0 && part < (ssize_t)sizeof bytes);
}

/* -- timers */
static sem_t fired;
static void fire(union sigval value) { (void)value; sem_post(&fired); }
static void timer_thread(int64_t ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = fire};
    struct itimerspec value = {.it_value = span(ns)}, left;
    timer_t timer;
    sem_init(&fired, 0, 0);
    int64_t began = now_of(CLOCK_MONOTONIC);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &value, NULL) == 0 && timer_gettime(timer, &left) == 0);
    int64_t rest = left.it_value.tv_sec * S + left.it_value.tv_nsec;
    CHECK(rest <= ns && rest >= ns - (now_of(CLOCK_MONOTONIC) - began));
    CHECK(sem_wait(&fired) == 0 && timer_delete(timer) == 0);
}
static void timer_signal(int64_t ns) /* absolute, on CLOCK_REALTIME */
{
    sigset_t set;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec value = {.it_value = after(CLOCK_REALTIME, ns)};
    timer_t timer;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && timer_create(CLOCK_REALTIME, &event, &timer) == 0);
    CHECK(timer_settime(timer, TIMER_ABSTIME, &value, NULL) == 0 && sigwaitinfo(&set, NULL) == SIGUSR1);
}
static void descriptor(clockid_t clock, bool absolute, int64_t first, int64_t interval, int times)
{
    int fd = timerfd_create(clock, TFD_CLOEXEC);
    uint64_t expired = 0, all = 0;
    struct itimerspec value = {.it_value = absolute ? after(clock, first) : span(first), .it_interval = span(interval)}, left;
    CHECK(timerfd_settime(fd, absolute ? TFD_TIMER_ABSTIME : 0, &value, NULL) == 0 && timerfd_gettime(fd, &left) == 0);
    CHECK(left.it_interval.tv_sec == interval / S && left.it_value.tv_sec * S + left.it_value.tv_nsec <= first);
    while (all < (uint64_t)times) {
        CHECK(read(fd, &expired, sizeof expired) == sizeof expired);
        all += expired;
    }
    CHECK(timerfd_settime(fd, 0, &(struct itimerspec){0}, NULL) == 0 && timerfd_gettime(fd, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
}
static void timerfd_relative(int64_t ns) { descriptor(CLOCK_MONOTONIC, false, ns, 0, 1); }
static void timerfd_absolute(int64_t ns) { descriptor(CLOCK_REALTIME, true, ns, 0, 1); }
static void timerfd_interval(int64_t ns) { descriptor(CLOCK_BOOTTIME, true, ns / 5, ns / 5, 5); }
static void timerfd_past(int64_t ns)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec value = {.it_value.tv_nsec = 1, .it_interval = span(ns)};
    struct pollfd one = {.fd = fd, .events = POLLIN};
    uint64_t expired;
    int64_t began = now_of(CLOCK_MONOTONIC);
    CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL) == 0 && poll(&one, 1, -1) == 1 && now_of(CLOCK_MONOTONIC) - began < ns);
    CHECK(read(fd, &expired, sizeof expired) == sizeof expired && poll(&one, 1, -1) == 1);
}
static void timerfd_unread(int64_t ns) /* what it has told of stays told until it is read, whatever the rate does meanwhile */
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec value = {.it_value = span(ns / 2), .it_interval = span(100 * ns)};
    struct pollfd one = {.fd = fd, .events = POLLIN};
    struct timespec asked = span(ns / 2);
    uint64_t expired;
    CHECK(timerfd_settime(fd, 0, &value, NULL) == 0 && poll(&one, 1, -1) == 1 && nanosleep(&asked, NULL) == 0);
    CHECK(read(fd, &expired, sizeof expired) == sizeof expired && expired == 1);
}
static void alarm_left(int64_t ns)
{
    on(SIGALRM, 0);
    int64_t began = now_of(CLOCK_MONOTONIC);
    CHECK(alarm((unsigned)(50 * ns / S)) == 0);
    unsigned left = alarm((unsigned)(ns / S));
    CHECK(left <= 50 * ns / S && left + 1 >= (50 * ns - (now_of(CLOCK_MONOTONIC) - began)) / S);
    await_signals(1);
    CHECK(signals == 1 && alarm(0) == 0);
}
static void interval(int64_t ns)
{
    struct itimerval value = {.it_value = micro(ns / 4), .it_interval = micro(ns / 4)}, left;
    on(SIGALRM, 0);
    CHECK(setitimer(ITIMER_REAL, &value, NULL) == 0 && getitimer(ITIMER_REAL, &left) == 0 && left.it_interval.tv_sec == value.it_interval.tv_sec);
    await_signals(4);
}
static void sigtimed(int64_t ns)
{
    sigset_t set;
    struct timespec asked = span(ns);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGUSR1) == 0);
    CHECK(sigtimedwait(&set, NULL, &asked) == SIGUSR1);
    CHECK(sigtimedwait(&set, NULL, &asked) == -1 && errno == EAGAIN);
}
static int forked(int64_t ns, bool child_sleeps)
{
    on(SIGALRM, 0);
    alarm_after(ns);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* the alarm is the parent's; the child may have its own */
        struct itimerval left;
        CHECK(getitimer(ITIMER_REAL, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_usec == 0);
        if (child_sleeps)
            alarm_after(ns), await_signals(1), _exit(signals == 1 ? 0 : 3);
        _exit(0);
    }
    await_signals(1);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}
static void fork_armed(int64_t ns) { CHECK(forked(ns, false) == 0); }
static void fork_own(int64_t ns) { CHECK(forked(ns, true) == 0); }
static void exec_armed(int64_t ns) /* the alarm outlives the program that set it */
{
    pid_t child = fork();
    if (child == 0) {
        alarm_after(ns);
        execl("/bin/sh", "sh", "-c", "exec sleep 1000000", NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

#define ROW(name) {#name, name}
static const struct { const char *name; void (*run)(int64_t); } cases[] = {
    ROW(sem_timed), ROW(sem_clock), ROW(sem_posted), ROW(cond_realtime), ROW(cond_monotonic), ROW(cond_clockwait), ROW(mutex_timed),
    ROW(mutex_inherit), ROW(rwlock_read), ROW(rwlock_write), ROW(join_timed), ROW(futex), ROW(futex_absolute), ROW(sleep_absolute),
    ROW(sleep_plain), ROW(sleep_syscall), ROW(sleep_interrupted), ROW(sleep_cancelled), ROW(sleep_wrong), ROW(sleep_overflow), ROW(poll_mask),
    ROW(select_mask), ROW(select_wide), ROW(epoll_two), ROW(receive), ROW(receive_read), ROW(receive_interrupted), ROW(receive_many),
    ROW(accept_timed), ROW(connect_timed), ROW(connect_unix), ROW(send_timed), ROW(send_large), ROW(timer_thread), ROW(timer_signal),
    ROW(timerfd_relative), ROW(timerfd_absolute), ROW(timerfd_interval), ROW(timerfd_past), ROW(timerfd_unread), ROW(alarm_left), ROW(interval), ROW(sigtimed),
    ROW(fork_armed), ROW(fork_own), ROW(exec_armed),
};

int main(int argc, char **argv)
{
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        if (argc == 1)
            puts(cases[n].name);
        if (argc != 3 || strcmp(argv[1], cases[n].name) != 0)
            continue;
        int64_t began = now_of(CLOCK_MONOTONIC), asked = atoll(argv[2]) * S;
        cases[n].run(asked);
        printf("%lld\n", (long long)(now_of(CLOCK_MONOTONIC) - began));
        return 0;
    }
    return argc == 1 ? 0 : 2;
}
