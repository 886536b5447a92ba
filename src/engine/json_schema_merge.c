/* SPDX-License-Identifier: MIT */
/*
 * json_schema_merge.c: two schemas that must both hold, as one: allOf, and keywords beside anyOf or $ref.
 *
 * Bounds take the tighter one, types and enums what they share, names the union; parts that both have become an allOf
 * of their own, put together when they are written. What needs more than that is refused by its name.
 */
#include "engine/json_schema_parts.h"

#include <string.h>

static qn_status fail_nomem(const qn_schema_writer *w) {
    return qn_fail_nomem(w->err, "a schema", 0);
}

static json_t *unconst(const json_t *value) {
    return (json_t *)(uintptr_t)value;
}

static qn_status set_new(const qn_schema_writer *w, json_t *object, const char *key, json_t *value) {
    return value != NULL && json_object_set_new(object, key, value) == 0 ? QN_OK : fail_nomem(w);
}

static qn_status set(const qn_schema_writer *w, json_t *object, const char *key, const json_t *value) {
    return json_object_set(object, key, unconst(value)) == 0 ? QN_OK : fail_nomem(w);
}

static json_t *both(const json_t *a, const json_t *b) {
    return json_pack("{s:[O, O]}", "allOf", a, b);
}

static bool has_item(const json_t *list, const json_t *item) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), item)) {
            return true;
        }
    }
    return false;
}

static qn_status join_lists(const qn_schema_writer *w, json_t *to, const char *key, const json_t *a, const json_t *b) {
    json_t *joined = json_copy(unconst(a));
    if (!json_is_array(a) || !json_is_array(b)) {
        json_decref(joined);
        return qn_schema_fail(w, QN_E_FORMAT, "'%s' is no list", key);
    }
    for (size_t i = 0; i < json_array_size(b) && joined != NULL; i++) {
        if (!has_item(joined, json_array_get(b, i)) && json_array_append(joined, json_array_get(b, i)) != 0) {
            json_decref(joined);
            return fail_nomem(w);
        }
    }
    return set_new(w, to, key, joined);
}

static qn_status share_lists(const qn_schema_writer *w, json_t *to, const char *key, const json_t *a, const json_t *b) {
    json_t *shared = json_array();
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *item = json_array_get(a, i);
        if (has_item(b, item) && json_array_append(shared, unconst(item)) != 0) {
            json_decref(shared);
            return fail_nomem(w);
        }
    }
    if (json_array_size(shared) == 0) {
        json_decref(shared);
        return qn_schema_fail(w, QN_E_FORMAT, "'%s': schemas that must both hold have nothing in common", key);
    }
    return set_new(w, to, key, shared);
}

/* A type, or types, as a list in which "number" is there with "integer". */
static json_t *type_list(const json_t *type) {
    json_t *list = json_is_array(type) ? json_copy(unconst(type)) : json_pack("[O]", type);
    json_t *number = json_string("number");
    json_t *integer = json_string("integer");
    if (list != NULL && number != NULL && integer != NULL && has_item(list, number) && !has_item(list, integer)) {
        (void)json_array_append(list, integer);
    }
    json_decref(number);
    json_decref(integer);
    return list;
}

static qn_status merge_types(const qn_schema_writer *w, json_t *to, const json_t *a, const json_t *b) {
    json_t *x = type_list(a);
    json_t *y = type_list(b);
    qn_status status = x == NULL || y == NULL ? fail_nomem(w) : share_lists(w, to, "type", x, y);
    json_decref(x);
    json_decref(y);
    json_t *types = json_object_get(to, "type");
    json_t *number = json_string("number");
    /* "integer" was added to "number" for the comparison only. */
    if (status == QN_OK && number != NULL && has_item(types, number)) {
        for (size_t i = json_array_size(types); i > 0; i--) {
            if (strcmp(json_string_value(json_array_get(types, i - 1)) == NULL
                           ? ""
                           : json_string_value(json_array_get(types, i - 1)),
                       "integer") == 0) {
                (void)json_array_remove(types, i - 1);
            }
        }
    }
    json_decref(number);
    return status;
}

/* Names that the side without further properties does not have cannot be there. */
static qn_status add_properties(const qn_schema_writer *w, json_t *to, const json_t *from, const json_t *others,
                                bool others_are_closed) {
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(unconst(from), name, value) {
        const json_t *other = json_object_get(others, name);
        if (json_object_get(to, name) != NULL || (other == NULL && others_are_closed)) {
            continue;
        }
        if (other != NULL && !json_equal(other, value)) {
            QN_TRY(set_new(w, to, name, both(value, other)));
        } else {
            QN_TRY(set(w, to, name, value));
        }
    }
    return QN_OK;
}

