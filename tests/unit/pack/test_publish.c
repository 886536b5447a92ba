/* SPDX-License-Identifier: MIT */
/* test_publish.c: whatever stops a job, and whatever happens to what it left, the next run gives the same bytes. */
#include "pack/pack_case.h"

#include "base/hash.h"
#include "container/gguf.h"
#include "pack/journal.h"
#include "pack/plan.h"

#include <math.h>
#include <sys/wait.h>

enum { N_TENSORS = 3 + 9 * TINY_LAYER, N_OUTPUTS = 2 };

/* Rows of 63 feed-forward channels: as Q8_0 their matrices end between two multiples of 32 bytes. */
enum { ODD_FF = 63 };

static void write_base(const pack_case *c, bool has_nan) {
    tiny_list list;
    tiny_llama(&list);
    for (size_t i = 0; i < list.n; i++) {
        tiny_tensor *t = &list.tensors[i];
        for (unsigned d = 0; d < t->n_dims; d++) {
            t->dims[d] = t->dims[d] == TINY_FF ? ODD_FF : t->dims[d];
        }
        t->nan_at = has_nan ? 40 % (int64_t)tiny_elements(t) : TINY_NO_NAN;
    }
    tiny_write_model(&list, c->base, "{'intermediate_size':63}");
    list.n = 0;
    tiny_add_pair(&list, "model.layers.0.self_attn.q_proj", 4, 32, TINY_EMBD);
    tiny_write_adapter(&list, c->adapter, NULL);
}

static qn_pack_options options_for(const pack_case *c, const qn_pack_adapter *adapter) {
    return (qn_pack_options){
        .base = c->base, .adapters = adapter, .n_adapters = 1, .types = "Q8_0,F16", .no_sync = true};
}

/* ---- interruptions ---- */

/* Cancels its job at the nth warning, or at the beginning of a stage. */
typedef struct breaker {
    qn_job *job;
    unsigned n_warnings_left; /* 0: at none */
    const char *stage;        /* NULL: at none */
    char notes[1024];
    unsigned n_outputs;  /* told as finished */
    unsigned n_verdicts; /* told with them */
    unsigned n_done;
    unsigned n_failed;
} breaker;

static void listen(void *user, const qn_event *event) {
    breaker *b = user;
    if (event->kind == QN_EVENT_WARNING && b->n_warnings_left > 0 && --b->n_warnings_left == 0) {
        qn_job_cancel(b->job);
    }
    if (event->kind == QN_EVENT_STAGE && b->stage != NULL && strcmp(event->stage, b->stage) == 0) {
        qn_job_cancel(b->job);
    }
    if (event->kind == QN_EVENT_NOTE) {
        const size_t used = strlen(b->notes);
        (void)snprintf(b->notes + used, sizeof b->notes - used, "%s\n", event->message);
    }
    b->n_outputs += event->kind == QN_EVENT_OUTPUT ? 1 : 0;
    b->n_verdicts += event->verdict != NULL && event->verdict->is_compared && event->verdict->kld == 0.25 ? 1 : 0;
    b->n_done += event->kind == QN_EVENT_DONE ? 1 : 0;
    b->n_failed += event->kind == QN_EVENT_FAILED ? 1 : 0;
}

static qn_status run_with(const qn_pack_options *options, unsigned n_threads, breaker *b, qn_error *err) {
    qn_job *job = qn_job_new(n_threads, listen, b);
    assert_non_null(job);
    b->job = job;
    const qn_status status = pack_all(options, job, err);
    assert_int_equal(b->n_done, status == QN_OK ? 1 : 0);
    qn_job_free(job);
    return status;
}

static void run_to_end(const qn_pack_options *options, unsigned n_threads) {
    breaker b = {.stage = NULL};
    qn_error err;
    assert_ok(&err, run_with(options, n_threads, &b, &err));
    assert_int_equal(b.n_failed, 0);
}

