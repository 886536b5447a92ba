/* SPDX-License-Identifier: MIT */
/* jinja_parts.h: what the files of the Jinja interpreter share: tokens, nodes, values and a rendering's state. */
#ifndef QUERN_TEXT_JINJA_PARTS_H
#define QUERN_TEXT_JINJA_PARTS_H

#include "container/metadata.h"
#include "text/jinja.h"

/* ---- values ---- */

typedef enum qn_jv_kind {
    QN_JV_UNDEFINED, /**< as.s: what was looked for */
    QN_JV_NONE,
    QN_JV_BOOL,
    QN_JV_INT,
    QN_JV_FLOAT,
    QN_JV_STRING,
    QN_JV_LIST,
    QN_JV_TUPLE,
    QN_JV_DICT,
    QN_JV_NAMESPACE, /**< also the loop variable */
    QN_JV_FUNCTION,
    QN_JV_METHOD,
    QN_JV_MACRO
} qn_jv_kind;

typedef struct qn_jlist qn_jlist;
typedef struct qn_jdict qn_jdict;
typedef struct qn_jmethod qn_jmethod;
typedef struct qn_jmacro qn_jmacro;
typedef struct qn_jnode qn_jnode;
typedef struct qn_jrun qn_jrun;
typedef struct qn_jargs qn_jargs;
typedef struct qn_jv qn_jv;

/** A filter (in: its input), a test, a method (in: what it is called on) or a function (in: undefined). */
typedef qn_status qn_jfunction(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out);

/** A value. Which member counts is told by kind; what it points to lives in the rendering's arena. */
struct qn_jv {
    qn_jv_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        qn_text s; /**< UTF-8 as a rule; a stray byte counts as a character */
        qn_jlist *list;
        qn_jdict *dict;
        qn_jfunction *function;
        qn_jmethod *method;
        qn_jmacro *macro;
    } as;
};

struct qn_jlist {
    qn_jv *items;
    uint64_t n;
    uint64_t cap;
};

typedef struct qn_jpair {
    qn_jv key;
    qn_jv value;
} qn_jpair;

/** Pairs in order of insertion. */
struct qn_jdict {
    qn_jpair *pairs;
    uint64_t n;
    uint64_t cap;
};

struct qn_jmethod {
    qn_jv self;
    qn_jfunction *call;
};

typedef struct qn_jnamed {
    qn_text name;
    qn_jv value;
} qn_jnamed;

struct qn_jargs {
    qn_jv *items; /**< [n] */
    uint64_t n;
    qn_jnamed *named; /**< [n_named] */
    uint64_t n_named;
};

/* ---- tokens ---- */

typedef enum qn_jtoken_kind {
    QN_JT_END,
    QN_JT_DATA,
    QN_JT_VAR_BEGIN,
    QN_JT_VAR_END,
    QN_JT_BLOCK_BEGIN,
    QN_JT_BLOCK_END,
    QN_JT_NAME,
    QN_JT_STRING,
    QN_JT_INT,
    QN_JT_FLOAT,
    QN_JT_OPERATOR
} qn_jtoken_kind;

/** An operator's code: its characters. */
#define QN_JOP2(a, b) ((uint32_t)(a) | (uint32_t)(b) << 8)

typedef struct qn_jtoken {
    qn_jtoken_kind kind;
    uint32_t pos; /**< byte in the template */
    uint32_t op;
    qn_text text; /**< DATA, NAME, STRING (escapes resolved) */
    int64_t i;
    double f;
} qn_jtoken;

/** The token list of a template, ended by QN_JT_END. Texts live in the template's arena; free items with free(). */
typedef struct qn_jtokens {
    qn_jtoken *items;
    uint64_t n;
    uint64_t cap;
} qn_jtokens;

/* ---- nodes ---- */

