/* Writes backup_manifest text. Surprise: PostgreSQL prints a CRC-32C as the bytes of the integer in
 * memory, so the hex digits are in little-endian order. */
#include "pgformat/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "codec/hash.h"
#include "pgformat/wal.h"

#define FLUSH_BYTES (60 * 1024)
#define BUFFER_MAX (1024 * 1024)
#define PATH_BYTES_MAX (64 * 1024)
#define PIECE_MAX (64 * 1024)

struct pgf_manifest {
    struct pgf_manifest_options options;
    struct codec_sha256 sha;
    struct hf_buf out;
    uint64_t files;
};

struct pgf_manifest *pgf_manifest_new(const struct pgf_manifest_options *options)
{
    struct pgf_manifest *manifest = hf_heap_alloc(sizeof(*manifest));
    bool has_system = options->server_major >= 17;

    manifest->options = *options;
    codec_sha256_init(&manifest->sha);
    hf_buf_init(&manifest->out, BUFFER_MAX);
    hf_buf_printf(&manifest->out, "{ \"PostgreSQL-Backup-Manifest-Version\": %d,\n",
                  has_system ? 2 : 1);
    if (has_system) {
        hf_buf_printf(&manifest->out, "\"System-Identifier\": %" PRIu64 ",\n",
                      options->system_identifier);
    }
    hf_buf_text_append(&manifest->out, "\"Files\": [");
    return manifest;
}

void pgf_manifest_free(struct pgf_manifest *manifest)
{
    if (manifest != NULL) {
        hf_buf_done(&manifest->out);
        hf_heap_free(manifest);
    }
}

static struct hf_status flush(struct pgf_manifest *manifest)
{
    size_t pos = 0;

    HF_CHECK(!manifest->out.is_full);
    codec_sha256_add(&manifest->sha, manifest->out.ptr, manifest->out.len);
    while (pos < manifest->out.len) {
        size_t len = manifest->out.len - pos < PIECE_MAX ? manifest->out.len - pos : PIECE_MAX;

        HF_TRY(manifest->options.write(manifest->options.arg, manifest->out.ptr + pos, len));
        pos += len;
    }
    hf_buf_clear(&manifest->out);
    return hf_success();
}

/* Length of the UTF-8 character at p, 0 when it is none (overlong and surrogates included). */
static size_t utf8_len(const uint8_t *p)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    uint32_t value = p[0] & (0xFFU >> (len + 1));

    if (len == 1) {
        return 1;
    }
    if (p[0] < 0xC2 || p[0] > 0xF4) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
        value = (value << 6) | (p[i] & 0x3F);
    }
    if (value < least[len] || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF) {
        return 0;
    }
    return len;
}

static bool is_utf8(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;

    while (*p != '\0') {
        size_t len = utf8_len(p);

        if (len == 0) {
            return false;
        }
        p += len;
    }
    return true;
}

static void path_print(struct hf_buf *out, const char *path)
{
    if (!is_utf8(path)) {
        hf_buf_text_append(out, "{ \"Encoded-Path\": \"");
        for (const char *p = path; *p != '\0'; p++) {
            hf_buf_printf(out, "%02x", (unsigned)(uint8_t)*p);
        }
        hf_buf_text_append(out, "\"");
        return;
    }
    hf_buf_text_append(out, "{ \"Path\": \"");
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            hf_buf_append(out, "\\", 1);
        }
        if ((uint8_t)*p < ' ') {
            hf_buf_printf(out, "\\u%04x", (unsigned)(uint8_t)*p);
        } else {
            hf_buf_append(out, p, 1);
        }
    }
    hf_buf_text_append(out, "\"");
}

static void time_print(struct hf_buf *out, int64_t time_s)
{
    time_t seconds = (time_t)time_s;
    struct tm tm = {0};
    char text[64] = "1970-01-01 00:00:00";

    if (gmtime_r(&seconds, &tm) != NULL) {
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    }
    hf_buf_printf(out, "%s GMT", text);
}

struct hf_status pgf_manifest_add(struct pgf_manifest *manifest,
                                  const struct pgf_manifest_file *file)
{
    struct hf_buf *out = &manifest->out;
    uint32_t crc = file->crc32c;

    HF_CHECK(strlen(file->path) <= PATH_BYTES_MAX);
    hf_buf_text_append(out, manifest->files++ == 0 ? "\n" : ",\n");
    path_print(out, file->path);
    hf_buf_printf(out, ", \"Size\": %" PRIu64 ", \"Last-Modified\": \"", file->size_bytes);
    time_print(out, file->mtime_s);
    hf_buf_printf(out,
                  "\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": "
                  "\"%02x%02x%02x%02x\" }",
                  (unsigned)(crc & 0xff), (unsigned)(crc >> 8 & 0xff), (unsigned)(crc >> 16 & 0xff),
                  (unsigned)(crc >> 24));
    return out->len >= FLUSH_BYTES ? flush(manifest) : hf_success();
}

struct hf_status pgf_manifest_finish(struct pgf_manifest *manifest,
                                     const struct pgf_manifest_range *ranges, size_t len)
{
    uint8_t hash[CODEC_SHA256_LEN];

    hf_buf_text_append(&manifest->out, "\n],\n\"WAL-Ranges\": [\n");
    for (size_t i = 0; i < len; i++) {
        hf_buf_printf(&manifest->out,
                      "%s{ \"Timeline\": %" PRIu32 ", \"Start-LSN\": \"%s\", \"End-LSN\": \"%s\" }",
                      i > 0 ? ",\n" : "", ranges[i].timeline, pgf_lsn(ranges[i].start_lsn).text,
                      pgf_lsn(ranges[i].end_lsn).text);
    }
    hf_buf_text_append(&manifest->out, "\n],\n");
    HF_TRY(flush(manifest));
    codec_sha256_end(&manifest->sha, hash);
    hf_buf_text_append(&manifest->out, "\"Manifest-Checksum\": \"");
    for (size_t i = 0; i < sizeof(hash); i++) {
        hf_buf_printf(&manifest->out, "%02x", (unsigned)hash[i]);
    }
    hf_buf_text_append(&manifest->out, "\"}\n");
    return manifest->options.write(manifest->options.arg, manifest->out.ptr, manifest->out.len);
}
