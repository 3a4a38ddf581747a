"""What Chat Completions looks like: chunks, read tolerantly.

Only the fields that are used are declared, so a provider may add what it likes. A field whose type
providers disagree about is `Any` here and is judged once, in `translate/signals.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec


class FunctionDelta(msgspec.Struct, gc=False):
    """The `function` member of a call delta. `arguments` may be text or an object (Q34)."""

    name: Any = None
    arguments: Any = None


class ToolCallDelta(msgspec.Struct):
    """One entry of `delta.tool_calls`. Each member may be absent (Q44–Q56)."""

    index: Any = None
    id: Any = None
    function: FunctionDelta | None = None
    extra_content: Any = None


class Delta(msgspec.Struct):
    """`choices[].delta`, or the `message` of an answer that was not streamed.

    Reasoning comes under three names (Q17); `content` may be a list of parts (Q20). Gemini signs
    in `extra_content`, here or at a call (Q24).
    """

    content: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_text: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    annotations: Any = None
    extra_content: Any = None


class Choice(msgspec.Struct):
    """One member of `choices`. `error` stands here at OpenRouter (Q7), `usage` at Kimi (Q61)."""

    index: Any = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Any = None
    logprobs: Any = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct):
    """One `chat.completion.chunk`, or a whole `chat.completion` (then choices hold `message`).

    Errors inside a 200 take several shapes (Q4–Q7, Q12, F55): their fields are declared here and
    read by `translate/failures.py`.
    """

    id: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    message: Any = None
    detail: Any = None
    code: Any = None
    status_code: Any = None
    base_resp: Any = None
    success: Any = None
    data: Any = None
    x_groq: Any = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
