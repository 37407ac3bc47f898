/* Reading the configuration: each source puts its text beside the field, then the best source's
 * text is parsed once. So a wrong value in a source that loses is not an error, and the message
 * names the source that won. */
#include "svc/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fd.h"
#include "codec/yaml.h"
#include "svc/value.h"

#define FILE_MAX_BYTES ((size_t)64 << 10)
#define NEAR_DISTANCE 3

static const struct svc_field common_fields[] = {
    {.key = NULL,
     .env = "HOLDFAST_CONFIG",
     .flag = "config",
     .type = SVC_TEXT,
     .offset = offsetof(struct svc_common, config_file),
     .help = "YAML file with the keys below"},
    {.key = "log.level",
     .env = "HOLDFAST_LOG_LEVEL",
     .flag = "log-level",
     .type = SVC_TEXT,
     .offset = offsetof(struct svc_common, log_level),
     .fallback = "info",
     .help = "least level that is logged: debug, info, warn or error"},
    {.key = "overrides_file",
     .env = "HOLDFAST_OVERRIDES",
     .flag = "overrides",
     .is_fixed = true,
     .type = SVC_TEXT,
     .offset = offsetof(struct svc_common, overrides_file),
     .help = "YAML file of the operator whose keys win over those of the other; may be missing"},
};
#define COMMON_LEN HF_LEN(common_fields)
enum { AT_CONFIG, AT_LOG_LEVEL, AT_OVERRIDES };

/* A field, where its value goes, and the best source's text so far. */
struct binding {
    const struct svc_field *field;
    void *target;
    const char *text;   /* NULL: no source has one */
    const char *source; /* "--workers", "HOLDFAST_WORKERS", "file:3: workers" */
};

struct load {
    struct hf_arena *arena;
    struct binding *bindings;
    size_t len;
    bool is_overrides; /* what is taken now is the operator's file */
};

const char *svc_getenv(const char *name)
{
    const char *value = getenv(name);

    return hf_text_empty(value) ? NULL : value;
}

static struct load load_new(struct hf_arena *arena, const struct svc_program *program, void *config,
                            struct svc_common *common)
{
    struct load load = {.arena = arena, .len = COMMON_LEN + program->fields_len};

    load.bindings = HF_NEW_N(arena, struct binding, load.len);
    for (size_t i = 0; i < load.len; i++) {
        bool is_common = i < COMMON_LEN;
        load.bindings[i].field = is_common ? &common_fields[i] : &program->fields[i - COMMON_LEN];
        load.bindings[i].target = is_common ? (void *)common : config;
    }
    return load;
}

/* Which name of a field is meant. */
static const char *flag_of(const struct svc_field *field)
{
    return field->flag;
}

static const char *key_of(const struct svc_field *field)
{
    return field->key;
}

static struct binding *find(const struct load *load,
                            const char *(*name_of)(const struct svc_field *field), const char *name)
{
    for (size_t i = 0; i < load->len; i++) {
        if (hf_text_equal(name_of(load->bindings[i].field), name)) {
            return &load->bindings[i];
        }
    }
    return NULL;
}

/* " (did you mean …?)" with the nearest name, or "". */
static const char *near_hint(const struct load *load,
                             const char *(*name_of)(const struct svc_field *field),
                             const char *name, const char *prefix)
{
    const char *best = NULL;
    int best_distance = NEAR_DISTANCE + 1;

    for (size_t i = 0; i < load->len; i++) {
        const char *known = name_of(load->bindings[i].field);
        int distance = known == NULL ? NEAR_DISTANCE + 1 : hf_text_distance(known, name);
        if (distance < best_distance) {
            best = known;
            best_distance = distance;
        }
    }
    return best == NULL ? "" : hf_printf(load->arena, " (did you mean %s%s?)", prefix, best);
}

/* ---- Command line -------------------------------------------------------------------------- */

struct arguments {
    int argc;
    const char *const *argv;
    int next;
};

static struct hf_status take_flag(struct load *load, struct arguments *arguments,
                                  const char *argument)
{
    const char *equals = strchr(argument, '=');
    size_t name_len = equals == NULL ? strlen(argument) : (size_t)(equals - argument);
    const char *name = hf_strndup(load->arena, argument + 2, name_len - 2);
    struct binding *binding = find(load, flag_of, name);

    if (binding == NULL) {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT, "unknown flag --%s%s", name,
                       near_hint(load, flag_of, name, "--"));
    }
    if (binding->text != NULL) {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT, "--%s is given twice", name);
    }
    if (equals != NULL) {
        binding->text = equals + 1;
    } else if (binding->field->type == SVC_BOOL) {
        binding->text = "true";
    } else if (arguments->next < arguments->argc) {
        binding->text = arguments->argv[arguments->next++];
    } else {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT, "--%s needs a value", name);
    }
    binding->source = hf_printf(load->arena, "--%s", name);
    return hf_success();
}

