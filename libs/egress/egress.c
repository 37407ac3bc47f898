/* The gate: settings, scene, judgement. What is true of the machine is read at each judgement: an
 * address may have come since the last. */
#include "egress/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "egress/internal.h"

#define SETTINGS_BYTES ((size_t)4 << 20)
#define ENTRIES_MAX 1024
#define MACHINE_MAX 1024
#define OWN_MAX 128

/* --- settings ------------------------------------------------------------------------------- */

bool egress_local_parse(const char *text, enum egress_local *ret_local)
{
    static const char *const names[] = {
        [EGRESS_LOCAL_AUTO] = "auto", [EGRESS_LOCAL_ON] = "on", [EGRESS_LOCAL_OFF] = "off"};

    for (size_t i = 0; i < HF_LEN(names); i++) {
        if (hf_text_equal(names[i], text)) {
            *ret_local = (enum egress_local)i;
            return true;
        }
    }
    return false;
}

/* A setting as it was read: its entries, in order. */
struct entries {
    const char **list;
    size_t len;
};

/* Entries of a comma list, without blanks around them; empty ones do not count. One too many is
 * refused: a rule that was dropped would be a hole. */
static struct hf_status entries_load(struct hf_ctx *ctx, const struct egress *egress,
                                     const char *setting, const char *text,
                                     struct entries *ret_entries)
{
    struct entries entries = {HF_NEW_N(egress->arena, const char *, ENTRIES_MAX), 0};

    for (const char *p = text != NULL ? text : ""; *p != '\0';) {
        size_t span;

        p += strspn(p, ", \t");
        span = strcspn(p, ", \t");
        if (span > 0 && entries.len == ENTRIES_MAX) {
            return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s_%s has more than %d entries",
                           egress->prefix, setting, ENTRIES_MAX);
        }
        if (span > 0) {
            entries.list[entries.len++] = hf_strndup(egress->arena, p, span);
        }
        p += span;
    }
    *ret_entries = entries;
    return hf_success();
}

static struct hf_status ranges_load(struct hf_ctx *ctx, struct egress *egress, const char *setting,
                                    const char *list, struct egress_range **ret_ranges,
                                    size_t *ret_len)
{
    struct entries entries;
    struct egress_range *ranges;

    HF_TRY(entries_load(ctx, egress, setting, list, &entries));
    ranges = HF_NEW_N(egress->arena, struct egress_range, entries.len + 1);
    for (size_t i = 0; i < entries.len; i++) {
        if (!egress_range_parse(entries.list[i], &ranges[i])) {
            return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                           "%s_%s: \"%.80s\" is no CIDR: expected 10.0.0.0/8 or fd00::/8, without "
                           "bits behind the prefix",
                           egress->prefix, setting, entries.list[i]);
        }
    }
    *ret_ranges = ranges;
    *ret_len = entries.len;
    return hf_success();
}

static struct hf_status dirs_load(struct hf_ctx *ctx, struct egress *egress, const char *list)
{
    struct entries entries;

    HF_TRY(entries_load(ctx, egress, "socket_dirs", list, &entries));
    egress->socket_dirs = entries.list;
    egress->socket_dirs_len = entries.len;
    for (size_t i = 0; i < entries.len; i++) {
        if (entries.list[i][0] != '/') {
            return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                           "%s_socket_dirs: \"%.80s\" is no absolute path", egress->prefix,
                           entries.list[i]);
        }
    }
    return hf_success();
}

static struct hf_status load(struct hf_ctx *ctx, const struct egress_options *options,
                             struct egress *egress)
{
    struct egress_endpoint *own = HF_NEW_N(egress->arena, struct egress_endpoint, OWN_MAX);
    struct egress_range *allowed = NULL;
    struct egress_range *denied = NULL;

    HF_CHECK(options->own_len <= OWN_MAX);
    egress->prefix = hf_strdup(egress->arena, options->prefix);
    egress->rules.local = options->local;
    for (size_t i = 0; i < options->own_len; i++) {
        own[i] = (struct egress_endpoint){hf_strdup(egress->arena, options->own[i].host),
                                          options->own[i].port};
    }
    egress->own = own;
    egress->own_len = options->own_len;
    HF_TRY(ranges_load(ctx, egress, "allowed", options->allowed, &allowed,
                       &egress->rules.allowed_len));
    HF_TRY(ranges_load(ctx, egress, "denied", options->denied, &denied, &egress->rules.denied_len));
    egress->rules.allowed = allowed;
    egress->rules.denied = denied;
    return dirs_load(ctx, egress, options->socket_dirs);
}

