/* SPDX-License-Identifier: MIT */
/* test_check.c: what a check finds of good outputs, of worse ones and of damaged ones; and what it cannot check. */
#include "pack/pack_case.h"

#include "calib/check_text.h"
#include "pack/plan.h"
#include "quern/check.h"

enum { MAX_OUTPUTS = 4 };

/* What a run told. */
typedef struct heard {
    qn_job *job;
    bool cancels; /* when the check begins */
    qn_verdict verdicts[MAX_OUTPUTS];
    unsigned n_outputs;
    unsigned n_progress; /* of the check */
    uint64_t bytes_done; /* of the check */
    uint64_t bytes_total;
    char notes[512];
} heard;

static void listen(void *user, const qn_event *e) {
    heard *h = user;
    const bool is_check = e->stage != NULL && strcmp(e->stage, "Check") == 0;
    if (e->kind == QN_EVENT_STAGE && is_check && h->cancels) {
        qn_job_cancel(h->job);
    }
    if (e->kind == QN_EVENT_OUTPUT) {
        assert_non_null(e->verdict);
        assert_true(h->n_outputs < MAX_OUTPUTS);
        h->verdicts[h->n_outputs++] = *e->verdict;
    }
    if (e->kind == QN_EVENT_PROGRESS && is_check) {
        h->n_progress++;
        h->bytes_done = e->bytes_done;
        h->bytes_total = e->bytes_total;
    }
    if (e->kind == QN_EVENT_NOTE) {
        (void)snprintf(h->notes, sizeof h->notes, "%s", e->message);
    }
}

static qn_status run_checked(const qn_pack_options *options, const qn_check_options *how, heard *h, qn_error *err) {
    qn_plan *plan = NULL;
    qn_check *check = NULL;
    qn_job *job = qn_job_new(2, listen, h);
    h->job = job;
    assert_ok(err, qn_plan_new(options, job, &plan, err));
    qn_status status = qn_check_new(plan, how, job, &check, err);
    if (status == QN_OK) {
        assert_true(qn_check_seconds(check) > 0 && qn_check_seconds(check) < 60);
        assert_true(qn_check_memory(check) > 1000 && qn_check_memory(check) < 100000000);
        qn_plan_set_accept(plan, qn_check_accept, check);
        status = qn_plan_run(plan, job, err);
    }
    qn_check_free(check);
    qn_plan_free(plan);
    qn_job_free(job);
    return status;
}

static const qn_pack_options sample = {.base = QN_SAMPLES_DIR "/miller-base",
                                       .run = QN_SAMPLES_DIR "/miller-sft",
                                       .types = "F32,Q8_0,Q4_K_M,Q2_K",
                                       .no_sync = true};

/* ---- good outputs ---- */

/* The fewer the bits, the further off; the unquantised file is not off at all. Shards are tried as they are. */
static void figures_of_the_sample(void **state) {
    static const struct {
        uint64_t split_max_tensors;
        double low, high; /* of Q4_K_M */
    } rows[] = {{0, 0.01, 0.03}, {13, 0.01, 0.03}};
    pack_case c;
    (void)state;
    begin_case(&c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_pack_options options = sample;
        const qn_check_options how = {.is_required = true};
        heard h = {.job = NULL};
        qn_error err = {0};
        options.out_dir = c.out;
        options.split_max_tensors = rows[i].split_max_tensors;
        assert_ok(&err, run_checked(&options, &how, &h, &err));
        assert_int_equal(h.n_outputs, 4);
        for (unsigned o = 0; o < 4; o++) {
            const qn_verdict *v = &h.verdicts[o];
            assert_true(v->is_compared && v->has_answered && v->has_ended);
            assert_int_equal(v->n_compared, 4 * 63);
            assert_true(v->n_answer > 0 && v->n_answer < 64);
            assert_string_equal(v->note, "");
            assert_true(o == 0 || (v->kld > 2 * v[-1].kld && v->same_top <= v[-1].same_top));
            assert_true(o == 0 || v->kld_error > 0);
        }
        assert_true(h.verdicts[0].kld < 1e-6 && h.verdicts[0].same_top > 0.999);
        assert_true(h.verdicts[2].kld > rows[i].low && h.verdicts[2].kld < rows[i].high);
        assert_true(h.n_progress > 0 && h.bytes_done > 0 && h.bytes_done <= h.bytes_total);
        remove_tree(c.out);
    }
    end_case(&c);
}

