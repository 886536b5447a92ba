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
JS, PY = "@huggingface/jinja", "transformers"
LACKS = "it lacks what the template calls"
UNDEFINED = "it lets undefined values have attributes, where Jinja 2 refuses"
JOINS = "it joins a text and a list, where Python refuses"
# (peer, template or None for any, conversation or None, reason). An entry that never applies is a failed case.
PARTED = [
    (JS, "Apriel-1.6-15b-Thinker-fixed", None, LACKS + ": the filter string of an object"),
    (JS, "ByteDance-Seed-OSS", None, LACKS + ": integers as keys"),
    (JS, "GigaChat3-10B-A1.8B", None, "a parameter's key called items hides the method"),
    (JS, "GigaChat3.1-10B-A1.8B", None, "a parameter's key called items hides the method"),
    (JS, "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", None, LACKS + ": loops over undefined, keys that are undefined"),
    (JS, "llama-cpp-rwkv-world", "parts", LACKS + ": the filter trim of a list"),
    (JS, "meta-llama-Llama-3.1-8B-Instruct", "parts", LACKS + ": the filter trim of a list"),
    (JS, "meta-llama-Llama-3.2-3B-Instruct", "parts", LACKS + ": the filter trim of a list"),
    (JS, "meetkai-functionary-medium-v3.1", None, LACKS + ": selectattr of none"),
    (JS, "openbmb-MiniCPM5-1B", None, LACKS + ": the filter min"),
    (JS, "tencent-Hy3", None, LACKS + ": the method format"),
    (JS, "CohereForAI-c4ai-command-r7b-12-2024-tool_use", "parts", "it prints lists as JSON, Python by repr()"),
    (JS, "deepseek-ai-DeepSeek-V4", "parts", "it prints lists as JSON, Python by repr()"),
    (JS, "google-gemma-4-31B-it", None, "it prints none as nothing, Python as None"),
    (JS, "google-gemma-4-31B-it-interleaved", None, "it prints none as nothing, Python as None"),
    (JS, None, "no messages", UNDEFINED),
    (JS, None, "parts", JOINS),
    (JS, "Kimi-K2-Instruct", None, LACKS + ": the method append"),
    (JS, "Kimi-K2-Thinking", None, LACKS + ": the method append"),
    (PY, "Kimi-K2-Instruct", None, "its sandbox refuses append, without which the template has no tool calls"),
    (PY, "Kimi-K2-Thinking", None, "its sandbox refuses append, without which the template has no tool calls"),
    (JS, "deepseek-ai-DeepSeek-V3.2", "arguments as text", LACKS + ": the filter from_json"),
    (JS, "deepseek-ai-DeepSeek-V4", "arguments as text", LACKS + ": the filter from_json"),
    (PY, "deepseek-ai-DeepSeek-V3.2", "arguments as text", LACKS + ": the filter from_json"),
    (PY, "deepseek-ai-DeepSeek-V4", "arguments as text", LACKS + ": the filter from_json"),
    (PY, "meetkai-functionary-medium-v3.1", None, "a text marked safe escapes for HTML what is added to it"),
]


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


class Tally:
    """What became of the cases, and which entries of PARTED were needed."""

    def __init__(self):
        self.n_equal = {JS: 0, PY: 0}
        self.n_parted = {JS: 0, PY: 0}
        self.needed = set()

    def excuse(self, peer, template, conversation):
        for entry in PARTED:
            if entry[0] == peer and entry[1] in (None, template) and entry[2] in (None, conversation):
                self.needed.add(entry)
                return entry[3]
        return None

    def take(self, report, peer, template, conversation, difference):
        if difference is None:
            self.n_equal[peer] += 1
        elif self.excuse(peer, template, conversation):
            self.n_parted[peer] += 1
        else:
            report.case(f"{template}: {conversation}: {peer}", False, difference)


def compare(report, tally, name, mine, peers):
    """One template: every conversation against the peers."""
    before = report.n_failed
    for i, conversation in enumerate(CONVERSATIONS):
        differences = {peer: differs(mine[i], answers[i]) for peer, answers in peers.items()}
        for peer, difference in differences.items():
            tally.take(report, peer, name, conversation, difference)
    report.case(f"{name}: {len(CONVERSATIONS)} conversations", report.n_failed == before)


def main(report, tmp):
    tool = Path(os.environ.get("QUERN_BUILD") or ROOT / "build") / "tests/peers/render_tool"
    if not tool.exists():
        raise FileNotFoundError(f"{tool}: not built")
    texts = templates()
    start = datetime.date.today()
    script = javascript(texts, tmp)
    tally = Tally()
    has_python = python("") is not None
    for name, text in texts.items():
        peers = {JS: script[name]}
        if has_python:
            peers[PY] = python(text)
        compare(report, tally, name, ours(tool, text, tmp), peers)
    if not has_python:
        report.skip(PY, "not installed in this Python")
    if datetime.date.today() != start:
        raise Skip("the date changed meanwhile, and templates print it")
    for entry in PARTED:
        if entry not in tally.needed and (has_python or entry[0] == JS):
            report.case(f"PARTED {entry[:3]}", False, "the peer agrees by now: the entry is stale")
    for peer in (JS, PY):
        print(f"{peer}: {tally.n_equal[peer]} equal, {tally.n_parted[peer]} parted for a known reason, "
              f"of {len(texts) * len(CONVERSATIONS)} templates × conversations")


if __name__ == "__main__":
    run(main)