struct hf_status egress_new(struct hf_ctx *ctx, const struct egress_options *options,
                            struct egress **ret_egress)
{
    HF_CLEANUP(egress_free) struct egress *egress = hf_heap_alloc(sizeof(*egress));

    egress->arena = hf_arena_new(SETTINGS_BYTES);
    HF_TRY(load(ctx, options, egress));
    egress->resolver = resolver_new(options->lookup, options->lookup_arg);
    *ret_egress = HF_TAKE(egress);
    return hf_success();
}

void egress_free(struct egress *egress)
{
    if (egress != NULL) {
        resolver_free(egress->resolver);
        hf_arena_free(egress->arena);
        hf_heap_free(egress);
    }
}

/* --- refusals ------------------------------------------------------------------------------- */

struct hf_status egress_refuse(struct hf_ctx *ctx, const struct egress *egress,
                               enum egress_verdict verdict, const char *host,
                               const struct egress_address *address)
{
    const struct egress_verdict_text *text = egress_verdict_text(verdict);
    const char *shown = address != NULL ? egress_address_text(ctx->arena, address) : "";
    const char *port = address != NULL ? hf_printf(ctx->arena, "%u", (unsigned)address->port) : "";
    const char *mark = strstr(text->remedy, "%s");
    const char *remedy = mark == NULL
                             ? text->remedy
                             : hf_printf(ctx->arena, "%.*s%s%s", (int)(mark - text->remedy),
                                         text->remedy, egress->prefix, mark + 2);
    const char *const metadata[] = {"host", host,      "address", shown, "port",
                                    port,   "setting", remedy,    NULL};
    bool is_name = address != NULL && !hf_text_equal(host, shown);

    return hf_fail_info(ctx->arena, HF_PERMISSION_DENIED, text->reason, metadata,
                        "no connection to %s%s%s%s%s%s: it %s%s%s%s", host, is_name ? " (" : "",
                        is_name ? shown : "", is_name ? ")" : "", *port != '\0' ? " port " : "",
                        port, text->what, *remedy != '\0' ? " (an operator changes that: " : "",
                        remedy, *remedy != '\0' ? ")" : "");
}

/* --- addresses ------------------------------------------------------------------------------ */

static struct hf_status machine_read(struct hf_ctx *ctx, struct egress_scene *scene)
{
    struct egress_address *list = HF_NEW_N(ctx->arena, struct egress_address, MACHINE_MAX);
    struct ifaddrs *all = NULL;
    size_t len = 0;

    if (getifaddrs(&all) != 0) {
        return hf_fail_errno(ctx->arena, errno, "reading the addresses of this machine");
    }
    for (const struct ifaddrs *one = all; one != NULL && len < MACHINE_MAX; one = one->ifa_next) {
        len += one->ifa_addr != NULL && egress_address_of(one->ifa_addr, &list[len]) ? 1 : 0;
    }
    freeifaddrs(all);
    scene->machine = list;
    scene->machine_len = len;
    return hf_success();
}

static bool is_this_machine(const char *host)
{
    return *host == '\0' || hf_text_equal(host, "*");
}

/* A listener of ours may have a name, too: then it is resolved like the user's. */
static struct hf_status own_read(struct hf_ctx *ctx, struct egress *egress,
                                 struct egress_scene *scene)
{
    struct egress_address *list =
        HF_NEW_N(ctx->arena, struct egress_address, (egress->own_len + 1) * EGRESS_ADDRESSES_MAX);
    size_t len = 0;

    for (size_t i = 0; i < egress->own_len; i++) {
        const struct egress_endpoint *own = &egress->own[i];
        struct egress_addresses found = {0};

        if (own->host[0] == '/') {
            continue;
        }
        const struct egress_want want = {is_this_machine(own->host) ? "0.0.0.0" : own->host,
                                         own->port, true, NULL};

        HF_TRY(hf_wrap(ctx->arena, resolver_ask(ctx, egress->resolver, &want, &found),
                       "finding our own listener"));
        memcpy(list + len, found.list, found.len * sizeof(list[0]));
        len += found.len;
    }
    scene->own = list;
    scene->own_len = len;
    return hf_success();
}

struct hf_status egress_resolve(struct hf_ctx *ctx, struct egress *egress,
                                const struct egress_want *want,
                                struct egress_addresses *ret_addresses)
{
    struct egress_scene scene = {0};
    struct egress_addresses found = {0};

