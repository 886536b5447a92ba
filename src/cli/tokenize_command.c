/* SPDX-License-Identifier: MIT */
/* tokenize_command.c: `quern tokenize` and `quern detokenize`: text to token ids and back. */
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/terminal.h"
#include "quern/quern.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t MAX_INPUT_BYTES = ((uint64_t)1 << 30) - 1;
enum { CHUNK = 1 << 16 };

/* ---- what both read ---- */

/* All of stdin; *len bytes to be freed with free(). */
static qn_status read_stdin(char **text, size_t *len, qn_error *err) {
    qn_buffer all = {0};
    char chunk[CHUNK];
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            qn_buffer_clear(&all);
            return qn_fail_errno(err, QN_E_IO, errno, "standard input");
        }
        if (n == 0) {
            break;
        }
        qn_buffer_append(&all, chunk, (size_t)n);
        if (all.len > MAX_INPUT_BYTES) {
            qn_buffer_clear(&all);
            return qn_fail(err, QN_E_RANGE, "standard input: more than %llu bytes; give it in parts",
                           (unsigned long long)MAX_INPUT_BYTES);
        }
    }
    *len = all.len;
    *text = qn_buffer_take_text(&all);
    return *text == NULL ? qn_fail_nomem(err, "standard input", *len) : QN_OK;
}

/* From a file, an operand, or stdin where there is neither or "-". */
static qn_status read_input(const char *file, const char *operand, char **text, size_t *len, qn_error *err) {
    *text = NULL;
    if (file != NULL && operand != NULL) {
        return qn_fail(err, QN_E_USAGE, "both a text and --file were given: which one?");
    }
    if (file != NULL && strcmp(file, "-") != 0) {
        return qn_read_text(file, MAX_INPUT_BYTES, text, len, err);
    }
    if (operand == NULL || strcmp(operand, "-") == 0) {
        return read_stdin(text, len, err);
    }
    *len = strlen(operand);
    *text = strdup(operand);
    return *text == NULL ? qn_fail_nomem(err, "text", *len) : QN_OK;
}

/* ---- tokenize ---- */

typedef struct tokenize_settings {
    const char *file;
    bool ids, no_bos, no_parse_special, show_count, is_json;
} tokenize_settings;

/* A token's own bytes as JSON: what is no UTF-8 by itself shows as U+FFFD. */
static qn_status print_tokens_json(const qn_tokenizer *t, const int32_t *ids, size_t n, qn_error *err) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        char *piece = NULL;
        size_t len = 0;
        const qn_status status = qn_tokenizer_piece(t, ids[i], QN_DECODE_KEEP_SPECIAL, &piece, &len, err);
        if (status != QN_OK) {
            json_decref(list);
            return status;
        }
        (void)json_array_append_new(list, json_pack("{s:i, s:o}", "id", (int)ids[i], "text", qn_json_text(piece, len)));
        free(piece);
    }
    json_t *answer = json_pack("{s:I, s:o}", "n_tokens", (json_int_t)n, "tokens", list);
    char *text = answer == NULL ? NULL : qn_json_dump(answer, JSON_INDENT(2));
    json_decref(answer);
    if (text == NULL) {
        return qn_fail_nomem(err, "tokens", n);
    }
    qn_document_print(text);
    return QN_OK;
}

static void print_ids(const int32_t *ids, size_t n) {
    (void)printf("[");
    for (size_t i = 0; i < n; i++) {
        (void)printf("%s%ld", i == 0 ? "" : ", ", (long)ids[i]);
    }
    (void)printf("]\n");
}

/* One token a line: its id, and what it prints, with control characters made visible. */
static qn_status print_lines(const qn_tokenizer *t, const int32_t *ids, size_t n, qn_error *err) {
    for (size_t i = 0; i < n; i++) {
        char *piece = NULL;
        qn_arena *arena = qn_arena_new();
        qn_status status = arena == NULL ? qn_fail_nomem(err, "tokens", n) : QN_OK;
        if (status == QN_OK) {
            status = qn_tokenizer_piece(t, ids[i], QN_DECODE_KEEP_SPECIAL, &piece, NULL, err);
        }
        const char *shown = status == QN_OK ? qn_clean_text(arena, piece) : NULL;
        if (shown != NULL) {
            (void)printf("%6ld -> '%s'\n", (long)ids[i], shown);
        }
        free(piece);
        qn_arena_free(arena);
        QN_TRY(status);
    }
    return QN_OK;
}

