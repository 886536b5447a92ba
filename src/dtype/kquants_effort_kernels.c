/* SPDX-License-Identifier: MIT */
/* kquants_effort_kernels.c: Q2_K to Q6_K at one level, fast and best effort. */
#include "dtype/kquants_effort_lanes.h"

static void q2_k_fast(const lane_batch *batch) {
    superblocks s;
    int_lanes d;
    int_lanes dmin;
    encode_affine_superblocks(batch, &q2_k_fast_type, &s, &d, &dmin);
    write_q2_k(batch, &s, d, dmin);
}

static void q3_k_fast(const lane_batch *batch) {
    superblocks s;
    const int_lanes d = fit_fast(batch, &s, false);
    write_q3_k(batch, &s, d);
}

static void q4_k_fast(const lane_batch *batch) {
    superblocks s;
    int_lanes d;
    int_lanes dmin;
    encode_affine_superblocks(batch, &q4_k_fast_type, &s, &d, &dmin);
    write_q4_k(batch, &s, d, dmin);
}

static void q5_k_fast(const lane_batch *batch) {
    superblocks s;
    int_lanes d;
    int_lanes dmin;
    encode_affine_superblocks(batch, &q5_k_fast_type, &s, &d, &dmin);
    write_q5_k(batch, &s, d, dmin);
}

static void q6_k_fast(const lane_batch *batch) {
    superblocks s;
    const int_lanes d = fit_fast(batch, &s, true);
    write_q6_k(batch, &s, d, (int_lanes){0} == 0);
}

static void q2_k_best(const lane_batch *batch) {
    search f;
    int_lanes d;
    int_lanes dmin;
    search_affine(batch, &q2_k_type, &f, &d, &dmin);
    write_q2_k(batch, &f.s, d, dmin);
}

static void q3_k_best(const lane_batch *batch) {
    search f;
    gather_superblocks(batch, &f.s);
    const int_lanes d = search_signed(batch, &q3_k_signed, &f, half_bits(fit_q3_k(batch, &f.s)));
    write_q3_k(batch, &f.s, d);
}

static void q4_k_best(const lane_batch *batch) {
    search f;
    int_lanes d;
    int_lanes dmin;
    search_affine(batch, &q4_k_type, &f, &d, &dmin);
    write_q4_k(batch, &f.s, d, dmin);
}

static void q5_k_best(const lane_batch *batch) {
    search f;
    int_lanes d;
    int_lanes dmin;
    search_affine(batch, &q5_k_type, &f, &d, &dmin);
    write_q5_k(batch, &f.s, d, dmin);
}

static void q6_k_best(const lane_batch *batch) {
    search f;
    int_lanes is_live;
    gather_superblocks(batch, &f.s);
    const int_lanes d = search_signed(batch, &q6_k_signed, &f, fit_q6_k(batch, &f.s, &is_live));
    write_q6_k(batch, &f.s, d, d != 0);
}

static void encode_q2_k_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q2_k), NULL, q2_k_fast);
}

static void encode_q3_k_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q3_k), NULL, q3_k_fast);
}

static void encode_q4_k_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q4_k), NULL, q4_k_fast);
}

static void encode_q5_k_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q5_k), NULL, q5_k_fast);
}

static void encode_q6_k_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q6_k), NULL, q6_k_fast);
}

static void encode_q2_k_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q2_k), NULL, q2_k_best);
}

static void encode_q3_k_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q3_k), NULL, q3_k_best);
}

static void encode_q4_k_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q4_k), NULL, q4_k_best);
}

static void encode_q5_k_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q5_k), NULL, q5_k_best);
}

static void encode_q6_k_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q6_k), NULL, q6_k_best);
}

const qn_encoder QN_AT_LEVEL(qn_kquant_efforts)[] = {
    {QN_Q2_K, QN_EFFORT_FAST, encode_q2_k_fast},
    {QN_Q2_K, QN_EFFORT_BEST, encode_q2_k_best},
    {QN_Q3_K, QN_EFFORT_FAST, encode_q3_k_fast},
    {QN_Q3_K, QN_EFFORT_BEST, encode_q3_k_best},
    {QN_Q4_K, QN_EFFORT_FAST, encode_q4_k_fast},
    {QN_Q4_K, QN_EFFORT_BEST, encode_q4_k_best},
    {QN_Q5_K, QN_EFFORT_FAST, encode_q5_k_fast},
    {QN_Q5_K, QN_EFFORT_BEST, encode_q5_k_best},
    {QN_Q6_K, QN_EFFORT_FAST, encode_q6_k_fast},
    {QN_Q6_K, QN_EFFORT_BEST, encode_q6_k_best},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
