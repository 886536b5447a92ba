/* SPDX-License-Identifier: MIT */
/* progress.c: one line, redrawn; its parts fall away from the right when the terminal is narrow. */
#include "cli/progress.h"

#include "base/buffer.h"
#include "base/file.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

static const double REDRAW_S = 0.1;   /* bar */
static const double FIRST_LINE_S = 2; /* plain lines: a short job says nothing */
static const double LINE_S = 5;

enum {
    STAGE_WIDTH = 15,
    RATE_WIDTH = 9,
    ETA_WIDTH = 12,
    MIN_BAR = 10,
    MAX_BAR = 40,
    TENSOR_WIDTH = 14,
    MESSAGE_WIDTH = 20,
    MIN_TENSOR = 8
};

void qn_progress_init(qn_progress *p, FILE *file, bool is_quiet) {
    *p = (qn_progress){.to = qn_terminal_of(file), .is_quiet = is_quiet, .last_s = -1};
}

void qn_progress_clear(qn_progress *p) {
    if (p->is_drawn) {
        (void)fputs("\r\033[K", p->to.file);
        (void)fflush(p->to.file);
        p->is_drawn = false;
    }
}

static uint64_t done_of(const qn_event *e) {
    return e->tokens_total > 0 ? e->tokens_done : e->bytes_done;
}

static uint64_t total_of(const qn_progress *p, const qn_event *e) {
    return e->tokens_total > 0 ? e->tokens_total : e->bytes_total > 0 ? e->bytes_total : p->total;
}

static qn_human rate_text(const qn_event *e) {
    qn_human h = {""};
    if (e->tokens_total > 0) {
        (void)snprintf(h.text, sizeof h.text, e->rate < 10 ? "%.2f t/s" : "%.0f t/s", e->rate);
        return h;
    }
    return qn_human_rate(e->rate);
}

