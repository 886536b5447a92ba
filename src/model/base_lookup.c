/* SPDX-License-Identifier: MIT */
/* base_lookup.c: finds the model that an adapter was trained on: near the adapter, or in the Hugging Face cache. */
/* A place counts when config.json is in it (links are followed: the cache is made of them). The name comes from a file
   written on another machine: of an absolute path, or one that climbs, only the last component is looked for nearby. */
/* realpath() is XSI, not base POSIX. */
#define _XOPEN_SOURCE 700

#include "base/buffer.h"
#include "base/file.h"
#include "model/training_run.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The list of places must leave room in the message for the remedy. */
enum { MAX_PLACES_BYTES = 2200, N_LEVELS = 4, MAX_HUB_NAME = 200, MAX_REF_BYTES = 4096 };

/* A search under way: the places looked at become the message when all fail. */
typedef struct lookup {
    qn_arena *arena;
    qn_buffer places;
    uint64_t n_left_out;
    const char *found; /* NULL until a place holds a model */
    bool is_short;     /* memory ran out */
} lookup;

static bool is_done(const lookup *l) {
    return l->found != NULL || l->is_short;
}

static const char *join(lookup *l, const char *dir, const char *name) {
    const char *path = dir == NULL || name == NULL ? NULL : qn_path_join(l->arena, dir, name);
    l->is_short = l->is_short || path == NULL;
    return path;
}

static void note_place(lookup *l, const char *dir, const char *what) {
    if (l->places.len + strlen(dir) + strlen(what) + 4 > MAX_PLACES_BYTES) {
        l->n_left_out++;
        return;
    }
    qn_buffer_printf(&l->places, "\n  %s%s", dir, what);
}

/* Takes a folder that holds a model; else notes that it was looked at. */
static void try_folder(lookup *l, const char *dir) {
    const char *config = is_done(l) ? NULL : join(l, dir, "config.json");
    if (config == NULL) {
        return;
    }
    if (qn_is_file(config)) {
        l->found = dir;
    } else {
        note_place(l, dir, qn_is_dir(dir) ? " (a folder without config.json)" : "");
    }
}

static bool climbs(const char *name) {
    const size_t n = strlen(name);
    return strcmp(name, "..") == 0 || strncmp(name, "../", 3) == 0 || strstr(name, "/../") != NULL ||
        (n >= 3 && strcmp(name + n - 3, "/..") == 0);
}

/* Beside the adapter's folder, and beside its parents, three levels up: the nearest first. */
static void try_nearby(lookup *l, const char *name, const char *near_dir) {
    char real[PATH_MAX];
    const char *last = strrchr(name, '/') == NULL ? name : strrchr(name, '/') + 1;
    const bool is_relative = name[0] != '/' && !climbs(name);
    const char *at = realpath(near_dir, real) == NULL ? near_dir : real;
    for (int i = 0; i < N_LEVELS && !is_done(l); i++) {
        at = qn_path_parent(l->arena, at);
        l->is_short = l->is_short || at == NULL;
        if (is_relative && !is_done(l)) {
            try_folder(l, join(l, at, name));
        }
        if ((!is_relative || last != name) && qn_is_plain_name(last) && !is_done(l)) {
            try_folder(l, join(l, at, last));
        }
        if (at != NULL && (strcmp(at, "/") == 0 || strcmp(at, ".") == 0)) {
            return;
        }
    }
}

/* "models--ORG--NAME" for a Hub name ("ORG/NAME" or "NAME"); NULL for what cannot be one. */
static const char *hub_folder(qn_arena *arena, const char *name) {
    char folder[MAX_HUB_NAME + 16] = "models--";
    size_t n = strlen(folder);
    bool has_slash = false;
    if (strlen(name) > MAX_HUB_NAME / 2 || name[0] == '\0' || name[0] == '.' || name[0] == '/') {
        return NULL;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '/' && !has_slash && c[1] != '\0' && c[1] != '.') {
            has_slash = true;
            folder[n++] = '-';
            folder[n++] = '-';
        } else if (isalnum((unsigned char)*c) || *c == '-' || *c == '_' || *c == '.') {
            folder[n++] = *c;
        } else {
            return NULL;
        }
    }
    return qn_arena_copy(arena, folder, n);
}

/* The snapshot that refs/main names; NULL when there is none. */
static const char *main_snapshot(lookup *l, const char *repo, const char *snapshots) {
    char *text = NULL;
    size_t len = 0;
    const char *refs = join(l, repo, "refs/main");
    if (refs == NULL || qn_read_text(refs, MAX_REF_BYTES, &text, &len, NULL) != QN_OK) {
        return NULL;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        text[--len] = '\0';
    }
    const char *dir = qn_is_plain_name(text) ? join(l, snapshots, text) : NULL;
    free(text);
    return dir;
}

