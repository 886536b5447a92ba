/* SPDX-License-Identifier: MIT */
/* jinja_methods.c: Python's methods of strings, lists and dicts, as far as templates call them. */
#include "text/jinja_parts.h"

#include <string.h>

static const qn_text no_text = {NULL, 0};

/* ---- strings ---- */

static qn_status strip(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool left, bool right, qn_jv *out) {
    qn_jv chars;
    QN_TRY(qn_jbind(run, args, "strip", "|chars", &chars));
    if (chars.kind != QN_JV_STRING && chars.kind != QN_JV_NONE && chars.kind != QN_JV_UNDEFINED) {
        return qn_jfail(run, QN_E_FORMAT, "strip: the characters must be a string");
    }
    const qn_text s = qn_jtext_strip(in->as.s, chars.kind == QN_JV_STRING ? chars.as.s : no_text, left, right);
    *out = qn_jv_text(s.bytes, s.len);
    return qn_jsteps(run, (in->as.s.len - s.len) / 16);
}

static qn_status str_strip(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return strip(run, in, args, true, true, out);
}

static qn_status str_lstrip(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return strip(run, in, args, true, false, out);
}

static qn_status str_rstrip(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return strip(run, in, args, false, true, out);
}

static bool has_end(qn_text s, qn_text end, bool at_start) {
    return end.len <= s.len &&
        (end.len == 0 || memcmp(at_start ? s.bytes : s.bytes + s.len - end.len, end.bytes, end.len) == 0);
}

/* One string, or a tuple of them. */
static qn_status ends(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool at_start, qn_jv *out) {
    qn_jv what;
    QN_TRY(qn_jbind(run, args, at_start ? "startswith" : "endswith", "prefix", &what));
    const qn_jv *items = qn_jv_is_list(&what) ? what.as.list->items : &what;
    const uint64_t n = qn_jv_is_list(&what) ? what.as.list->n : 1;
    *out = qn_jv_bool(false);
    for (uint64_t i = 0; i < n; i++) {
        if (items[i].kind != QN_JV_STRING) {
            return qn_jfail(run, QN_E_FORMAT, "startswith and endswith need strings, found '%s'",
                            qn_jv_type(&items[i]));
        }
        QN_TRY(qn_jsteps(run, 1));
        out->as.b = out->as.b || has_end(in->as.s, items[i].as.s, at_start);
    }
    return QN_OK;
}

static qn_status str_startswith(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return ends(run, in, args, true, out);
}

static qn_status str_endswith(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return ends(run, in, args, false, out);
}

static qn_status remove_end(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool at_start, qn_jv *out) {
    qn_jv end;
    QN_TRY(qn_jbind(run, args, "removeprefix", "prefix", &end));
    *out = *in;
    if (end.kind == QN_JV_STRING && has_end(in->as.s, end.as.s, at_start)) {
        *out = qn_jv_text(in->as.s.bytes + (at_start ? end.as.s.len : 0), in->as.s.len - end.as.s.len);
    }
    return QN_OK;
}

static qn_status str_removeprefix(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return remove_end(run, in, args, true, out);
}

static qn_status str_removesuffix(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return remove_end(run, in, args, false, out);
}

static qn_status add_text(qn_jrun *run, qn_jv *list, const char *bytes, size_t n) {
    const qn_jv item = qn_jv_text(bytes, n);
    return qn_jlist_add(run, list->as.list, &item);
}

/* Runs of white space are one separator; none at the ends. */
static qn_status split_words(qn_jrun *run, qn_text s, int64_t max, qn_jv *out) {
    s = qn_jtext_strip(s, no_text, true, false);
    while (s.len > 0) {
        size_t n = 0;
        uint32_t code = 0;
        if (max == 0) {
            const qn_text rest = qn_jtext_strip(s, no_text, false, true);
            return add_text(run, out, rest.bytes, rest.len);
        }
        while (n < s.len) {
            const size_t step = qn_jtext_char((qn_text){s.bytes + n, s.len - n}, &code);
            if (qn_jtext_is_space(code)) {
                break;
            }
            n += step;
        }
        QN_TRY(add_text(run, out, s.bytes, n));
        QN_TRY(qn_jsteps(run, n / 16));
        s = qn_jtext_strip((qn_text){s.bytes + n, s.len - n}, no_text, true, false);
        max -= max > 0 ? 1 : 0;
    }
    return QN_OK;
}