static struct hf_status take_arguments(struct load *load, const struct svc_sources *sources,
                                       enum svc_wish *ret_wish)
{
    struct arguments arguments = {.argc = sources->argc, .argv = sources->argv, .next = 1};

    *ret_wish = SVC_RUN;
    while (arguments.next < arguments.argc) {
        const char *argument = arguments.argv[arguments.next++];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            *ret_wish = SVC_SHOW_HELP;
            return hf_success();
        }
        if (strcmp(argument, "--version") == 0) {
            *ret_wish = SVC_SHOW_VERSION;
            return hf_success();
        }
        if (strcmp(argument, "--check") == 0) {
            *ret_wish = SVC_CHECK;
            continue;
        }
        if (!hf_has_prefix(argument, "--")) {
            return hf_fail(load->arena, HF_INVALID_ARGUMENT,
                           "unexpected argument \"%s\": every setting is a --flag", argument);
        }
        HF_TRY(take_flag(load, &arguments, argument));
    }
    return hf_success();
}

/* ---- Environment --------------------------------------------------------------------------- */

static void take_environment(struct load *load, const struct svc_sources *sources)
{
    for (size_t i = 0; i < load->len; i++) {
        struct binding *binding = &load->bindings[i];
        const char *name = binding->field->env;
        if (name == NULL || binding->text != NULL) {
            continue;
        }
        const char *value =
            sources->env == NULL ? svc_getenv(name) : sources->env(name, sources->env_arg);
        if (!hf_text_empty(value)) {
            binding->text = value;
            binding->source = name;
        }
    }
}

/* ---- File ---------------------------------------------------------------------------------- */

/* Is path the beginning of a known key ("log" of "log.level")? */
static bool is_section(const struct load *load, const char *path)
{
    const char *with_dot = hf_printf(load->arena, "%s.", path);

    for (size_t i = 0; i < load->len; i++) {
        const char *key = load->bindings[i].field->key;
        if (key != NULL && hf_has_prefix(key, with_dot)) {
            return true;
        }
    }
    return false;
}

/* A sequence of scalars as a comma list. NULL: it is something else. */
static const char *list_text(const struct load *load, const struct codec_value *value)
{
    const char *text = "";

    for (size_t i = 0; i < value->len; i++) {
        const struct codec_value *item = &value->items[i];

        if (item->kind == CODEC_ARRAY || item->kind == CODEC_OBJECT || item->kind == CODEC_NULL ||
            strchr(item->text, ',') != NULL) {
            return NULL;
        }
        text = hf_printf(load->arena, "%s%s%s", text, i > 0 ? "," : "", item->text);
    }
    return text;
}

static const char *leaf_text(const struct load *load, const struct svc_field *field,
                             const struct codec_value *value)
{
    if (value->kind == CODEC_ARRAY && field->type == SVC_LIST) {
        return list_text(load, value);
    }
    return value->kind == CODEC_ARRAY || value->kind == CODEC_OBJECT ? NULL : value->text;
}

static struct hf_status take_leaf(struct load *load, const char *file, const char *path,
                                  const struct codec_value *value)
{
    struct binding *binding = find(load, key_of, path);

    if (binding == NULL && value->kind == CODEC_NULL && is_section(load, path)) {
        return hf_success();
    }
    if (binding == NULL) {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT, "%s:%d: unknown key %s%s", file,
                       value->line, path, near_hint(load, key_of, path, ""));
    }
    if (load->is_overrides && binding->field->is_fixed) {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT,
                       "%s:%d: %s is none of the settings that can be overridden: take it out",
                       file, value->line, path);
    }
    const char *text = leaf_text(load, binding->field, value);

    if (text == NULL && value->kind != CODEC_NULL) {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT, "%s:%d: %s: expected %s", file,
                       value->line, path, svc_value_expected(load->arena, binding->field));
    }
    if (binding->text == NULL && value->kind != CODEC_NULL) {
        binding->text = text;
        binding->source = hf_printf(load->arena, "%s:%d: %s", file, value->line, path);
    }
    return hf_success();
}

struct place {
    const struct codec_value *value;
    const char *path;
    size_t next;
};

