"""What real SDKs make of the defects, program by program, and the page that holds it.

To write it anew, with all SDKs installed: `PYTHONPATH=src:tests python -m support.sdk_evidence`.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from anyturn.conformance import RULES, Severity
from anyturn.conformance.events import TERMINAL
from anyturn.conformance.rules import AI_SDK, NODE, PYTHON
from support.bent_streams import Defect
from support.defects import DEFECTS
from support.model_server import SSE, serving
from support.responses_streams import as_sse, message, stream
from support.rule_pages import FOLDER, WITHOUT_STREAMS
from support.sdk_venvs import OLDER, sdk_python

JSON = dict[str, Any]
Evidence = dict[str, dict[str, Severity]]
"""Programs, and what each rule's bad streams did to them."""

PAGE = FOLDER / "sdks.md"
AGENTS = "Agents SDK"
_PROGRAMS = Path(__file__).parents[1] / "sdks"
_NODE_PACKAGES = Path(__file__).parents[2] / ".cache" / "sdks"
# Two hundred conversations on two busy cores. It matters only where a program hangs.
_LIMIT_S = 180.0
_DONE = as_sse(stream(message("Done.")))
_DONE_WHOLE = msgspec.json.encode(stream(message("Done."))[-1]["response"])
_SSE = (("content-type", SSE),)
_JSON = (("content-type", "application/json"),)


class Program(NamedTuple):
    """One of the agents in tests/sdks, on one version of its SDK."""

    client: str
    source: str
    packages: str = ""
    """For Node.js: a folder of tests/sdks/packages."""
    python: Path = Path(sys.executable)
    is_strict: bool = False
    is_whole: bool = False
    """Whether it does not stream: it is given what the stream ends with."""


PROGRAMS = {
    **{
        f"openai-python {version}": Program(PYTHON, "agent_openai.py", python=sdk_python(version))
        for version in OLDER
    },
    "openai-python 3": Program(PYTHON, "agent_openai.py"),
    "openai-python 3, strict": Program(PYTHON, "agent_openai.py", is_strict=True),
    AGENTS: Program(PYTHON, "agent_agents.py"),
    **{f"openai-node {n}": Program(NODE, "agent_openai.mjs", f"openai{n}") for n in (6, 7)},
    **{f"AI SDK {n}": Program(AI_SDK, "agent_ai.mjs", f"ai{n}") for n in (5, 6, 7)},
    **{
        f"AI SDK {n}, not streamed": Program(AI_SDK, "agent_ai.mjs", f"ai{n}", is_whole=True)
        for n in (5, 6, 7)
    },
}
# These agents do not declare the namespace that the stream is about.
_WITHOUT_NAMESPACES = ("agent_agents.py", "agent_ai.mjs")

NOT_CONFIRMED = {
    "codex.call-not-run": "whether such a call runs is up to the program: SDKs have tools for it",
    "codex.item-ignored": "such items come to programs that asked for the hosted tool",
    "items.call-as-text": "the tool does not run, but a text that looks like a call may be a "
    "quotation: it must not make `--check strict` stop a turn",
    "transport.too-long": "no stream of 16 MiB is sent in a test",
    "live.*": "only a live check asks for it",
}
"""Rules whose severities for the SDKs no run confirms, and why."""

AGENTS_SDK_MINDS_MORE = {
    "codex.refusal-part": "it raises `ModelRefusalError`, as it is meant to",
    "terminal.twice": "it raises at a second end that is not `response.completed`",
}
"""What the Agents SDK minds more than the rule says of openai-python, on which it stands."""


def is_confirmed(rule: str) -> bool:
    """Whether the runs must show what a rule says of the SDKs."""
    return rule not in NOT_CONFIRMED and not rule.startswith("live.")


