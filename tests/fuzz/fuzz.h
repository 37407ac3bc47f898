/* The one function of a fuzz target. It returns 0, always; a finding is a crash, a sanitizer's
 * report or a failed HF_CHECK on what must hold for every input. */
#ifndef HF_TESTS_FUZZ_FUZZ_H
#define HF_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