/* The newest snapshot that holds a config.json; NULL when there is none. */
static const char *newest_snapshot(lookup *l, const char *snapshots) {
    qn_names names = {NULL, 0};
    const char *newest = NULL;
    struct timespec newest_time = {0, 0};
    if (qn_list_dir(l->arena, snapshots, &names, NULL) != QN_OK) {
        return NULL;
    }
    for (uint64_t i = 0; i < names.n; i++) {
        struct stat st;
        const char *dir = join(l, snapshots, names.names[i]);
        const char *config = join(l, dir, "config.json");
        if (config == NULL || !qn_is_file(config) || stat(dir, &st) != 0) {
            continue;
        }
        const bool is_newer = st.st_mtim.tv_sec != newest_time.tv_sec ? st.st_mtim.tv_sec > newest_time.tv_sec
                                                                      : st.st_mtim.tv_nsec > newest_time.tv_nsec;
        if (newest == NULL || is_newer) {
            newest = dir;
            newest_time = st.st_mtim;
        }
    }
    return newest;
}

/* One cache folder: hub/models--ORG--NAME/snapshots/<commit>. */
static void try_cache(lookup *l, const char *hub, const char *folder) {
    const char *repo = is_done(l) ? NULL : join(l, hub, folder);
    const char *snapshots = repo == NULL ? NULL : join(l, repo, "snapshots");
    if (snapshots == NULL) {
        return;
    }
    const char *dir = main_snapshot(l, repo, snapshots);
    const char *config = dir == NULL ? NULL : join(l, dir, "config.json");
    if (config != NULL && qn_is_file(config)) {
        l->found = dir;
        return;
    }
    l->found = newest_snapshot(l, snapshots);
    if (l->found == NULL) {
        note_place(l, repo, qn_is_dir(repo) ? " (no snapshot with config.json in it)" : "");
    }
}

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* The caches, as huggingface_hub looks for its own: variables first, the user's cache without them. */
static void try_hub(lookup *l, const char *name) {
    static const struct {
        const char *variable;
        const char *below;
        bool is_default; /* only when no variable before it is set */
    } roots[] = {{"HF_HUB_CACHE", "", false},
                 {"HUGGINGFACE_HUB_CACHE", "", false},
                 {"HF_HOME", "hub", false},
                 {"XDG_CACHE_HOME", "huggingface/hub", true},
                 {"HOME", ".cache/huggingface/hub", true}};
    const char *folder = hub_folder(l->arena, name);
    bool is_set = false;
    for (size_t i = 0; folder != NULL && i < sizeof roots / sizeof roots[0]; i++) {
        const char *root = env(roots[i].variable);
        if (root == NULL || (roots[i].is_default && is_set)) {
            continue;
        }
        is_set = true;
        try_cache(l, roots[i].below[0] == '\0' ? root : join(l, root, roots[i].below), folder);
    }
}

static qn_status fail_not_found(lookup *l, const char *what, const char *name, const char *remedy, qn_error *err) {
    if (l->n_left_out > 0) {
        qn_buffer_printf(&l->places, "\n  and %llu more", (unsigned long long)l->n_left_out);
    }
    char *places = qn_buffer_take_text(&l->places);
    const qn_status status = places == NULL
        ? qn_fail_nomem(err, "places looked at", 0)
        : qn_fail(err, QN_E_NOT_FOUND, "%s '%.400s' was not found; looked at:%s\n%s", what, name, places, remedy);
    free(places);
    return status;
}

qn_status qn_find_base(qn_arena *arena, const char *name, const char *near_dir, const char *remedy, const char **dir,
                       qn_error *err) {
    lookup l = {.arena = arena};
    if (name == NULL || name[0] == '\0') {
        return near_dir == NULL
            ? qn_fail(err, QN_E_NOT_FOUND, "the model's name is empty\n%s", remedy)
            : qn_fail(err, QN_E_NOT_FOUND, "%s: the adapter does not name its base model (base_model_name_or_path)\n%s",
                      near_dir, remedy);
    }
    try_folder(&l, qn_arena_string(arena, name));
    if (near_dir != NULL) {
        try_nearby(&l, name, near_dir);
    }
    try_hub(&l, name);
    if (l.found != NULL) {
        qn_buffer_clear(&l.places);
        *dir = l.found;
        return QN_OK;
    }
    if (l.is_short) {
        qn_buffer_clear(&l.places);
        return qn_fail_nomem(err, name, strlen(name));
    }
    return fail_not_found(&l, near_dir == NULL ? "model" : "base model", name, remedy, err);
}
