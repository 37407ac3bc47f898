/* The push tar reader. Surprise: a size field may be base-256 (first bit set): PostgreSQL switches
 * to it at 8 GiB, so octal digits are only one of the two forms. */
#include "pgformat/tar.h"

#include <string.h>

#include "base/str.h"
#include "pgformat/path.h"

#define OFFSET_NAME 0
#define OFFSET_MODE 100
#define OFFSET_UID 108
#define OFFSET_GID 116
#define OFFSET_SIZE 124
#define OFFSET_MTIME 136
#define OFFSET_CHECKSUM 148
#define OFFSET_TYPE 156
#define OFFSET_LINK 157
#define OFFSET_MAGIC 257
#define OFFSET_PREFIX 345
#define NAME_LEN 100
#define PREFIX_LEN 155

static const uint8_t zero_block[PGF_TAR_BLOCK];

/* Octal text, spaces around and a NUL at the end allowed; an empty field is 0. */
static bool octal_parse(const uint8_t *field, size_t len, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    while (i < len && field[i] == ' ') {
        i++;
    }
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++) {
        if (value >> 60 != 0) {
            return false;
        }
        value = value * 8 + (uint64_t)(field[i] - '0');
    }
    for (; i < len; i++) {
        if (field[i] != ' ' && field[i] != '\0') {
            return false;
        }
    }
    *ret = value;
    return true;
}

static bool number_parse(const uint8_t *field, size_t len, uint64_t *ret)
{
    uint64_t value = 0;

    if ((field[0] & 0x80) == 0) {
        return octal_parse(field, len, ret);
    }
    if (field[0] != 0x80) { /* negative, or larger than 2^87 */
        return false;
    }
    for (size_t i = 1; i < len; i++) {
        if (value >> 55 != 0) {
            return false;
        }
        value = (value << 8) | field[i];
    }
    *ret = value;
    return true;
}

static bool checksum_ok(const uint8_t *header)
{
    uint64_t claimed;
    uint64_t sum = 8 * ' ';

    for (size_t i = 0; i < PGF_TAR_BLOCK; i++) {
        if (i < OFFSET_CHECKSUM || i >= OFFSET_CHECKSUM + 8) {
            sum += header[i];
        }
    }
    return octal_parse(header + OFFSET_CHECKSUM, 8, &claimed) && claimed == sum;
}

/* Name with its prefix, without "./" in front and slashes behind. */
static void path_build(const uint8_t *header, char ret_path[PGF_TAR_PATH_MAX + 1])
{
    const char *name = (const char *)header + OFFSET_NAME;
    const char *prefix = (const char *)header + OFFSET_PREFIX;
    size_t name_len = strnlen(name, NAME_LEN);
    size_t prefix_len = strnlen(prefix, PREFIX_LEN);
    size_t len = 0;

    if (memcmp(header + OFFSET_MAGIC, "ustar", 5) == 0 && prefix_len > 0) {
        memcpy(ret_path, prefix, prefix_len);
        ret_path[prefix_len] = '/';
        len = prefix_len + 1;
    }
    memcpy(ret_path + len, name, name_len);
    len += name_len;
    while (len > 1 && ret_path[len - 1] == '/') {
        len--;
    }
    ret_path[len] = '\0';
    while (ret_path[0] == '.' && ret_path[1] == '/') {
        memmove(ret_path, ret_path + 2, len - 1);
        len -= 2;
    }
}

static bool kind_parse(uint8_t type, enum pgf_tar_kind *ret_kind)
{
    switch (type) {
    case '0':
    case '\0':
        *ret_kind = PGF_TAR_FILE;
        return true;
    case '2':
        *ret_kind = PGF_TAR_SYMLINK;
        return true;
    case '5':
        *ret_kind = PGF_TAR_DIRECTORY;
        return true;
    default:
        return false;
    }
}

static bool numbers_parse(const uint8_t *header, struct pgf_tar_member *member)
{
    uint64_t mode, uid, gid, mtime;

    if (!number_parse(header + OFFSET_MODE, 8, &mode) ||
        !number_parse(header + OFFSET_UID, 8, &uid) ||
        !number_parse(header + OFFSET_GID, 8, &gid) ||
        !number_parse(header + OFFSET_SIZE, 12, &member->size_bytes) ||
        !number_parse(header + OFFSET_MTIME, 12, &mtime)) {
        return false;
    }
    if (uid > UINT32_MAX || gid > UINT32_MAX || mtime > PGF_TAR_MTIME_MAX ||
        member->size_bytes > PGF_TAR_SIZE_MAX) {
        return false;
    }
    member->mode = (uint32_t)(mode & 07777);
    member->uid = (uint32_t)uid;
    member->gid = (uint32_t)gid;
    member->mtime_s = (int64_t)mtime;
    return true;
}

