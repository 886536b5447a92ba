/* SPDX-License-Identifier: MIT */
/* test_json_schema.c: documents that the grammar of a schema accepts and refuses; schemas that are refused by name. */
#include "support.h"

#include "engine/grammar.h"
#include "engine/json_schema.h"

/** Single quotes stand for double ones. */
typedef struct schema_case {
    const char *schema;
    const char *accepted[10];
    const char *refused[12]; /* not a document of it: a byte that cannot stand there, or too short */
} schema_case;

static const schema_case cases[] = {
    {"{}",
     {"1", "-0.5e10", "'a'", "[]", "{}", "[1, {'a':null}]", "{'a': [true,\n  false]}", "null",
      "'\xC3\xA9 \\u00e9 \\n'"},
     {"01", "+1", "'\n'", "[1,]", "{a:1}", "'\\u12'", "tru", "'\\ud83d'", "1.", "{'a' :1}"}},
    {"true", {"[[[]]]"}, {"", "]"}},
    {"{'type':'string'}", {"''", "'a\\\\b'"}, {"1", "'", "'\\x'"}},
    {"{'type':'string','minLength':2,'maxLength':3}",
     {"'ab'", "'abc'", "'\xE4\xBD\xA0\xE5\xA5\xBD'", "'\\n\\n'"},
     {"'a'", "'abcd'"}},
    {"{'type':'string','maxLength':0}", {"''"}, {"'a'"}},
    {"{'type':'integer'}", {"0", "-7", "1234567890123456"}, {"1.5", "00", "-", "1e3"}},
    {"{'type':'number'}", {"0", "-7.25", "1e5", "0.5E-3"}, {".5", "1.", "--1", "1e500"}},
    {"{'type':'boolean'}", {"true", "false"}, {"null", "True"}},
    {"{'type':'null'}", {"null"}, {"nul", "0"}},
    {"{'type':['string','null']}", {"null", "'x'"}, {"1"}},
    {"{'type':'integer','minimum':5}", {"5", "9", "10", "99999"}, {"4", "-5", "05", "0"}},
    {"{'type':'integer','minimum':15,'maximum':300}",
     {"15", "19", "20", "99", "100", "299", "300"},
     {"14", "9", "301", "400", "1000", "015"}},
    {"{'type':'integer','minimum':-15,'maximum':7}", {"-15", "-1", "0", "7", "-9"}, {"-16", "8", "-0", "10", "-20"}},
    {"{'type':'integer','maximum':-3}", {"-3", "-99999"}, {"-2", "0", "3"}},
    {"{'type':'integer','exclusiveMinimum':0,'exclusiveMaximum':10}", {"1", "9"}, {"0", "10", "-1"}},
    {"{'type':'integer','minimum':0.5,'maximum':2.5}", {"1", "2"}, {"0", "3"}},
    {"{'type':'integer','minimum':1000,'maximum':1000}", {"1000"}, {"1001", "100"}},
    {"{'type':'integer','minimum':-9223372036854775807}",
     {"-9223372036854775807", "0", "9999999999999999"},
     {"-9223372036854775808", "-0"}},
    {"{'type':'number','minimum':0}", {"0", "0.5", "12.75", "100"}, {"-1", "-0.5", "00.5"}},
    {"{'type':'number','exclusiveMinimum':0,'maximum':1}", {"0.5", "1", "1.0", "0.001"}, {"0", "0.0", "1.1", "2"}},
    {"{'type':'number','minimum':-1,'exclusiveMaximum':1}",
     {"-1", "-1.0", "-0.5", "0", "0.99"},
     {"1", "-1.5", "-2", "1.0"}},
    {"{'minimum':18,'type':'number','maximum':120}", {"18", "18.5", "119.9", "120"}, {"17", "17.9", "120.1", "121"}},
    {"{'enum':['a','b\\\"c',3,null,{'k':[1]}]}", {"'a'", "'b\\\"c'", "3", "null", "{'k':[1]}"}, {"'b'", "4", "a"}},
    {"{'type':'string','enum':['a',1]}", {"'a'"}, {"1"}},
    {"{'enum':[0.1,2.0,1e22,{'a':[0.3]}]}", {"0.1", "2.0", "1e22", "{'a':[0.3]}"}, {"0.10", "2", "0.3"}},
    {"{'const':'\xC3\xA9\\n'}", {"'\xC3\xA9\\n'"}, {"'e'"}},
    {"{'type':'object'}", {"{}", "{'a': {'b': 1}}", "{ }", "{\n  'a': 1\n}"}, {"[]", "{1:2}", "{   }"}},
    {"{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'string'}},'required':['a','b']}",
     {"{'a': 1, 'b': 'x'}", "{'a':1,'b':''}", "{\n  'a': 1,\n  'b': 'x'\n}"},
     {"{}", "{'a': 1}", "{'b': 'x', 'a': 1}", "{'a': 1, 'b': 'x',}", "{'a': 1, 'b': 'x', 'c': 1}", "{'a': 'x'"}},
    {"{'properties':{'a':{'type':'null'},'b':{'type':'null'},'c':{'type':'null'}}}",
     {"{}", "{'a':null}", "{'b':null}", "{'c':null}", "{'a':null,'c':null}", "{'b':null,'c':null}",
      "{'a':null,'b':null,'c':null}"},
     {"{'b':null,'a':null}", "{,'a':null}", "{'a':null 'b':null}", "{'a':null,}", "{'d':null}"}},
    {"{'type':'object','properties':{'a':{'type':'null'},'b':{'type':'null'},'c':{'type':'null'}},'required':['b']}",
     {"{'b':null}", "{'a':null,'b':null}", "{'b':null,'c':null}", "{'a':null,'b':null,'c':null}"},
     {"{}", "{'a':null}", "{'c':null}", "{'a':null,'c':null}"}},
    {"{'type':'object','additionalProperties':{'type':'integer'}}",
     {"{}", "{'a':1}", "{'a':1, 'bc':2}", "{'':0}"},
     {"{'a':'x'}", "{'a\\n':1}"}},
    {"{'type':'object','properties':{'ab':{'type':'null'},'a':{'type':'null'}}"
     ",'additionalProperties':{'type':'integer'}}",
     {"{'ab':null,'a':null,'abc':1}", "{'b':1}", "{'ac':1}", "{'':3}", "{'abc':1,'x':2}", "{'\xC3\xA9':2}"},
     {"{'ab':1}", "{'a':1}", "{'x':null}", "{'ab':null,'a':1}"}},
    {"{'properties':{'\xC3\xA9':{},'\xC3\xA8':{}},'additionalProperties':{'type':'null'}}",
     {"{'\xC3\xAA':null}", "{'\xC3\xA9':1}", "{'e':null}"},
     {"{'\xC3\xAA':1}"}},
    {"{'type':'object','properties':{'a':{}},'additionalProperties':false}", {"{}", "{'a':1}"}, {"{'b':1}"}},
    {"{'type':'object','required':['z']}", {"{'z':[1]}"}, {"{}", "{'a':1}"}},
    {"{'type':'object','minProperties':1,'maxProperties':2}",
     {"{'a':1}", "{'a':1,'b':2}"},
     {"{}", "{'a':1,'b':1,'c':1}"}},
    {"{'type':'array','items':{'type':'integer'}}", {"[]", "[1]", "[1, 2,3]", "[\n  1\n]"}, {"['a']", "[1,]", "[1 2]"}},
    {"{'type':'array','items':{'type':'integer'},'minItems':2,'maxItems':3}",
     {"[1,2]", "[1,2,3]"},
     {"[]", "[1]", "[1,2,3,4]"}},
    {"{'type':'array','maxItems':0}", {"[]", "[ ]"}, {"[1]"}},
    {"{'type':'array'}", {"[1,'a',[]]"}, {"{}"}},
    {"{'type':'array','prefixItems':[{'type':'integer'},{'type':'string'}]}",
     {"[1,'a']"},
     {"[1]", "['a',1]", "[1,'a',2]", "[]"}},
    {"{'prefixItems':[{'type':'null'}],'items':{'type':'integer'},'minItems':2}",
     {"[null,1]", "[null,1,2]"},
     {"[null]"}},
    {"{'items':[{'type':'null'}],'additionalItems':{'type':'integer'}}", {"[null]", "[null,1]"}, {"[1]"}},
    {"{'items':false,'prefixItems':[{'type':'null'}]}", {"[null]"}, {"[null,1]", "[]"}},
    {"{'anyOf':[{'type':'integer'},{'type':'null'}],'title':'t'}", {"1", "null"}, {"'a'"}},
    {"{'oneOf':[{'const':1},{'const':2}]}", {"1", "2"}, {"3"}},
    {"{'type':'object','properties':{'k':{'type':'string'},'v':{'type':'integer'}}"
     ",'anyOf':[{'required':['k']},{'required':['v']}]}",
     {"{'k':'a'}", "{'v':1}", "{'k':'a','v':1}"},
     {"{}"}},
    {"{'allOf':[{'type':'object','properties':{'a':{'type':'integer'}}"
     ",'required':['a']},{'properties':{'b':{'type':'null'}},"
     "'required':['b']}]}",
     {"{'a':1,'b':null}"},
     {"{'a':1}", "{'b':null}"}},
    {"{'allOf':[{'properties':{'a':{'minimum':3,'type':'integer'}}},{'properties':{'a':{'maximum':5"
     ",'type':'number'}}}]}",
     {"{'a':3}", "{'a':5}", "{}"},
     {"{'a':2}", "{'a':6}", "{'a':3.5}"}},
    {"{'allOf':[{'properties':{'a':{'type':'null'}}"
     ",'additionalProperties':false},{'properties':{'b':{'type':'null'}}}]}",
     {"{}", "{'a':null}"},
     {"{'b':null}"}},
    {"{'allOf':[{'enum':[1,2,3]},{'enum':[2,3,4]}]}", {"2", "3"}, {"1", "4"}},
    {"{'$ref':'#/$defs/x','$defs':{'x':{'type':'integer'}}}", {"3"}, {"'a'"}},
    {"{'$defs':{'a~b/c':{'type':'null'}},'$ref':'#/$defs/a~0b~1c'}", {"null"}, {"1"}},
    {"{'$defs':{'%1':{'type':'null'}},'$ref':'#/%24defs/%251'}", {"null"}, {"1"}},
    {"{'type':'object','properties':{'v':{'type':'integer'},'next':{'anyOf':[{'$ref':'#'},{'type':'null'}]}}"
     ",'required':['v','next']}",
     {"{'v':1,'next':null}", "{'v':1,'next':{'v':2,'next':null}}"},
     {"{'v':1,'next':{'v':2}}"}},
    {"{'$ref':'#/definitions/n','minimum':3,'definitions':{'n':{'type':'integer','maximum':4}}}",
     {"3", "4"},
     {"2", "5"}},
    {"{'type':'string','format':'date'}",
     {"'2024-12-31'", "'1999-02-28'"},
     {"'2024-13-01'", "'2024-02-30'", "'24-01-01'", "'2024-04-31'"}},
    {"{'type':'string','format':'time'}",
     {"'23:59:59Z'", "'00:00:00.5+01:00'"},
     {"'24:00:00Z'", "'12:60:00Z'", "'12:00:00'"}},
    {"{'format':'date-time'}", {"'2024-01-02T03:04:05Z'"}, {"'2024-01-02 03:04:05Z'"}},
    {"{'format':'uuid'}",
     {"'123e4567-e89b-12d3-a456-426614174000'"},
     {"'123e4567'", "'123e4567-e89b-12d3-a456-42661417400g'"}},
    {"{'type':'string','pattern':'^[a-z]{2,3}-\\\\d+$'}",
     {"'ab-1'", "'abc-12'"},
     {"'a-1'", "'abcd-1'", "'ab-'", "'ab-1x'"}},
    {"{'pattern':'b+'}", {"'abba'", "'b'"}, {"'a'", "''"}},
    {"{'pattern':'^(foo|ba[rz])?$|^x'}", {"'foo'", "'bar'", "''", "'xyz'"}, {"'fo'", "'bax'"}},
    {"{'pattern':'^[^a]\\\\.\\\\\\\\\\\\\\\"$'}", {"'b.\\\\\\\"'", "'\\\".\\\\\\\"'"}, {"'a.\\\\\\\"'", "'b.'"}},
    {"{'pattern':'^\\\\w\\\\s\\\\S\\\\u0041[\\\\d-]*?$'}", {"'a xA1-'", "'_\\tyA'"}, {"'a  A'", "' xxA'"}},
    {"{'pattern':'^.\\\\x41(?:a|b)$'}",
     {"'\xC3\xA9"
      "Aa'",
      "'\\tAb'"},
     {"'\\nAa'", "'xAc'"}},
    {"{'uniqueItems':false,'type':'array','items':true,'x-note':1,'default':[],'description':'d'}", {"[1]"}, {"1"}},
};

