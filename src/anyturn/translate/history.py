"""Histories: input items to Chat messages that every strict provider accepts (F1–F3, F13, I8).

One assistant message holds what the model said in one go: reasoning, text and all its calls (F3,
Q68). The outputs of those calls stand right behind it, in call order, wherever the client put
them (F1, Q66). A call without an output is closed, an output without its call is kept as text
(F2), and both are reported. The conversion is deterministic, and a history that only grew gives
messages that only grew (I9).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from itertools import groupby
from typing import Any, NamedTuple

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import output_text
from anyturn.translate.calls_as_functions import (
    CALLS,
    OUTPUTS,
    SERVER_SIDE,
    answered_id_of,
    call_id_of,
    called_name,
    called_with,
    is_by_server,
    loaded_tools,
)
from anyturn.translate.compaction import HEADING, SUMMARY_ITEMS, TRIGGER, read_summary
from anyturn.translate.content import (
    as_string_or_parts,
    bad_field,
    convert_content,
    convert_output,
    join_texts,
    text_of,
)
from anyturn.translate.reasoning_replay import ReasoningReplay, Thoughts
from anyturn.translate.tool_map import ToolMap
from anyturn.wire.profile import Profile

Message = dict[str, Any]

UNKNOWN_OUTCOME = (
    "[no output was recorded for this call: the turn was interrupted and its effects are unknown]"
)
CONTINUE = "Continue."
BRIDGE = "Understood."

# What the parts of Chat that are no text hold.
_MEDIA = {"image_url": "image", "file": "file", "input_audio": "audio"}
# Read elsewhere: its tools join the tool list; what it asks for was seen before.
_ELSEWHERE = frozenset({"additional_tools", TRIGGER})


class _Call(NamedTuple):
    """A call: the client's id of it, its place in the input, and its Chat form."""

    id: str
    place: str
    chat: Message


class _Assistant:
    """What the model said in one go, gathered until something else follows."""

    def __init__(self) -> None:
        self.reasoning = Thoughts()
        self.texts: list[str] = []
        self.calls: list[_Call] = []
        self.call_ids: set[str] = set()
        self.answered = False

    def __bool__(self) -> bool:
        return bool(self.texts or self.calls or self.reasoning)