static qn_status split_at(qn_jrun *run, qn_text s, qn_text by, int64_t max, qn_jv *out) {
    size_t at = 0;
    while (max != 0) {
        size_t hit = 0;
        QN_TRY(qn_jtext_find(run, s, by, at, &hit));
        if (hit == SIZE_MAX) {
            break;
        }
        QN_TRY(add_text(run, out, s.bytes + at, hit - at));
        at = hit + by.len;
        max -= max > 0 ? 1 : 0;
    }
    return add_text(run, out, s.bytes + at, s.len - at);
}

static qn_status read_split(qn_jrun *run, const qn_jargs *args, qn_text *by, int64_t *max) {
    qn_jv v[2];
    QN_TRY(qn_jbind(run, args, "split", "|sep maxsplit", v));
    *max = -1;
    (void)(v[1].kind != QN_JV_UNDEFINED && qn_jv_integer(&v[1], max));
    *by = no_text;
    if (v[0].kind == QN_JV_STRING) {
        *by = v[0].as.s;
    } else if (v[0].kind != QN_JV_NONE && v[0].kind != QN_JV_UNDEFINED) {
        return qn_jfail(run, QN_E_FORMAT, "split: the separator must be a string");
    }
    return by->bytes != NULL && by->len == 0 ? qn_jfail(run, QN_E_FORMAT, "split: an empty separator") : QN_OK;
}

static qn_status str_split(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_text by;
    int64_t max = -1;
    QN_TRY(read_split(run, args, &by, &max));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, out));
    return by.bytes == NULL ? split_words(run, in->as.s, max, out) : split_at(run, in->as.s, by, max, out);
}

/* From the right: all parts, then the first ones joined again, which they are in the text itself. */
static qn_status str_rsplit(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_text by;
    int64_t max = -1;
    QN_TRY(read_split(run, args, &by, &max));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, out));
    QN_TRY(by.bytes == NULL ? split_words(run, in->as.s, -1, out) : split_at(run, in->as.s, by, -1, out));
    qn_jlist *list = out->as.list;
    if (max >= 0 && (uint64_t)max + 1 < list->n) {
        const uint64_t n_joined = list->n - (uint64_t)max;
        const qn_text last = list->items[n_joined - 1].as.s;
        const char *begin = list->items[0].as.s.bytes;
        list->items[n_joined - 1] = qn_jv_text(begin, (size_t)(last.bytes + last.len - begin));
        memmove(list->items, list->items + n_joined - 1, (size_t)(list->n - n_joined + 1) * sizeof *list->items);
        list->n -= n_joined - 1;
    }
    return QN_OK;
}

static qn_status str_splitlines(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv keeps;
    qn_text s = in->as.s;
    QN_TRY(qn_jbind(run, args, "splitlines", "|keepends", &keeps));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, out));
    while (s.len > 0) {
        size_t n = 0;
        while (n < s.len && s.bytes[n] != '\n' && s.bytes[n] != '\r') {
            n++;
        }
        const size_t n_end = n == s.len ? 0 : s.bytes[n] == '\r' && n + 1 < s.len && s.bytes[n + 1] == '\n' ? 2 : 1;
        QN_TRY(add_text(run, out, s.bytes, n + (qn_jv_truth(&keeps) ? n_end : 0)));
        s = (qn_text){s.bytes + n + n_end, s.len - n - n_end};
    }
    return QN_OK;
}

static qn_status str_replace(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[3];
    int64_t max = -1;
    QN_TRY(qn_jbind(run, args, "replace", "old new|count", v));
    if (v[0].kind != QN_JV_STRING || v[1].kind != QN_JV_STRING) {
        return qn_jfail(run, QN_E_FORMAT, "replace needs two strings");
    }
    (void)(v[2].kind == QN_JV_INT && qn_jv_integer(&v[2], &max));
    return qn_jtext_replace(run, in->as.s, v[0].as.s, v[1].as.s, max, out);
}

static qn_status change_case(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jcase how, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "a method of letter case", "|", out));
    return qn_jtext_case(run, in->as.s, how, out);
}

static qn_status str_lower(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_LOWER, out);
}

