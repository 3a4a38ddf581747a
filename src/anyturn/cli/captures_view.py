"""How captures look in a terminal. What stands in them is others' words: text, never markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import zip_longest
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from anyturn.capture.compare import Contrast
from anyturn.capture.explain import Explanation, Verdict
from anyturn.capture.format import Capture
from anyturn.capture.timeline import (
    CallLife,
    Said,
    Timeline,
    outputs_in,
    text_of,
    timeline_of,
    tokens_per_s,
)

_COLOURS = {"completed": "green", "incomplete": "yellow", "failed": "red", "left": "yellow"}
_REQUEST_CHARS = 300
_OUTPUT_CHARS = 600
_COMPARED_MAX = 60


def clean(value: Any, limit: int = 0) -> str:
    """Others' words for a terminal: without control characters, and no longer than `limit`."""
    text = value if isinstance(value, str) else str(value)
    shown = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
    return shown if not limit or len(shown) <= limit else shown[: limit - 1] + "…"


def seconds(micros: int | None) -> str:
    """A time, short."""
    if micros is None:
        return ""
    return f"{micros / 1000:.0f} ms" if micros < 1_000_000 else f"{micros / 1e6:.2f} s"


# ---------------------------------------------------------------- list


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One capture in the list."""

    number: int
    name: str
    started: str
    client: str
    model: str
    provider: str
    outcome: str
    tools: list[str]
    tokens: tuple[int, int] | None
    tokens_per_s: float | None
    first_event_us: int | None
    findings: int
    problems: list[str]


def line_of(number: int, name: str, capture: Capture, findings: int) -> Line:
    """What the list says of a capture."""
    head, timeline = capture.head, timeline_of(capture)
    return Line(
        number=number,
        name=name,
        started=head.started,
        client=f"{head.client} {head.client_version}".strip(),
        model=head.model,
        provider=head.provider,
        outcome=capture.status,
        tools=[call.shown_name for call in timeline.calls],
        tokens=capture.usage,
        tokens_per_s=tokens_per_s(capture, timeline),
        first_event_us=timeline.first_event,
        findings=findings,
        problems=capture.problems,
    )


def list_table(lines: Iterable[Line], width: int) -> Table:
    """The list; in a narrow terminal with those columns only that fit into it."""
    shown = [one for one in _COLUMNS if width >= _WIDE or one not in _FOR_WIDE]
    table = Table(box=None, pad_edge=False)
    for heading in shown:
        table.add_column(
            heading,
            justify="right" if heading in _NUMBERS else "left",
            overflow="fold",
            no_wrap=heading not in ("client", "model", "provider", "tools"),
            min_width=len(heading),
        )
    for line in lines:
        cells = dict(zip(_COLUMNS, _cells(line), strict=True))
        table.add_row(*[cells[heading] for heading in shown])
    return table


_COLUMNS = (
    *("#", "time", "client", "model", "provider", "outcome", "tools"),
    *("tokens", "tokens/s", "first event", "findings"),
)
_NUMBERS = frozenset(("#", "tokens", "tokens/s", "first event", "findings"))
# What goes first where not all of it has room. `--json` has everything.
_FOR_WIDE = frozenset(("client", "provider", "tokens/s", "first event"))
_WIDE = 120


def _cells(line: Line) -> tuple[str | Text, ...]:
    return (
        str(line.number),
        _clock(line.started),
        Text(clean(line.client, 40)),
        Text(clean(line.model, 40)),
        Text(clean(line.provider, 24)),
        outcome(line.outcome),
        Text(clean(_counted(line.tools), 60)),
        f"{line.tokens[0]} + {line.tokens[1]}" if line.tokens else "",
        f"{line.tokens_per_s:,.0f}" if line.tokens_per_s else "",
        seconds(line.first_event_us),
        str(line.findings or ""),
    )


def _clock(started: str) -> str:
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return clean(started, 20)


def outcome(word: str) -> Text:
    """How a turn ended, in its colour."""
    return Text(clean(word, 20), style=_COLOURS.get(word, "red"))


def tools_of(timeline: Timeline) -> str:
    """The tools that were called, each with its count."""
    return _counted([call.shown_name for call in timeline.calls])


def _counted(names: list[str]) -> str:
    counts = {name: names.count(name) for name in names}
    return ", ".join(name if n == 1 else f"{name} ×{n}" for name, n in counts.items())


def print_problems(out: Console, name: str, problems: list[str]) -> None:
    """Say what could not be read."""
    for problem in problems:
        out.print(Text(f"{clean(name)}: {clean(problem, 300)}", style="yellow"), soft_wrap=True)


# ---------------------------------------------------------------- show


def show(out: Console, capture: Capture, timeline: Timeline) -> None:
    """A turn as a person follows it."""
    head = capture.head
    _say(out, "bold", f"{head.client} {head.client_version}".strip() or "a client", end="")
    _say(out, "", f" asked {head.model or '?'} of {head.provider or '?'} at {head.started}")
    if head.passive:
        api = {"chat": "Chat Completions", "responses": "Responses"}.get(head.wire, "?")
        over = " over a WebSocket" if head.transport == "websocket" else ""
        _say(out, "dim", f"recorded between both, unchanged: {api}{over}")
    _show_request(out, capture)
    for entry in timeline.entries:
        if isinstance(entry, Said):
            _show_said(out, entry)
        else:
            _show_call(out, entry)
    _show_end(out, capture, timeline)


def _say(out: Console, style: str, words: str, *, end: str = "\n") -> None:
    out.print(Text(clean(words), style=style), soft_wrap=True, end=end)


def _mark(out: Console, t: int | None, what: str, style: str, more: str = "") -> None:
    line = Text(f"{seconds(t) if t is not None else '':>10}  ", style="dim")
    line.append(clean(what), style=style)
    line.append(f"  {clean(more)}" if more else "", style="dim")
    out.print(line, soft_wrap=True)


def _body(out: Console, text: str, style: str = "") -> None:
    for line in clean(text).split("\n"):
        out.print(Text("            " + line, style=style), soft_wrap=True)


def _show_request(out: Console, capture: Capture) -> None:
    request = capture.request
    is_chat = capture.head.wire == "chat"
    items = request.get("messages" if is_chat else "input")
    tools = request.get("tools")
    count = len(items) if isinstance(items, list) else 1
    tool_count = len(tools) if isinstance(tools, list) else 0
    said = _many(count, "message" if is_chat else "item")
    _mark(out, 0, f"request: {said}, {_many(tool_count, 'tool')}", "bold cyan")
    if question := _question(items):
        _body(out, clean(question, _REQUEST_CHARS), "italic")
    for call_id, output in list(outputs_in(request).items())[-3:]:
        _body(out, clean(f"output of {call_id}: {output.strip()}", 120), "dim")


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _question(items: Any) -> str:
    """What the user said last."""
    if isinstance(items, str):
        return items
    for item in reversed(items if isinstance(items, list) else []):
        if isinstance(item, dict) and item.get("role") == "user":
            return text_of(item).strip()
    return ""


def _show_said(out: Console, said: Said) -> None:
    took = f"for {seconds(said.ended - said.began)}" if said.ended is not None else "cut off"
    thinking = said.kind == "reasoning"
    _mark(out, said.began, said.kind, "bold magenta" if thinking else "bold", took)
    _body(out, said.text.strip(), "dim" if thinking else "")


def _show_call(out: Console, call: CallLife) -> None:
    _mark(out, call.announced, f"{call.kind} {call.shown_name}", "bold yellow", call.call_id)
    _body(out, call.text)
    if call.first_delta is not None:
        between = f"{call.deltas} deltas until {seconds(call.last_delta)}"
        _mark(out, call.first_delta, "first delta", "", between)
    if call.done is None:
        _mark(out, None, "never handed out whole: the client did not run it", "red")
        return
    _mark(out, call.done, "handed out whole", "green")
    if call.output is None:
        return
    after = f"{seconds(call.output_after)} later" if call.output_after is not None else ""
    moment = call.done + call.output_after if call.output_after is not None else None
    _mark(out, moment, "its output came back", "green", after)
    _body(out, clean(call.output.strip(), _OUTPUT_CHARS), "green")


def _show_end(out: Console, capture: Capture, timeline: Timeline) -> None:
    usage = capture.usage
    tokens = f"{usage[0]} + {usage[1]} tokens" if usage else ""
    style = "bold " + _COLOURS.get(capture.status, "red")
    _mark(out, timeline.ended, capture.status, style, tokens)
    if capture.end is not None and capture.end.error is not None:
        _body(out, str(capture.end.error.get("message")), "red")
    for change in capture.adaptations:
        lossy = "lost" if change.lossy else "adapted"
        _mark(out, None, f"{lossy} {change.rule} at {change.where}: {change.what}", "dim")
    for finding in capture.findings:
        _mark(out, None, f"finding {finding.rule} at {finding.where}: {finding.what}", "yellow")
    for lost in capture.lost:
        _mark(out, lost.t, f"{lost.records} records were not written: {lost.why}", "yellow")


# ---------------------------------------------------------------- explain


def show_explanation(out: Console, explained: Explanation) -> None:
    """A turn explained."""
    _say(out, "bold", explained.summary)
    for verdict in explained.verdicts:
        out.print()
        _show_verdict(out, verdict)
    for finding in explained.findings:
        out.print()
        _say(out, "bold yellow", f"{finding.rule} at {finding.where}")
        _say(out, "", f"  {finding.what}")
        _rows(out, [("fault", finding.fault), ("do", finding.advice)])


def _show_verdict(out: Console, verdict: Verdict) -> None:
    mark, style = ("✔", "green") if verdict.runs else ("✘", "bold red")
    _say(out, style, f"{mark} {verdict.title}")
    _say(out, "", f"  {verdict.what}")
    if verdict.runs:
        return
    rows = [("rule", verdict.rule), ("seen", verdict.evidence)]
    _rows(out, [*rows, ("fault", verdict.whose), ("do", verdict.advice)])


def _rows(out: Console, rows: list[tuple[str, str]]) -> None:
    for name, value in rows:
        if value:
            line = Text(f"  {name:>5}  ", style="dim").append(clean(value, 500), style="default")
            out.print(line, soft_wrap=True)


# ---------------------------------------------------------------- compare


def show_contrast(
    out: Console,
    names: tuple[str, str],
    courses: tuple[list[tuple[str, int]], list[tuple[str, int]]],
    contrasts: list[Contrast],
) -> None:
    """Two streams side by side: first what comes when, then what differs in it."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(Text(clean(name, 60)), ratio=1, overflow="fold")
    for left, right in list(zip_longest(*courses))[:_COMPARED_MAX]:
        table.add_row(_course_line(left), _course_line(right))
    out.print(table)
    out.print()
    odd = [one for one in contrasts if not one.agrees]
    if not odd:
        _say(out, "green", "Both send the same types, with the same fields in the same order.")
    for one in odd:
        _show_difference(out, names, one)


def _course_line(run: tuple[str, int] | None) -> Text:
    if run is None:
        return Text("")
    name, count = run
    return Text(clean(name, 80) + (f" × {count}" if count > 1 else ""))


def _show_difference(out: Console, names: tuple[str, str], one: Contrast) -> None:
    _say(out, "bold", f"{one.type}  ({one.left} and {one.right})")
    if not one.left or not one.right:
        _say(out, "yellow", f"  only in {names[0] if one.left else names[1]}")
        return
    told: list[tuple[str, Callable[[], str]]] = [
        (f"only in {names[0]}", lambda: ", ".join(one.only_left)),
        (f"only in {names[1]}", lambda: ", ".join(one.only_right)),
    ]
    for words, fields in told:
        if shown := fields():
            _say(out, "yellow", f"  {words}: {shown}")
    for path, left, right in one.other_kinds:
        _say(out, "", f"  {path}: {left} | {right}")
    if one.orders is not None:
        left, right = (", ".join(order) for order in one.orders)
        _say(out, "", f"  order: {left} | {right}")
