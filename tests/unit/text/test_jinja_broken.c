/* SPDX-License-Identifier: MIT */
/* test_jinja_broken.c: templates that are broken: each refused with its place, and every beginning of whole ones. */
#include "support.h"

#include "text/jinja.h"

static const char context_text[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"U\"}],\"d\":{\"b\":1},\"s\":\"text\",\"n\":7,\"e\":[],\"x\":0.5}";

/* What is refused when it is parsed. */
static const char *const unparsed[] = {
    /* delimiters */
    "{{",
    "{%",
    "{#",
    "{{ }}",
    "{% %}",
    "{{ x",
    "{{ x }",
    "{{ x %}",
    "{% if x }}",
    "a {% endfor",
    "{% raw %}{% endra %}",
    "{{ 'x }}",
    "{{ \"x' }}",
    "{{ x ]}}",
    "{{ [1, 2 }}",
    "{{ {1: 2 }}",
    "{{ (1, 2 }}",
    "{{ x) }}",
    "{% raw",
    /* statements */
    "{% foo %}",
    "{% 1 %}",
    "{% if %}{% endif %}",
    "{% if x %}{% else %}{% else %}{% endif %}",
    "{% if x %}{% else %}{% elif y %}{% endif %}",
    "{% if x %}{% endfor %}",
    "{% for %}{% endfor %}",
    "{% for x %}{% endfor %}",
    "{% for x in %}{% endfor %}",
    "{% for 1 in x %}{% endfor %}",
    "{% for x in y %}",
    "{% for x in y %}{% endif %}",
    "{% for x, in y z %}{% endfor %}",
    "{% set %}",
    "{% set x %}",
    "{% set x = %}",
    "{% set x y %}",
    "{% set 'x' = 1 %}",
    "{% set x.y.z = 1 %}",
    "{% set x + y = 1 %}",
    "{% macro %}{% endmacro %}",
    "{% macro f %}{% endmacro %}",
    "{% macro f( %}{% endmacro %}",
    "{% macro f(1) %}{% endmacro %}",
    "{% macro f() %}",
    "{% call %}{% endcall %}",
    "{% call f %}{% endcall %}",
    "{% filter %}{% endfilter %}",
    "{% with a %}{% endwith %}",
    "{% endset %}",
    "{% endmacro %}",
    "{% continue %}",
    "{% else %}",
    "{% elif x %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% block b %}{% endblock %}",
    "{% if x %}{% break %}{% endif %}",
    /* expressions */
    "{{ + }}",
    "{{ 1 2 }}",
    "{{ x. }}",
    "{{ x.'a' }}",
    "{{ x[ }}",
    "{{ x[] }}",
    "{{ x[1:2:3:4] }}",
    "{{ x| }}",
    "{{ x|1 }}",
    "{{ x is }}",
    "{{ x is not }}",
    "{{ f( }}",
    "{{ f(a=) }}",
    "{{ f(a=1, 2) }}",
    "{{ f(,) }}",
    "{{ f(a b) }}",
    "{{ 1 if }}",
    "{{ if x }}",
    "{{ not }}",
    "{{ x and }}",
    "{{ or x }}",
    "{{ x not y }}",
    "{{ x = 1 }}",
    "{{ {1} }}",
    "{{ {a:} }}",
    "{{ {:1} }}",
    "{{ [,] }}",
    "{{ [1 2] }}",
    "{{ x ! y }}",
    "{{ x $ y }}",
    "{{ x & y }}",
    "{{ 1..2 }}",
    "{{ 0x }}",
    "{{ 1__0 }}",
    "{{ x ** }}",
    "{{ ~ }}",
    "{{ a if b else }}",
    "{{ `x` }}",
    "{{ '\\u12' }}x{% for %}",
    "{{ x;y }}",
};

/* What is refused when it is rendered. */
static const char *const unrendered[] = {
    "{{ d.b.c.d }}",
    "{{ nothing.x }}",
    "{{ nothing[0] }}",
    "{{ nothing() }}",
    "{{ s() }}",
    "{{ n.x.y }}",
    "{{ none.x.y }}",
    "{{ e[0].x }}",
    "{{ d['q'].x }}",
    "{{ 1 + 'a' }}",
    "{{ 'a' + 1 }}",
    "{{ [] + 1 }}",
    "{{ {} + {} }}",
    "{{ -'a' }}",
    "{{ 'a' - 'b' }}",
    "{{ 'a' / 2 }}",
    "{{ 1 // 0 }}",
    "{{ 1 % 0 }}",
    "{{ 1.5 / 0 }}",
    "{{ 0 ** -1 }}",
    "{{ [] * [] }}",
    "{{ 1 in 2 }}",
    "{{ none in none }}",
    "{{ 1 < none }}",
    "{{ [] < {} }}",
    "{{ 'a' < 1 }}",
    "{{ s|nofilter }}",
    "{{ s is notest }}",
    "{{ n|join }}",
    "{{ n|list }}",
    "{{ n|first }}",
    "{{ none|length }}",
    "{{ s|round }}",
    "{{ s|abs }}",
    "{{ s|tojson(1, 2, 3, 4, 5) }}",
    "{{ s|replace(1) }}",
    "{{ [1, 'a']|sort }}",
    "{{ [1, 'a']|sum }}",
    "{{ d|map('nofilter')|list }}",
    "{{ e|map(attribute=1, x=2)|list }}",
    "{{ 'x'|from_json }}",
    "{{ range() }}",
    "{{ range('a') }}",
    "{{ range(1, 2, 0) }}",
    "{{ range(1, 2, 3, 4) }}",
    "{{ s.nomethod() }}",
    "{{ d.nomethod() }}",
    "{{ s.split(1) }}",
    "{{ s.replace('a') }}",
    "{{ s.join(1) }}",
    "{{ [1].append() }}",
    "{{ '%d' % 'a' }}",
    "{{ '%q' % 1 }}",
    "{{ '%s %s' % ('a',) }}",
    "{{ namespace(1) }}",
    "{{ strftime_now() }}",
    "{% for x in n %}{% endfor %}",
    "{% for x in nothing.y %}{% endfor %}",
    "{% for a, b in ['x'] %}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{% set a, b = 1 %}",
    "{% set d.b = 1 %}",
    "{% set n.b = 1 %}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}",
    "{% call n() %}{% endcall %}",
    "{% filter nofilter %}x{% endfilter %}",
    "{{ raise_exception('no') }}",
    "{{ raise_exception() }}",
    "{{ messages[0]['role']['x']['y'] }}",
    "{{ loop.index }}",
    "{{ 9223372036854775807 * 2 }}",
    "{{ '\xFF' ~ nothing.x }}",
};

static json_t *context(void) {
    json_t *object = NULL;
    qn_error err;
    assert_ok(&err, qn_json_parse("context", context_text, strlen(context_text), &object, &err));
    return object;
}

static qn_status render(const char *text, size_t n, bool *is_parsed, qn_error *err) {
    const qn_jinja_limits limits = {.max_steps = 100000, .max_bytes = 1 << 20};
    qn_jinja *jinja = NULL;
    qn_buffer out = {0};
    json_t *object = context();
    qn_status status = qn_jinja_parse(text, n, &jinja, err);
    *is_parsed = status == QN_OK;
    if (status == QN_OK) {
        status = qn_jinja_render(jinja, object, &limits, &out, err);
    }
    assert_true(status == QN_OK || out.len == 0);
    qn_buffer_clear(&out);
    qn_jinja_free(jinja);
    json_decref(object);
    return status;
}

static void expect_broken(const char *text, bool when_rendered) {
    bool is_parsed = false;
    qn_error err = {QN_OK, ""};
    const qn_status status = render(text, strlen(text), &is_parsed, &err);
    if (status == QN_OK || is_parsed != when_rendered || strstr(err.message, "line 1, column ") == NULL) {
        fail_msg("%s: parsed %d, %s: %s", text, is_parsed, qn_status_name(status), err.message);
    }
}

static void test_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof unparsed / sizeof unparsed[0]; i++) {
        expect_broken(unparsed[i], false);
    }
    for (size_t i = 0; i < sizeof unrendered / sizeof unrendered[0]; i++) {
        expect_broken(unrendered[i], true);
    }
}

