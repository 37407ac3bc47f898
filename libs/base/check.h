/* Assertions that stay in release builds: a bug aborts, an input error never does. */
#ifndef HF_BASE_CHECK_H
#define HF_BASE_CHECK_H

/* Abort with file, line and the text of the broken claim. Never returns. */
_Noreturn void hf_check_failed(const char *file, int line, const char *claim);

#define HF_CHECK(cond)                                                                             \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            hf_check_failed(__FILE__, __LINE__, #cond);                                            \
        }                                                                                          \
    } while (0)

/* 1 in a build with AddressSanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define HF_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HF_HAS_ASAN 1
#endif
#endif
#ifndef HF_HAS_ASAN
#define HF_HAS_ASAN 0
#endif

#define HF_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