class HistoryConverter:
    """Converts the items of one request; `convert` is called once."""

    def __init__(self, tools: ToolMap, profile: Profile, adaptations: Adaptations) -> None:
        self._tools = tools
        self._profile = profile
        self._adaptations = adaptations
        self._reasoning = ReasoningReplay(profile, adaptations)
        self._messages: list[Message] = []
        self._assistant = _Assistant()
        self._outputs: dict[str, deque[tuple[str, Any]]] = defaultdict(deque)
        self._taken: dict[str, Any] = {}
        self._called: set[str] = set()
        self._used_ids: set[str] = set()
        self._serials: Counter[str] = Counter()
        self._seen_items: dict[tuple[str, str], Any] = {}

    def convert(self, instructions: str, items: list[Any]) -> list[Message]:
        """The Chat messages for these instructions and items.

        Raises `TurnError` for an item that is malformed or that this gateway cannot resolve.
        """
        if instructions:
            self._add_system(instructions)
        self._index_calls(items)
        for position, item in enumerate(items):
            self._add_item(item, f"input[{position}]")
        self._close_assistant()
        self._report_unused_outputs()
        self._reasoning.report()
        if self._profile.merge_same_role:
            self._messages = _merge_users(self._messages)
        self._bridge_ends()
        return self._messages

    # ---------------------------------------------------------------- reading the items

    def _index_calls(self, items: list[Any]) -> None:
        """Find every call and output first: an output may stand anywhere, even before its call."""
        for position, item in enumerate(items):
            if not isinstance(item, dict):
                raise bad_field(f"input[{position}]", "an object", item)
            kind = item.get("type")
            if kind is not None and not isinstance(kind, str):
                raise bad_field(f"input[{position}].type", "a string", kind)
            if is_by_server(item):
                continue
            if kind in CALLS:
                self._called.add(call_id_of(item, f"input[{position}]"))
            elif kind in OUTPUTS:
                place = f"input[{position}].{OUTPUTS[kind].field}"
                self._outputs[answered_id_of(item)].append((place, item))

    def _add_item(self, item: dict[str, Any], place: str) -> None:
        kind = item.get("type")
        if kind is None and "role" in item:
            kind = "message"
        if self._is_repeated(item, kind, place):
            return
        if is_by_server(item):
            self._adaptations.note(
                "history.searched", place, "a search for tools by the server; its tools are offered"
            )
        elif kind == "message":
            self._add_message(item, place)
        elif kind == "reasoning":
            self._add_reasoning(item, place)
        elif kind in CALLS:
            self._add_call(item, place)
        elif kind in OUTPUTS:
            self._add_output(item, kind, place)
        elif kind == "agent_message":
            self._add_agent_message(item, place)
        elif kind in SUMMARY_ITEMS:
            self._add_summary(item, place)
        elif kind in SERVER_SIDE or (kind and ":" in kind):
            self._adaptations.loss("history.left_out", place, f"{kind[:60]} has no place in a chat")
        elif kind not in _ELSEWHERE:
            raise _unknown_item(item, kind, place)

    def _is_repeated(self, item: dict[str, Any], kind: Any, place: str) -> bool:
        """Clients that resend what `previous_response_id` implies give the same item twice (F4).

        The id alone proves nothing: some servers count their items anew in every answer.
        """
        item_id = item.get("id")
        if not isinstance(item_id, str) or not item_id or kind in OUTPUTS:
            return False
        first = self._seen_items.setdefault((str(kind), item_id), item)
        if first is item or not _is_same(first, item):
            return False
        self._adaptations.note("history.repeated", place, f"{item_id[:64]} was there before")
        return True

    def _add_message(self, item: dict[str, Any], place: str) -> None:
        role = item.get("role")
        content, where = item.get("content"), f"{place}.content"
        if role == "assistant":
            self._open_assistant()
            if text := text_of(content, where):
                self._assistant.texts.append(text)
            return
        if role not in ("user", "system", "developer"):
            raise bad_field(f"{place}.role", "user, assistant, system or developer", role)
        parts = convert_content(content, where, self._profile, self._adaptations)
        if not parts:
            self._adaptations.note("history.empty_message", place, f"an empty {role} message")
            return
        self._close_assistant()
        if role == "user":
            self._add_user(parts)
        else:
            self._add_developer(parts, place)

    def _add_reasoning(self, item: dict[str, Any], place: str) -> None:
        thought = self._reasoning.read(item, place)
        if not thought.ends_an_answer:
            self._open_assistant()
        self._assistant.reasoning.add(thought)

    def _add_call(self, item: dict[str, Any], place: str) -> None:
        self._open_assistant()
        tool_kind, name = called_name(item, place)
        call_id = call_id_of(item, place)
        chat = {
            "id": self._chat_call_id(call_id, place),
            "type": "function",
            "function": {
                "name": self._tools.chat_name(name, item.get("namespace"), tool_kind),
                "arguments": called_with(item, place, self._adaptations),
            },
        }
        self._assistant.call_ids.add(call_id)
        self._assistant.calls.append(_Call(call_id, place, chat))

    def _add_output(self, item: dict[str, Any], kind: str, place: str) -> None:
        call_id = answered_id_of(item)
        if call_id in self._called:
            # Its call takes it from the index; here it only ends what the model said in one go.
            self._assistant.answered |= call_id in self._assistant.call_ids
            return
        self._close_assistant()
        field = f"{place}.{OUTPUTS[kind].field}"
        text, media = self._read_output(item, field)
        self._adaptations.loss(
            "history.orphan_output", place, f"the call {call_id or '(no id)'} is not in the input"
        )
        heading = f"[output of an earlier tool call whose request is gone: {call_id or 'no id'}]"
        self._add_user([{"type": "text", "text": f"{heading}\n{text}"}, *media])

    def _read_output(self, item: dict[str, Any], field: str) -> tuple[str, list[Message]]:
        if item.get("type") == "tool_search_output":
            return loaded_tools(item.get("tools"), self._tools), []
        if (text := output_text(item)) is not None:
            return text, []
        output = item.get("output")
        return convert_output(output, field, self._profile, self._adaptations)

    def _add_agent_message(self, item: dict[str, Any], place: str) -> None:
        self._close_assistant()
        parts = convert_content(
            item.get("content"), f"{place}.content", self._profile, self._adaptations
        )
        heading = f"[message from {item.get('author')} to {item.get('recipient')}]"
        self._add_user([{"type": "text", "text": heading}, *parts])

    def _add_summary(self, item: dict[str, Any], place: str) -> None:
        """Let the summary stand for the history that it replaced (F61)."""
        summary, problem = read_summary(item.get("encrypted_content"))
        if problem:
            self._adaptations.loss("compaction.unreadable", place, problem)
            return
        self._close_assistant()
        self._add_user([{"type": "text", "text": f"{HEADING}\n\n{summary}"}])

    # ---------------------------------------------------------------- writing the messages

    def _open_assistant(self) -> None:
        """Make sure the next thing the model said starts behind the outputs it had seen."""
        if self._assistant.answered:
            self._close_assistant()

    def _close_assistant(self) -> None:
        said, self._assistant = self._assistant, _Assistant()
        if not said:
            return
        if not (said.texts or said.calls):
            self._adaptations.note(
                "reasoning.unused", "input", "reasoning that led to no message and no call"
            )
            return
        self._messages.append(self._assistant_message(said))
        media: list[Message] = []
        for call in said.calls:
            media += self._add_tool_message(call)
        if media:
            self._adaptations.note(
                "content.media_moved", "input", "media of tool outputs follow as a user message"
            )
            self._add_user([{"type": "text", "text": "[content of the tool outputs]"}, *media])

    def _assistant_message(self, said: _Assistant) -> Message:
        message: Message = {"role": "assistant"}
        if said.texts:
            message["content"] = "\n".join(said.texts)
        elif self._profile.assistant_empty != "omit":
            message["content"] = None if self._profile.assistant_empty == "null" else ""
        calls = [(call.id, call.chat) for call in said.calls]
        self._reasoning.add_to(message, said.reasoning, calls)
        if said.calls:
            message["tool_calls"] = [call.chat for call in said.calls]
        return message

    def _add_tool_message(self, call: _Call) -> list[Message]:
        """Append the output of a call; returns the media that must follow the whole round."""
        waiting = self._outputs.get(call.id)
        if waiting:
            place, item = waiting.popleft()
            self._taken[call.id] = item
            text, media = self._read_output(item, place)
        else:
            text, media = UNKNOWN_OUTCOME, []
            self._adaptations.note(
                "history.dangling_call", call.place, f"the call {call.id} has no output"
            )
        self._messages.append({"role": "tool", "tool_call_id": call.chat["id"], "content": text})
        return media

    def _report_unused_outputs(self) -> None:
        """A call takes one output; what was sent beyond that is not lost without a word."""
        for call_id, waiting in self._outputs.items():
            if call_id not in self._called:
                continue
            for place, item in waiting:
                if _is_same(item, self._taken.get(call_id)):
                    self._adaptations.note("history.repeated", place, "the same output again")
                else:
                    self._adaptations.loss(
                        "history.second_output", place, f"the call {call_id} has an output already"
                    )

    def _add_user(self, parts: list[Message]) -> None:
        if not self._profile.user_after_tool and self._last_role() == "tool":
            self._messages.append({"role": "assistant", "content": BRIDGE})
            self._adaptations.note(
                "history.bridge", "input", "an assistant message was put between"
            )
        self._messages.append({"role": "user", "content": as_string_or_parts(join_texts(parts))})

    def _add_system(self, text: str) -> None:
        self._messages.append({"role": self._profile.developer_role, "content": text})

    def _add_developer(self, parts: list[Message], place: str) -> None:
        role = self._profile.developer_role
        text = "\n".join(self._as_text(part, f"{place}.content") for part in parts)
        if self._profile.system_position == "any":
            self._messages.append({"role": role, "content": text})
        elif not self._messages:
            self._add_system(text)
        elif len(self._messages) == 1 and self._last_role() == role:
            # F6, Q64: strict templates take one system message, at the head.
            self._messages[0] = {
                "role": role,
                "content": f"{self._messages[0]['content']}\n\n{text}",
            }
        else:
            self._adaptations.note(
                "history.developer_as_user",
                place,
                f"{self._profile.label} takes one system message",
            )
            self._add_user([{"type": "text", "text": f"<developer>\n{text}\n</developer>"}])

    def _as_text(self, part: Message, where: str) -> str:
        """A part of a system message, which holds text only."""
        if part["type"] == "text":
            text: str = part["text"]
            return text
        what = _MEDIA[part["type"]]
        self._adaptations.loss(f"content.{what}_left_out", where, "a system message holds text")
        return f"[{what} left out: a system message holds text]"

    def _bridge_ends(self) -> None:
        """A history may end with the model's own words after a broken stream (codex-cli.md 2.2).

        It may also hold a system message and nothing else, which strict templates refuse as well.
        """
        alone = len(self._messages) == 1 and self._last_role() == self._profile.developer_role
        if self._profile.assistant_last == "bridge" and (alone or self._last_role() == "assistant"):
            self._messages.append({"role": "user", "content": CONTINUE})
            self._adaptations.note(
                "history.continue", "input", "the input did not end with a user or a tool message"
            )

    def _last_role(self) -> str:
        return self._messages[-1]["role"] if self._messages else ""

    # ---------------------------------------------------------------- ids

    def _chat_call_id(self, call_id: str, place: str) -> str:
        """The id that the provider sees: short enough, and unique in the request (F13, Q66)."""
        chat_id = self._shortened(call_id)
        while chat_id in self._used_ids:
            self._serials[call_id] += 1
            chat_id = self._shortened(f"{call_id}#{self._serials[call_id]}")
        self._used_ids.add(chat_id)
        if chat_id != call_id:
            self._adaptations.note("history.call_id", place, f"sent as {chat_id}")
        return chat_id

    def _shortened(self, call_id: str) -> str:
        digest = hashlib.sha256(call_id.encode()).hexdigest()
        if exact := self._profile.call_id_exact:
            plain = len(call_id) == exact and call_id.isascii() and call_id.isalnum()
            return call_id if plain else digest[:exact]
        plain = all(c.isascii() and (c.isalnum() or c in "_-") for c in call_id)
        if plain and 0 < len(call_id) <= self._profile.call_id_max:
            return call_id
        return f"call_{digest[:24]}"