/* Every tensor has a NaN and so warns once it is written: the warnings count the units. */
static void test_interrupted_at_any_unit(void **state) {
    static const unsigned threads[] = {1, 2, 5};
    pack_case c;
    (void)state;
    begin_case(&c);
    write_base(&c, true);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    char *whole = join_path(c.root, "whole");
    options.allow_nan = true;
    options.out_dir = whole;
    run_to_end(&options, 1);
    assert_int_equal(count_names(whole), N_OUTPUTS);
    options.out_dir = c.out;
    for (unsigned k = 1; k <= N_TENSORS; k += k < 2 ? 1 : 6) {
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            breaker b = {.n_warnings_left = k};
            qn_error err;
            assert_status(&err, run_with(&options, threads[t], &b, &err), QN_E_INTERRUPTED);
            assert_int_equal(b.n_failed, 1);
            assert_int_equal(count_names(c.out), N_OUTPUTS + 1); /* .part files and the journal */
            char *part = find_ending(c.out, "base-Q8_0.gguf.part");
            char *journal = find_ending(c.out, ".quern-journal");
            assert_true(part != NULL && journal != NULL);
            free(part);
            free(journal);
            breaker again = {.stage = NULL};
            assert_ok(&err, run_with(&options, threads[(t + 1) % 3], &again, &err));
            assert_non_null(strstr(again.notes, "going on with an interrupted job"));
            if (threads[t] == 1) {
                char wanted[64];
                (void)snprintf(wanted, sizeof wanted, ": %u of %u parts", k, N_TENSORS);
                assert_non_null(strstr(again.notes, wanted));
            }
            assert_int_equal(again.n_outputs, N_OUTPUTS);
            assert_true(same_folder(whole, c.out));
            remove_tree(c.out);
        }
    }
    free(whole);
    end_case(&c);
}

/* Stopped again and again, a unit or two further each time. */
static void test_interrupted_often(void **state) {
    pack_case c;
    qn_error err;
    (void)state;
    begin_case(&c);
    write_base(&c, true);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    char *whole = join_path(c.root, "whole");
    options.allow_nan = true;
    options.out_dir = whole;
    run_to_end(&options, 3);
    options.out_dir = c.out;
    unsigned n_runs = 0;
    qn_status status = QN_E_INTERRUPTED;
    while (status == QN_E_INTERRUPTED && n_runs++ < 50) {
        breaker b = {.n_warnings_left = 2};
        status = run_with(&options, 1, &b, &err);
    }
    assert_ok(&err, status);
    assert_int_equal(n_runs, N_TENSORS / 2 + 1);
    assert_true(same_folder(whole, c.out));
    free(whole);
    end_case(&c);
}

/* Cancelled before the first unit: as if it had never begun. Cancelled after the last: all of it is kept. */
static void test_interrupted_at_the_ends(void **state) {
    pack_case c;
    qn_error err;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    options.out_dir = c.out;
    breaker first = {.stage = "GGUF conversion"};
    assert_status(&err, run_with(&options, 2, &first, &err), QN_E_INTERRUPTED);
    assert_int_equal(count_names(c.out), 0);
    breaker last = {.stage = "Verify"};
    assert_status(&err, run_with(&options, 2, &last, &err), QN_E_INTERRUPTED);
    assert_int_equal(count_names(c.out), N_OUTPUTS + 1);
    breaker b = {.stage = NULL};
    assert_ok(&err, run_with(&options, 2, &b, &err));
    assert_non_null(strstr(b.notes, ": 21 of 21 parts"));
    assert_int_equal(count_names(c.out), N_OUTPUTS);
    end_case(&c);
}

/* ---- damage to what an interrupted job left ---- */

typedef enum damage_kind { FLIP, CUT, GROW, REMOVE, EMPTY, FILL } damage_kind;

/* Does it to a file. @param at of the file's bytes, from its end when negative */
static void damage(const char *path, damage_kind kind, int64_t at) {
    size_t n = 0;
    unsigned char *bytes = read_file(path, &n);
    const size_t off = at < 0 ? n - (size_t)-at : (size_t)at;
    assert_true(off < n || kind == GROW);
    switch (kind) {
    case FLIP: bytes[off] ^= 0x10; break;
    case FILL: memset(bytes, 0xA5, n); break;
    default: break;
    }
    FILE *file = kind == REMOVE ? NULL : fopen(path, "wb");
    if (kind == REMOVE) {
        assert_int_equal(unlink(path), 0);
    } else {
        const size_t n_kept = kind == CUT ? off : kind == EMPTY ? 0 : n;
        assert_int_equal(fwrite(bytes, 1, n_kept, file), n_kept);
        if (kind == GROW) {
            assert_int_equal(fwrite("more", 1, 4, file), 4);
        }
        assert_int_equal(fclose(file), 0);
    }
    free(bytes);
}

