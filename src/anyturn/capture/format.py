"""The format of a capture: one turn, one record on each line, in JSON (docs/captures.md).

The first record says what it is and in which version; times are microseconds since the turn began.
Reading is tolerant: what can be read is given, and what cannot is said in `problems`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias, TypeVar

import msgspec

from anyturn.capture.runs import JSON, ChunkRun, DeltaRun
from anyturn.wire import sse

FORMAT = "anyturn-capture"
# 1 had no runs.
VERSION = 2
BREAKS_OFF = "the recording breaks off before the end of the turn"
# What the runs of one capture may unfold to: twice what is recorded of a turn (A1).
UNFOLDED_MAX = 256 * 1024 * 1024
_PROBLEMS_MAX = 20

# ---------------------------------------------------------------- records


class Head(msgspec.Struct, tag="head", tag_field="kind", frozen=True, kw_only=True):
    """The first record: what this is, who asked whom, and when (UTC, ISO 8601)."""

    format: str = FORMAT
    version: int = VERSION
    gateway: str = ""
    turn: str = ""
    started: str = ""
    client: str = ""
    client_version: str = ""
    provider: str = ""
    model: str = ""
    passive: bool = False
    """Recorded by `anyturn record`: client and backend spoke to each other, unchanged."""
    wire: str = ""
    """Of a passive recording: what both spoke, `responses` or `chat`."""
    transport: str = ""
    """Of a passive recording: `http` or `websocket`."""


class ClientRequest(msgspec.Struct, tag="request", tag_field="kind", frozen=True, kw_only=True):
    """What the client asked, with everything that it named put in."""

    t: int = 0
    headers: dict[str, str] = {}
    body: JSON = {}


class ProviderRequest(
    msgspec.Struct, tag="provider_request", tag_field="kind", frozen=True, kw_only=True
):
    """What the provider was asked; a second one when it was asked for less."""

    t: int = 0
    url: str = ""
    body: JSON = {}


class ProviderBytes(msgspec.Struct, tag="provider", tag_field="kind", frozen=True, kw_only=True):
    """What the provider sent: a text of whole messages for each time; `base64` if no UTF-8."""

    t: list[int] = []
    text: list[str] = []
    base64: str = ""

    @property
    def blocks(self) -> list[tuple[int, bytes]]:
        """Times and bytes. Raises `ValueError` for damaged base64."""
        if not self.base64:
            return [(t, text.encode()) for t, text in zip(self.t, self.text, strict=False)]
        try:
            return [(sum(self.t[:1]), base64.b64decode(self.base64, validate=True))]
        except binascii.Error as error:
            raise ValueError(str(error)) from None


class Events(msgspec.Struct, tag="events", tag_field="kind", frozen=True, kw_only=True):
    """What the client got: the events of one write for each time."""

    t: list[int] = []
    events: list[list[JSON]] = []


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One adaptation."""

    rule: str = ""
    where: str = ""
    what: str = ""
    lossy: bool = False


class Changes(msgspec.Struct, tag="adaptations", tag_field="kind", frozen=True, kw_only=True):
    """What was adapted, in order."""

    t: int = 0
    adaptations: list[Change] = []


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One result of the checker: the rule's id, where it struck, in words, whose fault."""

    rule: str = ""
    where: str = ""
    what: str = ""
    fault: str = ""
    advice: str = ""


class Findings(msgspec.Struct, tag="findings", tag_field="kind", frozen=True, kw_only=True):
    """What the checker found."""

    t: int = 0
    findings: list[Finding] = []


class Lost(msgspec.Struct, tag="lost", tag_field="kind", frozen=True, kw_only=True):
    """That something was not recorded here, and why."""

    t: int = 0
    records: int = 0
    bytes: int = 0
    why: str = ""


class End(msgspec.Struct, tag="end", tag_field="kind", frozen=True, kw_only=True):
    """The last record: how the turn ended. `left`: the client went away before that."""

    t: int = 0
    status: str = ""
    error: JSON | None = None
    """`code`, `message`, `source`, and `provider_status` where a provider refused."""
    http_status: int = 200
    headers: dict[str, str] = {}
    """Of a passive recording: the headers of the answer."""