static char *text_of(const char *text) {
    char *copy = malloc(strlen(text) + 1);
    assert_non_null(copy);
    memcpy(copy, text, strlen(text) + 1);
    return with_double_quotes(copy);
}

static bool accepts(qn_grammar_walk *w, const char *document) {
    char *text = text_of(document);
    qn_error err;
    bool fits = true;
    assert_ok(&err, qn_grammar_walk_reset(w, &err));
    for (size_t i = 0; text[i] != '\0' && fits; i++) {
        fits = qn_grammar_push(w, (unsigned char)text[i]);
    }
    assert_ok(&err, qn_grammar_walk_status(w, &err));
    free(text);
    return fits && qn_grammar_may_end(w);
}

static void test_documents(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const schema_case *c = &cases[i];
        char *schema = text_of(c->schema);
        char *grammar = NULL;
        qn_grammar *g = NULL;
        qn_grammar_walk *w = NULL;
        qn_error err;
        assert_ok(&err, qn_json_schema_to_grammar(schema, strlen(schema), &grammar, &err));
        assert_ok(&err, qn_grammar_parse(grammar, strlen(grammar), &g, &err));
        assert_ok(&err, qn_grammar_walk_new(g, &w, &err));
        for (size_t k = 0; k < 10 && c->accepted[k] != NULL; k++) {
            if (!accepts(w, c->accepted[k])) {
                fail_msg("%s\nrefuses %s\n%s", c->schema, c->accepted[k], grammar);
            }
        }
        for (size_t k = 0; k < 12 && c->refused[k] != NULL; k++) {
            if (accepts(w, c->refused[k])) {
                fail_msg("%s\naccepts %s\n%s", c->schema, c->refused[k], grammar);
            }
        }
        qn_grammar_walk_free(w);
        qn_grammar_free(g);
        free(grammar);
        free(schema);
    }
}

