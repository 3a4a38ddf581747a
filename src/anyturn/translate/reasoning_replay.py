"""Reasoning on its way back to the provider that gave it (F8, F9, F17, Q18–Q24).

What a provider told travels sealed in reasoning items (`reasoning_carrier`, `output_items`). Here
the seals of one assistant message are opened and put back in the form that the profile names:
details unchanged, signatures at their calls, words in their field. What cannot go back is
reported, once for a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.content import part_text, text_of
from anyturn.translate.envelope import REASONING, Unsealable, unseal
from anyturn.translate.reasoning_details import TEXT, Detail, ReasoningDetails
from anyturn.translate.thought_signatures import Extra, has_signature, with_signature
from anyturn.wire.profile import Profile

Message: TypeAlias = dict[str, Any]

DETAILS, THINK_TAGS = "reasoning_details", "think_tags"
_AROUND = ("", "\n\n")


class Thought(msgspec.Struct, frozen=True):
    """What one reasoning item holds: the content of a seal, or the words that the client sees."""

    text: str = ""
    details: list[Detail] = []
    calls: dict[str, Extra] = {}
    """`extra_content` by the client's call id."""
    message: Extra = {}
    """The message's own `extra_content`."""
    think: tuple[str, str] | None = None
    """What stood before and behind the words, where they were a <think> block."""

    @property
    def ends_an_answer(self) -> bool:
        """Whether it belongs to what stands before it: a carrier, which has no words."""
        return not self.text and bool(self.details or self.calls or self.message)


