# SPDX-License-Identifier: MIT
"""Chat templates of real models, rendered by us, by @huggingface/jinja and by transformers' own Jinja environment.

Each template of the shared data, and the sample's, with each conversation: our text is equal to both peers'. Where the
peers part, or one of them lacks something, Python's Jinja 2 decides, for which templates are written, and the case
stands in PARTED with its reason. Where both fail, we do.
"""
import datetime
import json
import os
import subprocess
from pathlib import Path

from harness import MILLER_BASE, ROOT, Skip, one_line, run, shared

PEERS = ROOT / "tests/peers"
TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a <place> & \"more\".",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "Name of the city"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "array", "items": {"type": "integer"}}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time.",
                                      "parameters": {"type": "object", "properties": {}}}},
]
CALL = {"id": "call0abcd", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": [1, 2], "deep": {"a": None}}}}
TEXT_CALL = {"id": "call1abcd", "type": "function",
             "function": {"name": "get_weather", "arguments": "{\"city\": \"Bern\"}"}}


def says(role, content, **more):
    return {"role": role, "content": content, **more}


USER = says("user", "Hi there!")
TOOL_TALK = [says("system", "Use tools."), says("user", "Weather in Zürich?"),
             says("assistant", "", tool_calls=[CALL]),
             says("tool", "{\"temperature\": 7.5}", tool_call_id="call0abcd", name="get_weather"),
             says("assistant", "It is 7.5 °C."), says("user", "Thanks")]
# name: (messages, further variables)
CONVERSATIONS = {
    "user": ([USER], {}),
    "user, no prompt": ([USER], {"add_generation_prompt": False}),
    "system": ([says("system", "Be brief."), USER], {}),
    "empty system": ([says("system", ""), USER], {}),
    "turns": ([USER, says("assistant", "Hello."), says("user", " What is\n2+2? "), says("assistant", "4"),
               says("user", "Sure?\n")], {}),
    "system, turns, no prompt": ([says("system", "  You are terse.\n"), USER, says("assistant", "Hello.\n"),
                                  says("user", "Bye"), says("assistant", "Bye.")], {"add_generation_prompt": False}),
    "unicode": ([says("system", "Отвечай кратко 🚀"), says("user", "你好，世界 — café 👨‍👩‍👧"), says("assistant", "ẞß\u00a0ok"),
                 says("user", "مرحبا")], {}),
    "thoughts": ([USER, says("assistant", "<think>\nhm\n</think>\n\nHello."), says("user", "Go on")], {}),
    "reasoning field": ([USER, says("assistant", "Hello.", reasoning_content="I greet."), says("user", "Go on")], {}),
    "no thinking": ([USER], {"enable_thinking": False}),
    "thinking": ([says("system", "Think."), USER], {"enable_thinking": True, "thinking": True}),
    "tools": ([says("system", "Use tools."), says("user", "Weather?")], {"tools": TOOLS}),
    "tools without system": ([says("user", "Weather?")], {"tools": TOOLS}),
    "tool talk": (TOOL_TALK, {"tools": TOOLS}),
    "tool result last": (TOOL_TALK[:4], {"tools": TOOLS}),
    "two calls": ([USER, says("assistant", "Let me see.", tool_calls=[CALL, dict(CALL, id="call2abcd")]),
                   says("tool", "7", tool_call_id="call0abcd", name="get_weather"),
                   says("tool", "8", tool_call_id="call2abcd", name="get_weather")], {"tools": TOOLS}),
    "arguments as text": ([USER, says("assistant", None, tool_calls=[TEXT_CALL]),
                           says("tool", "7", tool_call_id="call1abcd", name="get_weather")], {"tools": TOOLS}),
    "parts": ([says("user", [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}])], {}),
    "assistant first": ([says("assistant", "Hello."), USER], {}),
    "two users": ([USER, says("user", "Still here")], {}),
    "unknown role": ([says("critic", "No."), USER], {}),
    "no messages": ([], {}),
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
PARTED = {}


def templates():
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(shared("data/chat-templates").glob("*.jinja"))}
    config = json.loads((MILLER_BASE / "tokenizer_config.json").read_text(encoding="utf-8"))
    text = config.get("chat_template") or (MILLER_BASE / "chat_template.jinja").read_text(encoding="utf-8")
    found["the sample"] = text
    return found


