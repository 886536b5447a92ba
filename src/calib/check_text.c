/* SPDX-License-Identifier: MIT */
/* check_text.c: a text of our own in prose, code and other scripts, cut into windows; and the trial message. */
#include "calib/check_text.h"

#include "base/file.h"
#include "text/chat_render.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_TOKENS = 16, MAX_TEXT_BYTES = 64 * 1024 };

static const uint64_t MAX_FILE_BYTES = 16000000;

static const char message[] = "What colour is a clear sky at noon? Answer in one short sentence.";
static const char beginning[] = "The colour of a clear sky at noon is";

/* Written for this program. Windows are spread over it, so that every part of it has its share. */
static const char own_text[] =
    "The mill stands where the river bends, below a row of old poplars. In spring the water is high and the wheel "
    "turns day and night; by August it hardly moves, and the miller sits on the wall and mends sacks. People used to "
    "bring their grain from three valleys. They came before sunrise, with carts and mules, waited in the yard, and "
    "talked about prices, weather and marriages. Whoever came first was served first, and no one, not even the "
    "mayor, was let past. \"A stone does not know who you are,\" the miller said.\n\n"
    "A millstone is two stones. The lower one, the bed, lies still; the upper one, the runner, turns above it at "
    "about 120 revolutions a minute and never touches it. Grain falls through a hole in the middle, the eye, and "
    "works its way outwards along furrows that a mason has cut with a steel pick. If the gap is too wide, the flour "
    "is coarse; if it is too narrow, the flour burns, and you can smell it from the road. A good miller keeps his "
    "thumb under the spout, feels the meal, and sets the gap by a hair. In 1887 a steam mill opened in the town, "
    "with rollers made of cast iron; it ground forty times as much for a third of the price. Within ten years most "
    "of the water mills along the river had closed. This one went on, because its owner had learnt to make something "
    "that the rollers could not: flour which tasted of the grain.\n\n"
    "```python\n"
    "def moving_average(values, width):\n"
    "    \"\"\"Yields the mean of each run of `width` values.\"\"\"\n"
    "    if width < 1:\n"
    "        raise ValueError(f\"width must be positive, not {width}\")\n"
    "    total = 0.0\n"
    "    for i, value in enumerate(values):\n"
    "        total += value\n"
    "        if i >= width:\n"
    "            total -= values[i - width]\n"
    "        if i >= width - 1:\n"
    "            yield total / width\n\n\n"
    "print(list(moving_average([3, 1, 4, 1, 5, 9, 2, 6], 3)))\n"
    "```\n\n"
    "Мельница стоит там, где река поворачивает на юг. Весной вода поднимается, и колесо вертится день и ночь; в "
    "августе оно едва движется, и мельник сидит у стены и чинит мешки. Раньше сюда везли зерно из трёх долин. Люди "
    "приезжали до рассвета, ждали во дворе и говорили о ценах, о погоде и о свадьбах.\n\n"
    "磨坊在河流转弯的地方，旁边有一排老杨树。春天水位高，水轮日夜转动；到了八月，它几乎不动，磨坊主坐在墙边缝补口袋。\n\n"
    "Le moulin se trouve à l'endroit où la rivière tourne vers le sud. Au printemps, l'eau est haute et la roue "
    "tourne jour et nuit ; au mois d'août, elle bouge à peine, et le meunier, assis sur le mur, raccommode des "
    "sacs.\n";

static qn_status tokens_of_text(const char *path, const qn_tokenizer *tokenizer, qn_ids *ids, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    if (path == NULL) {
        return qn_tokenize(tokenizer, own_text, sizeof own_text - 1, true, false, ids, err);
    }
    QN_TRY(qn_read_text(path, MAX_FILE_BYTES, &text, &len, err));
    const size_t n = len < MAX_TEXT_BYTES ? len : MAX_TEXT_BYTES;
    const qn_status status = qn_tokenize(tokenizer, text, n, true, false, ids, err);
    free(text);
    return status;
}

/* One chunk of the text as a window, its first token the BOS where texts begin with one. */
static void add_window(const qn_tokenizer *tokenizer, const qn_ids *ids, uint64_t chunk, qn_windows *out) {
    const int32_t bos = qn_tokenizer_role(tokenizer, QN_TOKEN_ROLE_BOS);
    for (uint64_t k = 0; k < out->length; k++) {
        const bool is_bos = k == 0 && bos >= 0 && qn_tokenizer_adds_bos(tokenizer);
        qn_ids_push(&out->ids, is_bos ? bos : ids->items[chunk * out->length + k]);
    }
}

qn_status qn_windows_cut(const char *path, const qn_tokenizer *tokenizer, const qn_window_limits *limits,
                         qn_windows *out, qn_error *err) {
    qn_ids ids = {0};
    *out = (qn_windows){0};
    qn_status status = tokens_of_text(path, tokenizer, &ids, err);
    if (status == QN_OK && ids.n < MIN_TOKENS) {
        status = qn_fail(err, QN_E_USAGE, "%s: has %zu tokens; at least %d are needed to compare on",
                         path == NULL ? "the text" : path, ids.n, (int)MIN_TOKENS);
    }
    if (status == QN_OK) {
        out->length = ids.n < limits->length ? ids.n : limits->length;
        out->first = out->length / 2;
        const uint64_t n_chunks = ids.n / out->length;
        out->n = n_chunks < limits->n ? n_chunks : limits->n;
        for (uint64_t i = 0; i < out->n; i++) {
            const bool is_spread = path == NULL && out->n > 1;
            add_window(tokenizer, &ids, is_spread ? i * (n_chunks - 1) / (out->n - 1) : i, out);
        }
        status = qn_ids_status(&out->ids, err);
    }
    qn_ids_clear(&ids);
    return status;
}

void qn_windows_clear(qn_windows *windows) {
    qn_ids_clear(&windows->ids);
    *windows = (qn_windows){0};
}

uint64_t qn_windows_counted(const qn_windows *windows) {
    return windows->length - 1 - windows->first;
}

/* A template that writes the BOS itself must not get a second one. */
static void drop_second_bos(const qn_tokenizer *tokenizer, qn_ids *ids) {
    const int32_t bos = qn_tokenizer_role(tokenizer, QN_TOKEN_ROLE_BOS);
    if (ids->n >= 2 && bos >= 0 && ids->items[0] == bos && ids->items[1] == bos) {
        memmove(ids->items, ids->items + 1, (ids->n - 1) * sizeof *ids->items);
        ids->n--;
    }
}

qn_status qn_check_prompt(const qn_meta *meta, const qn_tokenizer *tokenizer, bool *has_template, qn_ids *out,
                          qn_error *err) {
    qn_buffer text = {0};
    qn_status status = QN_OK;
    *has_template = qn_meta_find(meta, "tokenizer.chat_template") != NULL;
    if (*has_template) {
        json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", message);
        const qn_chat_request request = {.meta = meta, .messages = messages, .add_generation_prompt = true};
        status = messages == NULL ? qn_fail_nomem(err, "a message", sizeof message)
                                  : qn_chat_render(&request, &text, NULL, err);
        json_decref(messages);
    } else {
        qn_buffer_text(&text, beginning);
    }
    if (status == QN_OK) {
        status = qn_buffer_status(&text, err);
    }
    if (status == QN_OK) {
        status = qn_tokenize(tokenizer, text.data == NULL ? "" : (const char *)text.data, text.len, true, true, out,
                             err);
        drop_second_bos(tokenizer, out);
    }
    qn_buffer_clear(&text);
    return status;
}