typedef enum qn_jnode_kind {
    QN_JN_CONST,        /**< value */
    QN_JN_NAME,         /**< name */
    QN_JN_LIST,         /**< items */
    QN_JN_TUPLE,        /**< items */
    QN_JN_DICT,         /**< items: key, value, key, … */
    QN_JN_ATTR,         /**< a.name */
    QN_JN_INDEX,        /**< a[b] */
    QN_JN_SLICE,        /**< a[items[0]:items[1]:items[2]], each may be NULL */
    QN_JN_CALL,         /**< a(items) */
    QN_JN_FILTER,       /**< a|name(items); a is NULL where the input is a block's text */
    QN_JN_TEST,         /**< a is name(items); op 1: is not */
    QN_JN_UNARY,        /**< op a */
    QN_JN_NOT,          /**< not a */
    QN_JN_BINARY,       /**< a op b */
    QN_JN_AND,          /**< a and b */
    QN_JN_OR,           /**< a or b */
    QN_JN_COMPARE,      /**< a, then items: OPERAND */
    QN_JN_OPERAND,      /**< op a */
    QN_JN_COND,         /**< a if b else c (c may be NULL) */
    QN_JN_KEYWORD,      /**< argument name=a */
    QN_JN_STAR,         /**< argument *a */
    QN_JN_STAR_STAR,    /**< argument **a */
    QN_JN_DATA,         /**< name: text to be put out */
    QN_JN_OUTPUT,       /**< {{ a }} */
    QN_JN_BODY,         /**< items */
    QN_JN_IF,           /**< items: BRANCH */
    QN_JN_BRANCH,       /**< if a (NULL: else) then b */
    QN_JN_FOR,          /**< for a in b if c: items[0], else items[1]; op 1: recursive */
    QN_JN_SET,          /**< a = b */
    QN_JN_SET_BLOCK,    /**< a = text of b through filters c */
    QN_JN_MACRO,        /**< name(items: PARAM), body b */
    QN_JN_PARAM,        /**< name, default a or NULL */
    QN_JN_CALL_BLOCK,   /**< call of a with caller(): the MACRO b */
    QN_JN_FILTER_BLOCK, /**< text of b through filters a */
    QN_JN_WITH,         /**< items: SET; body b */
    QN_JN_BREAK,
    QN_JN_CONTINUE
} qn_jnode_kind;

struct qn_jnode {
    qn_jnode_kind kind;
    uint32_t pos;
    uint32_t op; /**< of a MACRO: qn_jspecial, those that its body reads */
    qn_text name;
    qn_jv value;
    qn_jfunction *function; /**< of a FILTER or TEST; NULL when unknown */
    qn_jnode *a;
    qn_jnode *b;
    qn_jnode *c;
    qn_jnode **items;
    uint64_t n;
};

struct qn_jinja {
    qn_arena *arena;
    qn_text text; /**< with LF line ends, without one final newline */
    qn_jnode *body;
};

/* ---- jinja_lexer.c ---- */

/** Cuts jinja->text into tokens with white-space control done. @return QN_E_FORMAT, QN_E_NOMEM */
QN_NODISCARD qn_status qn_jinja_lex(const qn_jinja *jinja, qn_jtokens *out, qn_error *err);
/** Fails with where, line, column and the template's text at a byte. */
qn_status qn_jinja_fail(const qn_jinja *jinja, const char *where, uint64_t pos, qn_error *err, qn_status status,
                        const char *message);

/* ---- jinja_parser.c, jinja_expression.c ---- */

enum { QN_JINJA_MAX_NESTING = 200 };

/** Names that a macro must speak of to be given what they hold. */
typedef enum qn_jspecial { QN_JS_CALLER = 1, QN_JS_KWARGS = 2, QN_JS_VARARGS = 4 } qn_jspecial;

typedef struct qn_jparser {
    qn_jinja *jinja;
    const qn_jtoken *at; /**< the next token */
    uint32_t depth;
    uint32_t n_loops;  /**< loops around the next token, within its macro */
    uint32_t specials; /**< qn_jspecial: those that were read so far in the macro around it */
    qn_error *err;
} qn_jparser;

/** The special of a name; 0 when it is none. */
uint32_t qn_jspecial_of(qn_text name);

