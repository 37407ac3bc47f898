/* Key files: the key-encryption key, the signing key, the text of the recovery kit. The surprise:
 * a key file that others may read is refused, not used with a warning; and a recovery kit is read
 * from whatever is printed around it. */
#include "vault/keyfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/id.h"
#include "codec/hash.h"
#include "codec/seal.h"
#include "vault/kit.h"

#define KEY_FILE_MAX 4096
#define KIT_PREFIX "HOLDFAST-KIT-1"
#define KIT_CHECK_LEN 4 /* first bytes of SHA-256(private key): finds typing errors */

/* Read a small secret file into buf; the caller wipes buf. A FIFO in its place makes nobody wait,
 * and what is judged is what is read. */
static struct hf_status secret_read(struct hf_ctx *ctx, const char *path, struct hf_buf *buf)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    uint8_t *room;
    size_t len = 0;

    hf_buf_init(buf, KEY_FILE_MAX);
    if (fd < 0 || fstat(fd, &info) != 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    if (!S_ISREG(info.st_mode) || info.st_size > KEY_FILE_MAX) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "key file %s is not a regular file of at most %d bytes", path, KEY_FILE_MAX);
    }
    room = hf_buf_extend(buf, KEY_FILE_MAX);
    HF_TRY(hf_buf_status(buf, ctx->arena, path));
    HF_TRY(hf_pread_full(ctx->arena, fd, room, KEY_FILE_MAX, 0, path, &len));
    buf->len = len;
    if ((info.st_mode & 077) != 0) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "key file %s may be read by others (mode %03o): chmod 600 it", path,
                       (unsigned)info.st_mode & 0777);
    }
    return hf_success();
}

struct hf_status vault_kek_make(struct hf_ctx *ctx, const char *path)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t kek[VAULT_KEY_LEN];
    char text[2 * VAULT_KEY_LEN + 1];
    struct hf_status status;

    hf_random(kek, sizeof(kek));
    for (size_t i = 0; i < sizeof(kek); i++) {
        text[2 * i] = digits[kek[i] >> 4];
        text[2 * i + 1] = digits[kek[i] & 15];
    }
    text[2 * VAULT_KEY_LEN] = '\n';
    status = hf_create_file(ctx->arena, path, text, sizeof(text), 0600);
    codec_wipe(kek, sizeof(kek));
    codec_wipe(text, sizeof(text));
    return status;
}

static struct hf_status kek_parse(struct hf_arena *arena, const char *path, struct hf_buf *buf,
                                  uint8_t ret_kek[VAULT_KEY_LEN])
{
    uint8_t kek[VAULT_KEY_LEN] = {0};

    while (buf->len > 0 && isspace(buf->ptr[buf->len - 1])) {
        buf->len--;
    }
    if (buf->len != 2 * VAULT_KEY_LEN) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "key file %s does not hold exactly 64 hexadecimal digits, nor a recovery "
                       "kit",
                       path);
    }
    if (!hf_unhex(hf_buf_text(buf), kek, sizeof(kek))) {
        codec_wipe(kek, sizeof(kek));
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "key file %s has characters that are not hexadecimal digits", path);
    }
    memcpy(ret_kek, kek, sizeof(kek));
    codec_wipe(kek, sizeof(kek));
    return hf_success();
}

struct hf_status vault_key_parse(struct hf_ctx *ctx, const char *path, struct hf_buf *buf,
                                 struct vault_key *ret_key)
{
    if (strcasestr(hf_buf_text(buf), KIT_PREFIX) == NULL) {
        HF_TRY(kek_parse(ctx->arena, path, buf, ret_key->bytes));
        ret_key->is_kit = false;
        return hf_success();
    }
    if (!vault_escrow_parse(hf_buf_text(buf), ret_key->bytes)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "%s is not a whole recovery kit: what stands behind " KIT_PREFIX
                       " was cut, mistyped, or is there twice",
                       path);
    }
    ret_key->is_kit = true;
    return hf_success();
}

struct hf_status vault_key_load(struct hf_ctx *ctx, const char *path, struct vault_key *ret_key)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct hf_status status = secret_read(ctx, path, &buf);

    if (hf_is_ok(status)) {
        status = vault_key_parse(ctx, path, &buf, ret_key);
    }
    if (buf.ptr != NULL) {
        codec_wipe(buf.ptr, buf.cap);
    }
    return status;
}

struct hf_status vault_kek_load(struct hf_ctx *ctx, const char *path,
                                uint8_t ret_kek[VAULT_KEY_LEN])
{
    struct vault_key key = {0};
    struct hf_status status = vault_key_load(ctx, path, &key);

    if (hf_is_ok(status) && key.is_kit) {
        status = hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                         "%s is a recovery kit, which `holdfast up` makes a key of", path);
    }
    if (hf_is_ok(status)) {
        memcpy(ret_kek, key.bytes, VAULT_KEY_LEN);
    }
    codec_wipe(&key, sizeof(key));
    return status;
}