/* Visit all leaves; a mapping is gone into when it is a section. */
static struct hf_status take_tree(struct load *load, const char *file,
                                  const struct codec_value *root)
{
    struct place open[CODEC_MAX_DEPTH] = {{root, NULL, 0}};
    size_t depth = 1;

    while (depth > 0) {
        struct place *place = &open[depth - 1];
        if (place->next == place->value->len) {
            depth--;
            continue;
        }
        const struct codec_member *member = &place->value->members[place->next++];
        const char *path = place->path == NULL
                               ? member->key
                               : hf_printf(load->arena, "%s.%s", place->path, member->key);
        if (member->value.kind == CODEC_OBJECT && is_section(load, path)) {
            HF_CHECK(depth < CODEC_MAX_DEPTH);
            open[depth++] = (struct place){&member->value, path, 0};
        } else {
            HF_TRY(take_leaf(load, file, path, &member->value));
        }
    }
    return hf_success();
}

static struct hf_status parse_yaml(struct hf_arena *arena, struct hf_str yaml, const char *file,
                                   const struct codec_value **ret_root)
{
    if (yaml.len > FILE_MAX_BYTES) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: it is larger than %zu bytes", file,
                       FILE_MAX_BYTES);
    }
    HF_TRY(codec_yaml_parse(arena, yaml, file, ret_root));
    if ((*ret_root)->kind != CODEC_NULL && (*ret_root)->kind != CODEC_OBJECT) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: expected keys and values, not %s", file,
                       codec_kind_name((*ret_root)->kind));
    }
    return hf_success();
}

static struct hf_status take_root(struct load *load, const char *file,
                                  const struct codec_value *root)
{
    return root == NULL || root->kind == CODEC_NULL ? hf_success() : take_tree(load, file, root);
}

static struct hf_status read_yaml(struct load *load, const char *path,
                                  const struct codec_value **ret_root)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, FILE_MAX_BYTES);
    HF_TRY(hf_read_trusted(load->arena, path, HF_TRUST_OURS, &text));
    return parse_yaml(
        load->arena,
        (struct hf_str){hf_strndup(load->arena, hf_buf_text(&text), text.len), text.len}, path,
        ret_root);
}

/* The overrides before the file that may name them: the first text of a field counts. */
static struct hf_status take_overrides(struct load *load, const struct codec_value *config)
{
    const char *path = load->bindings[AT_OVERRIDES].text;
    const struct codec_value *root = NULL;

    for (size_t i = 0;
         path == NULL && config != NULL && config->kind == CODEC_OBJECT && i < config->len; i++) {
        const struct codec_member *member = &config->members[i];

        path = strcmp(member->key, "overrides_file") == 0 ? member->value.text : NULL;
    }
    if (hf_text_empty(path)) {
        return hf_success();
    }
    struct hf_status status = read_yaml(load, path, &root);

    if (status.code == HF_NOT_FOUND && !hf_path_exists(path)) {
        return hf_success(); /* a link to what is not there is no absent file */
    }
    HF_TRY(status);
    load->is_overrides = true;
    HF_TRY(take_root(load, path, root));
    load->is_overrides = false;
    return hf_success();
}

static struct hf_status take_files(struct load *load)
{
    const char *path = load->bindings[AT_CONFIG].text;
    const struct codec_value *root = NULL;

    if (path != NULL) {
        HF_TRY(read_yaml(load, path, &root));
    }
    HF_TRY(take_overrides(load, root));
    return take_root(load, path, root);
}

/* ---- Values -------------------------------------------------------------------------------- */

static struct hf_status refuse(const struct load *load, const struct binding *binding)
{
    const char *expected = svc_value_expected(load->arena, binding->field);

    if (binding->field->flag == NULL) {
        return hf_fail(load->arena, HF_INVALID_ARGUMENT, "%s: expected %s", binding->source,
                       expected);
    }
    return hf_fail(load->arena, HF_INVALID_ARGUMENT, "%s: \"%.80s\" is not %s", binding->source,
                   binding->text, expected);
}

static struct hf_status store_all(const struct load *load)
{
    for (size_t i = 0; i < load->len; i++) {
        const struct binding *binding = &load->bindings[i];
        const struct svc_field *field = binding->field;
        const char *text = binding->text == NULL ? field->fallback : binding->text;
        if (text == NULL || svc_value_store(load->arena, field, text, binding->target)) {
            continue;
        }
        HF_CHECK(binding->text != NULL && "a fallback does not fit its own field");
        return refuse(load, binding);
    }
    return hf_success();
}

