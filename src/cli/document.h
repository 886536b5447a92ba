/* SPDX-License-Identifier: MIT */
/* document.h: reading the JSON documents that libquern answers with; what is absent reads as empty. */
#ifndef QUERN_CLI_DOCUMENT_H
#define QUERN_CLI_DOCUMENT_H

#include "base/json.h"

/** Parses a document of the library. @param out a new reference */
QN_NODISCARD qn_status qn_document_parse(const char *text, json_t **out, qn_error *err);

/** Prints a document to stdout, ends the line and frees the text. */
void qn_document_print(char *text);

/** A document as one line: newlines, which JSON has between tokens only, go with their indentation. Returns text. */
char *qn_document_line(char *text);

/** The string at key; "" when it is absent or no string. Borrowed. */
const char *qn_field_text(const json_t *object, const char *key);
/** The count at key; 0 when it is absent or no count. */
uint64_t qn_field_u64(const json_t *object, const char *key);
/** The number at key; 0 when it is absent or no number. */
double qn_field_f64(const json_t *object, const char *key);
/** Whether key holds true. */
bool qn_field_is(const json_t *object, const char *key);

#endif
