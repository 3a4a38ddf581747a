"""The pages of docs/rules, made of the rules and the table of defects, and read back.

To write them anew: `PYTHONPATH=src:tests python -m support.rule_pages`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from anyturn.conformance import RULES, check_stream
from anyturn.conformance.pages import page_head, rule_table
from support.bent_streams import Defect
from support.defects import DEFECTS
from support.responses_streams import MEMBERS, USAGE

JSON = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "docs" / "rules"
REST = "…"
# What `REST` stands for; `usage` is null until the response ends.
_SHORT = {**MEMBERS, "usage": USAGE}
# What needs the server itself is judged from whole exchanges: tests/checker has those servers.
LIVE = frozenset(rule_id for rule_id in RULES if rule_id.startswith("live."))
# No page can show a message of 16 MiB.
WITHOUT_STREAMS = LIVE | {"transport.too-long"}
_ONLY_LIVE = (
    "No recorded stream shows it: only a [live check](../checking.md) does, `anyturn check URL`."
)

INTRODUCTION = f"""# The rules of the checker

`anyturn check FILE` holds a recorded stream against these rules, `anyturn check URL` the answers of
a [running server](../checking.md); `anyturn.conformance` does the same inside a test, and `--check`
on every turn of the gateway. Each rule says what it means to each client: **breaks** (a tool does
not run, a text is not shown, the request is sent again), **degrades** (something is lost or wrong),
**cosmetic** (no client's user will notice), or nothing. A client is *ready* when nothing breaks or
degrades it, *partly* ready when nothing breaks it. [sdks.md](sdks.md) has what real SDKs did with
the bad streams; what real servers are known for is in [known.md](known.md). F-numbers are those of
[what breaks](../failure-modes.md), I-numbers the invariants of
[the architecture](../../ARCHITECTURE.md).

The streams on the pages are short, and whole but for one thing: `"{REST}": "{REST}"` in a response
stands for these members, which the Open Responses schema demands:

```json
{{members}}
```

"""


def page(rule_id: str) -> str:
    """The page of a rule."""
    head = page_head(RULES[rule_id])
    if rule_id in LIVE:
        return f"{head}\n{_ONLY_LIVE}\n"
    if rule_id in WITHOUT_STREAMS:
        return head
    defect = next(defect for defect in DEFECTS if defect.rule == rule_id)
    blocks = [*_shared(defect), "## A stream that breaks it", *_side(defect, "bad"), _told(defect)]
    return "\n\n".join([head.rstrip(), *blocks, "## Mended", *_side(defect, "good")]) + "\n"


def index() -> str:
    """The page that lists the rules."""
    members = msgspec.json.format(msgspec.json.encode(_SHORT)).decode()
    return INTRODUCTION.replace("{members}", members) + rule_table()


def streams_of(page: str) -> dict[str, tuple[bytes | list[JSON], JSON]]:
    """The streams of a page, bad and good, each with the arguments of `check_stream`."""
    blocks = re.findall(r"^```(\w+) (\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    found: dict[str, tuple[bytes | list[JSON], JSON]] = {}
    shared: JSON = {}
    known: JSON = {}
    for language, label, text in blocks:
        if label == "request":
            shared["request"] = msgspec.json.decode(text)
        elif label == "chunks":
            known["chunks"] = _lines(text)
        elif label == "answer":
            known |= msgspec.json.decode(text)
        else:
            stream = _lines(text) if language == "jsonl" else _whole_sse(text[:-1])
            found[label] = (stream, {**shared, **known})
            known = {}
    return found


def _shared(defect: Defect) -> list[str]:
    if "request" not in defect.known:
        return []
    text = msgspec.json.encode(defect.known["request"]).decode()
    return ["What was asked:", f"```json request\n{text}\n```"]


def _told(defect: Defect) -> str:
    report = check_stream(defect.bad, **defect.known, **defect.bad_known)
    finding = report.findings[0]
    place = "in the stream" if finding.event is None else f"at event {finding.event}"
    return f"What is found {place}, counted from 0: `{finding.found}`"


def _side(defect: Defect, label: str) -> list[str]:
    stream = defect.bad if label == "bad" else defect.good
    known = {**defect.known, **(defect.bad_known if label == "bad" else defect.good_known)}
    blocks = []
    if answer := {name: known[name] for name in ("status", "headers") if name in known}:
        blocks.append(f"```json answer\n{msgspec.json.encode(answer).decode()}\n```")
    if "chunks" in known:
        blocks += ["The provider:", f"```jsonl chunks\n{_encoded(known['chunks'])}\n```"]
        blocks.append("The client:")
    if isinstance(stream, bytes):
        return [*blocks, f"```sse {label}\n{_short_sse(stream.decode())}\n```"]
    return [*blocks, f"```jsonl {label}\n{_encoded([_short(event) for event in stream])}\n```"]


def _encoded(events: list[JSON]) -> str:
    return "\n".join(msgspec.json.encode(event).decode() for event in events)


def _lines(text: str) -> list[JSON]:
    return [_whole(msgspec.json.decode(line)) for line in text.split("\n") if line]


def _short_sse(text: str) -> str:
    return re.sub(r"(?m)^data: (\{\".*\})$", lambda m: f"data: {_mapped(m[1], _short)}", text)


def _whole_sse(text: str) -> bytes:
    long = re.sub(r"(?m)^data: (\{\".*\})$", lambda m: f"data: {_mapped(m[1], _whole)}", text)
    return long.encode()


def _mapped(text: str, change: Any) -> str:
    return msgspec.json.encode(change(msgspec.json.decode(text))).decode()


def _short(event: JSON) -> JSON:
    response = event.get("response")
    if not isinstance(response, dict) or _SHORT.keys() - response.keys():
        return event
    told = {n: v for n, v in response.items() if n not in _SHORT or _SHORT[n] != v}
    return {**event, "response": {**told, REST: REST}}


def _whole(event: JSON) -> JSON:
    response = event.get("response")
    if not isinstance(response, dict) or REST not in response:
        return event
    told = {name: value for name, value in response.items() if name != REST}
    return {**event, "response": {**_SHORT, **told}}


def _write() -> None:
    for rule_id in RULES:
        (FOLDER / f"{rule_id}.md").write_text(page(rule_id), encoding="utf-8")
    (FOLDER / "README.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    _write()
