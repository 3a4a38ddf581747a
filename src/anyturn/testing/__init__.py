"""Test what speaks Responses or Chat Completions, offline: a scripted provider and a client.

A turn with a tool call, and what the provider was sent::

    script = [Answer(call("exec_command", {"cmd": "touch x"})), Answer(text("Done."))]
    async with ScriptedProvider(script) as provider:
        await point_my_gateway_at(provider.base_url)
        result = await run_agent(my_gateway_url, "Touch x.", model="gpt-oss-120b", directory=".")
        assert result.text == "Done." and provider.refusals == []
        assert provider.requests[1].messages[-1]["role"] == "tool"
"""

from __future__ import annotations

from anyturn.testing.agent import AgentCall, AgentError, AgentResult, run_agent
from anyturn.testing.client import ResponsesClient, ResponsesRefused
from anyturn.testing.history import Rules, check_history, check_request
from anyturn.testing.provider import ReceivedRequest, ScriptedProvider
from anyturn.testing.responses_script import Defect
from anyturn.testing.responses_server import ScriptedResponsesServer
from anyturn.testing.script import (
    Answer,
    Call,
    Dropped,
    Entry,
    Quirk,
    Raw,
    Recorded,
    Refusal,
    ScriptError,
    Stamp,
    Usage,
    call,
    chunks,
    completion,
    interleaved,
    openai_error,
    raw_chunks,
    reasoning,
    text,
)

__all__ = [
    "AgentCall",
    "AgentError",
    "AgentResult",
    "Answer",
    "Call",
    "Defect",
    "Dropped",
    "Entry",
    "Quirk",
    "Raw",
    "ReceivedRequest",
    "Recorded",
    "Refusal",
    "ResponsesClient",
    "ResponsesRefused",
    "Rules",
    "ScriptError",
    "ScriptedProvider",
    "ScriptedResponsesServer",
    "Stamp",
    "Usage",
    "call",
    "check_history",
    "check_request",
    "chunks",
    "completion",
    "interleaved",
    "openai_error",
    "raw_chunks",
    "reasoning",
    "run_agent",
    "text",
]