static qn_status str_upper(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_UPPER, out);
}

static qn_status str_title(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_TITLE, out);
}

static qn_status str_capitalize(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_CAPITAL, out);
}

static qn_status str_join(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv list;
    qn_jv by = *in;
    QN_TRY(qn_jbind(run, args, "join", "iterable", &list));
    const qn_jargs rest = {.items = &by, .n = 1};
    return qn_jfilter_find(qn_text_of("join"))(run, &list, &rest, out);
}

static qn_status find_text(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool is_last, int64_t *out) {
    qn_jv what;
    size_t from = 0;
    size_t found = SIZE_MAX;
    QN_TRY(qn_jbind(run, args, "find", "sub", &what));
    if (what.kind != QN_JV_STRING) {
        return qn_jfail(run, QN_E_FORMAT, "find needs a string");
    }
    do {
        size_t hit = 0;
        QN_TRY(qn_jtext_find(run, in->as.s, what.as.s, from, &hit));
        if (hit == SIZE_MAX) {
            break;
        }
        found = hit;
        from = hit + 1;
    } while (is_last && from <= in->as.s.len);
    *out = found == SIZE_MAX ? -1 : (int64_t)qn_jtext_count((qn_text){in->as.s.bytes, found});
    return QN_OK;
}

static qn_status str_find(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    *out = qn_jv_int(0);
    return find_text(run, in, args, false, &out->as.i);
}

static qn_status str_rfind(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    *out = qn_jv_int(0);
    return find_text(run, in, args, true, &out->as.i);
}

static qn_status str_index(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(str_find(run, in, args, out));
    return out->as.i < 0 ? qn_jfail(run, QN_E_FORMAT, "index: the text is not there") : QN_OK;
}

static qn_status str_count(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv what;
    QN_TRY(qn_jbind(run, args, "count", "sub", &what));
    if (what.kind != QN_JV_STRING || what.as.s.len == 0) {
        return qn_jfail(run, QN_E_FORMAT, "count needs a string that is not empty");
    }
    *out = qn_jv_int(0);
    for (size_t at = 0;; out->as.i++) {
        QN_TRY(qn_jtext_find(run, in->as.s, what.as.s, at, &at));
        if (at == SIZE_MAX) {
            return QN_OK;
        }
        at += what.as.s.len;
    }
}

static qn_status all_bytes(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool (*is_it)(char), qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "a method of character kinds", "|", out));
    *out = qn_jv_bool(in->as.s.len > 0);
    for (size_t i = 0; i < in->as.s.len && out->as.b; i++) {
        out->as.b = is_it(in->as.s.bytes[i]);
    }
    return qn_jsteps(run, in->as.s.len / 64);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Beyond ASCII everything counts as a letter. */
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool is_letter_or_digit(char c) {
    return is_letter(c) || is_digit(c);
}

static qn_status str_isdigit(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return all_bytes(run, in, args, is_digit, out);
}

static qn_status str_isalpha(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return all_bytes(run, in, args, is_letter, out);
}

static qn_status str_isalnum(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return all_bytes(run, in, args, is_letter_or_digit, out);
}

static qn_status str_isspace(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "isspace", "|", out));
    *out = qn_jv_bool(in->as.s.len > 0 && qn_jtext_strip(in->as.s, no_text, true, false).len == 0);
    return qn_jsteps(run, in->as.s.len / 64);
}

static const qn_jentry of_strings[] = {
    {"capitalize", str_capitalize},
    {"count", str_count},
    {"endswith", str_endswith},
    {"find", str_find},
    {"format", qn_jformat_method},
    {"index", str_index},
    {"isalnum", str_isalnum},
    {"isalpha", str_isalpha},
    {"isdigit", str_isdigit},
    {"isspace", str_isspace},
    {"join", str_join},
    {"lower", str_lower},
    {"lstrip", str_lstrip},
    {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix},
    {"replace", str_replace},
    {"rfind", str_rfind},
    {"rsplit", str_rsplit},
    {"rstrip", str_rstrip},
    {"split", str_split},
    {"splitlines", str_splitlines},
    {"startswith", str_startswith},
    {"strip", str_strip},
    {"title", str_title},
    {"upper", str_upper},
    {NULL, NULL},
};

/* ---- lists ---- */

