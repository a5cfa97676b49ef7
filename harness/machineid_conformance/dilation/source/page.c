/* The page: where it is, how it is read while it is written, and how to sleep on it. */
#include "dilation.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAGIC "MIDTIME1"

/* The same layout is in page.py. Little-endian, as every platform that we build on. */
struct page {
    char magic[8];
    uint32_t sequence;
    uint32_t reserved;
    int64_t origin;  /* CLOCK_MONOTONIC when target time was equal to real time */
    int64_t changed; /* CLOCK_MONOTONIC at the last change of the rate */
    int64_t gone;    /* target nanoseconds from the origin to that change */
    uint64_t rate;   /* 32.32 fixed point, at least 1 */
    int64_t slow_at; /* CLOCK_MONOTONIC from which the rate is 1; 0: for ever as it is */
};

static const struct page *the_page;

/* The second page. Its first word: NOBODY while all wait, MARKED while somebody is about to write, then the CLOCK_MONOTONIC of the first who
 * woke. The others: the ends of the waits under way, in target CLOCK_MONOTONIC; 0: free. A process that is killed leaves its own; they pass.
 * Two steps for the first word, because what is written must not be before any reading of the clock that was made while the word said NOBODY: the clock is read
 * only once the mark is there. Whoever meets the mark writes for him who made it, who may have lost the processor or his life. */
#define NOBODY 0
#define MARKED 1
#define WORDS 512
static int64_t *the_woken;

#define ONE (UINT64_C(1) << 32)

/* What stands in for the page where there is none: real time. */
static const struct page still = {.magic = MAGIC, .rate = ONE};

extern struct real_link __start_real_links[], __stop_real_links[];

bool real_exists(struct real_link *link)
{
    void *found = __atomic_load_n(&link->found, __ATOMIC_ACQUIRE);
    if (found)
        return true;
    found = link->version ? dlvsym(RTLD_NEXT, link->name, link->version) : NULL;
    if (!found)
        found = dlsym(RTLD_NEXT, link->name);
    __atomic_store_n(&link->found, found, __ATOMIC_RELEASE);
    return found != NULL;
}

void *real_function(struct real_link *link)
{
    if (!real_exists(link)) /* a libc without this function calls no function of this name */
        abort();
    return link->found;
}

__attribute__((constructor)) static void look_up_all(void)
{
    for (struct real_link *link = __start_real_links; link < __stop_real_links; link++)
        real_exists(link);
    dlerror(); /* what an older libc does not have is no error of the program's */
}

/* The pages lie beside the library, under its name and an ending: no environment variable that a target could lose or see. */
static void *map_beside(const char *ending, int access, int protection, size_t size)
{
    Dl_info library;
    char path[4096];
    if (!dladdr((const void *)&the_page, &library) || !library.dli_fname)
        return NULL;
    if (strlen(library.dli_fname) + strlen(ending) >= sizeof path)
        return NULL;
    strcat(strcpy(path, library.dli_fname), ending);
    int saved = errno;
    void *mapped = NULL;
    int fd = (int)REAL(syscall)(SYS_openat, AT_FDCWD, path, access | O_CLOEXEC);
    struct stat about;
    if (fd >= 0) {
        if (fstat(fd, &about) == 0 && about.st_size >= (off_t)size) {
            void *at = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
            mapped = at == MAP_FAILED ? NULL : at;
        }
        REAL(syscall)(SYS_close, fd);
    }
    errno = saved;
    return mapped;
}

static const struct page *map_page(void)
{
    const struct page *mapped = map_beside(".page", O_RDONLY, PROT_READ, sizeof *mapped);
    if (!mapped || memcmp(mapped->magic, MAGIC, 8) != 0)
        return &still;
    __atomic_store_n(&the_woken, map_beside(".woken", O_RDWR, PROT_READ | PROT_WRITE, WORDS * sizeof *the_woken), __ATOMIC_RELEASE);
    return mapped;
}

static const struct page *page(void)
{
    const struct page *it = __atomic_load_n(&the_page, __ATOMIC_ACQUIRE);
    if (__builtin_expect(!it, 0)) {
        it = map_page(); /* two threads may both map it: the same page twice does no harm */
        __atomic_store_n(&the_page, it, __ATOMIC_RELEASE);
    }
    return it;
}

bool page_present(void) { return page() != &still; }

uint32_t page_sequence(void) { return __atomic_load_n(&page()->sequence, __ATOMIC_ACQUIRE); }

void page_await_change(uint32_t sequence, const struct timespec *longest)
{
    REAL(syscall)(SYS_futex, &page()->sequence, FUTEX_WAIT, sequence, longest, NULL, 0);
}

