/* SPDX-License-Identifier: MIT */
/* pack_folder.c: packs a base model and a training run with libquern: pack_folder BASE RUN OUT [TYPES]. */
#include "quern/quern.h"

#include <stdio.h>
#include <stdlib.h>

static void on_event(void *user, const qn_event *event) {
    (void)user;
    switch (event->kind) {
    case QN_EVENT_STAGE: fprintf(stderr, "%s\n", event->stage); break;
    case QN_EVENT_WARNING: fprintf(stderr, "warning: %s\n", event->message); break;
    case QN_EVENT_OUTPUT:
        printf("%s  %s  %llu bytes  %.2f bits a weight\n", event->path, event->output_type,
               (unsigned long long)event->bytes_done, event->bits_per_weight);
        break;
    default: break;
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: pack_folder BASE RUN OUT [TYPES]\n");
        return 2;
    }
    const qn_pack_options options = {
        .base = argv[1], .run = argv[2], .out_dir = argv[3], .types = argc > 4 ? argv[4] : "Q4_K_M,Q8_0"};
    qn_error err = {0};
    qn_plan *plan = NULL;
    qn_job *job = qn_job_new(0, on_event, NULL);
    if (job == NULL) {
        fprintf(stderr, "out of memory\n");
        return 1;
    }
    qn_status status = qn_plan_new(&options, job, &plan, &err);
    if (status == QN_OK) {
        status = qn_plan_run(plan, job, &err);
    }
    if (status != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
    }
    qn_plan_free(plan);
    qn_job_free(job);
    return status == QN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
