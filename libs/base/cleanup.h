/* Ownership on the line that acquires: cleanup attributes instead of goto. */
#ifndef HF_BASE_CLEANUP_H
#define HF_BASE_CLEANUP_H

#include <stddef.h>

/* Run fn##_cleanup(&variable) when the variable leaves its scope. */
#define HF_CLEANUP(fn) __attribute__((cleanup(fn##_cleanup)))

/* Give ownership away: yields the pointer and clears the variable. */
#define HF_TAKE(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) hf_take_ = (p);                                                              \
        (p) = NULL;                                                                                \
        hf_take_;                                                                                  \
    })

/* Make fn (which must not be called with NULL) usable in HF_CLEANUP. */
#define HF_DEFINE_CLEANUP(type, fn)                                                                \
    static inline void fn##_cleanup(type *p)                                                       \
    {                                                                                              \
        if (*p != NULL) {                                                                          \
            fn(*p);                                                                                \
            *p = NULL;                                                                             \
        }                                                                                          \
    }

#endif