static qn_status list_append(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv item;
    QN_TRY(qn_jbind(run, args, "append", "item", &item));
    QN_TRY(qn_jlist_add(run, in->as.list, &item));
    *out = qn_jv_none();
    return QN_OK;
}

static qn_status list_extend(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv more;
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, "extend", "items", &more));
    QN_TRY(qn_jv_items(run, &more, &items));
    const uint64_t n = items->n; /* it may be the list itself */
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(qn_jlist_add(run, in->as.list, &items->items[i]));
    }
    *out = qn_jv_none();
    return QN_OK;
}

static qn_status list_pop(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv index;
    int64_t i = -1;
    qn_jlist *list = in->as.list;
    QN_TRY(qn_jbind(run, args, "pop", "|index", &index));
    if (index.kind != QN_JV_UNDEFINED && !qn_jv_integer(&index, &i)) {
        return qn_jfail(run, QN_E_FORMAT, "pop needs an integer");
    }
    i += i < 0 ? (int64_t)list->n : 0;
    if (i < 0 || (uint64_t)i >= list->n) {
        return qn_jfail(run, QN_E_FORMAT, "pop: the list has no such item");
    }
    *out = list->items[i];
    memmove(list->items + i, list->items + i + 1, (size_t)(list->n - (uint64_t)i - 1) * sizeof *list->items);
    list->n--;
    return qn_jsteps(run, list->n / 16);
}

static qn_status list_insert(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    int64_t i = 0;
    qn_jlist *list = in->as.list;
    QN_TRY(qn_jbind(run, args, "insert", "index item", v));
    if (!qn_jv_integer(&v[0], &i)) {
        return qn_jfail(run, QN_E_FORMAT, "insert needs an integer");
    }
    const int64_t n = (int64_t)list->n;
    i = i < -n ? 0 : i < 0 ? i + n : i > n ? n : i;
    QN_TRY(qn_jlist_add(run, list, &v[1]));
    memmove(list->items + i + 1, list->items + i, (size_t)(n - i) * sizeof *list->items);
    list->items[i] = v[1];
    *out = qn_jv_none();
    return qn_jsteps(run, list->n / 16);
}

static qn_status list_index(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv item;
    QN_TRY(qn_jbind(run, args, "index", "item", &item));
    for (uint64_t i = 0; i < in->as.list->n; i++) {
        bool is_equal = false;
        QN_TRY(qn_jv_equal(run, &in->as.list->items[i], &item, &is_equal));
        if (is_equal) {
            *out = qn_jv_int((int64_t)i);
            return QN_OK;
        }
    }
    return qn_jfail(run, QN_E_FORMAT, "index: the item is not in the list");
}

static qn_status list_count(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv item;
    int64_t n = 0;
    QN_TRY(qn_jbind(run, args, "count", "item", &item));
    for (uint64_t i = 0; i < in->as.list->n; i++) {
        bool is_equal = false;
        QN_TRY(qn_jv_equal(run, &in->as.list->items[i], &item, &is_equal));
        n += is_equal ? 1 : 0;
    }
    *out = qn_jv_int(n);
    return QN_OK;
}

static const qn_jentry of_lists[] = {
    {"append", list_append},
    {"count", list_count},
    {"extend", list_extend},
    {"index", list_index},
    {"insert", list_insert},
    {"pop", list_pop},
    {NULL, NULL},
};

static const qn_jentry of_tuples[] = {{"count", list_count}, {"index", list_index}, {NULL, NULL}};

/* ---- dicts ---- */

static qn_status dict_items(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "items", "|", out));
    return qn_jv_pairs(run, in, out);
}

static qn_status column_of(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool is_value, qn_jv *out) {
    const qn_jdict *dict = in->as.dict;
    QN_TRY(qn_jbind(run, args, is_value ? "values" : "keys", "|", out));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, dict->n, out));
    for (uint64_t i = 0; i < dict->n; i++) {
        QN_TRY(qn_jlist_add(run, out->as.list, is_value ? &dict->pairs[i].value : &dict->pairs[i].key));
    }
    return QN_OK;
}

static qn_status dict_keys(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return column_of(run, in, args, false, out);
}

static qn_status dict_values(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return column_of(run, in, args, true, out);
}

