/* One mapping a secret:  [no access][header … secret][no access]. */
#include "base/secret.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

struct header {
    size_t mapped; /* with both guards */
    size_t usable;
    bool is_locked;
};

#define HEADER_ROOM 64

_Static_assert(sizeof(struct header) <= HEADER_ROOM && HEADER_ROOM % alignof(max_align_t) == 0,
               "the secret behind the header is aligned");

static struct header *header_of(const void *secret)
{
    union {
        const void *in;
        uint8_t *out;
    } at = {secret};

    return (struct header *)(void *)(at.out - HEADER_ROOM);
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *hf_secret_alloc(size_t size)
{
    const size_t page = page_bytes();

    HF_CHECK(size <= SIZE_MAX / 2);
    const size_t usable = (size + HEADER_ROOM + page - 1) / page * page;
    const size_t mapped = usable + 2 * page;
    uint8_t *all = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    HF_CHECK(all != MAP_FAILED && mprotect(all + page, usable, PROT_READ | PROT_WRITE) == 0 &&
             "the process is out of memory");
    struct header *header = (struct header *)(void *)(all + page);
    (void)madvise(header, usable, MADV_DONTDUMP);
    *header = (struct header){mapped, usable, mlock(header, usable) == 0};
    return all + page + HEADER_ROOM;
}

void hf_secret_free(void *secret)
{
    if (secret == NULL) {
        return;
    }
    struct header *header = header_of(secret);
    const size_t mapped = header->mapped;
    uint8_t *all = (uint8_t *)header - page_bytes();

    explicit_bzero(header, header->usable);
    HF_CHECK(munmap(all, mapped) == 0);
}

bool hf_secret_is_locked(const void *secret)
{
    return header_of(secret)->is_locked;
}
