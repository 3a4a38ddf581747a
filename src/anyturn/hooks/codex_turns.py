"""Which turns of Codex end with an answer for the user, and where they work.

Codex asks for more than answers: for summaries of its history, titles, the work of sub-agents and
reviews. What is put into those ends up in some history as the user's own words (codex-cli.md
sections 4.3 and 6), out of reach. All of them say what they are.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from anyturn.gateway import Turn

NAME = "codex"

_TERMINAL_INTERFACES = ("codex-tui", "codex_cli_rs")
_METADATA = "x-codex-turn-metadata"
_SUBAGENT = "x-openai-subagent"
_CONTEXT = "<environment_context>"
_CWD = re.compile(r"<cwd>([^<>\n]{1,2000})</cwd>")


def is_for_the_user(turn: Turn) -> bool:
    """Whether this turn of Codex goes on with what the user asked."""
    request, caller = turn.request, turn.recalled.caller
    if caller.client != NAME or turn.asked.compacts or request.get("generate") is False:
        return False
    if _is_structured(request) or not request.get("tools") or caller.headers.get(_SUBAGENT):
        return False
    facts = _metadata(request) or _decoded(caller.headers.get(_METADATA))
    return (
        facts.get("request_kind", "turn") == "turn"
        and facts.get("thread_source", "user") == "user"
        and not facts.get("subagent_kind")
    )


def shows_only_messages(turn: Turn) -> bool:
    """Whether it is the terminal interface, which shows nothing but messages under an answer.

    `codex exec` and whoever drives Codex take the last message for the result.
    """
    return turn.recalled.caller.headers.get("originator", "") in _TERMINAL_INTERFACES


def working_directory(items: Any) -> str:
    """The folder of a session, as the newest of its own descriptions in the input names it."""
    for item in reversed(items) if isinstance(items, list) else ():
        is_users = isinstance(item, dict) and item.get("role") == "user"
        content = item.get("content") if is_users else None
        for part in reversed(content) if isinstance(content, list) else ():
            text = part.get("text") if isinstance(part, dict) else None
            context = text if isinstance(text, str) and text.startswith(_CONTEXT) else ""
            if found := _CWD.search(context):
                return _unescaped(found[1])
    return ""


def _unescaped(text: str) -> str:
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'")):
        text = text.replace(entity, character)
    return text.replace("&amp;", "&")


def _is_structured(request: dict[str, Any]) -> bool:
    wish = request.get("text")
    form = wish.get("format") if isinstance(wish, dict) else None
    return isinstance(form, dict) and form.get("type", "text") != "text"


def _metadata(request: dict[str, Any]) -> dict[str, Any]:
    """What the request says of its turn: the headers of a WebSocket are those of its first one."""
    told = request.get("client_metadata")
    return _decoded(told.get(_METADATA)) if isinstance(told, dict) else {}


def _decoded(told: Any) -> dict[str, Any]:
    try:
        facts = msgspec.json.decode(told) if isinstance(told, str) else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