static qn_status dict_get(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    qn_jv *found = NULL;
    QN_TRY(qn_jbind(run, args, "get", "key|default", v));
    QN_TRY(qn_jdict_find(run, in->as.dict, &v[0], &found));
    const bool has_default = args->n > 1 || args->n_named > 0;
    *out = found != NULL ? *found : has_default ? v[1] : qn_jv_none();
    return QN_OK;
}

static qn_status dict_pop(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    qn_jv *found = NULL;
    qn_jdict *dict = in->as.dict;
    QN_TRY(qn_jbind(run, args, "pop", "key|default", v));
    QN_TRY(qn_jdict_find(run, dict, &v[0], &found));
    if (found == NULL) {
        *out = v[1];
        return args->n > 1 ? QN_OK : qn_jfail(run, QN_E_FORMAT, "pop: the dict has no such key");
    }
    *out = *found;
    uint64_t i = 0;
    while (&dict->pairs[i].value != found) {
        i++;
    }
    memmove(dict->pairs + i, dict->pairs + i + 1, (size_t)(dict->n - i - 1) * sizeof *dict->pairs);
    dict->n--;
    return QN_OK;
}

static qn_status dict_setdefault(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    qn_jv *found = NULL;
    QN_TRY(qn_jbind(run, args, "setdefault", "key|default", v));
    QN_TRY(qn_jdict_find(run, in->as.dict, &v[0], &found));
    *out = found != NULL ? *found : args->n > 1 ? v[1] : qn_jv_none();
    return found != NULL ? QN_OK : qn_jdict_set(run, in->as.dict, &v[0], out);
}

static qn_status add_all(qn_jrun *run, qn_jdict *to, const qn_jdict *from) {
    const uint64_t n = from->n; /* it may be the same dict */
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(qn_jdict_set(run, to, &from->pairs[i].key, &from->pairs[i].value));
    }
    return QN_OK;
}

static qn_status dict_update(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    for (uint64_t i = 0; i < args->n; i++) {
        if (args->items[i].kind != QN_JV_DICT) {
            return qn_jfail(run, QN_E_FORMAT, "update needs a dict");
        }
        QN_TRY(add_all(run, in->as.dict, args->items[i].as.dict));
    }
    for (uint64_t i = 0; i < args->n_named; i++) {
        const qn_jv key = qn_jv_text(args->named[i].name.bytes, args->named[i].name.len);
        QN_TRY(qn_jdict_set(run, in->as.dict, &key, &args->named[i].value));
    }
    *out = qn_jv_none();
    return QN_OK;
}

static qn_status dict_copy(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "copy", "|", out));
    QN_TRY(qn_jv_dict(run, QN_JV_DICT, out));
    return add_all(run, out->as.dict, in->as.dict);
}

static const qn_jentry of_dicts[] = {
    {"copy", dict_copy},     {"get", dict_get},       {"items", dict_items},
    {"keys", dict_keys},     {"pop", dict_pop},       {"setdefault", dict_setdefault},
    {"update", dict_update}, {"values", dict_values}, {NULL, NULL},
};

/* loop.cycle(a, b, …): the argument whose turn it is. */
static qn_status loop_cycle(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    const qn_jv key = qn_jv_text("index0", 6);
    qn_jv *index = NULL;
    QN_TRY(qn_jdict_find(run, in->as.dict, &key, &index));
    if (index == NULL || index->kind != QN_JV_INT || index->as.i < 0 || args->n == 0) {
        return qn_jfail(run, QN_E_FORMAT, "cycle belongs to the loop variable and needs values");
    }
    *out = args->items[(uint64_t)index->as.i % args->n];
    return QN_OK;
}

static const qn_jentry of_loops[] = {{"cycle", loop_cycle}, {NULL, NULL}};

qn_jfunction *qn_jmethod_find(const qn_jv *v, qn_text name) {
    switch (v->kind) {
    case QN_JV_STRING: return qn_jentry_find(of_strings, name);
    case QN_JV_LIST: return qn_jentry_find(of_lists, name);
    case QN_JV_TUPLE: return qn_jentry_find(of_tuples, name);
    case QN_JV_DICT: return qn_jentry_find(of_dicts, name);
    case QN_JV_NAMESPACE: return qn_jentry_find(of_loops, name);
    default: return NULL;
    }
}
