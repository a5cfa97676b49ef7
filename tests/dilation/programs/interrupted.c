/* `interrupted WAIT`: a hundred signals, at random moments, to a thread that waits in the way of that name for what never comes. Prints how
 * many of their handlers ran while it waited, and how many of its waits ended with EINTR. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) do { if (!(what)) { fprintf(stderr, "%d: %s (errno %d)\n", __LINE__, #what, errno); _exit(1); } } while (0)
#define LONG 1000000 /* seconds */
#define SIGNALS 100

static volatile sig_atomic_t waiting, handled, all_sent;
static void count(int number) { (void)number; handled = handled + waiting; }
static void finish(int number) { (void)number; all_sent = 1; }

static void *send_signals(void *thread)
{
    unsigned seed = 1;
    for (int n = 0; n < SIGNALS; n++) {
        usleep(20000 + (unsigned)rand_r(&seed) % 200000); /* the world is at 20x: a tenth of a slice, to one slice */
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
    }
    while (!all_sent) { /* the last may come where no wait is under way */
        usleep(200000);
        pthread_kill(*(pthread_t *)thread, SIGUSR2);
    }
    return NULL;
}

static const struct timespec long_span = {.tv_sec = LONG};
static int never[2];
static int by_poll(void) { return poll(NULL, 0, LONG * 1000); }
static int by_select(void) { return select(0, NULL, NULL, NULL, &(struct timeval){.tv_sec = LONG}); }
static int by_epoll(void) { struct epoll_event event; int epoll = epoll_create1(0), ended = epoll_wait(epoll, &event, 1, LONG * 1000), why = errno; close(epoll); errno = why; return ended; }
static int by_sleep(void) { return nanosleep(&long_span, NULL); }
static int by_semaphore(void)
{
    sem_t it;
    struct timespec when;
    sem_init(&it, 0, 0);
    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_sec += LONG;
    return sem_clockwait(&it, CLOCK_MONOTONIC, &when);
}
static int by_futex(void) { uint32_t word = 0; return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &long_span, NULL, 0); }
static int by_sigtimedwait(void) { sigset_t set; sigemptyset(&set); sigaddset(&set, SIGHUP); return sigtimedwait(&set, NULL, &long_span); }
static int by_receive(void) { char byte; return (int)recv(never[0], &byte, 1, 0); }

static const struct { const char *name; int (*wait_for)(void); } waits[] = {
    {"poll", by_poll}, {"select", by_select}, {"epoll", by_epoll}, {"sleep", by_sleep}, {"semaphore", by_semaphore}, {"futex", by_futex},
    {"sigtimedwait", by_sigtimedwait}, {"receive", by_receive},
};

int main(int argc, char **argv)
{
    struct sigaction counted = {.sa_handler = count}, ending = {.sa_handler = finish};
    struct timeval limit = {.tv_sec = LONG};
    pthread_t self = pthread_self(), sender;
    int (*wait_for)(void) = NULL;
    int ended = 0;
    for (size_t n = 0; argc == 2 && n < sizeof waits / sizeof *waits; n++)
        if (strcmp(argv[1], waits[n].name) == 0)
            wait_for = waits[n].wait_for;
    CHECK(wait_for != NULL);
    CHECK(sigaction(SIGUSR1, &counted, NULL) == 0 && sigaction(SIGUSR2, &ending, NULL) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, never) == 0 && setsockopt(never[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(pthread_create(&sender, NULL, send_signals, &self) == 0);
    while (!all_sent) {
        waiting = 1;
        CHECK(wait_for() == -1 && errno == EINTR);
        waiting = 0;
        ended++;
    }
    CHECK(pthread_join(sender, NULL) == 0);
    printf("%d %d\n", (int)handled, ended);
    return 0;
}
