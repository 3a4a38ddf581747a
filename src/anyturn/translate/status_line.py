"""The status line: what it says, how it is marked, and how it is taken out again.

The line is for the user's eyes. It goes out at the end of an answer (`answer_line`), and a client
sends it back with the history: there it is recognised by its mark and taken out, so that the model
never reads it and the provider's cache sees the same bytes as without it (I9, G13).
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping
from typing import Any

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.envelope import STATUS_LINE, is_sealed

FIELDS = ("git", "model", "provider", "tokens_per_s", "context_used")
COMMAND = "command:"
BUILT_INS = {
    "default": "{git} · {model} · {provider} · {tokens_per_s} tok/s · {context_used} context",
    "git": "{git}",
}
MAX_CHARACTERS = 200

# Invisible separator and invisible plus: no terminal shows them, and nobody writes them in turns.
_MARK = "\u2063\u2064\u2063\u2064\u2063"
_OPEN, _CLOSE = f"\n\n*{_MARK}", f"{_MARK}*"

_FIELD = re.compile(r"\{(\w+)\}")
_SEPARATOR = re.compile(r"( [·•|] )")
# Colours, and whatever else a program tells a terminal.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>~#|!&])")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


# ---------------------------------------------------------------- what the user asked for


def status_line_problem(stated: str) -> str:
    """What a status line takes, for the middle of a sentence, where `stated` is none; else ''."""
    if stated.startswith(COMMAND):
        return _command_problem(stated)
    template = BUILT_INS.get(stated, stated)
    fields = _FIELD.findall(template)
    if fields and set(fields) <= set(FIELDS):
        return ""
    known = " ".join(f"{{{name}}}" for name in FIELDS)
    return f'{", ".join(BUILT_INS)}, a text with some of {known}, or "{COMMAND} PROGRAM ..."'


def command_of(stated: str) -> list[str]:
    """The program and its arguments, where a command was asked for."""
    return shlex.split(stated.removeprefix(COMMAND)) if stated.startswith(COMMAND) else []


def _command_problem(stated: str) -> str:
    try:
        program = next(iter(command_of(stated)), "")
    except ValueError:
        return f'a command whose quotes are closed after "{COMMAND}"'
    if program and ("/" not in program or program.startswith(("/", "~/"))):
        return ""
    # It runs in the folder of a session: there, anybody may have put a program of the same name.
    return f'a program after "{COMMAND}": its name, or its path from / or ~/'


def filled(template: str, facts: Mapping[str, str]) -> str:
    """The template with these facts. What stands between separators goes if a fact of it is
    missing; nothing is left where no fact is there at all."""
    shown, has_fact = "", False
    pieces = ["", *_SEPARATOR.split(template)]
    for separator, segment in zip(pieces[::2], pieces[1::2], strict=True):
        wanted = [name for name in _FIELD.findall(segment) if name in FIELDS]
        if not all(facts.get(name) for name in wanted):
            continue
        has_fact |= bool(wanted)
        text = _FIELD.sub(lambda field: facts.get(field[1], field[0]), segment)
        shown += f"{separator}{text}" if shown else text
    return one_line(shown) if has_fact or not _FIELD.search(template) else ""


def one_line(text: str) -> str:
    """The first line of a text, as plain characters that can be seen, and not too long."""
    lines = _ESCAPES.sub("", text).strip().splitlines()
    spaced = " ".join("".join(map(_seen, lines[0] if lines else "")).split())
    return spaced if len(spaced) <= MAX_CHARACTERS else f"{spaced[: MAX_CHARACTERS - 1]}…"


def _seen(character: str) -> str:
    if character == "\t":
        return " "
    return "" if unicodedata.category(character) in _UNSEEN else character


# ---------------------------------------------------------------- the mark


def marked(line: str) -> str:
    """What is put behind a message's text so that a line (`one_line`) stands under it.

    Between the marks it is Markdown for exactly these characters, in italics.
    """
    return f"{_OPEN}{_MARKDOWN.sub(_escaped, line)}{_CLOSE}"


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def without_status_lines(items: list[Any], adaptations: Adaptations) -> list[Any]:
    """The input items as they would be had no status line ever been added. `items` stays as it is.

    Only what the model said is looked at: a user may quote whatever they like.
    """
    kept, has_changed = [], False
    for item in items:
        clean = _without(item)
        has_changed |= clean is not item
        if clean is not None:
            kept.append(clean)
    if not has_changed:
        return items
    adaptations.note("history.status_line", "input", "what the status line hook had added")
    return kept


def _without(item: Any) -> Any:
    """The item without its line; None where it is nothing else."""
    if not isinstance(item, dict):
        return item
    if item.get("type") == "reasoning":
        blob = item.get("encrypted_content")
        return None if isinstance(blob, str) and is_sealed(blob, STATUS_LINE) else item
    if item.get("role") != "assistant":
        return item
    content = item.get("content")
    if isinstance(content, str):
        text = _cut(content)
        return item if text is content else {**item, "content": text}
    if not isinstance(content, list) or not content:
        return item
    last = content[-1]
    said = last.get("text") if isinstance(last, dict) else None
    if not isinstance(said, str):
        return item
    text = _cut(said)
    return item if text is said else {**item, "content": [*content[:-1], {**last, "text": text}]}


def _cut(text: str) -> str:
    """The text without the line at its end; the same object where there is none."""
    if not text.endswith(_CLOSE):
        return text
    start = text.rfind(_OPEN, 0, -len(_CLOSE))
    return text if start < 0 or "\n" in text[start + len(_OPEN) :] else text[:start]
