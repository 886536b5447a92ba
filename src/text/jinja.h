/* SPDX-License-Identifier: MIT */
/* jinja.h: chat templates in Jinja, as transformers runs them: parsed once, rendered with a JSON context. */
#ifndef QUERN_TEXT_JINJA_H
#define QUERN_TEXT_JINJA_H

#include "base/buffer.h"
#include "base/json.h"

/** A parsed template. Immutable: several threads may render it at once. */
typedef struct qn_jinja qn_jinja;

/** What a rendering may use; 0 stands for the default. Templates come with models from strangers. */
typedef struct qn_jinja_limits {
    uint64_t max_steps; /**< nodes evaluated, and elements and blocks of bytes gone through; default 20 million */
    uint64_t max_bytes; /**< of values and output together; default 256 MiB */
    uint32_t max_depth; /**< of expressions, statements, macro calls and nested values together; default 500 */
    int64_t unix_time;  /**< what strftime_now() tells, in local time; default: the clock */
    const char *where;  /**< named in messages; default "chat template". Borrowed for the call */
} qn_jinja_limits;

/**
 * Parses a template: Jinja 2's language with trim_blocks, lstrip_blocks, loop controls and the tag `generation`, as
 * transformers sets it up. What needs other files (include, import, extends, block) is refused.
 * @param text n bytes, at most 16 MiB; copied
 * @param out  free with qn_jinja_free()
 * @return QN_OK; QN_E_FORMAT with line, column and the text there; QN_E_UNSUPPORTED; QN_E_RANGE (too long, nested too
 *         deeply); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_jinja_parse(const char *text, size_t n, qn_jinja **out, qn_error *err);

/** Frees; accepts NULL. */
void qn_jinja_free(qn_jinja *jinja);

/**
 * Renders a template. Values behave as in Python: undefined ones print as nothing but have no attributes; an object's
 * order is kept. Methods that change a list or an object (append, pop, …) work, where transformers' sandbox refuses
 * some. Beside the context there are the functions range, dict, namespace, raise_exception, strftime_now.
 *
 * @param context an object; its members are the template's variables. Borrowed
 * @param limits  NULL for the defaults
 * @param out     appended to; left as it was when the call fails
 * @return QN_OK; QN_E_USAGE when the template calls raise_exception(), with its message; QN_E_FORMAT for an operation
 *         that the values do not have; QN_E_RANGE when a limit is met; QN_E_NOMEM. Messages name line and column
 */
QN_NODISCARD qn_status qn_jinja_render(const qn_jinja *jinja, const json_t *context, const qn_jinja_limits *limits,
                                       qn_buffer *out, qn_error *err);

#endif
