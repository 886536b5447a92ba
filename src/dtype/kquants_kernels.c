/* SPDX-License-Identifier: MIT */
/* kquants_kernels.c: Q2_K to Q6_K at one level, normal effort. */
#include "dtype/kquants_lanes.h"

static void q2_k_batch(const lane_batch *batch) {
    superblocks s;
    int_lanes d;
    int_lanes dmin;
    encode_affine_superblocks(batch, &q2_k_type, &s, &d, &dmin);
    write_q2_k(batch, &s, d, dmin);
}

static void q3_k_batch(const lane_batch *batch) {
    superblocks s;
    gather_superblocks(batch, &s);
    const int_lanes d = half_bits(fit_q3_k(batch, &s));
    recode_signed(&s, d, -4.0F, 3.0F);
    write_q3_k(batch, &s, d);
}

static void q4_k_batch(const lane_batch *batch) {
    superblocks s;
    int_lanes d;
    int_lanes dmin;
    encode_affine_superblocks(batch, &q4_k_type, &s, &d, &dmin);
    write_q4_k(batch, &s, d, dmin);
}

static void q5_k_batch(const lane_batch *batch) {
    superblocks s;
    int_lanes d;
    int_lanes dmin;
    encode_affine_superblocks(batch, &q5_k_type, &s, &d, &dmin);
    write_q5_k(batch, &s, d, dmin);
}

static void q6_k_batch(const lane_batch *batch) {
    superblocks s;
    int_lanes is_live;
    gather_superblocks(batch, &s);
    const int_lanes d = fit_q6_k(batch, &s, &is_live);
    recode_signed(&s, d, -32.0F, 31.0F);
    write_q6_k(batch, &s, d, is_live);
}

static void encode_q2_k(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q2_k), NULL, q2_k_batch);
}

static void encode_q3_k(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q3_k), NULL, q3_k_batch);
}

static void encode_q4_k(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q4_k), NULL, q4_k_batch);
}

static void encode_q5_k(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q5_k), NULL, q5_k_batch);
}

static void encode_q6_k(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_q6_k), NULL, q6_k_batch);
}

const qn_encoder QN_AT_LEVEL(qn_kquant_encoders)[] = {
    {QN_Q2_K, QN_EFFORT_NORMAL, encode_q2_k}, {QN_Q3_K, QN_EFFORT_NORMAL, encode_q3_k},
    {QN_Q4_K, QN_EFFORT_NORMAL, encode_q4_k}, {QN_Q5_K, QN_EFFORT_NORMAL, encode_q5_k},
    {QN_Q6_K, QN_EFFORT_NORMAL, encode_q6_k}, {QN_F32, QN_EFFORT_NORMAL, NULL},
};
