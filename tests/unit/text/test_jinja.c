/* SPDX-License-Identifier: MIT */
/* test_jinja.c: templates of each feature with what Jinja 2 makes of them; errors with their places; limits. */
#include "support.h"

#include "text/chat_render.h"

typedef struct render_case {
    const char *text;
    const char *wanted;
} render_case;

static const char context_text[] =
    "{'messages':[{'role':'system','content':'S'},{'role':'user','content':'U'},{'role':'assistant','content':null}],"
    "'d':{'b':1,'A':2.5,'c':[true,null,'x\\u00e9']},'s':' H\\u00e9llo \\ud83d\\ude80 ','n':7,'x':0.1,'e':[],"
    "'items_key':{'items':3}}";

/* Expected outputs: Jinja 3.1's as transformers 4.57 sets it up, but for four: a key named items that is not called,
 * from_json, append and pop, which its sandbox or filters lack, and the time. */
static const render_case cases[] = {
    /* white space */
    {"a\n", "a"},
    {"a\n\n", "a\n"},
    {"a\r\nb\r\n", "a\nb"},
    {"  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"},
    {"x {% if true %}\na{% endif %}", "x a"},
    {"  {%+ if true %}a{% endif %}", "  a"},
    {"{% if true +%}\na{% endif %}", "\na"},
    {"a  {{- 1 -}}  b", "a1b"},
    {"a \n {%- if true -%} \n b {%- endif -%} \n c", "abc"},
    {"  {{ 1 }}\nb", "  1\nb"},
    {"a\n  {# c #}\nb", "a\nb"},
    {"a {#- c -#} b", "ab"},
    {"{% raw %}{{ x }}{% if %}{% endraw %}", "{{ x }}{% if %}"},
    {"{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "}}1"},
    /* values */
    {"{{ none }}{{ true }}{{ False }}{{ nothing }}", "NoneTrueFalse"},
    {"{{ 1.0 }} {{ 0.1 }} {{ 1e20 }} {{ 1e-7 }} {{ 123456789.25 }} {{ 1_000 }}",
     "1.0 0.1 1e+20 1e-07 123456789.25 1000"},
    {"{{ [1, 'a', none, 2.5] }}{{ (1,) }}{{ (1, 2) }}{{ () }}", "[1, 'a', None, 2.5](1,)(1, 2)()"},
    {"{{ {'a': 'it\\'s', 'b': \"q\\\"'\"} }}", "{'a': \"it's\", 'b': 'q\"\\''}"},
    {"{{ 'a' 'b' \"c\" }}{{ 'x\\ty\\u00e9\\x41\\n' }}{{ '\\d' }}",
     "abcx\ty\xc3\xa9"
     "A\n\\d"},
    {"{{ d }}", "{'b': 1, 'A': 2.5, 'c': [True, None, 'x\xc3\xa9']}"},
    {"{{ 1, 2 }}", "(1, 2)"},
    /* operators */
    {"{{ 1 + 2 * 3 - 4 / 2 }}", "5.0"},
    {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 % 2 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }}", "3 -4 2 1.5 64 0.5"},
    {"{{ 1 ~ 'a' ~ none ~ 1.5 }}", "1aNone1.5"},
    {"{{ 'a' + 'b' * 3 }}{{ [1] + [2] * 2 }}", "abbb[1, 2, 2]"},
    {"{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 }}{{ 'a' < 'b' }}{{ true == 1 }}{{ 'a' == 1 }}",
     "TrueFalseTrueTrueTrueFalse"},
    {"{{ 'b' in d }}{{ 'x' not in d }}{{ 1 in [1, 2] }}{{ 'l' in 'hello' }}{{ 1 in nothing }}",
     "TrueTrueTrueTrueFalse"},
    {"{{ not e and 'yes' or 'no' }}{{ e or 'empty' }}{{ 0 and 1 }}", "yesempty0"},
    {"{{ 'a' if e else 'b' if n == 7 else 'c' }}{{ 'x' if false }}", "b"},
    {"{{ -n }}{{ +n }}{{ - 2 ** 2 }}", "-774"},
    {"{{ '%s is %d, %5.2f%%|%-3s|' % ('a', 3, 2.5, 'b') }}{{ '%r' % 'a' }}", "a is 3,  2.50%|b  |'a'"},
    {"{{ [1, 2] == [1, 2.0] }}{{ {'a': 1} == {'a': 1} }}{{ (1, 2) < (1, 3) }}", "TrueTrueTrue"},
    /* subscripts */
    {"{{ messages[0].role }}{{ messages[-1]['role'] }}{{ messages[9] is defined }}"
     "{{ d.zz }}",
     "systemassistantFalse"},
    {"{{ [1,2,3,4][1:] }}{{ [1,2,3][::-1] }}{{ [1,2,3,4][:-1:2] }}{{ 'abc'[1] }}{{ 'abc'[-2:] }}",
     "[2, 3, 4][3, 2, 1][1, 3]bbc"},
    {"{{ s[7] }}{{ s|length }}{{ [1,2][5:] }}{{ (1,2,3)[:2] }}",
     "\xf0\x9f\x9a\x80"
     "9[](1, 2)"},
    {"{{ items_key.items }}{{ items_key.items()|list }}{{ d.items is callable }}", "3[('items', 3)]True"},
    {"{{ [[1, 2]].0.1 }}", "2"},
    /* filters */
    {"{{ d|tojson }}", "{\"b\": 1, \"A\": 2.5, \"c\": [true, null, \"x\xc3\xa9\"]}"},
    {"{{ d|tojson(indent=2) }}",
     "{\n  \"b\": 1,\n  \"A\": 2.5,\n  \"c\": [\n    true,\n    null,\n    \"x\xc3\xa9\"\n  ]\n}"},
    {"{{ {'b':'<\\u00e9>&\\n','a':[]}|tojson(ensure_ascii=true, separators=(',', ':'), sort_keys=true) }}",
     "{\"a\":[],\"b\":\"<\\u00e9>&\\n\"}"},
    {"{{ '{\"a\": [1, 2]}'|from_json }}", "{'a': [1, 2]}"},
    {"{{ s|trim }}|{{ 'xxaxx'|trim('x') }}|{{ s|upper|trim }}|{{ 'fOO bar'|capitalize }}|{{ 'foo bar'|title }}",
     "H\xc3\xa9llo \xf0\x9f\x9a\x80|a|H\xc3\x89LLO \xf0\x9f\x9a\x80|Foo bar|Foo Bar"},
    {"{{ nothing|default('x') }}{{ ''|default('y') }}{{ ''|d('z', true) }}{{ none|default('w') }}", "xzNone"},
    {"{{ [1, 'b', none]|join('-') }}{{ messages|join(',', attribute='role') }}", "1-b-Nonesystem,user,assistant"},
    {"{{ d|dictsort }}{{ d|items|list|length }}{{ d|list }}",
     "[('A', 2.5), ('b', 1), ('c', [True, None, 'x\xc3\xa9'])]3['b', 'A', 'c']"},
    {"{{ messages|selectattr('role', 'equalto', 'user')|list|length }}"
     "{{ messages|rejectattr('content')|map(attribute='role')|list }}",
     "1['assistant']"},
    {"{{ [1,2,3,4]|select('odd')|list }}{{ [0,1]|reject|list }}{{ ['a','b']|map('upper')|join }}"
     "{{ none|select|list }}",
     "[1, 3][0]AB[]"},
    {"{{ [3,1,2]|sort }}{{ ['b','A']|sort }}{{ [3,1]|max }}{{ [3,1]|min }}{{ [1,1,2]|unique|list }}{{ [1,2]|sum }}",
     "[1, 2, 3]['A', 'b']31[1, 2]3"},
    {"{{ [1,2]|first }}{{ [1,2]|last }}{{ 'abc'|reverse }}{{ [1,2]|reverse|list }}", "12cba[2, 1]"},
    {"{{ '42'|int }}{{ 'x'|int(5) }}{{ '2.7'|int }}{{ '1.5'|float }}{{ -3|abs }}{{ 2.567|round(1) }}"
     "{{ 2.1|round(method='ceil') }}",
     "42521.532.63.0"},
    {"{{ 'a\nb\n\nc'|indent(2) }}|{{ 'a\nb'|indent(2, true) }}", "a\n  b\n\n  c|  a\n  b"},
    {"{{ 'aXbXc'|replace('X', '-') }}{{ 'aXbXc'|replace('X', '', 1) }}{{ '<a>'|e }}{{ 5|string + 'a'|safe }}",
     "a-b-cabXc&lt;a&gt;5a"},
    {"{% filter upper|trim %} a{{ n }} {% endfilter %}", "A7"},
    /* tests */
    {"{{ nothing is defined }}{{ nothing is not defined }}{{ n is number }}{{ s is string }}{{ d is mapping }}"
     "{{ e is iterable }}",
     "FalseTrueTrueTrueTrueTrue"},
    {"{{ none is none }}{{ true is true }}{{ 1 is true }}{{ false is boolean }}{{ 3 is odd }}"
     "{{ 4 is divisibleby 2 }}{{ 1 is in [1] }}",
     "TrueTrueFalseTrueTrueTrueTrue"},
    {"{{ n is integer }}{{ x is float }}{{ 'a' is lower }}{{ 'A' is upper }}{{ d is sequence }}{{ n is eq 7 }}"
     "{{ not n is string }}",
     "TrueTrueTrueTrueTrueTrueTrue"},
    /* statements */
    {"{% for m in messages %}{{ loop.index }}{{ m.role[0] }}{% if not loop.last %},{% endif %}{% endfor %}",
     "1s,2u,3a"},
    {"{% for m in messages if m.role != 'user' %}{{ loop.length }}{{ loop.revindex }}{{ loop.first }}{% endfor %}",
     "22True21False"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
     "b=1;A=2.5;c=[True, None, 'x\xc3\xa9'];bAc"},
    {"{% for x in e %}a{% else %}none{% endfor %}{% for c in 'ab' %}{{ c }}.{% endfor %}", "nonea.b."},
    {"{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}"
     "{% endif %}{{ i }}{% endfor %}",
     "023"},
    {"{% for i in [1,2] %}{% for j in [1,2] %}{{ i }}{{ j }}"
     "{{ loop.index }} {% endfor %}{{ loop.index }};{% endfor %}",
     "111 122 1;211 222 2;"},
    {"{% for i in [1,2,3] %}{{ loop.previtem }}{{ loop.nextitem }}|{{ loop.cycle('a','b') }}{% endfor %}",
     "2|a13|b2|a"},
    {"{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}"
     "{% endif %}{{ x }}",
     "213"},
    {"{% for i in [1,2] %}{{ y is defined }}{% set y = 1 %}{% endfor %}", "FalseFalse"},
    {"{% set ns = namespace(a=1) %}{% for i in [1,2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns['a'] }}",
     "44"},
    {"{% set a, b = 1, 'x' %}{{ a }}{{ b }}{% set t %}in {{ a }}{% endset %}{{ t|upper }}"
     "{% set u|upper %}q{% endset %}{{ u }}",
     "1xIN 1Q"},
    {"{% macro f(a, b='d') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}"
     "{{ f() }}",
     "1d1243d"},
    {"{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "321"},
    {"{% macro f() %}<{{ caller('x') }}>{% endmacro %}{% call(v) f() %}{{ v }}{{ n }}{% endcall %}", "<x7>"},
    {"{% macro f(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, *[3], z=4, **{'y': 5}) }}",
     "(2, 3){'z': 4, 'y': 5}"},
    {"{% macro f(a) %}{% macro g() %}{{ varargs }}{% endmacro %}{{ a }}{{ g(3) }}{% endmacro %}{{ f(1, 2) }}", "1(3,)"},
    {"{% macro f(a, b=a) %}{{ a }}{{ b }}{{ kwargs }}{% endmacro %}{{ f(1, a=2) }}", "11{'a': 2}"},
    {"{% macro f() %}{{ loopvar }}{% endmacro %}{% for loopvar in [1] %}{{ f() }}{% endfor %}", ""},
    {"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3"},
    {"{% generation %}g{% endgeneration %}{% if false %}a{% elif n == 7 %}b{% else %}c{% endif %}", "gb"},
    /* methods */
    {"{{ ' a b '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ''.split(',') }}",
     "['a', 'b']['a', 'b,c']['a,b', 'c']['']"},
    {"{{ ' a '.strip() }}{{ 'xa'.lstrip('x') }}{{ 'ax'.rstrip('x') }}{{ 'abc'.startswith(('x', 'a')) }}"
     "{{ 'abc'.endswith('c') }}",
     "aaaTrueTrue"},
    {"{{ 'a-b'.replace('-', '+') }}{{ 'abc'.find('c') }}{{ '-'.join(['a', 'b']) }}{{ 'aXa'.count('a') }}"
     "{{ 'ab'.upper() }}",
     "a+b2a-b2AB"},
    {"{{ '{} {0} {x:>3}'.format(1, x='a') if false else '{} {x:>3} {{}}'.format(1, x='a') }}"
     "{{ '{:.2f}|{:05d}'.format(1.5, 42) }}",
     "1   a {}1.50|00042"},
    {"{{ d.get('b') }}{{ d.get('q') }}{{ d.get('q', 5) }}{{ d.keys()|list }}{{ d.values()|first }}",
     "1None5['b', 'A', 'c']1"},
    {"{% set l = [1] %}{% set _ = l.append(2) %}{{ l.pop(0) }}{{ l }}{{ l.index(2) }}", "1[2]0"},
    {"{{ strftime_now('%Y-%m-%d') }}{{ range(1, 6, 2)|list }}{{ dict(a=1) }}", "2001-09-09[1, 3, 5]{'a': 1}"},
};