/* What diverges more than is wanted stays a .part file; the next run takes it as it is. */
static void a_limit(void **state) {
    pack_case c;
    (void)state;
    begin_case(&c);
    qn_pack_options options = sample;
    const qn_check_options strict = {.is_required = true, .has_max_kld = true, .max_kld = 0.005};
    const qn_check_options mild = {.has_max_kld = true, .max_kld = 1};
    heard h = {.job = NULL};
    heard again = {.job = NULL};
    qn_error err = {0};
    options.types = "Q8_0,Q2_K";
    options.out_dir = c.out;
    assert_status(&err, run_checked(&options, &strict, &h, &err), QN_E_RANGE);
    assert_message_has(&err, "miller-sft-Q2_K.gguf.part");
    assert_message_has(&err, "at most 0.005 was asked for");
    assert_int_equal(h.n_outputs, 1);
    assert_int_equal(count_names(c.out), 3);
    assert_ok(&err, run_checked(&options, &mild, &again, &err));
    assert_non_null(strstr(again.notes, "39 of 39 parts"));
    assert_int_equal(again.n_outputs, 2);
    assert_int_equal(count_names(c.out), 2);
    end_case(&c);
}

/* Interrupted within the check: everything is kept, and nothing has a name. */
static void interrupted(void **state) {
    pack_case c;
    (void)state;
    begin_case(&c);
    qn_pack_options options = sample;
    const qn_check_options how = {.is_required = false};
    heard h = {.cancels = true};
    heard again = {.job = NULL};
    qn_error err = {0};
    options.types = "Q8_0,Q4_0";
    options.out_dir = c.out;
    assert_status(&err, run_checked(&options, &how, &h, &err), QN_E_INTERRUPTED);
    assert_int_equal(h.n_outputs, 0);
    assert_int_equal(count_names(c.out), 3);
    assert_ok(&err, run_checked(&options, &how, &again, &err));
    assert_non_null(strstr(again.notes, "39 of 39 parts"));
    assert_int_equal(count_names(c.out), 2);
    end_case(&c);
}

/* ---- damaged ones ---- */

/* A norm's weights begin with these bytes instead. */
static void damage_norm(const char *path, const qn_plan *plan, const char *tensor, const unsigned char *bytes) {
    uint64_t off = 0;
    for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
        const qn_placed_tensor *t = &plan->outputs[0].tensors[i];
        off = strcmp(t->name, tensor) == 0 ? t->file_off : off;
    }
    assert_true(off > 0);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)off, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, 4, file), 4);
    assert_int_equal(fclose(file), 0);
}

