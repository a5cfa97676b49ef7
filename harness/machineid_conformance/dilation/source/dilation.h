/* Target time: what a process that loads this library sees of the clocks, and how long its waits last.
 *
 *   target(clock) = real(clock) + drift         drift = target time gone by - real time gone by, since the page was made
 *
 * The page is a file that all processes of one world map, read-only; the harness alone writes it. Between two changes of the rate, target
 * time runs `rate` times as fast as CLOCK_MONOTONIC. A change takes its moment as the new base, so target time is continuous, and since
 * rate >= 1 no clock ever runs backwards. Readers follow the sequence number (a seqlock): an odd one means that a change is being written,
 * and one that moved while the clock was read means that the reading may be of neither rate.
 *
 * Waits are made of slices. The kernel knows only real time, and a wait under way cannot be told that the rate has changed; so each
 * slice is short (SLICE_NS of real time), and after each the time left is computed again, in target time. A wait is reported to have
 * ended only when target time says so: never early, and late by at most one slice (times the rate) and what the machine adds.
 * A plain sleep needs no slices: it sleeps on the page's sequence number as a futex, and is woken by the change itself.
 *
 * Time is fast only while everybody waits, and no further than the first of them waits for. Each wait writes its end into a second page, which
 * all processes of the world may write; the harness sets a rate together with the moment at which the first of those ends comes, and from
 * then on the rate is 1 by itself. So a thread that gets its processor late is late by that, and not by that times the rate. A wait that ends
 * otherwise (by what it waited for, by a signal) writes its moment into that page: from that moment on the rate is 1 too, until the harness
 * sets a new one. Else who wakes would run at the rate of its sleep, and the two seconds that it gives its next call would be a few
 * milliseconds. A nap is not written down (below NAP_NS; or below TICK_NS, and as long as the thread's last wait, which ended by time): a
 * loop of naps is one wait, and a runtime's own ticking would keep time slow.
 * Whoever comes out of such a loop is noticed by what he does next: begin a wait, arm a timer, connect, send.
 *
 * Not dilated: CPU clocks, times(), times that the kernel writes by itself (file times, /proc, packet time stamps), waits inside libc that
 * call no public name (the resolver's), mq_timed*, semtimedop, aio_suspend, io_uring, priority-inheriting futexes that a runtime makes by
 * itself, and programs that do not go through libc at all (Go, static binaries). Their waits last as long in real time as they asked for.
 */
#ifndef MACHINEID_DILATION_H
#define MACHINEID_DILATION_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define SLICE_NS INT64_C(10000000)
#define NAP_NS INT64_C(100000000)
#define TICK_NS (2 * NS_PER_S)
#define FOREVER INT64_MAX

/* Interposed names are visible; nothing else of the library is (-fvisibility=hidden). */
#define PUBLIC __attribute__((visibility("default")))

/* The function of that name which the process would have called without us. All are looked up by our constructor, where it can be before:
 * dlsym takes the loader's lock, which a signal handler or a thread started by a library's constructor must not wait for. */
struct real_link {
    const char *name, *version;
    void *found;
} __attribute__((aligned(32))); /* of its own size, or there would be gaps between them in their section */
void *real_function(struct real_link *link);
bool real_exists(struct real_link *link);
#define REAL_LINK(name, version) \
    ({ static struct real_link link_ __attribute__((section("real_links"), used)) = {#name, version, NULL}; &link_; })
#define REAL_VERSION(name, version) ((__typeof__(&name))real_function(REAL_LINK(name, version)))
#define REAL(name) REAL_VERSION(name, NULL)

bool scaled(clockid_t clock);          /* whether a clock is one of those that target time moves */
int64_t real_now(clockid_t clock);     /* nanoseconds */
int64_t target_now(clockid_t clock);   /* nanoseconds */
int64_t to_real(int64_t target_ns);    /* a duration that begins now, rounded up */
int64_t to_target(int64_t real_ns);    /* likewise, rounded down */

/* The end of a wait, in target CLOCK_MONOTONIC; FOREVER for none. */
int64_t deadline_after(int64_t target_ns);
int64_t deadline_at(clockid_t clock, const struct timespec *when);
int64_t left_until(int64_t deadline);  /* target nanoseconds; 0 when it has passed */
int64_t slice_until(int64_t deadline, int64_t longest); /* real nanoseconds to wait now; without a page the rate never changes: an hour */

/* The wait that this thread began with deadline_after or deadline_at starts; it has ended, by time or by what it waited for. Keep errno. */
void wait_begins(int64_t deadline);
void wait_over(bool by_time);
void wait_goes_on(void); /* it returns to its caller, who comes back for the rest */
/* How many handlers of signals have run in this thread. A wait that a signal ends looks at it before its first slice and after each. */
unsigned int handlers_run(void);

/* Sleep until the deadline: 0, or EINTR when a signal handler ran. */
int sleep_until(int64_t deadline);

/* One consistent reading of the page: real CLOCK_MONOTONIC, the drift at that moment, the rate (32.32), and for how many real nanoseconds more
 * it lasts before it is 1; FOREVER: for as long as nobody changes it. */
struct reading {
    int64_t now, drift, lasts;
    uint64_t rate;
};
struct reading read_page(void);

/* The page's sequence number, and to wait (as a futex) until it is another or time was slowed; page_sleep waits no longer than `real`, is a
 * cancellation point, and gives an error number. */
uint32_t page_sequence(void);
/* NULL: for as long as it takes. Woken too when time was slowed: then the number is the same. */
void page_await_change(uint32_t sequence, const struct timespec *longest);
int page_announce(int64_t deadline); /* the end of a wait, in target CLOCK_MONOTONIC; what to withdraw it by, 0 if there is no room */
void page_withdraw(int announced);
void page_slow_down(void); /* real speed from now on, if it is faster: somebody runs */
bool page_slowed(void);    /* whether somebody did since the rate was set */
void timers_slowed(void);  /* arm the kernel's timers of this process again: time is slower from now on */
int page_sleep(uint32_t sequence, const struct timespec *real);
bool page_present(void);

int64_t from_timespec(const struct timespec *value); /* saturates; FOREVER beyond 292 years */
int64_t from_timeval(int64_t seconds, int64_t microseconds);
struct timespec to_timespec(int64_t ns);
bool valid_timespec(const struct timespec *value); /* false for NULL: the kernel says what it thinks of that */

#endif