static json_t *context_of(const char *text) {
    qn_error err = {0};
    json_t *context = NULL;
    char *copy = strdup(text);
    assert_non_null(copy);
    (void)with_double_quotes(copy);
    assert_ok(&err, qn_json_parse("context", copy, strlen(copy), &context, &err));
    free(copy);
    return context;
}

/* Parses and renders; out is a C string. */
static qn_status render(const char *text, const qn_jinja_limits *limits, qn_buffer *out, qn_error *err) {
    qn_jinja *jinja = NULL;
    qn_status status = qn_jinja_parse(text, strlen(text), &jinja, err);
    if (status == QN_OK) {
        json_t *context = context_of(context_text);
        status = qn_jinja_render(jinja, context, limits, out, err);
        json_decref(context);
    }
    qn_jinja_free(jinja);
    if (status == QN_OK) {
        qn_buffer_u8(out, 0);
    }
    return status;
}

static void renders_features(void **state) {
    const qn_jinja_limits limits = {.unix_time = 1000000000};
    int n_failed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_buffer out = {0};
        qn_error err = {0};
        const qn_status status = render(cases[i].text, &limits, &out, &err);
        if (status != QN_OK || strcmp((const char *)out.data, cases[i].wanted) != 0) {
            print_error("%s\n  wanted %s\n  found  %s\n", cases[i].text, cases[i].wanted,
                        status == QN_OK ? (const char *)out.data : err.message);
            n_failed++;
        }
        qn_buffer_clear(&out);
    }
    assert_int_equal(n_failed, 0);
}