def _is_same(one: Any, other: Any) -> bool:
    """Whether two items say the same; clients lose the id or the status of what they resend."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    aside = ("id", "status")
    return all(
        one.get(key) == other.get(key) for key in one.keys() | other.keys() if key not in aside
    )


def _merge_users(messages: list[Message]) -> list[Message]:
    merged: list[Message] = []
    for role, run in groupby(messages, lambda message: message["role"]):
        if role == "user":
            parts = join_texts(part for message in run for part in _parts(message["content"]))
            merged.append({"role": "user", "content": as_string_or_parts(parts)})
        else:
            merged += run
    return merged


def _parts(content: str | list[Message]) -> list[Message]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _unknown_item(item: dict[str, Any], kind: Any, place: str) -> TurnError:
    if kind == "item_reference" or (kind is None and "id" in item):
        return TurnError(
            Kind.UNKNOWN_REFERENCE,
            f"{place} names the item {str(item.get('id'))[:80]!r}, which is not known here: this "
            "gateway keeps no items yet. Send the items themselves (store: false).",
            param=place,
        )
    own = {"message", "reasoning", *SUMMARY_ITEMS}
    known = sorted({*own, *CALLS, *OUTPUTS, *SERVER_SIDE, *_ELSEWHERE})
    return TurnError(
        Kind.INVALID_REQUEST,
        f"Invalid request: {place}.type {str(kind)[:60]!r} is not an item type. "
        f"Known: {', '.join(known)}.",
        param=f"{place}.type",
    )