Record: TypeAlias = (
    Head
    | ClientRequest
    | ProviderRequest
    | ProviderBytes
    | Events
    | Changes
    | Findings
    | Lost
    | End
)

encode_json = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(Record | ChunkRun | DeltaRun).decode


def encode_record(record: Record) -> bytes:
    """One line."""
    return encode_json(record) + b"\n"


# ---------------------------------------------------------------- a whole capture

R = TypeVar("R")


class Capture(msgspec.Struct, kw_only=True):
    """One turn as it was recorded, and what could not be read of it."""

    records: list[Record] = []
    problems: list[str] = []

    @property
    def head(self) -> Head:
        """The first record; an empty one where it is missing."""
        return next(iter(self.all(Head)), Head(version=0))

    @property
    def request(self) -> JSON:
        """The body of the client's request."""
        found = self.all(ClientRequest)
        return found[0].body if found else {}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the client's request that are kept."""
        found = self.all(ClientRequest)
        return found[0].headers if found else {}

    @property
    def chunks(self) -> list[JSON]:
        """What the provider sent as plain data; none where both spoke Responses."""
        return [] if self.head.wire == "responses" else chunks_of(self.stream)

    @property
    def said(self) -> list[JSON]:
        """What the client got: the events, or the chunks where it spoke Chat Completions."""
        return self.chunks if self.head.wire == "chat" else self.events

    @property
    def asked(self) -> list[ProviderRequest]:
        """What the provider was asked, in order."""
        return self.all(ProviderRequest)

    @property
    def stream(self) -> bytes:
        """All that the provider sent; damaged records are left out."""
        return b"".join(data for _, data in self.blocks)

    @property
    def blocks(self) -> list[tuple[int, bytes]]:
        """What the provider sent, with times."""
        found: list[tuple[int, bytes]] = []
        for record in self.all(ProviderBytes):
            try:
                found += record.blocks
            except ValueError:
                continue
        return found

    @property
    def timed_events(self) -> list[tuple[int, JSON]]:
        """The client's events, with times."""
        return [
            (t, event)
            for record in self.all(Events)
            for t, written in zip(record.t, record.events, strict=False)
            for event in written
        ]

    @property
    def events(self) -> list[JSON]:
        """The client's events."""
        return [event for _, event in self.timed_events]

    @property
    def adaptations(self) -> list[Change]:
        """What was adapted."""
        return [change for record in self.all(Changes) for change in record.adaptations]

    @property
    def findings(self) -> list[Finding]:
        """What the checker found while the turn was recorded."""
        return [finding for record in self.all(Findings) for finding in record.findings]

    @property
    def lost(self) -> list[Lost]:
        """What was not recorded."""
        return self.all(Lost)

    @property
    def end(self) -> End | None:
        """How the turn ended; None when that was not recorded any more."""
        found = self.all(End)
        return found[-1] if found else None

    @property
    def status(self) -> str:
        """How the turn ended, in one word; `cut` when the recording breaks off."""
        return self.end.status if self.end else "cut"

    @property
    def response(self) -> JSON:
        """The last response object that the client got."""
        responses = [event["response"] for event in self.events if _has_response(event)]
        if not responses and self.head.wire == "responses":
            # The backend answered with one JSON document.
            responses = [one for one in chunks_of(self.stream) if one.get("object") == "response"]
        return responses[-1] if responses else {}

    @property
    def usage(self) -> tuple[int, int] | None:
        """Input and output tokens, where they are known."""
        names = ("input_tokens", "output_tokens")
        usage = self.response.get("usage")
        if self.head.wire == "chat":
            names = ("prompt_tokens", "completion_tokens")
            told = [chunk.get("usage") for chunk in chunks_of(self.stream)]
            usage = next((one for one in reversed(told) if one), None)
        if not isinstance(usage, dict):
            return None
        first, second = (usage.get(name) for name in names)
        return (first, second) if isinstance(first, int) and isinstance(second, int) else None

    def all(self, kind: type[R]) -> list[R]:
        """The records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]


def _has_response(event: JSON) -> bool:
    return isinstance(event.get("response"), dict)


class _Kind(msgspec.Struct):
    kind: str = ""


_decode_kind = msgspec.json.Decoder(_Kind).decode
_KINDS = {
    *("head", "request", "provider_request", "provider", "events"),
    *("chunks", "deltas", "adaptations", "findings", "lost", "end"),
}


def read_capture(lines: Iterable[bytes]) -> Capture:
    """Read the lines of a capture. Never raises: what is wrong stands in `problems`.

    Runs become the records that they stand for.
    """
    capture = Capture(records=[], problems=[])
    room = UNFOLDED_MAX
    for number, line in enumerate(lines, 1):
        if line.strip():
            room -= _read_line(capture, number, line, room)
    if len(capture.problems) > _PROBLEMS_MAX:
        more = len(capture.problems) - _PROBLEMS_MAX
        capture.problems[_PROBLEMS_MAX:] = [f"and {more} more lines that cannot be read"]
    _judge_head(capture)
    if capture.records and capture.end is None:
        capture.problems.append(BREAKS_OFF)
    return capture


def _read_line(capture: Capture, number: int, line: bytes, room: int) -> int:
    """Read a line into the capture; how many bytes it unfolded to, `room` at the most."""
    try:
        record = _decode_line(line)
        if not isinstance(record, ChunkRun | DeltaRun):
            capture.records.append(record)
            return 0
        if record.size > room:
            raise ValueError(f"its runs unfold to more than {UNFOLDED_MAX:,} bytes")
        capture.records += _unfolded(record)
        return record.size
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        try:
            kind = _decode_kind(line).kind
        except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
            kind = ""
        if kind and kind not in _KINDS:
            capture.problems.append(f"line {number}: records of the kind {kind[:40]!r} are unknown")
        else:
            capture.problems.append(f"line {number} cannot be read: {str(error)[:120]}")
        return 0


def _unfolded(run: ChunkRun | DeltaRun) -> list[Record]:
    """The records that a run stands for. Raises `ValueError`."""
    if isinstance(run, DeltaRun):
        rows = [(t, list(row)) for t, row in groupby(run.events(), itemgetter(0))]
        events = [[event for _, event in row] for _, row in rows]
        return [Events(t=[t for t, _ in rows], events=events)]
    blocks = run.blocks()
    try:
        return [ProviderBytes(t=run.t, text=[data.decode() for _, data in blocks])]
    except UnicodeDecodeError:
        # A block may end in the middle of a character.
        return [
            ProviderBytes(t=[t], base64=base64.b64encode(data).decode())
            for t, data in blocks
            if data
        ]


def _judge_head(capture: Capture) -> None:
    head = capture.head
    if not capture.records:
        capture.problems.append("nothing in it can be read as a capture")
    elif not isinstance(capture.records[0], Head) or head.format != FORMAT:
        capture.problems.append("it does not begin as a capture does")
    elif head.version > VERSION:
        capture.problems.append(
            f"it has version {head.version}, and this program knows up to {VERSION}: "
            "what is new in it is not shown"
        )


def messages_of(stream: bytes) -> list[sse.Message]:
    """The server-sent messages of a provider's stream, as far as they can be read."""
    decoder = sse.Decoder()
    try:
        return decoder.feed(stream) + decoder.close()
    except sse.SSEError as error:
        return error.before


def chunks_of(stream: bytes) -> list[JSON]:
    """The chunks of a provider's stream as plain data; what is no JSON object is left out."""
    bodies = [stream] if stream.lstrip()[:1] in (b"{", b"[") else None
    if bodies is None:
        bodies = [message.data for message in messages_of(stream)]
    found = []
    for body in bodies:
        try:
            chunk = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        if isinstance(chunk, dict):
            found.append(chunk)
    return found