typedef struct error_case {
    const char *text;
    qn_status status;
    const char *parts[2]; /* of the message */
} error_case;

static const error_case errors[] = {
    {"a\nb {{ x", QN_E_FORMAT, {"line 2, column 3", "without its }}"}},
    {"{% if x %}", QN_E_FORMAT, {"line 1", "elif"}},
    {"{% endif %}", QN_E_FORMAT, {"column 4", "'endif'"}},
    {"{{ 1 + }}", QN_E_FORMAT, {"column 8", "expected an expression"}},
    {"{{ (1 }}", QN_E_FORMAT, {"column 7", "closes nothing"}},
    {"{{ 'a }}", QN_E_FORMAT, {"column 4", "closing quote"}},
    {"{{ a ? b }}", QN_E_FORMAT, {"column 6", "? b"}},
    {"{# x", QN_E_FORMAT, {"column 1", "#}"}},
    {"{% raw %}x", QN_E_FORMAT, {"column 1", "endraw"}},
    {"{% break %}", QN_E_FORMAT, {"loop", NULL}},
    {"{% set 1 = 2 %}", QN_E_FORMAT, {"assign", NULL}},
    {"{% include 'x' %}", QN_E_UNSUPPORTED, {"other templates", NULL}},
    {"{{ 99999999999999999999 }}", QN_E_FORMAT, {"64 bits", NULL}},
    {"ok\n{{ nothing.a }}", QN_E_FORMAT, {"line 2, column 11", "'nothing' is undefined"}},
    {"{{ messages[0].zz.y }}", QN_E_FORMAT, {"'zz' is undefined", "'y'"}},
    {"{{ 'a' + 1 }}", QN_E_FORMAT, {"column 8", "'str' and 'int'"}},
    {"{{ 1 / 0 }}", QN_E_FORMAT, {"division by zero", NULL}},
    {"{{ 1|nofilter }}", QN_E_FORMAT, {"unknown filter: nofilter", NULL}},
    {"{{ 1 is notest }}", QN_E_FORMAT, {"unknown test: notest", NULL}},
    {"{{ nofunction() }}", QN_E_FORMAT, {"'nofunction' is undefined", NULL}},
    {"{{ n|length }}", QN_E_FORMAT, {"'int'", NULL}},
    {"{% for a, b in [1, 2] %}{% endfor %}", QN_E_FORMAT, {"line 1", NULL}},
    {"{% for a, b in [[1]] %}{% endfor %}", QN_E_FORMAT, {"2 names", "1 values"}},
    {"{% set d.x = 1 %}", QN_E_FORMAT, {"namespace", NULL}},
    {"{{ 'a'|replace }}", QN_E_FORMAT, {"'old' is missing", NULL}},
    {"{{ 1 < 'a' }}", QN_E_FORMAT, {"no order", NULL}},
    {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", QN_E_FORMAT, {"macro 'f' takes not more than 1", NULL}},
    {"{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", QN_E_FORMAT, {"'f' takes no keyword argument 'b'", NULL}},
    {"{% macro f(a) %}{% endmacro %}{{ f(1, a=2) }}", QN_E_FORMAT, {"'f' takes no keyword argument 'a'", NULL}},
    {"{% macro f() %}{% endmacro %}{% call f() %}x{% endcall %}", QN_E_FORMAT, {"does not call caller()", NULL}},
    {"{% macro f() %}{{ caller(1) }}{% endmacro %}{% call f() %}x{% endcall %}", QN_E_FORMAT, {"'caller'", "0 arg"}},
    {"{% macro f(kwargs) %}{{ kwargs }}{% endmacro %}{{ f(1, z=2) }}", QN_E_FORMAT, {"keyword argument 'z'", NULL}},
    {"x\n{{ raise_exception('Only user and assistant!') }}", QN_E_USAGE, {"Only user and assistant!", "line 2"}},
    {"{{ 9223372036854775807 + 1 }}", QN_E_RANGE, {"64 bits", NULL}},
};

static void tells_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        qn_buffer out = {0};
        qn_error err = {0};
        const qn_status status = render(errors[i].text, NULL, &out, &err);
        if (status != errors[i].status) {
            print_error("%s: %s\n", errors[i].text, err.message);
        }
        assert_int_equal(status, errors[i].status);
        assert_message_has(&err, errors[i].parts[0]);
        if (errors[i].parts[1] != NULL) {
            assert_message_has(&err, errors[i].parts[1]);
        }
        assert_int_equal(out.len, 0);
        qn_buffer_clear(&out);
    }
}

