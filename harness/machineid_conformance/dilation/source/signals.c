/* Signals and waits that are made of slices.
 *
 * A signal whose handler runs during a wait ends the wait (EINTR): that is how a program that waits learns of the signal at all. The kernel
 * ends a slice so; but a slice that has just ended by itself, in a process that waits for a processor, it cannot end. So handlers are
 * counted, in the thread that they run in: when the count has moved since the wait began, the wait ends as if the kernel had ended it.
 *
 * Signals by which a thread hurts itself are left alone: runtimes live by them, and no wait ends by them.
 */
#include "dilation.h"

#include <signal.h>

static __thread volatile unsigned int count __attribute__((tls_model("initial-exec")));

typedef void handler(int);
typedef void informed_handler(int, siginfo_t *, void *);
static handler *handlers[NSIG];

unsigned int handlers_run(void) { return count; }

/* On x86_64 the kernel gives all three to a handler of either kind. */
static void counted(int number, siginfo_t *about, void *context)
{
    count++;
    page_slow_down(); /* whoever handles a signal runs */
    ((informed_handler *)(void (*)(void))__atomic_load_n(&handlers[number], __ATOMIC_ACQUIRE))(number, about, context);
}
#define COUNTED ((handler *)(void (*)(void))counted)

static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGTRAP || number == SIGSYS;
}

/* What the kernel is given. A disposition that is no function leaves ours in its place: a child of vfork sets those, in its parent's memory. */
static handler *given(int number, handler *asked)
{
    if (number < 1 || number >= NSIG || is_fault(number) || asked == SIG_DFL || asked == SIG_IGN || asked == SIG_ERR ||
        asked == COUNTED)
        return asked;
    __atomic_store_n(&handlers[number], asked, __ATOMIC_RELEASE);
    return COUNTED;
}

static handler *installed(int number) { return number < 1 || number >= NSIG ? NULL : __atomic_load_n(&handlers[number], __ATOMIC_ACQUIRE); }

/* -- interposed ---------------------------------------------------------------------------------------------------------------- */

PUBLIC int sigaction(int number, const struct sigaction *restrict asked, struct sigaction *restrict old)
{
    handler *before = installed(number);
    struct sigaction mine;
    if (asked) {
        mine = *asked;
        mine.sa_handler = given(number, asked->sa_handler);
    }
    int done = REAL(sigaction)(number, asked ? &mine : NULL, old);
    if (done == 0 && old && old->sa_handler == COUNTED)
        old->sa_handler = before;
    return done;
}

#define SIGNAL_FUNCTION(name)                                          \
    PUBLIC handler *name(int number, handler *asked)                   \
    {                                                                  \
        handler *before = installed(number);                           \
        handler *old = REAL(name)(number, given(number, asked));       \
        return old == COUNTED ? before : old;                          \
    }

handler *bsd_signal(int number, handler *asked); /* the headers no longer declare it */
SIGNAL_FUNCTION(signal)
SIGNAL_FUNCTION(bsd_signal)
SIGNAL_FUNCTION(ssignal)
SIGNAL_FUNCTION(sysv_signal)
SIGNAL_FUNCTION(__sysv_signal)
