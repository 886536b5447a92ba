/* SPDX-License-Identifier: MIT */
/* hparams_rows.h: the table of names and limits of hyper-parameters. Private to src/arch/. */
#ifndef QUERN_ARCH_HPARAMS_ROWS_H
#define QUERN_ARCH_HPARAMS_ROWS_H

#include "arch/hparams.h"

enum { QN_MAX_HP_NAMES = 7 };

/** One number: its names in config.json, the first found wins, and what is accepted. */
typedef struct qn_hp_row {
    qn_hp hp;
    bool is_count; /**< an integer */
    double min;
    double max;
    const char *names[QN_MAX_HP_NAMES]; /**< NULL behind the last */
} qn_hp_row;

/** The row of a number; NULL for one that config.json has no name for (it is derived). */
const qn_hp_row *qn_hp_row_of(qn_hp hp);

/** Whether a value lies within the row's limits. */
bool qn_hp_is_fit(const qn_hp_row *row, double v);

/** A float32 as the shortest decimal that is this float32: 1e-5, not 9.99999975e-6. */
double qn_shortest_decimal(double v);

/** Heads share evenly. @return QN_E_FORMAT */
QN_NODISCARD qn_status qn_hparams_check_heads(const char *where, const qn_hparams *h, qn_error *err);

/** There are experts, and no more of them are used than there are. @return QN_E_FORMAT */
QN_NODISCARD qn_status qn_hparams_check_experts(const char *where, const qn_hparams *h, qn_error *err);

#endif