/* Templates that would run, or grow, for ever. */
static const char *const bombs[] = {
    "{% for a in range(1000000000) %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{{ 'a' * 99999999999 }}",
    "{{ [1] * 99999999999 }}",
    "{{ ('a' * 100000)|replace('', 'b' * 100000) }}",
    "{{ 'a'|indent(9223372036854775807) }}",
    "{{ [1]|tojson(indent=9223372036854775807) }}",
    "{{ '%999999999d' % 1 }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
    "{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}",
    "{% set l = [] %}{% set _ = l.append(l) %}{% set m = [] %}{% set _ = m.append(m) %}{{ l == m }}",
    "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set s = 'a' * 900000 %}{% for i in range(99999) %}{{ s.find('b') }}{{ s|trim }}{% endfor %}",
};

static void stops_bombs(void **state) {
    const qn_jinja_limits limits = {.max_steps = 2000000, .max_bytes = 32 << 20};
    (void)state;
    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
        qn_buffer out = {0};
        qn_error err = {0};
        const qn_status status = render(bombs[i], &limits, &out, &err);
        if (status != QN_E_RANGE) {
            print_error("%s: %s\n", bombs[i], qn_status_name(status));
        }
        assert_int_equal(status, QN_E_RANGE);
        assert_message_has(&err, "chat template, line 1");
        qn_buffer_clear(&out);
    }
}