static const struct {
    const char *file; /* ending of its name */
    damage_kind kind;
    int64_t at;
} damages[] = {
    {".quern-journal", REMOVE, 0},    {".quern-journal", EMPTY, 0},    {".quern-journal", FILL, 0},
    {".quern-journal", FLIP, 0},      {".quern-journal", FLIP, 8},     {".quern-journal", FLIP, 40},
    {".quern-journal", FLIP, -1},     {".quern-journal", FLIP, -40},   {".quern-journal", CUT, 31},
    {".quern-journal", CUT, 32},      {".quern-journal", CUT, 33},     {".quern-journal", CUT, -1},
    {".quern-journal", CUT, -32},     {".quern-journal", GROW, 0},     {"Q8_0.gguf.part", REMOVE, 0},
    {"F16.gguf.part", REMOVE, 0},     {"Q8_0.gguf.part", EMPTY, 0},    {"Q8_0.gguf.part", FILL, 0},
    {"Q8_0.gguf.part", GROW, 0},      {"Q8_0.gguf.part", CUT, -1},     {"Q8_0.gguf.part", CUT, 100},
    {"Q8_0.gguf.part", FLIP, 0},      {"Q8_0.gguf.part", FLIP, 25},    {"Q8_0.gguf.part", FLIP, 40000},
    {"Q8_0.gguf.part", FLIP, 70000},  {"Q8_0.gguf.part", FLIP, -1},    {"F16.gguf.part", FLIP, -1},
    {"F16.gguf.part", FLIP, -140000}, {"F16.gguf.part", FLIP, 200000}, {"F16.gguf.part", FILL, 0},
};

static void test_damaged(void **state) {
    pack_case c;
    (void)state;
    begin_case(&c);
    write_base(&c, true);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    char *whole = join_path(c.root, "whole");
    options.allow_nan = true;
    options.out_dir = whole;
    run_to_end(&options, 2);
    options.out_dir = c.out;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        breaker b = {.n_warnings_left = N_TENSORS - 3};
        qn_error err;
        assert_status(&err, run_with(&options, 2, &b, &err), QN_E_INTERRUPTED);
        char *path = find_ending(c.out, damages[i].file);
        assert_non_null(path);
        damage(path, damages[i].kind, damages[i].at);
        free(path);
        run_to_end(&options, 2);
        if (!same_folder(whole, c.out)) {
            print_error("row %zu: %s\n", i, damages[i].file);
            fail();
        }
        remove_tree(c.out);
    }
    free(whole);
    end_case(&c);
}

/* Bytes between tensors belong to no unit; damaged ones are put right all the same. */
static void test_damaged_padding(void **state) {
    pack_case c;
    qn_error err;
    qn_plan *plan = NULL;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    char *whole = join_path(c.root, "whole");
    options.out_dir = whole;
    run_to_end(&options, 2);
    options.out_dir = c.out;
    breaker b = {.stage = "Verify"};
    assert_status(&err, run_with(&options, 2, &b, &err), QN_E_INTERRUPTED);
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    unsigned n_padded = 0;
    for (uint32_t o = 0; o < plan->n_outputs; o++) {
        const qn_plan_output *output = &plan->outputs[o];
        for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
            const uint64_t tail = output->tensors[i].file_off + output->tensors[i].size_bytes;
            if (tail % QN_GGUF_ALIGNMENT != 0) {
                damage(plan->files[output->first_file].part_path, FLIP, (int64_t)tail);
                n_padded++;
            }
        }
    }
    assert_true(n_padded >= 2);
    qn_plan_free(plan);
    run_to_end(&options, 2);
    assert_true(same_folder(whole, c.out));
    free(whole);
    end_case(&c);
}

/* ---- killed between renames ---- */

