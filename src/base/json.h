/* SPDX-License-Identifier: MIT */
/* json.h: JSON files through Jansson, with the field's bad habits (bare NaN) allowed for; typed look-ups. */
#ifndef QUERN_BASE_JSON_H
#define QUERN_BASE_JSON_H

#include "base/buffer.h"

#include <jansson.h>
#include <stdbool.h>

/**
 * Parses JSON text. Bare NaN, Infinity and -Infinity, as Python writes them, become null; integers that 64 bits
 * cannot hold become reals of about the same value.
 * @param where named in messages (a path)
 * @param text  len bytes; borrowed
 * @param out   a new reference; json_decref() it
 * @return QN_OK; QN_E_FORMAT with line and column; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_json_parse(const char *where, const char *text, size_t len, json_t **out, qn_error *err);

/** Reads and parses a file of at most max_bytes. @return also QN_E_NOT_FOUND, QN_E_IO, QN_E_RANGE */
QN_NODISCARD qn_status qn_json_load(const char *path, uint64_t max_bytes, json_t **out, qn_error *err);

/**
 * json_loadb(), tried twice: Jansson tells an allocation that failed within a word as a syntax error there, and a
 * file must not be blamed for it. For readers with flags of their own; others take qn_json_parse().
 */
json_t *qn_json_load_bytes(const char *text, size_t len, size_t flags, json_error_t *error);

/** Whether a failed parse ran out of memory: Jansson says so, or, when a value's own allocation failed, nothing. */
bool qn_json_ran_out(const json_error_t *error);

/** As qn_json_load, and the top value must be an object. */
QN_NODISCARD qn_status qn_json_load_object(const char *path, uint64_t max_bytes, json_t **out, qn_error *err);

/**
 * A JSON string of n bytes that may be anything: each byte that is not part of valid UTF-8 becomes U+FFFD, since
 * Jansson writes nothing at all for an object that holds such bytes.
 * @return a new reference; NULL when memory is short
 */
json_t *qn_json_text(const char *bytes, size_t n);

/**
 * Appends a value as JSON text. Not by json_dumps(): Jansson does not look whether an object's name found room in its
 * own buffer, and leaves the name out when memory is short.
 * @param value NULL fails
 * @param flags Jansson's
 * @return false when memory is short (b->has_failed tells, and stays) or the value cannot be written: a string that is
 *         not UTF-8, a circle, a top value that is neither array nor object without JSON_ENCODE_ANY
 */
bool qn_json_append(qn_buffer *b, const json_t *value, size_t flags);

/** As qn_json_append(), a text of its own; free() it. @return NULL when that fails */
char *qn_json_dump(const json_t *value, size_t flags);

/** The string at key, or NULL when it is absent, null or of another type. Borrowed. object may be NULL. */
const char *qn_json_string(const json_t *object, const char *key);
/** Reads a non-negative integer (a float with an integral value counts). @return false when absent or not one. */
bool qn_json_u64(const json_t *object, const char *key, uint64_t *out);
/** Reads a number. @return false when absent or not one. */
bool qn_json_f64(const json_t *object, const char *key, double *out);
/** Reads true or false. @return false when absent or not one. */
bool qn_json_bool(const json_t *object, const char *key, bool *out);
/** As qn_json_u64 for a value itself. */
bool qn_json_value_u64(const json_t *value, uint64_t *out);

#endif