struct hf_status vault_signing_key_make(struct hf_ctx *ctx, const char *path)
{
    uint8_t private_key[VAULT_KEY_LEN];
    uint8_t public_key[VAULT_KEY_LEN];
    struct hf_status status;
    char *pem;

    codec_ed25519_make(private_key, public_key);
    pem = codec_ed25519_pem(ctx->arena, private_key);
    status = hf_create_file(ctx->arena, path, pem, strlen(pem), 0600);
    codec_wipe(pem, strlen(pem));
    codec_wipe(private_key, sizeof(private_key));
    return status;
}

struct hf_status vault_signing_key_load(struct hf_ctx *ctx, const char *path,
                                        uint8_t ret_private[VAULT_KEY_LEN])
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct hf_status status = secret_read(ctx, path, &buf);

    if (hf_is_ok(status) &&
        !codec_ed25519_from_pem((struct hf_str){hf_buf_text(&buf), buf.len}, ret_private)) {
        status = hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                         "%s is not the PEM of an Ed25519 private key", path);
    }
    if (buf.ptr != NULL) {
        codec_wipe(buf.ptr, buf.cap);
    }
    return status;
}

struct hf_status vault_escrow_make(struct hf_ctx *ctx, char **ret_private_text,
                                   uint8_t ret_public[VAULT_KEY_LEN])
{
    uint8_t kit[VAULT_KEY_LEN + CODEC_SHA256_LEN];
    char *text;

    codec_x25519_make(kit, ret_public);
    codec_sha256(kit, VAULT_KEY_LEN, kit + VAULT_KEY_LEN);
    text = hf_strdup(ctx->arena, KIT_PREFIX);
    for (size_t i = 0; i < VAULT_KEY_LEN + KIT_CHECK_LEN; i += 2) {
        char *longer = hf_printf(ctx->arena, "%s-%02X%02X", text, kit[i], kit[i + 1]);

        codec_wipe(text, strlen(text));
        text = longer;
    }
    codec_wipe(kit, sizeof(kit));
    *ret_private_text = text;
    return hf_success();
}

struct hf_status vault_escrow_load(struct hf_ctx *ctx, const char *path,
                                   uint8_t ret_public[VAULT_KEY_LEN])
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 256);
    HF_TRY(hf_read_file(ctx->arena, path, &text));
    const char *digits =
        hf_strndup(ctx->arena, hf_buf_text(&text), strcspn(hf_buf_text(&text), "\n"));

    return hf_unhex(digits, ret_public, VAULT_KEY_LEN)
               ? hf_success()
               : hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s must hold 64 hexadecimal digits",
                         path);
}

/* Value of a hexadecimal digit; -1 for separators, -2 for anything else. */
static int kit_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c == '-' || isspace((unsigned char)c) ? -1 : -2;
}

/* All len bytes from the digits of text, separators skipped; NULL, or what is behind the last. */
static const char *kit_bytes(const char *text, uint8_t *ret_bytes, size_t len)
{
    size_t digits = 0;

    for (; *text != '\0' && digits < 2 * len; text++) {
        int digit = kit_digit(*text);

        if (digit == -2) {
            return NULL;
        }
        if (digit >= 0) {
            ret_bytes[digits / 2] = (uint8_t)(ret_bytes[digits / 2] << 4 | digit);
            digits++;
        }
    }
    return digits == 2 * len ? text : NULL;
}

bool vault_escrow_parse(const char *text, uint8_t ret_private[VAULT_KEY_LEN])
{
    uint8_t kit[VAULT_KEY_LEN + KIT_CHECK_LEN] = {0};
    uint8_t hash[CODEC_SHA256_LEN];
    const char *key = strcasestr(text, KIT_PREFIX);

    if (key == NULL) {
        return false;
    }
    const char *behind = kit_bytes(key + strlen(KIT_PREFIX), kit, sizeof(kit));

    codec_sha256(kit, VAULT_KEY_LEN, hash);
    bool is_kit = behind != NULL && (*behind == '\0' || isspace((unsigned char)*behind)) &&
                  strcasestr(behind, KIT_PREFIX) == NULL &&
                  memcmp(hash, kit + VAULT_KEY_LEN, KIT_CHECK_LEN) == 0;

    if (is_kit) {
        memcpy(ret_private, kit, VAULT_KEY_LEN);
    }
    codec_wipe(kit, sizeof(kit));
    return is_kit;
}
