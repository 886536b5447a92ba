/* SPDX-License-Identifier: MIT */
/* json_schema_parts.h: what the files that turn JSON schemas into grammars share. */
#ifndef QUERN_ENGINE_JSON_SCHEMA_PARTS_H
#define QUERN_ENGINE_JSON_SCHEMA_PARTS_H

#include "base/json.h"
#include "engine/char_set.h"

/** Rules that do not depend on the schema; written only where they are used. */
typedef enum qn_json_rule {
    QN_JSON_WS,
    QN_JSON_CHAR,
    QN_JSON_STRING,
    QN_JSON_INTEGER,
    QN_JSON_NUMBER,
    QN_JSON_BOOLEAN,
    QN_JSON_NULL,
    QN_JSON_VALUE,
    QN_JSON_OBJECT,
    QN_JSON_ARRAY,
    QN_JSON_DATE,
    QN_JSON_TIME,
    QN_JSON_DATE_TIME,
    QN_JSON_UUID,
    QN_N_JSON_RULES
} qn_json_rule;

/** A schema being written as a grammar. */
typedef struct qn_schema_writer {
    const json_t *root;
    json_t *refs;   /* "#/…" to the name of its rule */
    json_t *merged; /* schemas put together of others, kept alive */
    qn_buffer rules;
    qn_buffer path; /* of the schema being written, for messages: "#/properties/a" */
    uint32_t used;  /* bits: qn_json_rule */
    uint32_t n_names;
    uint32_t n_schemas, depth;
    qn_error *err;
} qn_schema_writer;

/** Fails with the place in the schema in front of the message. */
qn_status qn_schema_fail(const qn_schema_writer *w, qn_status status, const char *fmt, ...) QN_PRINTF(3, 4);

/** Appends the name of a rule, which will be written. */
void qn_schema_use(qn_schema_writer *w, qn_json_rule rule, qn_buffer *out);

/** Makes "kind-N" a new name. @param name out: at least 32 bytes */
void qn_schema_name(qn_schema_writer *w, const char *kind, char name[32]);
/** Ends a rule: "name ::= body". @return QN_OK; QN_E_RANGE (the grammar becomes too large); QN_E_NOMEM */
QN_NODISCARD qn_status qn_schema_rule(qn_schema_writer *w, const char *name, const qn_buffer *body);

/** Goes into a part of the schema, for messages. @return what qn_schema_leave() wants */
size_t qn_schema_enter(qn_schema_writer *w, const char *keyword, const char *name);
/** Goes out again. */
void qn_schema_leave(qn_schema_writer *w, size_t mark);

/** Appends what a schema allows: the name of a rule, a literal or a group. */
QN_NODISCARD qn_status qn_schema_value(qn_schema_writer *w, const json_t *schema, qn_buffer *out);
/** qn_schema_value() of a part. @param name may be NULL */
QN_NODISCARD qn_status qn_schema_part(qn_schema_writer *w, const json_t *schema, const char *keyword, const char *name,
                                      qn_buffer *out);

/** Writes a schema of one type: "object", … */
QN_NODISCARD qn_status qn_schema_object(qn_schema_writer *w, const json_t *schema, qn_buffer *out);
QN_NODISCARD qn_status qn_schema_array(qn_schema_writer *w, const json_t *schema, qn_buffer *out);   /**< "array" */
QN_NODISCARD qn_status qn_schema_string(qn_schema_writer *w, const json_t *schema, qn_buffer *out);  /**< "string" */
QN_NODISCARD qn_status qn_schema_integer(qn_schema_writer *w, const json_t *schema, qn_buffer *out); /**< "integer" */
QN_NODISCARD qn_status qn_schema_number(qn_schema_writer *w, const json_t *schema, qn_buffer *out);  /**< "number" */

/** Reads a count. @param out unchanged where there is none. @return QN_OK; QN_E_FORMAT; QN_E_RANGE */
QN_NODISCARD qn_status qn_schema_count(const qn_schema_writer *w, const json_t *schema, const char *key, uint64_t *out);
/** Appends "{least,most}". @param most UINT64_MAX: no end */
void qn_schema_times(qn_buffer *out, uint64_t least, uint64_t most);

/**
 * The schema that both accept, with no more put together than is simple.
 * @param out borrowed from the writer
 */
QN_NODISCARD qn_status qn_schema_merge(qn_schema_writer *w, const json_t *a, const json_t *b, const json_t **out);

/** Whether a keyword says nothing of a document: a title, definitions, … */
bool qn_schema_is_remark(const char *key);

/** Appends bytes as a literal of a grammar. */
void qn_grammar_literal(qn_buffer *out, const char *bytes, size_t n);
/** Appends the JSON text of a value as a literal. @return false when memory is short */
bool qn_grammar_json_literal(qn_buffer *out, const json_t *value);
/** Appends the inside of a character class. */
void qn_grammar_class(qn_buffer *out, const qn_char_range *ranges, size_t n);

/**
 * Appends what a regular expression's matches look like inside a JSON string.
 * @return QN_OK; QN_E_FORMAT or QN_E_UNSUPPORTED with the place in the pattern; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_json_pattern(const char *pattern, const char *any_char, qn_buffer *out, qn_error *err);

#endif