def stated(rule: str, client: str) -> Severity:
    """What a rule says, as far as a run can show it: nobody sees what is cosmetic."""
    said = RULES[rule].severity[client]
    return Severity.NONE if said is Severity.COSMETIC else said


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of them, `NONE` where there are none."""
    return max(severities, key=lambda severity: severity.rank, default=Severity.NONE)


# ---------------------------------------------------------------- a run


class _Answer(NamedTuple):
    body: bytes
    status: int
    headers: tuple[tuple[str, str], ...]


def _answer(defect: Defect, side: str, is_whole: bool) -> _Answer | None:
    """What a defect sends, if it can be seen without a stream where none is asked for."""
    given = defect.bad if side == "bad" else defect.good
    if is_whole:
        last = given[-1] if isinstance(given, list) else {}
        response = last.get("response") if f"{last.get('type')}" in TERMINAL else None
        return response and _Answer(msgspec.json.encode(response), 200, _JSON)
    known = {**defect.known, **(defect.bad_known if side == "bad" else defect.good_known)}
    headers = {"content-type": SSE, **{k.lower(): v for k, v in known.get("headers", {}).items()}}
    body = given if isinstance(given, bytes) else as_sse(given)
    return _Answer(body, known.get("status", 200), tuple(headers.items()))


class _Server:
    """Under `/N/v1` it gives the Nth answer to the first request, then `Done.`."""

    def __init__(self, answers: list[_Answer]) -> None:
        self._answers = answers
        self.requests: list[list[JSON]] = [[] for _ in answers]

    async def answer(self, request: web.Request) -> web.Response:
        number = int(request.path.split("/")[2])
        self.requests[number].append(msgspec.json.decode(await request.read()))
        asked = self.requests[number]
        is_streamed = asked[-1].get("stream")
        done = _Answer(_DONE, 200, _SSE) if is_streamed else _Answer(_DONE_WHOLE, 200, _JSON)
        body, status, headers = self._answers[number] if len(asked) == 1 else done
        return web.Response(body=body, status=status, headers=dict(headers))


async def severities(program: Program) -> dict[str, Severity]:
    """Run a program against the streams of all rules: the worst that each rule's defects did."""
    sides = {(d.rule, d.name): _sides(d, program) for d in DEFECTS}
    answers = list(dict.fromkeys(answer for pair in sides.values() for answer in pair))
    server = _Server(answers)
    async with serving(server.answer) as base_url:
        urls = [f"{base_url}/{number}" for number in range(len(answers))]
        told = await _run(program, urls)
    seen = {
        answer: {**one, "next": _next_turn(requests)}
        for answer, one, requests in zip(answers, told, server.requests, strict=True)
    }
    found: dict[str, list[Severity]] = {defect.rule: [] for defect in DEFECTS}
    for (rule, _), pair in sides.items():
        found[rule] += [outcome(seen[pair[0]], seen[pair[1]])] if pair else []
    most = Severity.DEGRADES if program.is_strict or program.is_whole else Severity.BREAKS
    return {
        rule: min(worst(effects), most, key=lambda effect: effect.rank)
        for rule, effects in found.items()
    }


def _sides(defect: Defect, program: Program) -> tuple[_Answer, ...]:
    """Both answers of a defect, or none where the program cannot meet it."""
    is_namespaced = defect.rule == "items.namespace" and not defect.name
    if is_namespaced and program.source in _WITHOUT_NAMESPACES:
        return ()
    if program.is_whole and defect.rule == "terminal.id-changes":
        return ()
    good, bad = (_answer(defect, side, program.is_whole) for side in ("good", "bad"))
    return (good, bad) if good and bad else ()