static qn_status merge_properties(const qn_schema_writer *w, json_t *to, const json_t *a, const json_t *b) {
    const json_t *x = json_object_get(a, "properties");
    const json_t *y = json_object_get(b, "properties");
    const bool a_is_closed = json_is_false(json_object_get(a, "additionalProperties"));
    const bool b_is_closed = json_is_false(json_object_get(b, "additionalProperties"));
    if ((x != NULL && !json_is_object(x)) || (y != NULL && !json_is_object(y))) {
        return qn_schema_fail(w, QN_E_FORMAT, "'properties' is no object");
    }
    if (x == NULL && y == NULL) {
        return QN_OK;
    }
    json_t *joined = json_object();
    qn_status status = joined == NULL ? fail_nomem(w) : add_properties(w, joined, x, y, b_is_closed);
    if (status == QN_OK) {
        status = add_properties(w, joined, y, x, a_is_closed);
    }
    if (status != QN_OK) {
        json_decref(joined);
        return status;
    }
    return set_new(w, to, "properties", joined);
}

static qn_status merge_bounds(const qn_schema_writer *w, json_t *to, const char *key, const json_t *a,
                              const json_t *b) {
    const bool is_least = strncmp(key, "min", 3) == 0 || strcmp(key, "exclusiveMinimum") == 0;
    if (!json_is_number(a) || !json_is_number(b)) {
        return qn_schema_fail(w, QN_E_FORMAT, "'%s' is no number", key);
    }
    const bool a_is_larger = json_number_value(a) > json_number_value(b);
    return set(w, to, key, a_is_larger == is_least ? a : b);
}

static bool is_bound(const char *key) {
    return strncmp(key, "min", 3) == 0 || strncmp(key, "max", 3) == 0 || strncmp(key, "exclusiveM", 10) == 0;
}

static qn_status merge_keyword(const qn_schema_writer *w, json_t *to, const char *key, const json_t *a,
                               const json_t *b) {
    if (json_equal(a, b) || qn_schema_is_remark(key)) {
        return QN_OK;
    }
    if (strcmp(key, "type") == 0) {
        return merge_types(w, to, a, b);
    }
    if (strcmp(key, "required") == 0) {
        return join_lists(w, to, key, a, b);
    }
    if (strcmp(key, "enum") == 0) {
        return share_lists(w, to, key, a, b);
    }
    if (strcmp(key, "allOf") == 0) {
        return join_lists(w, to, key, a, b);
    }
    if (is_bound(key)) {
        return merge_bounds(w, to, key, a, b);
    }
    if (strcmp(key, "items") == 0 || strcmp(key, "additionalProperties") == 0) {
        if (json_is_boolean(a) || json_is_boolean(b)) {
            const json_t *narrow = json_is_false(a) || json_is_true(b) ? a : b;
            return set(w, to, key, narrow);
        }
        return set_new(w, to, key, both(a, b));
    }
    return qn_schema_fail(w, QN_E_UNSUPPORTED, "two different '%.60s' that must both hold", key);
}

qn_status qn_schema_merge(qn_schema_writer *w, const json_t *a, const json_t *b, const json_t **out) {
    const char *key = NULL;
    json_t *value = NULL;
    if (json_is_true(a) || json_is_true(b)) {
        *out = json_is_true(a) ? b : a;
        return QN_OK;
    }
    if (!json_is_object(a) || !json_is_object(b)) {
        return qn_schema_fail(w, QN_E_UNSUPPORTED,
                              "a schema that is neither an object nor true, put together with another");
    }
    json_t *merged = json_copy(unconst(a));
    if (merged == NULL || json_array_append_new(w->merged, merged) != 0) {
        return fail_nomem(w);
    }
    json_object_foreach(unconst(b), key, value) {
        const json_t *other = json_object_get(a, key);
        if (strcmp(key, "properties") == 0) {
            continue;
        }
        QN_TRY(other == NULL ? set(w, merged, key, value) : merge_keyword(w, merged, key, other, value));
    }
    QN_TRY(merge_properties(w, merged, a, b));
    *out = merged;
    return QN_OK;
}