/* n times open, then close: nested too deeply to parse. */
static void limits_nesting(void **state) {
    static const char *const opens[] = {"{{ (", "{% if a %}", "{{ -", "{{ not ", "{{ [", "{{ {1:"};
    (void)state;
    for (size_t i = 0; i < sizeof opens / sizeof opens[0]; i++) {
        qn_buffer text = {0};
        qn_jinja *jinja = NULL;
        qn_error err = {0};
        const char *again = opens[i][1] == '{' ? opens[i] + 3 : opens[i];
        qn_buffer_text(&text, opens[i]);
        for (int k = 0; k < 100000; k++) {
            qn_buffer_text(&text, again);
        }
        qn_buffer_text(&text, "1 }}");
        const qn_status status = qn_jinja_parse((const char *)text.data, text.len, &jinja, &err);
        assert_true(status == QN_E_RANGE || status == QN_E_FORMAT);
        assert_message_has(&err, "nested");
        qn_buffer_clear(&text);
    }
}

/* ---- chat_render ---- */

static qn_status render_chat(const qn_meta *meta, const char *name, const json_t *tools, qn_buffer *out,
                             const char **note, qn_error *err) {
    json_t *messages = context_of("[{'role':'user','content':'Hi'}]");
    json_t *variables = context_of("{'v':'more'}");
    const qn_chat_request request = {.meta = meta,
                                     .messages = messages,
                                     .tools = tools,
                                     .variables = variables,
                                     .add_generation_prompt = true,
                                     .template_name = name};
    const qn_status status = qn_chat_render(&request, out, note, err);
    json_decref(messages);
    json_decref(variables);
    qn_buffer_u8(out, 0);
    return status;
}