def contexts():
    """One context a conversation; keys in the order of CONVERSATIONS."""
    return [{"messages": messages, "add_generation_prompt": True, **SPECIAL, **more}
            for messages, more in CONVERSATIONS.values()]


def ours(tool, text, tmp):
    (tmp / "t.jinja").write_text(text, encoding="utf-8", newline="")
    (tmp / "c.json").write_text(json.dumps(contexts()), encoding="utf-8")
    done = subprocess.run([tool, tmp / "t.jinja", tmp / "c.json"], capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"render_tool: exit {done.returncode}: {one_line(done.stderr.decode('utf-8', 'replace'))}")
    return json.loads(done.stdout)


def javascript(texts, tmp):
    """@huggingface/jinja's answers by template name."""
    if not (PEERS / "node_modules/@huggingface/jinja").is_dir():
        raise Skip(f"no @huggingface/jinja (npm ci in {PEERS})")
    jobs = [{"template": text, "contexts": contexts()} for text in texts.values()]
    (tmp / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    done = subprocess.run(["node", PEERS / "render_peer.mjs", tmp / "jobs.json"], capture_output=True, timeout=300,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"render_peer.mjs: {one_line(done.stderr.decode('utf-8', 'replace'))}")
    return dict(zip(texts, json.loads(done.stdout)))


def python(text):
    """transformers' answers, or None where it is not installed."""
    try:
        from transformers.utils.chat_template_utils import _compile_jinja_template
    except ImportError:
        return None
    answers = []
    for context in contexts():
        try:
            answers.append({"text": _compile_jinja_template(text).render(**json.loads(json.dumps(context)))})
        except Exception as error:  # any of Jinja's, or what a template's operation raises
            answers.append({"error": f"{type(error).__name__}: {error}"})
    return answers


def differs(ours_is, theirs):
    """What a person needs to see of two answers, or None when they are equal."""
    if ("error" in ours_is) != ("error" in theirs):
        return f"ours: {json.dumps(ours_is, ensure_ascii=False)[:200]}; theirs: {json.dumps(theirs, ensure_ascii=False)[:200]}"
    if "error" in ours_is or ours_is["text"] == theirs["text"]:
        return None
    at = len(os.path.commonprefix([ours_is["text"], theirs["text"]]))
    return f"at {at}: ours {ours_is['text'][max(0, at - 30):at + 50]!r}, theirs {theirs['text'][max(0, at - 30):at + 50]!r}"


def compare(report, name, mine, script, snake):
    """One template: every conversation against both peers."""
    n_equal = 0
    for i, conversation in enumerate(CONVERSATIONS):
        by_script = differs(mine[i], script[i])
        by_snake = differs(mine[i], snake[i]) if snake else None
        reason = PARTED.get((name, conversation)) or PARTED.get((name, None))
        if by_script is None and by_snake is None:
            n_equal += 1
        elif reason is None:
            report.case(f"{name}: {conversation}", False,
                        f"@huggingface/jinja: {by_script or 'equal'} | transformers: {by_snake or 'equal'}")
    report.case(f"{name}: the rest", True, f"{n_equal} of {len(CONVERSATIONS)} equal")
    return n_equal


def main(report, tmp):
    tool = Path(os.environ.get("QUERN_BUILD") or ROOT / "build") / "tests/peers/render_tool"
    if not tool.exists():
        raise FileNotFoundError(f"{tool}: not built")
    texts = templates()
    start = datetime.date.today()
    script = javascript(texts, tmp)
    n_equal = 0
    snake = True
    for name, text in texts.items():
        snake = python(text)
        n_equal += compare(report, name, ours(tool, text, tmp), script[name], snake)
    if snake is None:
        report.skip("transformers", "not installed in this Python")
    if datetime.date.today() != start:
        raise Skip("the date changed meanwhile, and templates print it")
    print(f"{n_equal} of {len(texts) * len(CONVERSATIONS)} templates × conversations equal")


if __name__ == "__main__":
    run(main)
