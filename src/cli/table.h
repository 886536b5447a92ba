/* SPDX-License-Identifier: MIT */
/* table.h: aligned tables, lists of facts, and numbers as people read them. */
#ifndef QUERN_CLI_TABLE_H
#define QUERN_CLI_TABLE_H

#include "base/json.h"
#include "cli/terminal.h"

/** A short text returned by value, so that it can stand in an argument list. */
typedef struct qn_human {
    char text[32];
} qn_human;

qn_human qn_human_size(uint64_t n_bytes);      /**< "812 B", "2.37 MB", "45.3 GB": powers of 1000, three digits. */
qn_human qn_human_count(uint64_t n);           /**< "812", "3.41 K", "1.1 B": for weights; B is 10^9. */
qn_human qn_human_number(uint64_t n);          /**< "128,256" */
qn_human qn_human_seconds(double seconds);     /**< "0.42 s", "12.3 s", "2:05", "1:02:03" */
qn_human qn_human_rate(double bytes_a_second); /**< "312 MB/s" */
qn_human qn_human_bits(double bits);           /**< "4.83"; "-" when not above 0 */

/** Rows of text in columns. Cells that find no memory are left empty; a table never fails. */
typedef struct qn_table qn_table;

/**
 * @param aligns one letter a column: l left, r right, p left and shortened in front when the terminal is narrow,
 *               t left and shortened at the end; borrowed
 * @return NULL when memory is short; all functions accept NULL and do nothing
 */
qn_table *qn_table_new(const char *aligns);
/** Frees; accepts NULL. */
void qn_table_free(qn_table *table);
/** Adds the next cell, row by row; the first row is the heading. Control characters are made visible. */
void qn_table_add(qn_table *table, const char *fmt, ...) QN_PRINTF(2, 3);
/** Adds an array of counts as a cell: "768 x 256". */
void qn_table_add_shape(qn_table *table, const json_t *shape);
/** Rows below the heading. */
size_t qn_table_rows(const qn_table *table);
/** Prints, indented by two; columns p and t are shortened when to is a terminal. */
void qn_table_print(const qn_table *table, const qn_terminal *to);

/** Prints one fact: "  label           text"; control characters are made visible. */
void qn_print_fact(const qn_terminal *to, const char *label, const char *fmt, ...) QN_PRINTF(3, 4);

#endif
