/* Settings to rules. */
#include "base/fd.h"
#include "base/str.h"
#include "base/vec.h"
#include "svc/confine.h"

static const char *const of_system[] = {SVC_CONFINE_SYSTEM, NULL};
static const char *const linked_of_system[] = {SVC_CONFINE_LINKED, NULL};

struct paths {
    HF_VEC(const char *) list;
};

static void add_all(struct hf_arena *arena, const char *const *more, struct paths *paths)
{
    for (; more != NULL && *more != NULL; more++) {
        *HF_VEC_ADD(arena, &paths->list) = *more;
    }
}

struct hf_status svc_confine_to(struct hf_arena *arena, const struct svc_confine_places *places,
                                struct svc_confine_rules *ret_rules)
{
    struct paths read = {.list = {0}};
    struct paths write = {.list = {0}};
    struct paths linked = {.list = {0}};

    add_all(arena, of_system, &read);
    add_all(arena, places->more, &read);
    add_all(arena, linked_of_system, &linked);
    add_all(arena, places->more, &linked);
    for (size_t i = 0; i < places->files_len; i++) {
        if (!hf_text_empty(places->files[i])) {
            *HF_VEC_ADD(arena, &read.list) = hf_path_parent(arena, places->files[i]);
        }
    }
    for (size_t i = 0; i < places->dirs_len; i++) {
        if (!hf_text_empty(places->dirs[i])) {
            HF_TRY(hf_make_dirs(arena, places->dirs[i], 0700));
            *HF_VEC_ADD(arena, &write.list) = places->dirs[i];
        }
    }
    *HF_VEC_ADD(arena, &read.list) = NULL;
    *HF_VEC_ADD(arena, &write.list) = NULL;
    *HF_VEC_ADD(arena, &linked.list) = NULL;
    *ret_rules = (struct svc_confine_rules){
        .read = read.list.items, .linked = linked.list.items, .write = write.list.items};
    return hf_success();
}