/* What a kill leaves when all is written: a journal that names files, some of which have their final name. */
static void leave_between_renames(const qn_pack_options *options, unsigned named, unsigned renamed) {
    qn_plan *plan = NULL;
    qn_journal *journal = NULL;
    qn_stream_state state;
    bool published[8] = {false};
    breaker b = {.stage = "Verify"};
    qn_error err;
    assert_status(&err, run_with(options, 2, &b, &err), QN_E_INTERRUPTED);
    qn_job *job = qn_job_new(1, NULL, NULL);
    assert_ok(&err, qn_plan_new(options, job, &plan, &err));
    assert_true(plan->resumes && plan->n_files <= 8);
    assert_ok(&err, qn_stream_state_new(&plan->stream, &state, &err));
    assert_ok(&err,
              qn_journal_open(plan->journal_path, plan->fingerprint, &plan->stream, &state, published, &journal, &err));
    for (uint32_t f = 0; f < plan->n_files; f++) {
        if ((named >> f & 1U) != 0) {
            assert_ok(&err, qn_journal_published(journal, f, &err));
        }
        if ((renamed >> f & 1U) != 0) {
            assert_int_equal(rename(plan->files[f].part_path, plan->files[f].path), 0);
        }
    }
    qn_journal_close(journal);
    qn_stream_state_clear(&state);
    qn_plan_free(plan);
    qn_job_free(job);
}

static void test_killed_between_renames(void **state) {
    static const struct {
        unsigned named, renamed; /* bits: files */
        uint64_t split_max_tensors;
    } rows[] = {{1, 0, 0}, {1, 1, 0}, {3, 1, 0}, {3, 3, 0}, {4, 4, 9}, {7, 6, 9}, {7, 7, 9}, {15, 15, 9}};
    pack_case c;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_pack_options options = options_for(&c, &adapter);
        char *whole = join_path(c.root, "whole");
        options.split_max_tensors = rows[i].split_max_tensors;
        options.out_dir = whole;
        run_to_end(&options, 2);
        options.out_dir = c.out;
        leave_between_renames(&options, rows[i].named, rows[i].renamed);
        breaker b = {.stage = NULL};
        qn_error err;
        assert_ok(&err, run_with(&options, 2, &b, &err)); /* without --force */
        assert_non_null(strstr(b.notes, ": 21 of 21 parts"));
        assert_true(same_folder(whole, c.out));
        remove_tree(c.out);
        remove_tree(whole);
        free(whole);
    }
    end_case(&c);
}

/* Somebody else's file has taken the name since: an interrupted job does not go over it. */
static void test_name_taken_since(void **state) {
    pack_case c;
    qn_error err;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    options.out_dir = c.out;
    breaker b = {.stage = "Verify"};
    assert_status(&err, run_with(&options, 2, &b, &err), QN_E_INTERRUPTED);
    char *path = write_text(c.out, "base-F16.gguf", "another's");
    breaker again = {.stage = NULL};
    assert_status(&err, run_with(&options, 2, &again, &err), QN_E_EXISTS);
    assert_message_has(&err, path);
    assert_message_has(&err, "--force");
    char *bytes = read_file(path, NULL);
    assert_string_equal(bytes, "another's");
    free(bytes);
    assert_int_equal(count_names(c.out), N_OUTPUTS + 2); /* what was done is still there */
    options.force = true;
    run_to_end(&options, 2);
    assert_int_equal(count_names(c.out), N_OUTPUTS);
    free(path);
    end_case(&c);
}

/* ---- asked before the names are given ---- */

/* Answers by type, and looks at what it is shown. */
typedef struct judge {
    const char *refuses; /* a type; "*": all; NULL: none */
    qn_status status;
    unsigned n_asked;
    unsigned n_parts;
} judge;