static qn_status print_encoded(const tokenize_settings *s, const qn_tokenizer *t, const int32_t *ids, size_t n,
                               qn_error *err) {
    if (s->is_json) {
        return print_tokens_json(t, ids, n, err);
    }
    if (s->ids) {
        print_ids(ids, n);
    } else {
        QN_TRY(print_lines(t, ids, n, err));
    }
    if (s->show_count) {
        (void)printf("Total number of tokens: %zu\n", n);
    }
    return QN_OK;
}

static qn_status encode_and_print(const tokenize_settings *s, const qn_tokenizer *t, const char *text, size_t len,
                                  qn_error *err) {
    const unsigned flags = (s->no_bos ? 0U : (unsigned)QN_ENCODE_ADD_SPECIAL) |
        (s->no_parse_special ? 0U : (unsigned)QN_ENCODE_PARSE_SPECIAL);
    int32_t *ids = NULL;
    size_t n = 0;
    QN_TRY(qn_tokenizer_encode(t, text, len, flags, &ids, &n, err));
    const qn_status status = print_encoded(s, t, ids, n, err);
    free(ids);
    return status;
}

static qn_status run_tokenize(const void *settings, const qn_operands *operands, qn_error *err) {
    const tokenize_settings *s = settings;
    qn_tokenizer *t = NULL;
    char *text = NULL;
    size_t len = 0;
    QN_TRY(qn_tokenizer_open(operands->items[0], NULL, &t, err));
    qn_status status = read_input(s->file, operands->n > 1 ? operands->items[1] : NULL, &text, &len, err);
    if (status == QN_OK) {
        status = encode_and_print(s, t, text, len, err);
    }
    free(text);
    qn_tokenizer_free(t);
    return status;
}

#define TOKENIZE_AT(field) .offset = offsetof(tokenize_settings, field)

static const qn_option tokenize_options[] = {
    {.name = "file",
     .letter = 'f',
     .kind = QN_OPTION_TEXT,
     TOKENIZE_AT(file),
     .argument = "FILE",
     .group = "Input",
     .help = "read the text from FILE, or from standard input for -"},
    {.name = "no-bos",
     .kind = QN_OPTION_FLAG,
     TOKENIZE_AT(no_bos),
     .group = "Input",
     .help = "leave out the tokens that the model was trained with around a text (BOS, EOS, [CLS])"},
    {.name = "no-parse-special",
     .kind = QN_OPTION_FLAG,
     TOKENIZE_AT(no_parse_special),
     .group = "Input",
     .help = "take the text of control tokens, such as <|im_end|>, as text"},
    {.name = "ids",
     .kind = QN_OPTION_FLAG,
     TOKENIZE_AT(ids),
     .group = "Output",
     .help = "print the ids alone, as a Python list"},
    {.name = "show-count",
     .kind = QN_OPTION_FLAG,
     TOKENIZE_AT(show_count),
     .group = "Output",
     .help = "print the number of tokens at the end"},
    {.name = "json", .kind = QN_OPTION_FLAG, TOKENIZE_AT(is_json), .group = "Output", .help = "print a JSON document"},
};

static const qn_example tokenize_examples[] = {
    {"quern tokenize model-Q4_K_M.gguf \"How are you?\"", "a line a token: its id and what it prints"},
    {"quern tokenize ./my-model --ids -f prompt.txt", "the ids of a file, by a Hugging Face folder's tokenizer"},
    {"quern tokenize model.gguf --ids --show-count < book.txt", "how many tokens a book has"},
};

const qn_command qn_tokenize_command = {
    .name = "tokenize",
    .operands = "PATH [TEXT]",
    .summary = "show how a model cuts text into tokens",
    .about =
        "Encodes TEXT with the tokenizer of PATH, a GGUF file or a Hugging Face folder, whose weights are not read. "
        "Without TEXT, or with -, all of standard input is encoded. The ids are those that "
        "llama.cpp gets from the same file.",
    .options = {tokenize_options, sizeof tokenize_options / sizeof tokenize_options[0]},
    .examples = tokenize_examples,
    .n_examples = sizeof tokenize_examples / sizeof tokenize_examples[0],
    .min_operands = 1,
    .max_operands = 2,
    .settings_size = sizeof(tokenize_settings),
    .run = run_tokenize,
};

/* ---- detokenize ---- */

typedef struct detokenize_settings {
    const char *file;
    bool no_special, is_json;
} detokenize_settings;

/* Ids that grow. */
typedef struct id_list {
    int32_t *items;
    size_t n;
    size_t cap;
} id_list;