/** Fails at the next token. */
qn_status qn_jparse_fail(const qn_jparser *p, qn_status status, const char *fmt, ...) QN_PRINTF(3, 4);
/** A new node at the next token. */
QN_NODISCARD qn_status qn_jnode_new(const qn_jparser *p, qn_jnode_kind kind, qn_jnode **out);
/** Appends to a node's items. */
QN_NODISCARD qn_status qn_jnode_add(const qn_jparser *p, qn_jnode *node, qn_jnode *item);
/** One level deeper; leave by p->depth--. @return QN_E_RANGE */
QN_NODISCARD qn_status qn_jparse_enter(qn_jparser *p);
/** Whether the next token is this operator. */
bool qn_jparse_is(const qn_jparser *p, uint32_t op);
/** Whether the next token is this name. */
bool qn_jparse_is_name(const qn_jparser *p, const char *name);
/** Takes this operator, or fails naming what it would end. */
QN_NODISCARD qn_status qn_jparse_expect(qn_jparser *p, uint32_t op, const char *what);
/** Parses an expression; with_condition: `a if b` belongs to it. */
QN_NODISCARD qn_status qn_jparse_expression(qn_jparser *p, bool with_condition, qn_jnode **out);
/** Parses an expression, or several with commas as a tuple. */
QN_NODISCARD qn_status qn_jparse_tuple(qn_jparser *p, bool with_condition, qn_jnode **out);
/** Parses what is assigned to: a name, name.attribute, or several of them. */
QN_NODISCARD qn_status qn_jparse_target(qn_jparser *p, bool with_attributes, qn_jnode **out);
/** Parses filters behind a value, from the name of the first or a `|` on. */
QN_NODISCARD qn_status qn_jparse_filters(qn_jparser *p, qn_jnode *input, bool starts_inline, qn_jnode **out);

/* ---- a rendering ---- */

typedef struct qn_jframe {
    struct qn_jframe *parent;
    qn_jnamed *vars;
    uint64_t n;
    uint64_t cap;
} qn_jframe;

struct qn_jmacro {
    const qn_jnode *node;
    qn_jframe *frame; /**< where it was defined */
};

typedef enum qn_jflow { QN_JFLOW_ON, QN_JFLOW_BREAK, QN_JFLOW_CONTINUE } qn_jflow;

/** State of a rendering. Its functions leave their message in err, so they take no qn_error of their own. */
struct qn_jrun {
    const qn_jinja *jinja;
    const char *where;
    qn_arena *arena;
    qn_jframe *frame; /**< innermost */
    qn_jframe *root;
    qn_buffer *out;
    uint64_t steps_left;
    uint64_t bytes_left;
    uint32_t depth;
    uint32_t max_depth;
    int64_t unix_time;
    uint64_t pos; /**< of the node being evaluated */
    qn_jflow flow;
    qn_error *err;
};

/** Fails at the node being evaluated. */
qn_status qn_jfail(const qn_jrun *run, qn_status status, const char *fmt, ...) QN_PRINTF(3, 4);
/** Counts steps. @return QN_E_RANGE when none are left */
QN_NODISCARD qn_status qn_jsteps(qn_jrun *run, uint64_t n);
/** Counts bytes, of the limit only. @return QN_E_RANGE */
QN_NODISCARD qn_status qn_jcharge(qn_jrun *run, uint64_t n_bytes);
/** n * size zeroed bytes of the rendering's arena, counted. */
QN_NODISCARD qn_status qn_jalloc(qn_jrun *run, uint64_t n, size_t size, void **out);
/** One level deeper; leave by run->depth--. @return QN_E_RANGE */
QN_NODISCARD qn_status qn_jenter(qn_jrun *run);

/* ---- jinja_values.c ---- */