/* The path for a message: it is the source's text. */
static const char *shown(const struct pgf_tar *tar, struct hf_arena *arena)
{
    return hf_text_show(arena, tar->path, strlen(tar->path), sizeof(tar->path));
}

static struct hf_status member_decode(struct pgf_tar *tar, struct hf_arena *arena,
                                      struct pgf_tar_member *ret_member)
{
    const uint8_t *header = tar->header;

    if (!checksum_ok(header)) {
        return hf_fail(arena, HF_DATA_LOSS, "tar header with a wrong checksum after %s",
                       tar->path[0] != '\0' ? shown(tar, arena) : "the beginning");
    }
    path_build(header, tar->path);
    if (!pgf_path_is_sane(tar->path)) {
        return hf_fail(arena, HF_DATA_LOSS, "tar member with an unsafe path \"%s\"",
                       shown(tar, arena));
    }
    if (!kind_parse(header[OFFSET_TYPE], &ret_member->kind)) {
        return hf_fail(arena, HF_DATA_LOSS, "tar member %s is of unknown type %d",
                       shown(tar, arena), header[OFFSET_TYPE]);
    }
    if (!numbers_parse(header, ret_member)) {
        return hf_fail(arena, HF_DATA_LOSS, "tar member %s has an impossible number in its header",
                       shown(tar, arena));
    }
    tar->link[0] = '\0';
    if (ret_member->kind == PGF_TAR_SYMLINK) {
        size_t len = strnlen((const char *)header + OFFSET_LINK, PGF_TAR_LINK_MAX);

        memcpy(tar->link, header + OFFSET_LINK, len);
        tar->link[len] = '\0';
    }
    if (ret_member->kind != PGF_TAR_FILE) {
        ret_member->size_bytes = 0;
    }
    ret_member->path = tar->path;
    ret_member->link = tar->link;
    return hf_success();
}

/* A whole header block is in tar->header. */
static struct hf_status header_take(struct pgf_tar *tar, struct hf_arena *arena)
{
    struct pgf_tar_member member = {0};

    tar->header_len = 0;
    if (memcmp(tar->header, zero_block, PGF_TAR_BLOCK) == 0) {
        tar->is_ended = true;
        return hf_success();
    }
    if (tar->is_ended) {
        return hf_fail(arena, HF_DATA_LOSS, "tar archive goes on after its end");
    }
    HF_TRY(member_decode(tar, arena, &member));
    HF_TRY(tar->events.header(tar->events.arg, &member));
    tar->data_left = member.size_bytes;
    tar->padding_left = (uint32_t)((PGF_TAR_BLOCK - member.size_bytes % PGF_TAR_BLOCK) % 512);
    if (tar->data_left == 0) {
        return tar->events.end(tar->events.arg);
    }
    return hf_success();
}

static struct hf_status data_take(struct pgf_tar *tar, const uint8_t *bytes, size_t len)
{
    HF_TRY(tar->events.data(tar->events.arg, bytes, len));
    tar->data_left -= len;
    if (tar->data_left == 0) {
        return tar->events.end(tar->events.arg);
    }
    return hf_success();
}

void pgf_tar_init(struct pgf_tar *tar, const struct pgf_tar_events *events)
{
    *tar = (struct pgf_tar){.events = *events};
}

static size_t at_most(size_t len, uint64_t limit)
{
    return len < limit ? len : (size_t)limit;
}

struct hf_status pgf_tar_feed(struct pgf_tar *tar, struct hf_arena *arena, const uint8_t *bytes,
                              size_t len)
{
    while (len > 0) {
        size_t used;

        if (tar->data_left > 0) {
            used = at_most(len, tar->data_left);
            HF_TRY(data_take(tar, bytes, used));
        } else if (tar->padding_left > 0) {
            used = at_most(len, tar->padding_left);
            tar->padding_left -= (uint32_t)used;
        } else {
            used = at_most(len, PGF_TAR_BLOCK - tar->header_len);
            memcpy(tar->header + tar->header_len, bytes, used);
            tar->header_len += (uint32_t)used;
            if (tar->header_len == PGF_TAR_BLOCK) {
                HF_TRY(header_take(tar, arena));
            }
        }
        bytes += used;
        len -= used;
    }
    return hf_success();
}

struct hf_status pgf_tar_finish(struct pgf_tar *tar, struct hf_arena *arena)
{
    struct pgf_tar_events events = tar->events;

    if (tar->data_left > 0 || tar->padding_left > 0 || tar->header_len > 0) {
        return hf_fail(arena, HF_DATA_LOSS, "tar archive is cut off in or after member %s",
                       tar->path[0] != '\0' ? shown(tar, arena) : "number one");
    }
    pgf_tar_init(tar, &events);
    return hf_success();
}
