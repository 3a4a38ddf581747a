"""Why did a call run, or not: one verdict for each, in plain words.

It reads both sides of the wire and shares no code with the translator, so it does not share its
mistakes. What the checker finds comes in through `Judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from anyturn.capture.format import Capture, Finding
from anyturn.capture.timeline import (
    CallLife,
    ProviderCall,
    Timeline,
    finish_of,
    provider_calls,
    timeline_of,
)

JSON: TypeAlias = dict[str, Any]
Judge: TypeAlias = Callable[[Capture], Iterable[Finding]]

_EXCERPT = 160
# Calls of these kinds are declared by their type, not by a name.
_BUILT_IN = {
    "tool_search_call": {"tool_search"},
    "local_shell_call": {"local_shell"},
    "shell_call": {"shell"},
    "apply_patch_call": {"apply_patch"},
}
_WHOSE = {
    "provider": "the provider or its model",
    "gateway": "the gateway",
    "client": "the client",
    "relay": "the relay, which had no answer to pass on",
    "": "nobody that can be named from here",
}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call, or of the turn. `fault` is provider, gateway, client or empty."""

    title: str
    runs: bool
    what: str
    rule: str = ""
    evidence: str = ""
    """The bytes or the item that show it."""
    fault: str = ""
    advice: str = ""

    @property
    def whose(self) -> str:
        """Whose fault, in words."""
        return _WHOSE.get(self.fault, self.fault)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A turn explained: in one sentence, then call by call, then what else was found."""

    summary: str
    verdicts: list[Verdict]
    findings: list[Finding]
    timeline: Timeline


def recorded_findings(capture: Capture) -> list[Finding]:
    """The findings that were recorded with the turn: the judge where there is no other."""
    return capture.findings


def explain(
    capture: Capture, later: Iterable[Capture] = (), judge: Judge = recorded_findings
) -> Explanation:
    """Explain a turn. `later` are the turns after it, which bring the outputs of its calls."""
    timeline = timeline_of(capture, later)
    verdicts = [_judge_call(call, capture) for call in timeline.calls]
    verdicts += _lost_calls(capture, timeline)
    verdicts += _judge_end(capture)
    return Explanation(
        summary=_summary(capture, timeline, verdicts),
        verdicts=verdicts,
        findings=list(judge(capture)),
        timeline=timeline,
    )


def _summary(capture: Capture, timeline: Timeline, verdicts: list[Verdict]) -> str:
    if not (capture.said or capture.response):
        return "The client got no event at all."
    calls = [one for one in verdicts if one.title.startswith("call ")]
    if not calls:
        if capture.status == "completed":
            return "The model called no tool; it answered with text, and the turn is complete."
        return f"There is no tool call in this turn; it ended as {capture.status}."
    good = sum(one.runs for one in calls)
    if good == len(calls):
        brought = sum(call.output is not None for call in timeline.calls)
        words = "The call" if good == 1 else f"All {good} calls"
        outputs = "Its output" if good == 1 else f"{brought} of {good} outputs"
        known = f" {outputs} came back." if brought else ""
        return f"{words} reached the client in a form that it executes.{known}"
    return f"{len(calls) - good} of {len(calls)} calls did not reach the client whole."


# ---------------------------------------------------------------- one call


def _judge_call(call: CallLife, capture: Capture) -> Verdict:
    title = f"call {call.shown_name} ({call.call_id or 'without an id'})"
    for found in (_unfinished(call, capture), _unknown(call, capture), _unreadable(call)):
        if found is not None:
            rule, what, evidence, fault, advice = found
            return Verdict(
                title=title,
                runs=False,
                what=what,
                rule=rule,
                evidence=evidence,
                fault=fault,
                advice=advice,
            )
    what = "it was announced, and handed out whole with response.output_item.done"
    if capture.head.wire == "chat":
        what = "it came whole, and its answer ended with a finish_reason"
    if call.output is not None:
        what += "; its output came back with a later request, so it ran"
    return Verdict(title=title, runs=True, what=what)


_Found: TypeAlias = tuple[str, str, str, str, str]


def _unfinished(call: CallLife, capture: Capture) -> _Found | None:
    if call.done is not None and call.status in ("completed", ""):
        return None
    told = call.text[-_EXCERPT:]
    if capture.status == "left":
        return (
            "turn.left",
            "the client left before the call was whole",
            told,
            "client",
            "Look why the client went away: a time limit, or Ctrl-C.",
        )
    if finish_of(capture.stream) == "length":
        return (
            "I6",
            "the model's token budget was used up in the middle of the call",
            told,
            "provider",
            "Raise max_output_tokens, or ask for less in one step.",
        )
    return (
        "I6",
        "the provider's stream ended before the call was whole, so it was not handed out",
        _last_bytes(capture),
        "provider",
        "Send the turn again; if it happens again, report the stream to the provider.",
    )


def _unknown(call: CallLife, capture: Capture) -> _Found | None:
    declared = _declared(capture.request)
    names = _BUILT_IN.get(call.kind, {call.name})
    if not declared or names & declared:
        return None
    near = ", ".join(sorted(declared)[:8])
    return (
        "F47",
        f"the client declared no tool of the name {call.shown_name!r}, so it has nothing to run",
        near and f"declared: {near}",
        "provider",
        "The model made the name up. A clearer tool description helps; so does another model.",
    )


def _declared(request: JSON) -> set[str]:
    """The names and types of all tools in a request, those that the history loaded included."""
    names: set[str] = set()
    todo: list[Any] = [request.get("tools"), request.get("input")]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            kind = value.get("type")
            function = value.get("function")
            if isinstance(function, dict):
                todo.append({"type": "function", **function})
            if isinstance(kind, str) and not kind.endswith("_call"):
                names.update(v for v in (value.get("name"), kind) if isinstance(v, str))
            todo.append(value.get("tools"))
    return names


def _unreadable(call: CallLife) -> _Found | None:
    if call.kind != "function_call":
        return None
    try:
        msgspec.json.decode(call.text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return (
            "F44",
            f"its arguments are no JSON ({error}), so the client cannot read them",
            call.text[-_EXCERPT:],
            "provider",
            "The model wrote them so. Send the turn again, or use a model that is better at tools.",
        )
    return None


# ---------------------------------------------------------------- calls that never arrived


def _lost_calls(capture: Capture, timeline: Timeline) -> list[Verdict]:
    """Calls that the provider wrote and the client never heard of."""
    told = provider_calls(capture.stream)
    missing = told[len(timeline.calls) :]
    return [_lost_call(call, capture) for call in missing]


def _lost_call(call: ProviderCall, capture: Capture) -> Verdict:
    failed = capture.status in ("failed", "incomplete", "left")
    return Verdict(
        title=f"call {call.name or 'without a name'} (from the provider)",
        runs=False,
        what="the provider began it and the client never got it"
        + (f", because the turn ended as {capture.status}" if failed else ""),
        rule="I6" if failed else "I7",
        evidence=f"chunk {call.first}: {call.name}({call.arguments[:_EXCERPT]}",
        fault="provider" if failed else "gateway",
        advice=""
        if failed
        else "This is a bug. Report it with a test: anyturn captures export --as pytest.",
    )


# ---------------------------------------------------------------- how the turn ended


def _judge_end(capture: Capture) -> list[Verdict]:
    end = capture.end
    if end is None:
        return []
    if end.error is not None:
        error = end.error
        provider_status = error.get("provider_status")
        asked = f" (HTTP {provider_status} of the provider)" if provider_status else ""
        return [
            Verdict(
                title="the turn failed",
                runs=False,
                what=f"{error.get('message')}{asked}",
                rule=str(error.get("code") or ""),
                evidence=_last_bytes(capture),
                fault=str(error.get("source") or ""),
                advice=_ADVICE.get(str(error.get("code")), ""),
            )
        ]
    if end.status == "left":
        what = "the client closed the connection before the answer was over"
        return [Verdict(title="the turn was given up", runs=False, what=what, fault="client")]
    if end.status == "incomplete":
        details = capture.response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        reason = finish_of(capture.stream) or reason
        what = f"the provider stopped with finish_reason {reason!r}"
        return [Verdict(title="the turn is incomplete", runs=False, what=what, fault="provider")]
    return []


_ADVICE = {
    "rate_limit_exceeded": "Wait as long as Retry-After says, or use another key.",
    "stream_cut": "Send the turn again; if it happens again, report the stream to the provider.",
    "backend_unreachable": "Check that the backend runs, and the address after --to.",
    "insufficient_quota": "The account with the provider has no credit left.",
    "context_length_exceeded": "Compact the conversation, or use a model with a larger window.",
    "provider_unreachable": "Check base_url and that the provider runs: anyturn providers test.",
    "invalid_prompt": "Read the sentence above: it is what the provider refused.",
    "gateway_error": "This is a bug in Anyturn: please report it with this capture.",
}


def _last_bytes(capture: Capture) -> str:
    return capture.stream[-_EXCERPT:].decode("utf-8", "replace").strip()