static qn_status answer(void *user, const qn_candidate *candidate, qn_job *job, qn_verdict *verdict, qn_error *err) {
    judge *j = user;
    uint64_t n_bytes = 0;
    assert_non_null(job);
    assert_false(path_exists(candidate->path));
    for (size_t i = 0; i < candidate->n_files; i++) {
        qn_file *file = NULL;
        assert_ok(err, qn_file_open(candidate->part_paths[i], &file, err));
        n_bytes += qn_file_size(file);
        qn_file_close(file);
    }
    assert_int_equal(n_bytes, candidate->size_bytes);
    assert_false(verdict->is_compared || verdict->has_answered || verdict->note[0] != '\0');
    j->n_asked++;
    j->n_parts += (unsigned)candidate->n_files;
    verdict->is_compared = true;
    verdict->kld = 0.25;
    if (j->refuses == NULL || (strcmp(j->refuses, "*") != 0 && strcmp(j->refuses, candidate->type) != 0)) {
        return QN_OK;
    }
    return qn_fail(err, j->status, "%s is not liked", candidate->type);
}

static qn_status run_judged(const qn_pack_options *options, judge *j, breaker *b, qn_error *err) {
    qn_plan *plan = NULL;
    qn_job *job = qn_job_new(2, listen, b);
    b->job = job;
    assert_ok(err, qn_plan_new(options, job, &plan, err));
    qn_plan_set_accept(plan, answer, j);
    const qn_status status = qn_plan_run(plan, job, err);
    qn_plan_free(plan);
    qn_job_free(job);
    return status;
}

/* What is refused keeps its .part name, the others get theirs; asked again, the job goes on without encoding. */
static void test_refused(void **state) {
    static const struct {
        const char *refuses;
        qn_status status;
        uint64_t split_max_tensors;
        unsigned n_asked;
        unsigned n_outputs; /* named in the first run */
        unsigned n_left;    /* names in the folder then: files, parts and the journal */
    } rows[] = {
        {NULL, QN_OK, 0, 2, 2, 2},     {"Q8_0", QN_E_RANGE, 0, 2, 1, 3}, {"F16", QN_E_UNSUPPORTED, 0, 2, 1, 3},
        {"*", QN_E_RANGE, 0, 2, 0, 3}, {"F16", QN_E_RANGE, 9, 2, 1, 7},  {"Q8_0", QN_E_INTERRUPTED, 0, 1, 0, 3},
    };
    pack_case c;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *whole = join_path(c.root, "whole");
        qn_error err = {0};
        breaker first = {.stage = NULL};
        breaker again = {.stage = NULL};
        judge strict = {.refuses = rows[i].refuses, .status = rows[i].status};
        judge mild = {.refuses = NULL};
        options.split_max_tensors = rows[i].split_max_tensors;
        options.out_dir = whole;
        run_to_end(&options, 2);
        options.out_dir = c.out;
        assert_status(&err, run_judged(&options, &strict, &first, &err), rows[i].status);
        assert_int_equal(strict.n_asked, rows[i].n_asked);
        assert_int_equal(first.n_outputs, rows[i].n_outputs);
        assert_int_equal(first.n_verdicts, rows[i].n_outputs);
        assert_int_equal(count_names(c.out), rows[i].n_left);
        if (rows[i].status != QN_OK) {
            assert_message_has(&err, "is not liked");
            assert_int_equal(first.n_failed, 1);
            assert_ok(&err, run_judged(&options, &mild, &again, &err));
            assert_int_equal(again.n_outputs, N_OUTPUTS);
            assert_non_null(strstr(again.notes, ": 21 of 21 parts"));
        }
        assert_true(same_folder(whole, c.out));
        remove_tree(c.out);
        remove_tree(whole);
        free(whole);
    }
    end_case(&c);
}

/* All reasons are told, one a line. A folder is not put before anybody. */
static void test_asked_of_what(void **state) {
    pack_case c;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    qn_error err = {0};
    breaker b = {.stage = NULL};
    judge strict = {.refuses = "*", .status = QN_E_RANGE};
    options.out_dir = c.out;
    assert_status(&err, run_judged(&options, &strict, &b, &err), QN_E_RANGE);
    assert_message_has(&err, "Q8_0 is not liked\nF16 is not liked");
    remove_tree(c.out);
    judge unasked = {.refuses = "*", .status = QN_E_RANGE};
    options.to_hf = true;
    options.types = "F16";
    assert_ok(&err, run_judged(&options, &unasked, &b, &err));
    assert_int_equal(unasked.n_asked, 0);
    assert_int_equal(b.n_verdicts, 0);
    end_case(&c);
}