/* Tries a file that is damaged behind the job's back. */
static void damaged_outputs(void **state) {
    static const unsigned char nan[4] = {0, 0, 0xC0, 0x7F};
    static const unsigned char infinite[4] = {0, 0, 0x80, 0x7F};
    static const unsigned char large[4] = {0, 0, 0xC0, 0x42}; /* 96 */
    static const struct {
        const unsigned char *bytes; /* NULL: the file is cut off */
        bool allow_nan;
        qn_status status;
        const char *told; /* in the message, or in the note */
    } rows[] = {
        {nan, false, QN_E_RANGE, "not finite"},
        {infinite, false, QN_E_RANGE, "overflow as F32"},
        {nan, true, QN_OK, "not finite"},
        {large, false, QN_E_RANGE, "at most 0.01 was asked for"},
        {NULL, false, QN_E_FORMAT, "past the file's end"},
    };
    pack_case c;
    qn_error err = {0};
    (void)state;
    begin_case(&c);
    qn_pack_options options = {.base = c.base, .types = "F32", .out_dir = c.out, .no_sync = true};
    assert_ok(&err, pack_all(&options, c.job, &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_plan *plan = NULL;
        qn_check *check = NULL;
        qn_verdict verdict = {0};
        const qn_check_options how = {.has_max_kld = !rows[i].allow_nan, .max_kld = 0.01};
        char *whole = join_path(c.out, "base-F32.gguf");
        char *path = join_path(c.root, "damaged");
        size_t n = 0;
        options.out_dir = c.root;
        options.allow_nan = rows[i].allow_nan;
        char *bytes = read_file(whole, &n);
        FILE *file = fopen(path, "wb");
        n -= rows[i].bytes == NULL ? 4000 : 0;
        assert_int_equal(fwrite(bytes, 1, n, file), n);
        assert_int_equal(fclose(file), 0);
        assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
        if (rows[i].bytes != NULL) {
            damage_norm(path, plan, "output_norm.weight", rows[i].bytes);
        }
        const char *const paths[] = {path};
        const qn_candidate candidate = {
            .type = "F32", .path = whole, .part_paths = paths, .n_files = 1, .size_bytes = n};
        assert_ok(&err, qn_check_new(plan, &how, c.job, &check, &err));
        assert_status(&err, qn_check_accept(check, &candidate, c.job, &verdict, &err), rows[i].status);
        if (rows[i].status == QN_OK) {
            assert_non_null(strstr(verdict.note, rows[i].told));
        } else {
            assert_message_has(&err, rows[i].told);
            assert_message_has(&err, path);
        }
        qn_check_free(check);
        qn_plan_free(plan);
        free(bytes);
        free(path);
        free(whole);
    }
    end_case(&c);
}

/* ---- what cannot be checked ---- */

static void outputs_that_are_not_run(void **state) {
    pack_case c;
    qn_error err = {0};
    (void)state;
    begin_case(&c);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    const char *const short_ctx = "llama.context_length=int:3";
    char *text = write_text(c.root, "text", "Too short.");
    const struct {
        qn_pack_options options;
        qn_check_options how;
        qn_status status;
        const char *told;
    } rows[] = {
        {{.base = c.base, .types = "F16", .to_hf = true}, {.text = NULL}, QN_E_UNSUPPORTED, "folder"},
        {{.base = c.base, .preset = "lora", .adapters = &adapter, .n_adapters = 1},
         {.text = NULL},
         QN_E_UNSUPPORTED,
         "adapter"},
        {{.base = c.base, .types = "F16", .kv_overrides = &short_ctx, .n_kv_overrides = 1},
         {.text = NULL},
         QN_E_UNSUPPORTED,
         "context of 3 tokens"},
        {{.base = c.base, .types = "F16"}, {.text = text}, QN_E_USAGE, "at least 16 are needed"},
        {{.base = c.base, .types = "F16"}, {.text = "/nonexistent/text"}, QN_E_NOT_FOUND, "/nonexistent/text"},
        {{.base = c.base, .types = "F16"}, {.has_max_kld = true, .max_kld = -1}, QN_E_USAGE, "-1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_pack_options options = rows[i].options;
        heard h = {.job = NULL};
        options.out_dir = c.out;
        assert_status(&err, run_checked(&options, &rows[i].how, &h, &err), rows[i].status);
        assert_message_has(&err, rows[i].told);
        assert_int_equal(count_names(c.out), 0);
    }
    free(text);
    end_case(&c);
}

/* A source whose own logits are not finite says nothing of the outputs, unless it is asked. */
static void broken_source(void **state) {
    pack_case c;
    tiny_list list;
    qn_error err = {0};
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    tiny_at(&list, "model.norm.weight")->nan_at = 3;
    tiny_write_model(&list, c.base, NULL);
    const qn_pack_options options = {
        .base = c.base, .types = "F16", .out_dir = c.out, .allow_nan = true, .no_sync = true};
    const qn_check_options asked = {.is_required = true};
    const qn_check_options unasked = {.is_required = false};
    heard h = {.job = NULL};
    assert_status(&err, run_checked(&options, &asked, &h, &err), QN_E_RANGE);
    assert_int_equal(h.n_outputs, 0);
    assert_ok(&err, run_checked(&options, &unasked, &h, &err));
    assert_int_equal(h.n_outputs, 1);
    assert_false(h.verdicts[0].is_compared);
    assert_non_null(strstr(h.verdicts[0].note, "not checked: "));
    end_case(&c);
}

/* ---- text ---- */

static void windows_of_a_text(void **state) {
    static const struct {
        size_t n_letters; /* of a text of single letters and spaces; 0: our own text */
        uint64_t max_n, max_length;
        uint64_t n, length;
    } rows[] = {{20, 4, 128, 1, 21},  {300, 4, 128, 2, 128}, {1000, 4, 128, 4, 128},
                {1000, 1, 64, 1, 64}, {300, 4, 100, 3, 100}, {0, 4, 128, 4, 128}};
    char *dir = make_temp_dir();
    qn_tokenizer *tokenizer = NULL;
    qn_error err = {0};
    (void)state;
    assert_ok(&err, qn_tokenizer_open(QN_SAMPLES_DIR "/miller-base", NULL, &tokenizer, &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[4096] = "";
        for (size_t k = 0; k < rows[i].n_letters; k++) {
            text[k] = "0123456789"[k % 10];
        }
        char *path = write_text(dir, "text", text);
        const qn_window_limits limits = {.n = rows[i].max_n, .length = rows[i].max_length};
        qn_windows w;
        assert_ok(&err, qn_windows_cut(rows[i].n_letters == 0 ? NULL : path, tokenizer, &limits, &w, &err));
        assert_int_equal(w.n, rows[i].n);
        assert_true(rows[i].length == w.length || rows[i].n_letters < 100);
        assert_int_equal(w.ids.n, w.n * w.length);
        assert_int_equal(w.first, w.length / 2);
        assert_int_equal(qn_windows_counted(&w), w.length - 1 - w.length / 2);
        for (uint64_t k = 0; k < w.n && qn_tokenizer_adds_bos(tokenizer); k++) {
            assert_int_equal(w.ids.items[k * w.length], qn_tokenizer_role(tokenizer, QN_TOKEN_ROLE_BOS));
        }
        qn_windows_clear(&w);
        free(path);
    }
    qn_tokenizer_free(tokenizer);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_of_the_sample),
        cmocka_unit_test(a_limit),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(damaged_outputs),
        cmocka_unit_test(outputs_that_are_not_run),
        cmocka_unit_test(broken_source),
        cmocka_unit_test(windows_of_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
