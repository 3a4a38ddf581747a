"""See what an OpenAI client of a Python program does: requests, tool calls, and what goes wrong.

    from anyturn.openai_sdk import intercept_llm_requests

    client = intercept_llm_requests(AsyncOpenAI())

Or run the Responses API inside the program, on a Chat provider, without a server:

    from anyturn.openai_sdk import responses_client

    client = responses_client(provider="cerebras")

The guide, with every log line: `docs/openai-sdk.md`. The `openai` package is not imported here and
not needed until a program uses it (extra `openai`).
"""

from __future__ import annotations

import logging

from anyturn.openai_sdk.events import (
    Answered,
    CallDetected,
    CallNamed,
    CallsCompleted,
    Ending,
    Event,
    Finding,
    MessagesSent,
    OnEvent,
    ReasoningStarted,
    RequestFailed,
    RequestSent,
    Rule,
    TextStarted,
    ToolCall,
)
from anyturn.openai_sdk.interceptor import intercept_llm_requests, intercepting, stop_intercepting
from anyturn.openai_sdk.tracker import StreamingToolCallTracker
from anyturn.openai_sdk.transport import (
    AnyturnTransport,
    AsyncAnyturnTransport,
    async_responses_client,
    responses_client,
)

# A library is quiet until its user sets logging up.
logging.getLogger("anyturn").addHandler(logging.NullHandler())

__all__ = [
    "Answered",
    "AnyturnTransport",
    "AsyncAnyturnTransport",
    "CallDetected",
    "CallNamed",
    "CallsCompleted",
    "Ending",
    "Event",
    "Finding",
    "MessagesSent",
    "OnEvent",
    "ReasoningStarted",
    "RequestFailed",
    "RequestSent",
    "Rule",
    "StreamingToolCallTracker",
    "TextStarted",
    "ToolCall",
    "async_responses_client",
    "intercept_llm_requests",
    "intercepting",
    "responses_client",
    "stop_intercepting",
]
