/* A source that lies, and a receiver that listens to it. */
#ifndef HF_TESTS_RECEIVER_LIAR_H
#define HF_TESTS_RECEIVER_LIAR_H

#include "backup/source/receiver.h"
#include "base/pool.h"
#include "egress/egress.h"
#include "tests/unit/libs/vault/wal_fixture.h"

#define LIAR_SEGMENT (16 * MIB)
#define LIAR_OWN_HOST "10.1.2.3"  /* where the installation itself listens, at the liar's port */
#define LIAR_DENIED "10.9.0.0/16" /* by the operator */

enum lie {
    ENDS_AT_ONCE,      /* timeline 1 has ended, and I am on timeline 1 */
    ENDS_BACKWARDS,    /* after timeline 1 comes timeline 1 */
    TURNS_PAGES,       /* each look another timeline */
    GOES_BACK,         /* each look less WAL */
    FLOODS,            /* keepalives that want a reply */
    STARTS_AND_LEAVES, /* the stream stands, and is gone */
    TIMELINE_ZERO,
    LSN_BEYOND,
    COSTS_MEMORY,     /* goes back, and what follows needs more memory than a session has */
    LOSES_ITS_END,    /* the WAL at its own end was removed; asked again it is there */
    BOASTS,           /* once it is on timeline 2, of which it sends nothing */
    CLOCK_OF_A_DREAM, /* years ahead, then right */
    MOVES,            /* honest, but its name is another's after a while */
};

struct liar {
    enum lie lie;
    int listener;
    uint16_t port;
    struct hf_thread *thread;
    atomic_bool is_over;
    atomic_int connects;
    atomic_int identifies;
    atomic_int starts;
    atomic_int forks;
    atomic_bool is_moving;        /* its connection ends */
    _Atomic(const char *) answer; /* of the resolver, as an address; NULL: the liar's */
};

/* A liar, and a receiver that listens to it. */
struct play {
    struct fixture *f;
    struct egress *gate;
    struct liar liar;
    struct receiver *receiver;
    int64_t begin_us; /* monotonic */
};

void play_begin(struct play *play, enum lie lie);
void play_end(struct play *play);
/* Until the receiver is in this state, and the play has lasted at least so long; at most 12 s more.
 */
void play_await(struct play *play, enum receiver_state state, int seconds,
                struct receiver_status *ret_status);

#endif