/* A template cut off anywhere, or with a byte changed, is rendered or refused with a place. */
static void test_damaged(void **state) {
    static const char whole[] =
        "{%- macro m(a, b='x') -%}{{ a ~ b|upper }}{%- endmacro -%}{# note #}\n"
        "{% set ns = namespace(k=0) %}{% for i in messages if i.role != 'system' %}{% set ns.k = ns.k + 1 %}"
        "{{ loop.index0 }}{{ m(i['role'], b=i.content|trim) }}{% if not loop.last %},{% elif x > 0.1 %};{% else %}"
        "{{- [1, (2,), {'a': none}]|tojson }}{% endif %}{% else %}{% break %}{% endfor %}"
        "{% call m(s[1:-1:1]) %}{% raw %}{{ }}{% endraw %}{% endcall %}{% filter title %}{{ s is string and not e }}"
        "{% endfilter %}{{ 'a' if d.b == 1 else range(3)|join('-') }}\n";
    static const char replacements[] = "{}%#'\"()|.\n\xFF";
    char text[sizeof whole];
    bool is_parsed = false;
    qn_error err;
    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        err.message[0] = '\0';
        assert_true(render(whole, n, &is_parsed, &err) == QN_OK || strstr(err.message, "line ") != NULL);
    }
    for (size_t i = 0; i + 1 < sizeof whole; i++) {
        for (size_t k = 0; k + 1 < sizeof replacements; k++) {
            memcpy(text, whole, sizeof whole);
            text[i] = replacements[k];
            err.message[0] = '\0';
            assert_true(render(text, sizeof whole - 1, &is_parsed, &err) == QN_OK ||
                        strstr(err.message, "line ") != NULL);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
