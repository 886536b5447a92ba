/* SPDX-License-Identifier: MIT */
/* chat_template.c: the Jinja text that turns messages into a prompt, from wherever a model keeps it.
 *
 * In each folder in turn: chat_template of tokenizer_config.json (a text, or a list of named ones), then
 * chat_template.jinja with additional_chat_templates, then chat_template.json. The first folder with one decides.
 */
#include "base/file.h"
#include "base/worker.h"
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEMPLATES = 64 };
static const uint64_t MAX_TEMPLATE_BYTES = 16U << 20;

typedef struct template_list {
    qn_arena *arena;
    qn_job *job;
    qn_text main; /* bytes NULL when there is none */
    qn_named_template *named;
    uint64_t n;
} template_list;

static qn_status copy_text(qn_arena *arena, const char *bytes, size_t len, qn_text *out, qn_error *err) {
    char *copy = qn_arena_copy(arena, bytes, len);
    if (copy == NULL) {
        return qn_fail_nomem(err, "chat template", len + 1);
    }
    *out = (qn_text){copy, len};
    return QN_OK;
}

/* A name's letters, digits and underscores: it becomes part of a key. */
static qn_status clean_name(qn_arena *arena, const char *name, size_t len, qn_text *out, qn_error *err) {
    char *copy = qn_arena_array(arena, len + 1, 1);
    size_t n = 0;
    if (copy == NULL) {
        return qn_fail_nomem(err, "chat template", len + 1);
    }
    for (size_t i = 0; i < len; i++) {
        const char c = name[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_') {
            copy[n++] = c;
        }
    }
    *out = (qn_text){copy, n};
    return QN_OK;
}

/* Adds a template by name; "default" is the main one. The text is in the arena already. */
static qn_status add_named(template_list *list, const char *where, const char *name, size_t name_len, qn_text text,
                           qn_error *err) {
    qn_text clean;
    QN_TRY(clean_name(list->arena, name, name_len, &clean, err));
    if (qn_text_is(clean, "default")) {
        list->main = text;
        return QN_OK;
    }
    bool is_taken = clean.len == 0;
    for (uint64_t i = 0; i < list->n; i++) {
        is_taken = is_taken || qn_text_is(list->named[i].name, clean.bytes);
    }
    if (is_taken || list->n == MAX_TEMPLATES) {
        qn_job_warn(list->job,
                    "%s: chat template '%.*s' is left out: its name is empty or taken, or there are too many", where,
                    (int)(name_len > 60 ? 60 : name_len), name);
        return QN_OK;
    }
    list->named[list->n++] = (qn_named_template){clean, text};
    return QN_OK;
}

static qn_status add_list(template_list *list, const char *where, const json_t *value, qn_error *err) {
    const json_t *entry = NULL;
    size_t i = 0;
    json_array_foreach(value, i, entry) {
        const json_t *name = json_object_get(entry, "name");
        const json_t *text = json_object_get(entry, "template");
        qn_text copy;
        if (!json_is_string(name) || !json_is_string(text)) {
            return qn_fail(err, QN_E_FORMAT, "%s: chat_template[%zu] needs a name and a template", where, i);
        }
        QN_TRY(copy_text(list->arena, json_string_value(text), json_string_length(text), &copy, err));
        QN_TRY(add_named(list, where, json_string_value(name), json_string_length(name), copy, err));
    }
    return QN_OK;
}

/* chat_template of tokenizer_config.json or chat_template.json. */
static qn_status read_json(template_list *list, const char *dir, const char *file, qn_error *err) {
    const char *path = qn_path_join(list->arena, dir, file);
    json_t *object = NULL;
    qn_status status = QN_OK;
    if (path == NULL) {
        return qn_fail_nomem(err, file, 0);
    }
    if (!qn_is_file(path)) {
        return QN_OK;
    }
    QN_TRY(qn_vocab_load_object(path, &object, err));
    const json_t *value = json_object_get(object, "chat_template");
    if (json_is_string(value)) {
        status = copy_text(list->arena, json_string_value(value), json_string_length(value), &list->main, err);
    } else if (json_is_array(value)) {
        status = add_list(list, path, value, err);
    } else if (value != NULL && !json_is_null(value)) {
        status = qn_fail(err, QN_E_FORMAT, "%s: chat_template must be a text or a list of named ones", path);
    }
    json_decref(object);
    return status;
}

static qn_status read_text_file(template_list *list, const char *path, qn_text *out, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    QN_TRY(qn_read_text(path, MAX_TEMPLATE_BYTES, &text, &len, err));
    const qn_status status = copy_text(list->arena, text, len, out, err);
    free(text);
    return status;
}

/* additional_chat_templates/NAME.jinja */
static qn_status read_additional(template_list *list, const char *dir, qn_error *err) {
    qn_names names = {0};
    const char *folder = qn_path_join(list->arena, dir, "additional_chat_templates");
    if (folder == NULL) {
        return qn_fail_nomem(err, dir, 0);
    }
    if (!qn_is_dir(folder)) {
        return QN_OK;
    }
    QN_TRY(qn_list_dir(list->arena, folder, &names, err));
    for (uint64_t i = 0; i < names.n; i++) {
        const char *path = qn_path_join(list->arena, folder, names.names[i]);
        qn_text text;
        if (path == NULL) {
            return qn_fail_nomem(err, names.names[i], 0);
        }
        if (qn_ends_with(names.names[i], ".jinja") && qn_is_file(path)) {
            QN_TRY(read_text_file(list, path, &text, err));
            QN_TRY(add_named(list, path, names.names[i], strlen(names.names[i]) - strlen(".jinja"), text, err));
        }
    }
    return QN_OK;
}

static qn_status read_jinja(template_list *list, const char *dir, qn_error *err) {
    const char *path = qn_path_join(list->arena, dir, "chat_template.jinja");
    if (path == NULL) {
        return qn_fail_nomem(err, dir, 0);
    }
    if (!qn_is_file(path)) {
        return QN_OK;
    }
    QN_TRY(read_text_file(list, path, &list->main, err));
    const qn_text main = list->main;
    QN_TRY(read_additional(list, dir, err));
    list->main = main; /* the main file wins over an additional one called default */
    return QN_OK;
}

static bool is_empty(const template_list *list) {
    return list->main.bytes == NULL && list->n == 0;
}

static qn_status read_folder(template_list *list, const char *dir, qn_error *err) {
    QN_TRY(read_json(list, dir, "tokenizer_config.json", err));
    if (is_empty(list)) {
        QN_TRY(read_jinja(list, dir, err));
    }
    return is_empty(list) ? read_json(list, dir, "chat_template.json", err) : QN_OK;
}

qn_status qn_read_chat_templates(const qn_vocab_request *request, qn_arena *arena, qn_vocab *out, qn_error *err) {
    template_list list = {.arena = arena, .job = request->job};
    list.named = qn_arena_array(arena, MAX_TEMPLATES, sizeof *list.named);
    if (list.named == NULL) {
        return qn_fail_nomem(err, "chat templates", MAX_TEMPLATES * sizeof *list.named);
    }
    for (uint64_t i = 0; i < request->n_dirs && is_empty(&list); i++) {
        QN_TRY(read_folder(&list, request->dirs[i], err));
    }
    out->chat_template = list.main;
    out->templates = list.named;
    out->n_templates = list.n;
    return QN_OK;
}