qn_jv qn_jv_undefined(const char *name);       /**< undefined, looked for by a name */
qn_jv qn_jv_none(void);                        /**< none */
qn_jv qn_jv_bool(bool b);                      /**< a truth value */
qn_jv qn_jv_int(int64_t i);                    /**< an integer */
qn_jv qn_jv_float(double f);                   /**< a float */
qn_jv qn_jv_text(const char *bytes, size_t n); /**< a string that borrows its bytes */
/** What Python calls a value's type. */
const char *qn_jv_type(const qn_jv *v);
/** Python's truth of a value. */
bool qn_jv_truth(const qn_jv *v);
/** Whether a value is a list or a tuple. */
bool qn_jv_is_list(const qn_jv *v);
/** Whether a value is a string equal to a C string. */
bool qn_jv_is(const qn_jv *v, const char *text);
/** Reads a bool, an integer or a float. */
bool qn_jv_number(const qn_jv *v, double *out);
/** Reads a bool or an integer. */
bool qn_jv_integer(const qn_jv *v, int64_t *out);
/** Python's ==. */
QN_NODISCARD qn_status qn_jv_equal(qn_jrun *run, const qn_jv *a, const qn_jv *b, bool *out);
/** Python's order; strings by code point, or by lower case when is_folded. @return QN_E_FORMAT when there is none */
QN_NODISCARD qn_status qn_jv_compare(qn_jrun *run, const qn_jv *a, const qn_jv *b, bool is_folded, int *out);
/** A copy of a string's bytes as a value. */
QN_NODISCARD qn_status qn_jv_copy(qn_jrun *run, const void *bytes, size_t n, qn_jv *out);
/** A buffer's bytes as a value; the buffer is cleared in any case. */
QN_NODISCARD qn_status qn_jv_take(qn_jrun *run, qn_buffer *b, qn_jv *out);
/** A new list (or tuple) with room for n. */
QN_NODISCARD qn_status qn_jv_list(qn_jrun *run, qn_jv_kind kind, uint64_t n, qn_jv *out);
/** Appends to a list. */
QN_NODISCARD qn_status qn_jlist_add(qn_jrun *run, qn_jlist *list, const qn_jv *item);
/** A new dict (or namespace). */
QN_NODISCARD qn_status qn_jv_dict(qn_jrun *run, qn_jv_kind kind, qn_jv *out);
/** The value at a key; *out is NULL when there is none. */
QN_NODISCARD qn_status qn_jdict_find(qn_jrun *run, const qn_jdict *dict, const qn_jv *key, qn_jv **out);
/** Sets a key. @return QN_E_FORMAT for a key that is a list or a dict */
QN_NODISCARD qn_status qn_jdict_set(qn_jrun *run, qn_jdict *dict, const qn_jv *key, const qn_jv *value);
/** qn_jdict_set() for a name. */
QN_NODISCARD qn_status qn_jdict_set_name(qn_jrun *run, qn_jdict *dict, const char *name, qn_jv value);
/** What a `for` goes through: a list's items, a dict's keys, a string's characters, nothing for undefined. */
QN_NODISCARD qn_status qn_jv_items(qn_jrun *run, const qn_jv *v, qn_jlist **out);
/** The key-value pairs of a dict as a list of tuples. */
QN_NODISCARD qn_status qn_jv_pairs(qn_jrun *run, const qn_jv *v, qn_jv *out);
/** Takes positional and named arguments by a list of names, "old new|count": those behind the bar may be absent. */
QN_NODISCARD qn_status qn_jbind(qn_jrun *run, const qn_jargs *args, const char *what, const char *names, qn_jv *out);

/* ---- jinja_text.c ---- */

/** Bytes of the character at the start of s; 0 when s is empty. *code may be NULL. */
size_t qn_jtext_char(qn_text s, uint32_t *code);
/** Number of characters. */
uint64_t qn_jtext_count(qn_text s);
/** Whether a code point is white space to Python. */
bool qn_jtext_is_space(uint32_t code);
/** Without white space, or characters of set, at the ends asked for. set.bytes NULL: white space. */
qn_text qn_jtext_strip(qn_text s, qn_text set, bool left, bool right);
/** Offset of needle in s from byte `from` on, or SIZE_MAX. */
QN_NODISCARD qn_status qn_jtext_find(qn_jrun *run, qn_text s, qn_text needle, size_t from, size_t *out);
/** Replaces at most max occurrences (< 0: all). */
QN_NODISCARD qn_status qn_jtext_replace(qn_jrun *run, qn_text s, qn_text old, qn_text by, int64_t max, qn_jv *out);
/** How qn_jtext_case() changes letters. */
typedef enum qn_jcase { QN_JCASE_LOWER, QN_JCASE_UPPER, QN_JCASE_TITLE, QN_JCASE_CAPITAL } qn_jcase;
/** Changes the case of Latin, Greek, Cyrillic and Armenian letters, one code point to one. */
QN_NODISCARD qn_status qn_jtext_case(qn_jrun *run, qn_text s, qn_jcase how, qn_jv *out);
/** Lower case of a code point, as qn_jtext_case() knows it. */
uint32_t qn_jtext_lower(uint32_t code);
/** Appends a code point in UTF-8. */
void qn_jtext_put(qn_buffer *b, uint32_t code);

/* ---- jinja_print.c ---- */