/* ---- another process ---- */

static void test_locked(void **state) {
    pack_case c;
    qn_error err;
    qn_plan *plan = NULL;
    int ready[2];
    int stop[2];
    char byte = 0;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    options.out_dir = c.out;
    assert_int_equal(mkdir(c.out, 0777), 0);
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(stop), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        qn_journal *journal = NULL;
        qn_stream_state units;
        bool published[8] = {false};
        (void)close(stop[1]);
        const bool is_good = qn_stream_state_new(&plan->stream, &units, &err) == QN_OK &&
            qn_journal_open(plan->journal_path, plan->fingerprint, &plan->stream, &units, published, &journal, &err) ==
                QN_OK;
        _exit(is_good && write(ready[1], "x", 1) == 1 && read(stop[0], &byte, 1) >= 0 ? 0 : 1);
    }
    (void)close(stop[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_status(&err, qn_plan_run(plan, c.job, &err), QN_E_EXISTS);
    assert_message_has(&err, "another quern process");
    assert_int_equal(count_names(c.out), 1); /* the other's journal, untouched, and nothing of ours */
    (void)close(stop[1]);
    (void)close(ready[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(&err, qn_plan_run(plan, c.job, &err));
    assert_int_equal(count_names(c.out), N_OUTPUTS);
    qn_plan_free(plan);
    end_case(&c);
}

/* A .part file that another job holds is neither written nor removed. */
static void test_part_held(void **state) {
    pack_case c;
    qn_error err;
    int ready[2];
    int stop[2];
    char byte = 0;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_options options = {.base = c.base, .types = "Q8_0,F32", .out_dir = c.out, .no_sync = true};
    assert_int_equal(mkdir(c.out, 0777), 0);
    char *held = join_path(c.out, "base-F32.gguf.part");
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(stop), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        qn_out *out = NULL;
        (void)close(stop[1]);
        const bool is_good = qn_out_open(held, 3, false, &out, &err) == QN_OK &&
            qn_out_write_at(out, 0, "abc", 3, &err) == QN_OK;
        _exit(is_good && write(ready[1], "x", 1) == 1 && read(stop[0], &byte, 1) >= 0 ? 0 : 1);
    }
    (void)close(stop[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_status(&err, pack_all(&options, c.job, &err), QN_E_EXISTS);
    assert_message_has(&err, held);
    assert_int_equal(count_names(c.out), 1);
    char *text = NULL;
    assert_ok(&err, qn_read_text(held, 16, &text, NULL, &err));
    assert_string_equal(text, "abc");
    free(text);
    (void)close(stop[1]);
    (void)close(ready[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(&err, pack_all(&options, c.job, &err));
    assert_int_equal(count_names(c.out), 2);
    free(held);
    end_case(&c);
}

/* ---- failures ---- */

static void test_failing_early_leaves_nothing(void **state) {
    pack_case c;
    qn_error err;
    (void)state;
    begin_case(&c);
    write_base(&c, true); /* the first tensor already holds a NaN */
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    options.out_dir = c.out;
    breaker b = {.stage = NULL};
    assert_status(&err, run_with(&options, 1, &b, &err), QN_E_RANGE);
    assert_int_equal(b.n_failed, 1);
    assert_int_equal(count_names(c.out), 0);
    char *in_the_way = make_dir(c.out, "base-F16.gguf.part"); /* the second file cannot be made */
    assert_status(&err, run_with(&options, 1, &b, &err), QN_E_IO);
    assert_message_has(&err, in_the_way);
    assert_int_equal(count_names(c.out), 1);
    free(in_the_way);
    remove_tree(c.out);
    free(write_text(c.root, "out", "a file"));
    assert_status(&err, pack_all(&options, c.job, &err), QN_E_IO);
    assert_message_has(&err, c.out);
    end_case(&c);
}

static void test_nan(void **state) {
    pack_case c;
    tiny_list list;
    qn_error err;
    tiny_heard heard = {0};
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    tiny_at(&list, "model.layers.1.mlp.up_proj.weight")->nan_at = 3 * TINY_EMBD + 7;
    tiny_write_model(&list, c.base, NULL);
    qn_pack_options options = {.base = c.base, .types = "Q8_0,F32", .out_dir = c.out, .no_sync = true};
    assert_status(&err, pack_all(&options, c.job, &err), QN_E_RANGE);
    assert_message_has(&err, "'blk.1.ffn_up.weight' row 3 column 7");
    assert_message_has(&err, "model.safetensors");
    assert_message_has(&err, "NaN");
    assert_message_has(&err, "--allow-nan");
    char *final = find_ending(c.out, ".gguf");
    assert_null(final);
    options.allow_nan = true;
    qn_job *job = qn_job_new(2, tiny_listen, &heard);
    assert_ok(&err, pack_all(&options, job, &err));
    qn_job_free(job);
    assert_int_equal(heard.n_warnings, 1);
    assert_non_null(strstr(heard.warnings, "'blk.1.ffn_up.weight'"));
    assert_int_equal(count_names(c.out), 2);
    qn_archive *archive = NULL;
    char *path = join_path(c.out, "base-F32.gguf");
    assert_ok(&err, qn_gguf_open(path, &archive, &err));
    const qn_archive_tensor *t = qn_archive_find(archive, "blk.1.ffn_up.weight");
    float value = 0;
    assert_ok(&err,
              qn_file_read_at(t->file, t->file_off + sizeof(float) * (3 * TINY_EMBD + 7), &value, sizeof value, &err));
    assert_true(isnan(value));
    qn_archive_close(archive);
    free(path);
    end_case(&c);
}

/* ---- whole runs ---- */

/* The same bytes for any number of threads; nothing else is left; what is told fits what is there. */
static void test_threads_and_events(void **state) {
    static const unsigned threads[] = {1, 2, 3, 8};
    pack_case c;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    char *whole = join_path(c.root, "whole");
    options.types = "Q8_0,F16,F32,BF16,Q4_0";
    options.out_dir = whole;
    run_to_end(&options, 1);
    options.out_dir = c.out;
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        breaker b = {.stage = NULL};
        qn_error err;
        options.no_verify = t == 1;
        options.no_sync = t != 2;
        assert_ok(&err, run_with(&options, threads[t], &b, &err));
        assert_int_equal(b.n_outputs, 5);
        assert_true(same_folder(whole, c.out));
        remove_tree(c.out);
    }
    free(whole);
    end_case(&c);
}

/* A source that changed in between is another job: nothing of the old one is taken over. */
static void test_changed_source(void **state) {
    pack_case c;
    qn_error err;
    qn_plan *plan = NULL;
    (void)state;
    begin_case(&c);
    write_base(&c, false);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    qn_pack_options options = options_for(&c, &adapter);
    options.out_dir = c.out;
    breaker b = {.stage = "Verify"};
    assert_status(&err, run_with(&options, 2, &b, &err), QN_E_INTERRUPTED);
    static const char *const changes[] = {"{'intermediate_size':63,'rope_theta':9999.0}",
                                          "{'intermediate_size':63,'rope_scaling':{'rope_type':'llama3','factor':9}}"};
    uint64_t seen[3] = {0};
    for (size_t i = 0; i < 2; i++) {
        tiny_write_json(c.base, "config.json", tiny_llama_config, changes[i]);
        assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
        assert_false(plan->resumes);
        seen[i] = plan->fingerprint;
        qn_plan_free(plan);
    }
    /* the factor of llama3 stands in no key of the header, only in the generated tensor */
    tiny_write_json(c.base, "config.json", tiny_llama_config,
                    "{'intermediate_size':63,'rope_scaling':{'rope_type':'llama3','factor':8}}");
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    seen[2] = plan->fingerprint;
    qn_plan_free(plan);
    assert_true(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    end_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupted_at_any_unit),
        cmocka_unit_test(test_interrupted_often),
        cmocka_unit_test(test_interrupted_at_the_ends),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_damaged_padding),
        cmocka_unit_test(test_killed_between_renames),
        cmocka_unit_test(test_name_taken_since),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_asked_of_what),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_part_held),
        cmocka_unit_test(test_failing_early_leaves_nothing),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_threads_and_events),
        cmocka_unit_test(test_changed_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