/* A change is being written. The writer needs microseconds, unless it was preempted in the middle: then spinning would keep it from the
 * processor that it needs. */
static void await_writer(const struct page *it, uint32_t odd, int turn)
{
    if (turn < 100)
        return;
    int saved = errno;
    struct timespec a_while = {.tv_nsec = 1000000};
    REAL(syscall)(SYS_futex, &it->sequence, FUTEX_WAIT, odd, &a_while, NULL, 0);
    errno = saved;
}

/* When somebody woke since the rate was set; NOBODY if nobody has. */
static int64_t woken(void)
{
    if (!the_woken)
        return NOBODY;
    int64_t when = __atomic_load_n(the_woken, __ATOMIC_ACQUIRE);
    while (__builtin_expect(when == MARKED, 0)) {
        int64_t mark = MARKED, now = real_now(CLOCK_MONOTONIC);
        if (__atomic_compare_exchange_n(the_woken, &mark, now, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return now;
        when = mark;
    }
    return when;
}

int page_announce(int64_t deadline)
{
    page();
    if (!the_woken)
        return 0;
    static __thread int last; /* where this thread found room before it finds room again */
    if (last == 0)
        last = 1 + (int)(REAL(syscall)(SYS_gettid) % (WORDS - 1));
    for (int tries = 0; tries < WORDS - 1; tries++) {
        int64_t nothing = 0;
        if (__atomic_compare_exchange_n(&the_woken[last], &nothing, deadline, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return last;
        last = last == WORDS - 1 ? 1 : last + 1;
    }
    return 0;
}

void page_withdraw(int announced)
{
    if (announced)
        __atomic_store_n(&the_woken[announced], 0, __ATOMIC_RELEASE);
}

bool page_slowed(void) { return woken() != NOBODY; }

void page_slow_down(void)
{
    const struct page *it = page();
    int64_t nobody = NOBODY;
    if (!the_woken || __atomic_load_n(&it->rate, __ATOMIC_RELAXED) == ONE)
        return;
    if (!__atomic_compare_exchange_n(the_woken, &nobody, MARKED, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return;
    woken();
    timers_slowed();
    /* Who sleeps on the page, or keeps the kernel's timers, counts again at the new rate. */
    int saved = errno;
    REAL(syscall)(SYS_futex, &it->sequence, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved;
}

struct reading read_page(void)
{
    const struct page *it = page();
    struct reading got;
    for (int turn = 0;; turn++) {
        uint32_t before = __atomic_load_n(&it->sequence, __ATOMIC_ACQUIRE);
        if (before & 1) {
            await_writer(it, before, turn);
            continue;
        }
        int64_t origin = __atomic_load_n(&it->origin, __ATOMIC_RELAXED);
        int64_t changed = __atomic_load_n(&it->changed, __ATOMIC_RELAXED);
        int64_t gone = __atomic_load_n(&it->gone, __ATOMIC_RELAXED);
        got.rate = __atomic_load_n(&it->rate, __ATOMIC_RELAXED);
        int64_t slow_at = __atomic_load_n(&it->slow_at, __ATOMIC_RELAXED);
        int64_t awake = got.rate == ONE ? NOBODY : woken();
        got.now = real_now(CLOCK_MONOTONIC);
        __builtin_ia32_lfence(); /* the processor may not look at the sequence before it has read its clock */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&it->sequence, __ATOMIC_RELAXED) != before)
            continue;
        if (got.rate != ONE && woken() != awake)
            continue;
        got.lasts = FOREVER;
        if (it == &still) {
            got.drift = 0;
            return got;
        }
        int64_t since = got.now > changed ? got.now - changed : 0, slow = 0;
        int64_t slow_from = awake != NOBODY && (slow_at == 0 || awake < slow_at) ? awake : slow_at;
        if (slow_from && got.now > slow_from)
            slow = got.now - slow_from < since ? got.now - slow_from : since;
        int64_t target = gone + (int64_t)(((__int128)(since - slow) * got.rate) >> 32) + slow;
        if (slow_from && got.now >= slow_from)
            got.rate = ONE;
        else if (slow_from)
            got.lasts = slow_from - got.now;
        got.drift = target - (got.now - origin);
        return got;
    }
}

/* Woken by the change of the rate, by the time, or by a signal's handler: gives the error number. All sleeps are cancellation points, which
 * the syscall function is not; where nothing is held, asynchronous cancellation for the length of the call is the same. */
int page_sleep(uint32_t sequence, const struct timespec *real)
{
    int saved = errno, type;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    long done = REAL(syscall)(SYS_futex, &page()->sequence, FUTEX_WAIT, sequence, real, NULL, 0);
    int why = done == 0 ? 0 : errno;
    pthread_setcanceltype(type, NULL);
    errno = saved;
    return why;
}