/* "--needed or SAMPLE_NEEDED": where a value may be given. */
static const char *places_of(struct hf_arena *arena, const struct svc_field *field)
{
    if (field->flag != NULL && field->env != NULL) {
        return hf_printf(arena, "--%s or %s", field->flag, field->env);
    }
    if (field->flag != NULL) {
        return hf_printf(arena, "--%s", field->flag);
    }
    return field->env != NULL ? field->env : "it in the --config file";
}

static struct hf_status check_missing(const struct load *load)
{
    for (size_t i = 0; i < load->len; i++) {
        const struct svc_field *field = load->bindings[i].field;
        bool is_needed = field->type == SVC_TEXT && field->min >= 1 && field->fallback == NULL;
        if (is_needed && load->bindings[i].text == NULL) {
            return hf_fail(load->arena, HF_INVALID_ARGUMENT, "%s is missing: give %s (%s)",
                           field->key, places_of(load->arena, field), field->help);
        }
    }
    return hf_success();
}

static struct hf_status check_log_level(const struct load *load, const char *level)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};

    for (size_t i = 0; i < HF_LEN(levels); i++) {
        if (hf_text_equal(level, levels[i])) {
            return hf_success();
        }
    }
    return hf_fail(load->arena, HF_INVALID_ARGUMENT,
                   "%s: \"%.80s\" is not debug, info, warn or error",
                   load->bindings[AT_LOG_LEVEL].source, level);
}

struct hf_status svc_config_load(struct hf_arena *arena, const struct svc_program *program,
                                 const struct svc_sources *sources, void *ret_config,
                                 struct svc_common *ret_common)
{
    struct load load = load_new(arena, program, ret_config, ret_common);

    *ret_common = (struct svc_common){.wish = SVC_RUN};
    HF_TRY(take_arguments(&load, sources, &ret_common->wish));
    if (ret_common->wish == SVC_SHOW_HELP || ret_common->wish == SVC_SHOW_VERSION) {
        return hf_success();
    }
    take_environment(&load, sources);
    HF_TRY(take_files(&load));
    HF_TRY(store_all(&load));
    HF_TRY(check_log_level(&load, ret_common->log_level));
    return check_missing(&load);
}

struct hf_status svc_config_parse(struct hf_arena *arena, const struct svc_program *program,
                                  struct hf_str yaml, const char *file_name, void *ret_config)
{
    struct svc_common common = {.wish = SVC_RUN};
    struct load load = load_new(arena, program, ret_config, &common);
    const struct codec_value *root = NULL;

    HF_TRY(parse_yaml(arena, yaml, file_name, &root));
    HF_TRY(take_root(&load, file_name, root));
    HF_TRY(store_all(&load));
    return check_log_level(&load, common.log_level);
}

/* ---- Help ---------------------------------------------------------------------------------- */

static void help_field(struct hf_arena *arena, const struct svc_field *field, struct hf_buf *buf)
{
    if (field->flag != NULL) {
        hf_buf_printf(buf, "  --%s%s\n", field->flag, svc_value_placeholder(field->type));
    } else {
        hf_buf_printf(buf, "  %s%s\n", field->env != NULL ? field->env : field->key,
                      svc_value_placeholder(field->type));
    }
    hf_buf_printf(buf, "      %s\n      %s", field->help, svc_value_expected(arena, field));
    if (field->flag != NULL && field->env != NULL) {
        hf_buf_printf(buf, "; env %s", field->env);
    }
    if (field->key != NULL) {
        hf_buf_printf(buf, "; key %s", field->key);
    }
    if (field->fallback != NULL) {
        hf_buf_printf(buf, "; default %s", field->fallback[0] == '\0' ? "\"\"" : field->fallback);
    }
    hf_buf_text_append(buf, "\n");
}

void svc_config_help(const struct svc_program *program, struct hf_buf *buf)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);

    hf_buf_printf(buf,
                  "%s %s - %s\n\nUsage: %s [--FLAG VALUE]...\n\n"
                  "A flag wins over its environment variable, that over the key in the --config "
                  "file, that over\nthe default.\n\n",
                  program->name, program->version, program->summary, program->name);
    for (size_t i = 0; i < program->fields_len; i++) {
        help_field(arena, &program->fields[i], buf);
    }
    for (size_t i = 0; i < COMMON_LEN; i++) {
        help_field(arena, &common_fields[i], buf);
    }
    hf_buf_text_append(buf, "  --version\n      print the version and exit\n"
                            "  --check\n      say what is wrong with the configuration, exit 2 "
                            "then, else 0\n"
                            "  --help\n      print this and exit\n");
}