/** Appends what {{ v }} prints: Python's str(). */
QN_NODISCARD qn_status qn_jv_print(qn_jrun *run, const qn_jv *v, qn_buffer *out);
/** Appends Python's repr(). */
QN_NODISCARD qn_status qn_jv_repr(qn_jrun *run, const qn_jv *v, qn_buffer *out);
/** Python's str() as a value. */
QN_NODISCARD qn_status qn_jv_string(qn_jrun *run, const qn_jv *v, qn_jv *out);
/** Appends a float as Python writes it. */
void qn_jprint_float(qn_buffer *out, double f);
/** The filter tojson. */
qn_jfunction qn_jfilter_tojson;
/** The filters from_json and fromjson. */
qn_jfunction qn_jfilter_from_json;
/** A JSON value as a value. */
QN_NODISCARD qn_status qn_jv_from_json(qn_jrun *run, const json_t *json, qn_jv *out);

/* ---- jinja_filters.c, jinja_sequences.c, jinja_tests.c, jinja_methods.c, jinja_functions.c, jinja_format.c ---- */

/** A name's function. */
typedef struct qn_jentry {
    const char *name;
    qn_jfunction *function;
} qn_jentry;

/** The function of a name in a table ended by a NULL name, or NULL. */
qn_jfunction *qn_jentry_find(const qn_jentry *table, qn_text name);
qn_jfunction *qn_jfilter_find(qn_text name);          /**< A filter by name, or NULL. */
qn_jfunction *qn_jfilter_find_sequence(qn_text name); /**< Those of jinja_sequences.c. */
qn_jfunction *qn_jtest_find(qn_text name);            /**< A test by name, or NULL. */
qn_jfunction *qn_jglobal_find(qn_text name);          /**< A function by name, or NULL. */
/** A method of a value's type by name, or NULL. */
qn_jfunction *qn_jmethod_find(const qn_jv *v, qn_text name);
/** Python's old formatting, format % value. */
QN_NODISCARD qn_status qn_jformat_percent(qn_jrun *run, qn_text format, const qn_jv *value, qn_jv *out);
/** The method str.format. */
qn_jfunction qn_jformat_method;
/** The filter format. */
qn_jfunction qn_jfilter_format;

/* ---- jinja_eval.c, jinja_operators.c, jinja_render.c ---- */

/** Evaluates an expression. */
QN_NODISCARD qn_status qn_jeval(qn_jrun *run, const qn_jnode *node, qn_jv *out);
/** Evaluates filters whose innermost input is a value. */
QN_NODISCARD qn_status qn_jeval_filters(qn_jrun *run, const qn_jnode *node, const qn_jv *input, qn_jv *out);
/** Calls a value. */
QN_NODISCARD qn_status qn_jcall(qn_jrun *run, const qn_jv *callee, const qn_jargs *args, qn_jv *out);
/** Evaluates arguments; the last of extra NULL or a value passed as `caller`. */
QN_NODISCARD qn_status qn_jeval_args(qn_jrun *run, const qn_jnode *node, const qn_jv *caller, qn_jargs *out);
/** v.name, or v[key]: an item, else a method, else undefined. @return QN_E_FORMAT for an undefined v */
QN_NODISCARD qn_status qn_jget(qn_jrun *run, const qn_jv *v, const qn_jv *key, qn_jv *out);
/** a op b for + - * / // % ** ~ */
QN_NODISCARD qn_status qn_joperate(qn_jrun *run, uint32_t op, const qn_jv *a, const qn_jv *b, qn_jv *out);
/** Whether item is in a container. */
QN_NODISCARD qn_status qn_jcontains(qn_jrun *run, const qn_jv *container, const qn_jv *item, bool *out);
/** v[start:stop:step]; each bound may be none. */
QN_NODISCARD qn_status qn_jslice(qn_jrun *run, const qn_jv *v, const qn_jv *bounds, qn_jv *out);
/** A variable, from the innermost frame outwards, then the functions; undefined when there is none. */
QN_NODISCARD qn_status qn_jlookup(qn_jrun *run, qn_text name, qn_jv *out);
/** Sets a variable of a frame. */
QN_NODISCARD qn_status qn_jassign(qn_jrun *run, qn_jframe *frame, qn_text name, const qn_jv *value);
/** Calls a macro. */
QN_NODISCARD qn_status qn_jcall_macro(qn_jrun *run, const qn_jmacro *macro, const qn_jargs *args, qn_jv *out);

#endif
