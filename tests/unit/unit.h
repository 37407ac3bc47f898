/* cmocka with the headers it needs before it. Include this instead of <cmocka.h>: the formatter
 * would sort cmocka to the front. */
#ifndef HF_TESTS_UNIT_UNIT_H
#define HF_TESTS_UNIT_UNIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