class Thoughts:
    """The reasoning of one assistant message, gathered from its items."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.details = ReasoningDetails()
        self.calls: dict[str, Extra] = {}
        self.message: Extra = {}
        self.think: tuple[str, str] | None = None
        self._is_empty = True

    def __bool__(self) -> bool:
        return not self._is_empty

    def add(self, thought: Thought) -> None:
        """Take the next item."""
        if thought == Thought():
            return
        self._is_empty = False
        if thought.text:
            self.texts.append(thought.text)
        # Pieces of one detail may have come in several items: its signature, as a rule.
        self.details.add(thought.details)
        self.calls.update(thought.calls)
        self.message = thought.message or self.message
        self.think = self.think or thought.think


class ReasoningReplay:
    """Reads the reasoning items of one request and writes them into its messages."""

    def __init__(self, profile: Profile, adaptations: Adaptations) -> None:
        self._profile = profile
        self._adaptations = adaptations
        self._counts: Counter[str] = Counter()

    def read(self, item: Message, place: str) -> Thought:
        """What an item holds for this provider: sealed by us, else as the client shows it.

        Raises `TurnError` for content that is malformed. A seal never raises.
        """
        thought, problem = unsealed(item.get("encrypted_content"), self._profile.name)
        visible = text_of(item.get("content"), f"{place}.content")
        visible = visible or _joined_summary(item.get("summary"), f"{place}.summary")
        if problem and visible:
            self._adaptations.note("reasoning.foreign", f"{place}.encrypted_content", problem)
        elif problem:
            self._adaptations.loss("reasoning.sealed", place, problem)
        if thought.text or not visible:
            return thought
        return msgspec.structs.replace(thought, text=visible)

    def add_to(
        self, message: Message, thoughts: Thoughts, calls: Iterable[tuple[str, Message]]
    ) -> None:
        """Write the reasoning of a message into it; `calls` are its calls by the client's ids."""
        calls = list(calls)
        self._sign(message, thoughts, calls)
        policy = self._profile.reasoning_replay
        field = self._profile.reasoning_out
        details = thoughts.details.whole()
        if not field or policy == "never" or (policy == "tool_turns" and not calls):
            self._counts["unwanted"] += bool(thoughts.texts or details)
        elif field == DETAILS and details:
            signed = [detail for detail in details if self._may_go_back(detail)]
            self._counts["unsigned"] += len(details) - len(signed)
            if signed:
                message[DETAILS] = signed
        else:
            self._add_words(message, thoughts, bool(details))

    def report(self) -> None:
        """Note what was left out or put in, each once with its count: call it at the end."""
        adaptations, counts, label = self._adaptations, self._counts, self._profile.label
        if count := counts["unwanted"]:
            only = (
                "beside calls only" if self._profile.reasoning_replay == "tool_turns" else "never"
            )
            what = f"{label} wants reasoning back {only}: that of {count} messages was not sent"
            adaptations.note("reasoning.unwanted", "input", what)
        if count := counts["placeholder"]:
            what = f"{count} messages with calls came without a signature: a placeholder stands in"
            adaptations.note("reasoning.placeholder", "input", what)
        if count := counts["unsigned"]:
            what = f"{count} pieces of reasoning have no signature, which {label} demands here"
            adaptations.loss("reasoning.unsigned", "input", what)
        if count := counts["formless"]:
            what = f"{label} takes reasoning in another form than that of {count} messages"
            adaptations.loss("reasoning.formless", "input", what)

    def _sign(self, message: Message, thoughts: Thoughts, calls: list[tuple[str, Message]]) -> None:
        """Put the signatures back where they were (Q24)."""
        for call_id, call in calls:
            if extra := thoughts.calls.get(call_id):
                call["extra_content"] = extra
        if thoughts.message:
            message["extra_content"] = thoughts.message
        placeholder = self._profile.missing_signature
        if not (placeholder and calls):
            return
        # One signature for all calls of a message is right: it stands at the first.
        if not any(has_signature(call.get("extra_content")) for _, call in calls):
            first = calls[0][1]
            first["extra_content"] = with_signature(first.get("extra_content"), placeholder)
            self._counts["placeholder"] += 1

    def _add_words(self, message: Message, thoughts: Thoughts, has_details: bool) -> None:
        """Give the plain words back, in the one form that the provider takes."""
        profile, text = self._profile, "\n".join(thoughts.texts)
        field = profile.reasoning_out
        if field == DETAILS:
            field = profile.reasoning_text_out
        if text and thoughts.think is not None and profile.think_tags_kept:
            field = THINK_TAGS
        if text and profile.reasoning_signed:
            self._counts["unsigned"] += 1
        elif text and field == THINK_TAGS:
            before, gap = thoughts.think or _AROUND
            block = f"{before}<think>{text}</think>{gap}"
            message["content"] = block + (message.get("content") or "")
        elif text and field:
            message[field] = text
        elif text or has_details:
            self._counts["formless"] += 1
        elif profile.reasoning_missing == "space" and field not in ("", THINK_TAGS):
            message[field] = " "

    def _may_go_back(self, detail: Detail) -> bool:
        """Anthropic refuses its thinking without the signature (chat-providers.md section 2.8)."""
        if detail.get("type") != TEXT or detail.get("signature"):
            return True
        told = detail.get("format")
        of_anthropic = isinstance(told, str) and told.startswith("anthropic")
        return not (self._profile.reasoning_signed or of_anthropic)


def unsealed(blob: Any, issuer: str) -> tuple[Thought, str]:
    """The content of our own seal, or why there is none: foreign, damaged, another's (F17).

    Both are empty when there is no blob. Never raises.
    """
    if not isinstance(blob, str) or not blob:
        return Thought(), ""
    try:
        sealed_for, content = unseal(REASONING, blob)
    except Unsealable as error:
        return Thought(), f"the sealed reasoning was left out: {error}"
    if sealed_for != issuer:
        return Thought(), f"the sealed reasoning was left out: it came from {sealed_for[:40]}"
    try:
        thought = msgspec.convert(content, Thought)
    except (msgspec.ValidationError, RecursionError):
        return Thought(), "the sealed reasoning was left out: it is damaged"
    if thought == Thought():
        return thought, "the sealed reasoning holds nothing"
    return thought, ""


def _joined_summary(summary: Any, place: str) -> str:
    if not isinstance(summary, list):
        return text_of(summary, place)
    return "\n\n".join(part_text(part, f"{place}[{n}]") for n, part in enumerate(summary))