    HF_TRY(resolver_ask(ctx, egress->resolver, want, &found));
    HF_TRY(machine_read(ctx, &scene));
    HF_TRY(own_read(ctx, egress, &scene));
    for (size_t i = 0; i < found.len; i++) {
        enum egress_verdict verdict =
            egress_judge(&egress->rules, &scene, &found.list[i], want->is_operator);

        if (verdict != EGRESS_FINE) {
            return egress_refuse(ctx, egress, verdict, want->host, &found.list[i]);
        }
    }
    *ret_addresses = found;
    return hf_success();
}

/* --- UNIX sockets --------------------------------------------------------------------------- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_dir(const char *path, const struct stat *opened)
{
    struct stat found;

    return stat(path, &found) == 0 && is_same(&found, opened);
}

static bool is_own_dir(const struct egress *egress, const struct stat *opened)
{
    for (size_t i = 0; i < egress->own_len; i++) {
        if (egress->own[i].host[0] == '/' && is_dir(egress->own[i].host, opened)) {
            return true;
        }
    }
    return false;
}

static bool is_listed_dir(const struct egress *egress, const struct stat *opened)
{
    for (size_t i = 0; i < egress->socket_dirs_len; i++) {
        if (is_dir(egress->socket_dirs[i], opened)) {
            return true;
        }
    }
    return false;
}

static enum egress_verdict judge_dir(const struct egress *egress, const struct stat *opened,
                                     bool is_operator)
{
    enum egress_verdict local = egress_judge_local(&egress->rules, is_operator);
    bool has_list = egress->socket_dirs_len > 0;

    if (is_own_dir(egress, opened)) {
        return EGRESS_SOCKET_OWN;
    }
    if (local != EGRESS_FINE) {
        return local;
    }
    return (!has_list && is_operator) || is_listed_dir(egress, opened) ? EGRESS_FINE
                                                                       : EGRESS_SOCKET_UNLISTED;
}

/* Away for now, like a host that does not answer. */
static struct hf_status no_socket(struct hf_ctx *ctx, const char *dir, const char *name)
{
    const char *const metadata[] = {"host", dir, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "HOST_UNREACHABLE", metadata,
                        "no server listens at %s/%s", dir, name);
}

struct hf_status egress_socket_open(struct hf_ctx *ctx, struct egress *egress, const char *dir,
                                    const char *name, bool is_operator, int *ret_dir_fd)
{
    HF_CLEANUP(hf_close) int fd = -1;
    struct stat opened;
    struct stat socket;

    if (dir[0] != '/') {
        return egress_refuse(ctx, egress, EGRESS_SOCKET_ABSTRACT, dir, NULL);
    }
    /* Before anything that would tell whether the directory is there. */
    if (egress_judge_local(&egress->rules, is_operator) != EGRESS_FINE) {
        return egress_refuse(ctx, egress, egress_judge_local(&egress->rules, is_operator), dir,
                             NULL);
    }
    fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &opened) != 0) {
        return no_socket(ctx, dir, name);
    }
    enum egress_verdict verdict = judge_dir(egress, &opened, is_operator);

    if (verdict != EGRESS_FINE) {
        return egress_refuse(ctx, egress, verdict, dir, NULL);
    }
    if (fstatat(fd, name, &socket, AT_SYMLINK_NOFOLLOW) != 0) {
        return no_socket(ctx, dir, name);
    }
    if (!S_ISSOCK(socket.st_mode)) {
        return egress_refuse(ctx, egress, EGRESS_SOCKET_NONE, dir, NULL);
    }
    *ret_dir_fd = fd;
    fd = -1;
    return hf_success();
}

struct hf_status egress_socket_check(struct hf_ctx *ctx, struct egress *egress, int fd)
{
    struct sockaddr_un peer = {0};
    socklen_t len = sizeof(peer);
    char path[sizeof(peer.sun_path) + 1] = "";
    struct stat opened;
    char *slash;

    if (getpeername(fd, (struct sockaddr *)(void *)&peer, &len) != 0 ||
        peer.sun_family != AF_UNIX) {
        return egress_refuse(ctx, egress, EGRESS_SOCKET_NONE, "the socket", NULL);
    }
    memcpy(path, peer.sun_path, sizeof(peer.sun_path));
    if (path[0] == '\0') {
        return egress_refuse(ctx, egress, EGRESS_SOCKET_ABSTRACT, "the socket", NULL);
    }
    slash = strrchr(path, '/');
    if (slash != NULL && slash != path) {
        *slash = '\0';
        if (stat(path, &opened) == 0 && is_own_dir(egress, &opened)) {
            return egress_refuse(ctx, egress, EGRESS_SOCKET_OWN, path, NULL);
        }
    }
    return hf_success();
}