static double share_done(const qn_progress *p, const qn_event *e) {
    const double total = (double)total_of(p, e);
    const double share = total > 0 ? (double)done_of(e) / total : 0;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static void put_bar(qn_buffer *line, const qn_terminal *to, double share, size_t width) {
    const size_t n_full = (size_t)(share * (double)width);
    qn_buffer_text(line, qn_terminal_style(to, QN_STYLE_GREEN));
    for (size_t i = 0; i < n_full; i++) {
        qn_buffer_text(line, to->is_utf8 ? "\xe2\x94\x81" : "#");
    }
    qn_buffer_text(line, qn_terminal_style(to, QN_STYLE_NONE));
    qn_buffer_text(line, qn_terminal_style(to, QN_STYLE_DIM));
    for (size_t i = n_full; i < width; i++) {
        qn_buffer_text(line, to->is_utf8 ? "\xe2\x94\x80" : "-");
    }
    qn_buffer_text(line, qn_terminal_style(to, QN_STYLE_NONE));
}

/* What is known so far, or the tensor's name without the ".weight" that nearly all have; cut to what is left. */
static void put_last(qn_buffer *line, const qn_terminal *to, const qn_event *e, size_t width) {
    const char *tensor = e->message != NULL ? e->message : e->tensor;
    qn_arena *arena = qn_arena_new();
    if (arena == NULL) {
        return;
    }
    const size_t len = strlen(tensor);
    const size_t kept = qn_ends_with(tensor, ".weight") ? len - 7 : len;
    const char *name = qn_arena_copy(arena, tensor, kept);
    const char *clean = name == NULL ? NULL : qn_clean_text(arena, name);
    const char *clipped = clean == NULL ? NULL : qn_clip_text(arena, clean, width, QN_CLIP_END, to->is_utf8);
    qn_buffer_printf(line, "  %s%s%s", qn_terminal_style(to, QN_STYLE_DIM), clipped == NULL ? "" : clipped,
                     qn_terminal_style(to, QN_STYLE_NONE));
    qn_arena_free(arena);
}

static void put_rate_and_eta(qn_buffer *line, const qn_event *e, size_t *left) {
    if (*left >= MIN_BAR + 2 + RATE_WIDTH) {
        qn_buffer_printf(line, "  %*s", RATE_WIDTH, e->rate > 0 ? rate_text(e).text : "");
        *left -= 2 + RATE_WIDTH;
    }
    if (*left >= MIN_BAR + 2 + ETA_WIDTH) {
        char eta[48] = "";
        if (e->kind == QN_EVENT_DONE) {
            (void)snprintf(eta, sizeof eta, "in %s", qn_human_seconds(e->seconds).text);
        } else if (e->eta_s >= 0 && e->rate > 0) {
            (void)snprintf(eta, sizeof eta, "%s left", qn_human_seconds(e->eta_s).text);
        }
        qn_buffer_printf(line, "  %*s", ETA_WIDTH, eta);
        *left -= 2 + ETA_WIDTH;
    }
}

static void draw_bar(qn_progress *p, const qn_event *e) {
    const double share = share_done(p, e);
    qn_buffer line = {0};
    qn_buffer tail = {0};
    size_t left = qn_terminal_width(&p->to) - 1; /* the last column would wrap on some terminals */
    qn_buffer_printf(&line, "%-*.*s %3d%% ", STAGE_WIDTH, STAGE_WIDTH, e->stage == NULL ? "" : e->stage,
                     (int)(share * 100));
    left = left > line.len ? left - line.len : 0;
    put_rate_and_eta(&tail, e, &left);
    const size_t last = e->message != NULL ? MESSAGE_WIDTH : TENSOR_WIDTH;
    const size_t wanted = left > last + 2 + MIN_BAR ? left - last - 2 : left > MIN_BAR ? MIN_BAR : left;
    const size_t bar = wanted > MAX_BAR ? MAX_BAR : wanted;
    left -= bar;
    put_bar(&line, &p->to, share, bar);
    qn_buffer_append(&line, tail.data, tail.len);
    if ((e->message != NULL || e->tensor != NULL) && left >= MIN_TENSOR + 2) {
        put_last(&line, &p->to, e, left - 2);
    }
    qn_buffer_text(&line, "\033[K");
    if (!line.has_failed && !tail.has_failed) {
        (void)fputc('\r', p->to.file);
        (void)fwrite(line.data, 1, line.len, p->to.file);
        (void)fflush(p->to.file);
        p->is_drawn = true;
    }
    qn_buffer_clear(&line);
    qn_buffer_clear(&tail);
}

static void print_line(const qn_progress *p, const qn_event *e) {
    const uint64_t done = done_of(e);
    const uint64_t total = total_of(p, e);
    (void)fprintf(p->to.file, "%s: %d%%, ", e->stage == NULL ? "working" : e->stage, (int)(share_done(p, e) * 100));
    if (e->tokens_total > 0) {
        (void)fprintf(p->to.file, "%s of %s tokens", qn_human_number(done).text, qn_human_number(total).text);
    } else {
        (void)fprintf(p->to.file, "%s of %s", qn_human_size(done).text, qn_human_size(total).text);
    }
    if (e->rate > 0) {
        (void)fprintf(p->to.file, ", %s", rate_text(e).text);
    }
    if (e->rate > 0 && e->eta_s >= 0) {
        (void)fprintf(p->to.file, ", %s left", qn_human_seconds(e->eta_s).text);
    }
    if (e->message != NULL) {
        (void)fprintf(p->to.file, ", %s", e->message);
    }
    (void)fputc('\n', p->to.file);
    (void)fflush(p->to.file);
}

static void show_progress(qn_progress *p, const qn_event *e) {
    const double wait = p->to.can_redraw ? REDRAW_S : p->last_s < 0 ? FIRST_LINE_S : LINE_S;
    const double since = p->last_s < 0 && !p->to.can_redraw ? 0 : p->last_s;
    if (p->is_quiet || e->time_s - since < wait) {
        return;
    }
    p->last_s = e->time_s;
    if (p->to.can_redraw) {
        draw_bar(p, e);
    } else {
        print_line(p, e);
    }
}

/* The full bar stays on the screen, with the bytes written and the time of the whole job. */
static void show_done(qn_progress *p, const qn_event *e) {
    if (p->to.can_redraw && !p->is_quiet) {
        qn_event full = *e;
        full.stage = "Done";
        full.bytes_total = e->bytes_done > 0 ? e->bytes_done : 1;
        full.bytes_done = full.bytes_total;
        full.rate = e->seconds > 0 ? (double)e->bytes_done / e->seconds : 0;
        draw_bar(p, &full);
        (void)fputc('\n', p->to.file);
        p->is_drawn = false;
    }
}

void qn_progress_event(qn_progress *p, const qn_event *event) {
    switch (event->kind) {
    case QN_EVENT_STAGE: p->total = event->tokens_total > 0 ? event->tokens_total : event->bytes_total; break;
    case QN_EVENT_PROGRESS: show_progress(p, event); break;
    case QN_EVENT_DONE: show_done(p, event); break;
    case QN_EVENT_WARNING:
        qn_progress_clear(p);
        qn_print_message(&p->to, QN_STYLE_YELLOW, "warning", event->message == NULL ? "" : event->message);
        break;
    case QN_EVENT_NOTE:
        if (!p->is_quiet) {
            qn_progress_clear(p);
            qn_print_message(&p->to, QN_STYLE_DIM, "note", event->message == NULL ? "" : event->message);
        }
        break;
    default: break;
    }
}
