"""A Responses server that answers from a script and stores nothing, as the ChatGPT backend does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from anyturn.testing.provider import ReceivedRequest, ScriptedProvider
from anyturn.testing.responses_rules import TOOL_TYPES, check_forwarded
from anyturn.testing.responses_script import Defect, bent, event_stream
from anyturn.testing.script import (
    JSON,
    Answer,
    Entry,
    Raw,
    Recorded,
    Refusal,
    Sending,
    openai_error,
    sending,
)
from anyturn.wire import sse

CHATGPT = frozenset({Defect.EMPTY_OUTPUT})
"""What the ChatGPT backend does to its streams."""


class ScriptedResponsesServer(ScriptedProvider):
    """Serve a script at `/v1/responses`; used like `ScriptedProvider`, with the same answers.

    It is as strict as the ChatGPT backend: references, orphans, `store: true`, unknown parameters,
    system messages and seals of others are refused (`responses_rules`), streams end without
    `[DONE]`. `defects` break each stream; by default the terminal event holds no items. `account`
    stands in the seals of its reasoning, so that two servers with one name open each other's.
    `tools` are the types that it takes: many servers take `["function"]` only.
    `strict=False` takes every request.
    """

    _path = "/v1/responses"

    def __init__(
        self,
        script: Iterable[Entry],
        *,
        strict: bool = True,
        defects: Iterable[Defect] = CHATGPT,
        account: str = "a",
        tools: Iterable[str] = TOOL_TYPES,
        models: Iterable[str] = ("gpt-oss-120b",),
        **options: Any,
    ) -> None:
        super().__init__(script, strict=strict, models=models, **options)
        self.defects = frozenset(defects)
        self._tools = frozenset(tools)
        self._seal = f"gAAAAAB{account}-"

    def _sending(self, request: ReceivedRequest, reply: Answer | Raw | Recorded) -> Sending:
        stamp = self._stamp(request, reply)
        if not isinstance(reply, Answer):
            return sending(reply, stamp)
        made = event_stream(reply, request.body, request.number, stamp.first_call, self._seal)
        frames = [
            sse.encode(msgspec.json.encode(event), event.get("type", "").encode())
            for event in bent(made, self.defects)
        ]
        if self.defects & {Defect.NO_TERMINAL, Defect.CHAT_CHUNKS}:
            frames.append(sse.DONE)
        if reply.crlf:
            frames = [frame.replace(b"\n", b"\r\n") for frame in frames]
        return Sending(
            tuple(frames),
            pace=reply.pace,
            cut_after=_within(reply.cut_after, frames),
            hold_after=_within(reply.hold_after, frames),
        )

    def _invalid(self, request: ReceivedRequest) -> Refusal | None:
        if not request.body:
            return self._refuse(400, "We could not parse the JSON body of your request.", request)
        if self._rules is None:
            return None
        refused = check_forwarded(request.body, self._seal, self._tools)
        if refused is not None:
            status, sentence, code = refused
            return self._refuse(status, sentence, request, code=code or None)
        model = request.body.get("model")
        if self._models and model not in self._models:
            sentence = f"The '{model}' model is not supported when using Codex with this account."
            return self._refuse(400, sentence, request)
        return None

    def _error(self, sentence: str, code: str | None) -> JSON:
        """The backend's two shapes of errors."""
        return openai_error(sentence, code=code) if code else {"detail": sentence}


def _within(after: int | None, frames: list[bytes]) -> int | None:
    return None if after is None else min(after, len(frames))
