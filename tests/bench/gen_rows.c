/* Rows for the benchmark cluster: text of a skewed vocabulary, JSON, numbers and random ids, which
 * compress about 3:1 at zstd-3 like a business database does, unlike pgbench's blank filler. The
 * same seed gives the same bytes.
 *
 *   gen_rows SEED ROWS  > rows.copy
 *
 * Columns: id, uid, created, amount, status, title, body, attrs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 1024
#define WORD_MAX 12

static uint64_t state;

static uint64_t next(void) /* xorshift64*, enough for data */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

static char words[WORDS][WORD_MAX + 1];

static void make_words(void)
{
    static const char letters[] = "etaoinshrdlucmfwypvbgkjqxz";

    for (size_t i = 0; i < WORDS; i++) {
        size_t len = 2 + next() % (WORD_MAX - 2);

        for (size_t k = 0; k < len; k++) {
            uint64_t skewed = (next() % 26) * (next() % 26) / 26;

            words[i][k] = letters[skewed];
        }
    }
}

/* Few words are frequent, many are rare. */
static const char *word(void)
{
    uint64_t a = next() % WORDS;
    uint64_t b = next() % WORDS;

    return words[a * b / WORDS * (next() % 8 + 1) / 8];
}

static void sentence(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("%s%s", i == 0 ? "" : " ", word());
    }
}

static void row(uint64_t id)
{
    static const char *const statuses[] = {"new", "paid", "packed", "shipped", "returned"};
    uint64_t a = next();
    uint64_t b = next();

    printf("%llu\t%08x-%04x-4%03x-a%03x-%012llx\t", (unsigned long long)id, (unsigned)(a >> 32),
           (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff), (unsigned)(b >> 52),
           (unsigned long long)(b & UINT64_C(0xffffffffffff)));
    printf("2025-%02u-%02u %02u:%02u:%02u.%06u+00\t%u.%02u\t%s\t", (unsigned)(1 + next() % 12),
           (unsigned)(1 + next() % 28), (unsigned)(next() % 24), (unsigned)(next() % 60),
           (unsigned)(next() % 60), (unsigned)(next() % 1000000), (unsigned)(next() % 100000),
           (unsigned)(next() % 100), statuses[next() % 5]);
    sentence(4 + next() % 4);
    putchar('\t');
    sentence(25 + next() % 30);
    printf("\t{\"source\": \"%s\", \"visits\": %u, \"score\": 0.%06u, \"tags\": [\"%s\", \"%s\"], "
           "\"session\": \"%016llx\"}\n",
           word(), (unsigned)(next() % 1000), (unsigned)(next() % 1000000), word(), word(),
           (unsigned long long)next());
}

int main(int argc, char *argv[])
{
    if (argc != 3) {
        fprintf(stderr, "usage: gen_rows SEED ROWS\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 10) * 2 + 88172645463325252u;
    make_words();
    uint64_t rows = strtoull(argv[2], NULL, 10);

    for (uint64_t id = 1; id <= rows; id++) {
        row(id);
    }
    return 0;
}