typedef struct error_case {
    const char *schema;
    const char *message;
    qn_status status;
} error_case;

static const error_case errors[] = {
    {"", "JSON schema", QN_E_FORMAT},
    {"{'type':", "JSON schema", QN_E_FORMAT},
    {"3", "a schema is an object", QN_E_FORMAT},
    {"false", "no value meets it", QN_E_UNSUPPORTED},
    {"{'type':'strin'}", "'type' is 'strin'", QN_E_FORMAT},
    {"{'type':[]}", "'type' is no list", QN_E_FORMAT},
    {"{'type':[1]}", "an entry that is no text", QN_E_FORMAT},
    {"{'type':'number','multipleOf':3}", "the keyword 'multipleOf' is not supported", QN_E_UNSUPPORTED},
    {"{'properties':{'a':{'not':{}}}}", "#/properties/a: the keyword 'not'", QN_E_UNSUPPORTED},
    {"{'properties':{'a':{'items':{'if':{}}}}}", "#/properties/a/items: the keyword 'if'", QN_E_UNSUPPORTED},
    {"{'patternProperties':{}}", "'patternProperties'", QN_E_UNSUPPORTED},
    {"{'uniqueItems':true}", "'uniqueItems'", QN_E_UNSUPPORTED},
    {"{'properties':[]}", "'properties' is no object", QN_E_FORMAT},
    {"{'required':3}", "'required'", QN_E_FORMAT},
    {"{'type':'object','required':[3]}", "'required' has an entry", QN_E_FORMAT},
    {"{'type':'object','required':['a'],'additionalProperties':false}", "'a' is required, and there is no",
     QN_E_FORMAT},
    {"{'type':'array','minItems':3,'maxItems':2}", "'minItems' 3 is more than", QN_E_FORMAT},
    {"{'type':'array','minItems':-1}", "'minItems' is no count", QN_E_FORMAT},
    {"{'type':'string','maxLength':1000000}", "at most 100000", QN_E_RANGE},
    {"{'type':'string','format':'email'}", "the format 'email'", QN_E_UNSUPPORTED},
    {"{'type':'string','format':'date','maxLength':3}", "of the same text", QN_E_UNSUPPORTED},
    {"{'type':'integer','minimum':'a'}", "'minimum' is no number", QN_E_FORMAT},
    {"{'type':'integer','minimum':4,'maximum':3}", "no number is between", QN_E_FORMAT},
    {"{'type':'integer','exclusiveMinimum':3,'maximum':3}", "no number is between", QN_E_FORMAT},
    {"{'type':'number','minimum':0.5}", "'minimum' of a number is supported where it is whole", QN_E_UNSUPPORTED},
    {"{'enum':[]}", "'enum' is no list", QN_E_FORMAT},
    {"{'enum':[1],'type':'string'}", "leave no value", QN_E_FORMAT},
    {"{'enum':[1],'minimum':0}", "'minimum' beside 'enum'", QN_E_UNSUPPORTED},
    {"{'anyOf':[]}", "'anyOf' is no list", QN_E_FORMAT},
    {"{'anyOf':[{'type':'integer'},{'contains':{}}]}", "#/anyOf/1: the keyword 'contains'", QN_E_UNSUPPORTED},
    {"{'$ref':'#/$defs/x'}", "there is no #/$defs/x", QN_E_FORMAT},
    {"{'properties':{'a':true,'b':true},'additionalProperties':false,'maxProperties':1}", "'maxProperties' beside",
     QN_E_UNSUPPORTED},
    {"{'$ref':'#/%1'}", "there is no #/%1", QN_E_FORMAT},
    {"{'$ref':'other.json'}", "another document", QN_E_UNSUPPORTED},
    {"{'$ref':3}", "'$ref' is no text", QN_E_FORMAT},
    {"{'allOf':[{'type':'string'},{'type':'null'}]}", "nothing in common", QN_E_FORMAT},
    {"{'allOf':[{'pattern':'a'},{'pattern':'b'}]}", "two different 'pattern'", QN_E_UNSUPPORTED},
    {"{'allOf':[{'$ref':'#'},{'type':'object'}]}", "nests too deeply", QN_E_RANGE},
    {"{'pattern':'('}", "')' is missing", QN_E_FORMAT},
    {"{'pattern':'[a'}", "']' is missing", QN_E_FORMAT},
    {"{'pattern':'a)'}", "')' without '('", QN_E_FORMAT},
    {"{'pattern':'(?=a)'}", "no looking around", QN_E_UNSUPPORTED},
    {"{'pattern':'(a)\\\\1'}", "this escape is not supported", QN_E_UNSUPPORTED},
    {"{'pattern':'\\\\bx'}", "this escape is not supported", QN_E_UNSUPPORTED},
    {"{'pattern':'*'}", "nothing to be repeated", QN_E_FORMAT},
    {"{'pattern':'a{2'}", "{m,n} is expected", QN_E_FORMAT},
    {"{'pattern':'a**'}", "one repetition behind another", QN_E_UNSUPPORTED},
    {"{'pattern':'(^a)'}", "'^' and '$'", QN_E_UNSUPPORTED},
    {"{'pattern':'[\\\\x00]'}", "no text of JSON", QN_E_UNSUPPORTED},
    {"{'pattern':'\\\\'}", "a backslash at the end", QN_E_FORMAT},
    {"{'pattern':3}", "'pattern' is no text", QN_E_FORMAT},
};

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        char *schema = text_of(errors[i].schema);
        char *grammar = NULL;
        qn_error err = {QN_OK, ""};
        const qn_status status = qn_json_schema_to_grammar(schema, strlen(schema), &grammar, &err);
        if (status != errors[i].status || strstr(err.message, errors[i].message) == NULL) {
            fail_msg("%s: %s: %s", errors[i].schema, qn_status_name(status), err.message);
        }
        free(grammar);
        free(schema);
    }
}

/* A schema that only refers to itself gives a grammar that is refused. */
static void test_circles(void **state) {
    static const char *const schemas[] = {"{\"$ref\":\"#\"}", "{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *grammar = NULL;
        qn_grammar *g = NULL;
        qn_error err;
        assert_ok(&err, qn_json_schema_to_grammar(schemas[i], strlen(schemas[i]), &grammar, &err));
        assert_status(&err, qn_grammar_parse(grammar, strlen(grammar), &g, &err), QN_E_FORMAT);
        assert_message_has(&err, "left-recursive");
        free(grammar);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_circles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
