/* Memory for keys: never swapped out, in no core file, between pages that cannot be touched, zeroed
 * when it is freed. Whole pages, so only for few and long-lived keys; what is short-lived is on a
 * stack and wiped.
 *
 * When the limit of locked memory (RLIMIT_MEMLOCK) is reached the rest of it still holds; svc_main
 * raises the limit and says when it is small.
 */
#ifndef HF_BASE_SECRET_H
#define HF_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* size zero bytes, aligned for any type; never NULL. */
void *hf_secret_alloc(size_t size);
void hf_secret_free(void *secret);            /* accepts NULL */
bool hf_secret_is_locked(const void *secret); /* not when the limit was reached */

#endif