static void picks_templates(void **state) {
    static const qn_text tokens[] = {{"<s>", 3}, {"</s>", 4}};
    qn_arena *arena = qn_arena_new();
    qn_meta meta = qn_meta_new(arena);
    json_t *tools = context_of("[{'type':'function'}]");
    const char *note = NULL;
    qn_error err = {0};
    (void)state;
    qn_meta_set_array(&meta, "tokenizer.ggml.tokens", QN_META_STRING, tokens, 2);
    qn_meta_set_u32(&meta, "tokenizer.ggml.bos_token_id", 0);
    qn_meta_set_u32(&meta, "tokenizer.ggml.eos_token_id", 9);
    qn_meta_set_u32(&meta, "tokenizer.ggml.padding_token_id", 1);
    const struct {
        const char *key;
        const char *text;
        const char *name;
        const json_t *tools;
        const char *wanted;
    } steps[] = {
        {NULL, NULL, NULL, NULL, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"},
        {"tokenizer.chat_template",
         "{{ bos_token ~ eos_token ~ pad_token ~ sep_token }}|{{ v }}"
         "{{ tools is defined }}",
         NULL, NULL, "<s></s>|moreFalse"},
        {NULL, NULL, NULL, tools, "<s></s>|moreTrue"},
        {"tokenizer.chat_template.tool_use", "tools: {{ tools|length }}", NULL, tools, "tools: 1"},
        {NULL, NULL, "default", tools, "<s></s>|moreTrue"},
        {"tokenizer.chat_template.rag", "rag", "rag", NULL, "rag"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        qn_buffer out = {0};
        if (steps[i].key != NULL) {
            qn_meta_set_string(&meta, steps[i].key, steps[i].text);
        }
        assert_ok(&err, render_chat(&meta, steps[i].name, steps[i].tools, &out, &note, &err));
        assert_string_equal((const char *)out.data, steps[i].wanted);
        assert_int_equal(note != NULL, i == 0);
        qn_buffer_clear(&out);
    }
    qn_buffer out = {0};
    assert_status(&err, render_chat(&meta, "other", NULL, &out, &note, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "tokenizer.chat_template.other");
    qn_meta_set_string(&meta, "tokenizer.chat_template.other", "{{ raise_exception('no') }}");
    assert_status(&err, render_chat(&meta, "other", NULL, &out, &note, &err), QN_E_USAGE);
    assert_message_has(&err, "tokenizer.chat_template.other, line 1");
    qn_buffer_clear(&out);
    json_decref(tools);
    qn_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_features), cmocka_unit_test(tells_errors),    cmocka_unit_test(stops_bombs),
        cmocka_unit_test(limits_nesting),   cmocka_unit_test(picks_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
