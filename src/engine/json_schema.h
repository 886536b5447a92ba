/* SPDX-License-Identifier: MIT */
/*
 * json_schema.h: a JSON schema as a grammar whose texts are JSON documents that the schema accepts.
 *
 * | understood | |
 * |---|---|
 * | any value | type (one or several), enum, const, anyOf, oneOf (as anyOf), allOf (put together), $ref within the
 * |           | document ("#", "#/$defs/x", …; recursion too), true, {} |
 * | object    | properties, required, additionalProperties, minProperties and maxProperties without properties |
 * | array     | items, prefixItems (also a list as items), additionalItems, minItems, maxItems |
 * | string    | minLength, maxLength; pattern; format date, time, date-time, uuid |
 * | integer   | minimum, maximum, exclusiveMinimum, exclusiveMaximum |
 * | number    | the same, where they are whole numbers |
 *
 * Titles, descriptions, defaults, examples and definitions say nothing of a document and are passed over; any other
 * keyword is refused by its name. Where a schema leaves something open, the grammar may allow less, never more:
 * properties come in the order written; others only where additionalProperties says so or no properties are named; all
 * of prefixItems are there; patterns stand for the plain regular expressions (no looking around, no references back);
 * white space is a blank, or a line's end and at most 12 blanks; behind a colon, a blank. oneOf does not keep two
 * branches from both holding.
 */
#ifndef QUERN_ENGINE_JSON_SCHEMA_H
#define QUERN_ENGINE_JSON_SCHEMA_H

#include "base/error.h"

/**
 * Writes a schema as GBNF.
 * @param text n bytes of JSON; borrowed
 * @param out  to be freed with free()
 * @return QN_OK; QN_E_FORMAT (not JSON, a keyword of the wrong type, contradictions), QN_E_UNSUPPORTED (a keyword or
 *         value, with its place in the schema); QN_E_RANGE (too large); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_json_schema_to_grammar(const char *text, size_t n, char **out, qn_error *err);

#endif
