/* Hash table sizes of zstd level 3 for blobs of 512 KiB: speed and size beside the library's own
 * choice. The settings take turns on each 4 MiB, so that a machine whose speed drifts compares
 * fairly; processor time of the thread counts. A line per setting: log2 of the entries of the table
 * of long matches and of short ones (0: the library's choice), MB/s, ratio, time and size beside
 * the library's choice.
 *
 *   gcc -O2 -o zstd_tables zstd_tables.c -lzstd && ./zstd_tables FILE…
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zstd.h>

#define BLOB ((size_t)512 << 10)
#define TURN ((size_t)4 << 20)
#define FILE_MAX ((size_t)64 << 20) /* of each file */

static struct setting {
    int hash_log;  /* long matches; 0: the library's choice */
    int chain_log; /* short matches */
    ZSTD_CCtx *ctx;
    double seconds;
    size_t bytes;
} settings[] = {
    {.hash_log = 0},
    {.hash_log = 17, .chain_log = 15},
    {.hash_log = 16, .chain_log = 16},
    {.hash_log = 16, .chain_log = 15},
    {.hash_log = 15, .chain_log = 15},
    {.hash_log = 15, .chain_log = 14},
    {.hash_log = 14, .chain_log = 14},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void open_settings(void)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        settings[i].ctx = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(settings[i].ctx, ZSTD_c_compressionLevel, 3);
        if (settings[i].hash_log > 0) {
            ZSTD_CCtx_setParameter(settings[i].ctx, ZSTD_c_hashLog, settings[i].hash_log);
            ZSTD_CCtx_setParameter(settings[i].ctx, ZSTD_c_chainLog, settings[i].chain_log);
        }
    }
}

static size_t take_turns(const char *bytes, size_t len, char *out, size_t cap)
{
    size_t done = 0;

    for (; done + TURN <= len; done += TURN) {
        for (size_t i = 0; i < SETTINGS; i++) {
            struct setting *setting = &settings[(i + done / TURN) % SETTINGS];
            double begin = cpu_seconds();

            for (size_t at = 0; at < TURN; at += BLOB) {
                setting->bytes += ZSTD_compress2(setting->ctx, out, cap, bytes + done + at, BLOB);
            }
            setting->seconds += cpu_seconds() - begin;
        }
    }
    return done;
}

int main(int argc, char *argv[])
{
    char *bytes = malloc(FILE_MAX);
    size_t cap = ZSTD_compressBound(BLOB);
    char *out = malloc(cap);
    size_t done = 0;

    open_settings();
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");

        if (file == NULL) {
            perror(argv[i]);
            return 1;
        }
        done += take_turns(bytes, fread(bytes, 1, FILE_MAX, file), out, cap);
        fclose(file);
    }
    if (done == 0) {
        fprintf(stderr, "usage: zstd_tables FILE… of 4 MiB or more\n");
        return 2;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        printf("%d %d %.0f %.2f %.3f %.3f\n", settings[i].hash_log, settings[i].chain_log,
               (double)done / settings[i].seconds / 1e6, (double)done / (double)settings[i].bytes,
               settings[i].seconds / settings[0].seconds,
               (double)settings[i].bytes / (double)settings[0].bytes);
    }
    return 0;
}