static qn_status put_id(id_list *list, long id, qn_error *err) {
    if (list->n == list->cap) {
        const size_t cap = list->cap < 64 ? 64 : list->cap * 2;
        int32_t *items = qn_resize_array(list->items, cap, sizeof *items);
        if (items == NULL) {
            return qn_fail_nomem(err, "token ids", cap * sizeof *items);
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = (int32_t)id;
    return QN_OK;
}

#define ID_GAPS " \t\r\n,[]"

/* Numbers with anything of spaces, commas and brackets between: what `tokenize --ids` prints, too. */
static qn_status read_ids(const char *text, id_list *list, qn_error *err) {
    while (*(text += strspn(text, ID_GAPS)) != '\0') {
        char *end = NULL;
        errno = 0;
        const long id = strtol(text, &end, 10);
        const bool is_ended = *end == '\0' || strchr(ID_GAPS, *end) != NULL;
        if (end == text || !is_ended || errno != 0 || id < 0 || id > INT32_MAX) {
            return qn_fail(err, QN_E_USAGE, "'%.40s' is no token id; numbers from 0 are expected", text);
        }
        QN_TRY(put_id(list, id, err));
        text = end;
    }
    return QN_OK;
}

static qn_status gather_ids(const detokenize_settings *s, const qn_operands *operands, id_list *list, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    for (size_t i = 1; i < operands->n && strcmp(operands->items[1], "-") != 0; i++) {
        QN_TRY(read_ids(operands->items[i], list, err));
    }
    if (operands->n > 1 && strcmp(operands->items[1], "-") != 0) {
        return s->file == NULL ? QN_OK : qn_fail(err, QN_E_USAGE, "both ids and --file were given: which ones?");
    }
    QN_TRY(read_input(s->file, NULL, &text, &len, err));
    const qn_status status = read_ids(text, list, err);
    free(text);
    return status;
}

static qn_status decode_and_print(const detokenize_settings *s, const qn_tokenizer *t, const id_list *list,
                                  qn_error *err) {
    const unsigned flags = s->no_special ? QN_DECODE_REMOVE_SPECIAL : QN_DECODE_KEEP_SPECIAL;
    char *text = NULL;
    size_t len = 0;
    QN_TRY(qn_tokenizer_decode(t, list->items, list->n, flags, &text, &len, err));
    if (!s->is_json) {
        (void)fwrite(text, 1, len, stdout);
        (void)putchar('\n');
        free(text);
        return QN_OK;
    }
    json_t *answer = json_pack("{s:I, s:o}", "n_tokens", (json_int_t)list->n, "text", qn_json_text(text, len));
    char *document = answer == NULL ? NULL : qn_json_dump(answer, JSON_INDENT(2));
    json_decref(answer);
    free(text);
    if (document == NULL) {
        return qn_fail_nomem(err, "text", len);
    }
    qn_document_print(document);
    return QN_OK;
}

static qn_status run_detokenize(const void *settings, const qn_operands *operands, qn_error *err) {
    const detokenize_settings *s = settings;
    qn_tokenizer *t = NULL;
    id_list list = {0};
    QN_TRY(qn_tokenizer_open(operands->items[0], NULL, &t, err));
    qn_status status = gather_ids(s, operands, &list, err);
    if (status == QN_OK) {
        status = decode_and_print(s, t, &list, err);
    }
    free(list.items);
    qn_tokenizer_free(t);
    return status;
}

#define DETOKENIZE_AT(field) .offset = offsetof(detokenize_settings, field)

static const qn_option detokenize_options[] = {
    {.name = "file",
     .letter = 'f',
     .kind = QN_OPTION_TEXT,
     DETOKENIZE_AT(file),
     .argument = "FILE",
     .group = "Input",
     .help = "read the ids from FILE, or from standard input for -"},
    {.name = "no-special",
     .kind = QN_OPTION_FLAG,
     DETOKENIZE_AT(no_special),
     .group = "Output",
     .help = "print nothing for control tokens"},
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     DETOKENIZE_AT(is_json),
     .group = "Output",
     .help = "print a JSON document"},
};

static const qn_example detokenize_examples[] = {
    {"quern detokenize model.gguf 1 15043 3186", "the text of three tokens"},
    {"quern tokenize model.gguf --ids \"Hi\" | quern detokenize model.gguf", "there and back"},
};

const qn_command qn_detokenize_command = {
    .name = "detokenize",
    .operands = "PATH [ID]...",
    .summary = "print the text of token ids",
    .about = "Decodes token ids with the tokenizer of PATH, a GGUF file or a Hugging Face folder. Ids are numbers with "
             "spaces, commas or brackets between; without any, or with -, they are read from standard input.",
    .options = {detokenize_options, sizeof detokenize_options / sizeof detokenize_options[0]},
    .examples = detokenize_examples,
    .n_examples = sizeof detokenize_examples / sizeof detokenize_examples[0],
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .settings_size = sizeof(detokenize_settings),
    .run = run_detokenize,
};