async def _run(program: Program, urls: list[str]) -> list[JSON]:
    source = (_PROGRAMS / program.source).read_bytes()
    case = msgspec.json.encode({"urls": urls, "whole": program.is_whole})
    command = [str(program.python), str(_PROGRAMS / program.source)]
    command += ["strict"] if program.is_strict else []
    if program.packages:
        command = ["node", "--input-type=module", "-"]
    with tempfile.TemporaryDirectory() as home:
        process = await asyncio.create_subprocess_exec(
            *command,
            # A program that Node.js reads from here finds its packages in the working directory.
            cwd=_NODE_PACKAGES / program.packages if program.packages else home,
            env={"PATH": os.environ["PATH"], "HOME": home, "CASE": case.decode()},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        talk = asyncio.ensure_future(process.communicate(source if program.packages else case))
        await asyncio.wait([talk], timeout=_LIMIT_S)
        if not talk.done():
            process.kill()
        stdout, stderr = await talk
    assert process.returncode == 0, stderr.decode()
    told: list[JSON] = msgspec.json.decode(stdout)
    return told


# ---------------------------------------------------------------- what a run means


def outcome(good: JSON, bad: JSON) -> Severity:
    """What a bad stream did to a program, beside the good one; see tests/sdks/test_rules.py."""
    if "error" in bad and "error" not in good:
        return Severity.BREAKS
    if "error" in good and "error" not in bad:
        return Severity.DEGRADES
    if good["ran"] != bad["ran"] or not _is_paired(bad["next"]):
        return Severity.BREAKS
    if good.get("text") and not bad.get("text"):
        return Severity.BREAKS
    return Severity.NONE if _shown(good) == _shown(bad) else Severity.DEGRADES


def _next_turn(requests: list[JSON]) -> list[JSON]:
    """The calls of the second request, and their outputs."""
    items = requests[1]["input"] if len(requests) > 1 else []
    return [item for item in items if item.get("type", "").endswith(("_call", "_output"))]


def _is_paired(items: list[JSON]) -> bool:
    """Whether each call has its own id, and one output under it."""
    calls = [item.get("call_id") for item in items if item["type"].endswith("_call")]
    outputs = [item.get("call_id") for item in items if item["type"].endswith("_output")]
    return all(calls) and len(set(calls)) == len(calls) and Counter(calls) == Counter(outputs)


def _shown(told: JSON) -> JSON:
    """All that was seen, but for ids that mean nothing to a program."""
    named = ("type", "name", "arguments", "input", "output")
    kept = [{name: item.get(name) for name in named} for item in told["next"]]
    return {**told, "next": kept}


# ---------------------------------------------------------------- the page

_INTRODUCTION = """# What the SDKs make of it

Each rule's bad streams, given to real SDKs over HTTP; tests/sdks holds the table true. An agent of
a few lines shows text as it comes, runs the calls of a completed answer and sends their outputs
back. What it sees is compared with what the good stream shows it:

- **breaks**: the SDK raises, a call does not run or runs with something else, its output cannot be
  sent back, or the whole text is gone.
- **degrades**: something else that a program sees is lost or wrong: text while it comes, arguments
  while they are written, reasoning, usage, how the answer ended, its id, the words of an error. So
  is what breaks only openai-python's strict types, which must be asked for, or only programs that
  do not stream and are given what the stream ends with.
- nothing: the program cannot tell. The rule says *cosmetic*, or nothing.

A rule states the worst that any of these versions of its client does. The Agents SDK stands on
openai-python: it minds no more than the rule says of that, but for what is listed below.

The strict types of openai-python 2 and 3 also demand `input_tokens_details.cache_write_tokens`,
which hardly a server sends besides OpenAI and this gateway. There is no rule for it.

"""


def page(evidence: Evidence) -> str:
    """The page that says what was seen."""
    lines = [f"| rule | {' | '.join(evidence)} |", f"|---|{'---|' * len(evidence)}"]
    for rule in RULES:
        if rule not in WITHOUT_STREAMS:
            cells = [str(column[rule]).replace("none", "") for column in evidence.values()]
            lines.append(f"| [{rule}]({rule}.md) | {' | '.join(cells)} |")
    more = [f"| {rule} | {why} |" for rule, why in NOT_CONFIRMED.items()]
    agents = [f"| {rule} | {why} |" for rule, why in AGENTS_SDK_MINDS_MORE.items()]
    lines += ["", "Not confirmed by a run:", "", "| rule | why |", "|---|---|", *more]
    lines += ["", "What the Agents SDK minds more:", "", "| rule | what it does |", "|---|---|"]
    return _INTRODUCTION + "\n".join([*lines, *agents]) + "\n"


def read_page() -> Evidence:
    """What the page says was seen."""
    head, _, *rows = re.findall(r"^\| .*\|$|^\|---.*$", PAGE.read_text(encoding="utf-8"), re.M)
    names = [cell.strip() for cell in head.split("|")[2:-1]]
    evidence: Evidence = {name: {} for name in names}
    for row in rows:
        if linked := re.match(r"\| \[([\w.-]+)\]", row):
            for name, cell in zip(names, row.split("|")[2:-1], strict=True):
                evidence[name][linked[1]] = Severity(cell.strip() or "none")
    return evidence


async def _write() -> None:
    evidence = {name: await severities(program) for name, program in PROGRAMS.items()}
    PAGE.write_text(page(evidence), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_write())
