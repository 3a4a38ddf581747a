"""The load client: drive streams, keep every read with its time, judge after the clock has stopped.

    python benchmarks/load.py http://127.0.0.1:8080/v1/responses bench:n=5000,per=50 --turns 4

The path tells the dialect: `/responses` for a gateway, `/chat/completions` for the relay or the
provider itself. A stream that is not exactly what the provider sent is an error, not a number.
"""

from __future__ import annotations

import contextlib
import gc
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any
from urllib.parse import urlsplit

import bodies
import msgspec
import typer
from stub_provider import STAMP_DIGITS, Script, pieces

READ_BYTES = 1 << 20
LAST_CHUNK = b"\r\n0\r\n\r\n"
STAMP = re.compile(rf"@(\d{{{STAMP_DIGITS}}})@")
# What the first delta of a text stream looks like in either dialect.
DELTA_MARK = re.compile(rb'"response\.output_text\.delta"|"delta": ?\{"content"')
OPENING_BATCH = 50


class LoadError(Exception):
    """A stream was not what the provider sent, or did not end."""


class Target(msgspec.Struct, frozen=True):
    """Where requests go, and in which dialect."""

    api: bodies.Api
    host: str
    port: int
    path: str

    @classmethod
    def at(cls, url: str) -> Target:
        parts = urlsplit(url)
        api: bodies.Api = "responses" if parts.path.endswith("/responses") else "chat"
        return cls(api, parts.hostname or "127.0.0.1", parts.port or 80, parts.path)

    def request(self, script: Script) -> bytes:
        """Return the bytes of one whole HTTP request for this script."""
        return self.post(bodies.request(self.api, script.model))

    def post(self, body: bytes) -> bytes:
        """Return the bytes of one whole HTTP request with this body."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer bench\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Turn(msgspec.Struct):
    """One request: when it was sent, and every read of its answer with the time it came.

    Times are monotonic nanoseconds. An answer that ended early has no last chunk of its body.
    """

    sent: int
    reads: list[tuple[int, bytes]] = []


class Recording(msgspec.Struct):
    """All turns of one run and the wall time between the first request and the last answer."""

    turns: list[Turn]
    wall_ns: int


class Sample(msgspec.Struct):
    """What a verified recording says. Times are nanoseconds.

    first: request sent to first delta seen, per turn. lag: delta written by the provider to delta
    seen, per stamped delta. caught_up: share of paced deltas that the provider wrote less than half
    an interval after the one before, because it was late; they make life easier for a gateway.
    """

    turns: int
    events: int
    wall_ns: int
    first: list[int]
    lag: list[int]
    caught_up: float


class Line:
    """One connection of the client, busy with one turn at a time."""

    __slots__ = ("_tail", "sock", "turn")

    def __init__(self, target: Target) -> None:
        self.sock = socket.create_connection((target.host, target.port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.turn = Turn(0)
        self._tail = b""

    def ask(self, request: bytes) -> Turn:
        self._tail = b""
        self.turn = Turn(time.monotonic_ns())
        self.sock.sendall(request)
        return self.turn

    def read(self) -> bool:
        """Take one read. Return whether the answer is over, well or not."""
        try:
            data = self.sock.recv(READ_BYTES)
        except OSError:
            # Reset, or silent past the socket's time limit: either way nothing more comes.
            data = b""
        self.turn.reads.append((time.monotonic_ns(), data))
        self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
        return not data or self._tail == LAST_CHUNK or self._is_refusal(data)

    def _is_refusal(self, data: bytes) -> bool:
        return len(self.turn.reads) == 1 and not data.startswith(b"HTTP/1.1 200")


def drive(
    target: Target, script: Script, *, connections: int = 1, turns: int = 1, timeout: float = 60
) -> Recording:
    """Run `turns` requests over `connections` kept-alive connections and record the answers.

    Raises `LoadError` when the answers have not all come after `timeout` seconds.
    """
    request = target.request(script)
    done: list[Turn] = []
    with (
        open_lines(target, min(connections, turns)) as lines,
        selectors.DefaultSelector() as selector,
        gc_paused(),
    ):
        waiting = deque(range(turns))
        start = time.monotonic_ns()
        for line in lines:
            selector.register(line.sock, selectors.EVENT_READ, line)
            waiting.popleft()
            done.append(line.ask(request))
        busy, deadline = len(lines), start + timeout * 1e9
        while busy:
            left = (deadline - time.monotonic_ns()) / 1e9
            if left <= 0:
                raise LoadError(f"{busy} answers are not over after {timeout:g} s")
            for key, _ in selector.select(left):
                line = key.data
                if not line.read():
                    continue
                if waiting and line.turn.reads[-1][1]:
                    waiting.popleft()
                    done.append(line.ask(request))
                else:
                    selector.unregister(line.sock)
                    busy -= 1
        wall = time.monotonic_ns() - start
    return Recording(done, wall)


@contextlib.contextmanager
def silent_streams(target: Target, script: Script, count: int) -> Iterator[None]:
    """Hold `count` streams open, each past its first delta; close them on leaving.

    They are opened some at a time, so that no listen queue overflows. The script should hold.
    """
    request = target.request(script)
    with contextlib.ExitStack() as stack:
        for start in range(0, count, OPENING_BATCH):
            batch = min(OPENING_BATCH, count - start)
            lines = stack.enter_context(open_lines(target, batch))
            for line in lines:
                line.ask(request)
            for line in lines:
                _read_to_first_delta(line)
        yield


def _read_to_first_delta(line: Line) -> None:
    while not DELTA_MARK.search(b"".join(data for _, data in line.turn.reads)):
        if line.read():
            raise LoadError(f"no first delta: {_excerpt(line.turn)}")


@contextlib.contextmanager
def open_lines(target: Target, count: int) -> Iterator[list[Line]]:
    lines: list[Line] = []
    try:
        for _ in range(count):
            lines.append(Line(target))  # noqa: PERF401 - what was opened must be closed
        yield lines
    finally:
        for line in lines:
            line.sock.close()


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Unchunker:
    """Take an HTTP/1.1 answer apart: `feed` returns the bytes of the body that a read brought."""

    def __init__(self) -> None:
        self._buffer = b""
        self._in_body = False
        self.over = False

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        if not self._in_body:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return b""
            if not head.startswith(b"HTTP/1.1 200") or b"chunked" not in head.lower():
                raise LoadError(f"not a streamed answer: {self._buffer[:600]!r}")
            self._in_body, self._buffer = True, rest
        return b"".join(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        buffer, at = self._buffer, 0
        while not self.over:
            line_end = buffer.find(b"\r\n", at)
            if line_end < 0:
                break
            size = int(buffer[at:line_end], 16)
            end = line_end + 2 + size + 2
            if len(buffer) < end:
                break
            yield buffer[line_end + 2 : end - 2]
            at = end
            self.over = size == 0
        self._buffer = buffer[at:]


def messages(turn: Turn) -> Iterator[tuple[int, bytes]]:
    """Yield the data of every server-sent message with the time of the read that completed it.

    Raises `LoadError` when the answer is not a stream or stops before its end.
    """
    unchunker = Unchunker()
    rest = b""
    for arrival, data in turn.reads:
        *frames, rest = (rest + unchunker.feed(data)).split(b"\n\n")
        for frame in frames:
            for line in frame.split(b"\n"):
                if line.startswith(b"data:"):
                    yield arrival, line[5:].strip()
    if not unchunker.over or rest:
        raise LoadError(f"the answer stops before its end: {_excerpt(turn)}")


class _Event(msgspec.Struct):
    type: str
    delta: Any = None


class _Function(msgspec.Struct):
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function


class _Delta(msgspec.Struct):
    content: str = ""
    tool_calls: list[_Call] = []


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


TERMINAL = object()
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def _read_event(data: bytes) -> Any:
    event = _decode_event(data)
    if event.type == "response.completed":
        return TERMINAL
    if event.type in {"response.failed", "response.incomplete", "error"}:
        raise LoadError(f"the gateway says {data[:600]!r}")
    is_piece = event.type.endswith((".output_text.delta", ".function_call_arguments.delta"))
    return event.delta if is_piece else None


def _read_chunk(data: bytes) -> Any:
    if data == b"[DONE]":
        return TERMINAL
    delta = _decode_chunk(data).choices[0].delta
    return delta.content or "".join(call.function.arguments for call in delta.tool_calls)


_READERS: dict[str, Callable[[bytes], Any]] = {"responses": _read_event, "chat": _read_chunk}


def deltas(api: bodies.Api, turn: Turn) -> list[tuple[int, str]]:
    """Return the deltas of one answer with their times.

    Raises `LoadError` when the terminal event is missing or something follows it.
    """
    found: list[tuple[int, str]] = []
    over = False
    for arrival, data in messages(turn):
        if over:
            raise LoadError(f"something follows the terminal event: {data[:200]!r}")
        piece = _READERS[api](data)
        if piece is TERMINAL:
            over = True
        elif piece:
            found.append((arrival, piece))
    if not over:
        raise LoadError(f"no terminal event: {_excerpt(turn)}")
    return found


def verify(api: bodies.Api, script: Script, recording: Recording) -> Sample:
    """Check that every turn brought exactly the provider's deltas, and measure.

    Raises `LoadError` for the first turn that did not.
    """
    expected = pieces(script)
    sample = Sample(len(recording.turns), 0, recording.wall_ns, [], [], 0.0)
    caught_up = 0
    for number, turn in enumerate(recording.turns):
        try:
            found = deltas(api, turn)
            stamps = _match(script, expected, [piece for _, piece in found])
        except (LoadError, ValueError) as error:
            where = f"{api} turn {number + 1} of {len(recording.turns)}, {script.model}"
            raise LoadError(f"{where}: {error}") from error
        sample.events += len(found)
        sample.first.append(found[0][0] - turn.sent)
        sample.lag += [found[i][0] - stamp for i, stamp in stamps]
        caught_up += _caught_up(script, [stamp for _, stamp in stamps])
    sample.caught_up = caught_up / max(sample.events, 1)
    return sample


def _match(script: Script, expected: list[str], found: list[str]) -> list[tuple[int, int]]:
    """Return position and stamp of every stamped delta. Raises `LoadError` for a difference."""
    if len(found) != len(expected):
        raise LoadError(f"{len(found)} deltas came, {len(expected)} were sent")
    stamps: list[tuple[int, int]] = []
    for position, (sent, came) in enumerate(zip(expected, found, strict=True)):
        stamp = STAMP.fullmatch(came) if script.stamp and STAMP.fullmatch(sent) else None
        if stamp:
            stamps.append((position, int(stamp[1])))
        elif sent != came:
            raise LoadError(f"delta {position} is {came!r}, sent was {sent!r}")
    return stamps


def _caught_up(script: Script, stamps: list[int]) -> int:
    if not script.rate:
        return 0
    # Members of one write share their time; that is not lateness.
    half = script.per * 1e9 / script.rate / 2
    writes = stamps[:: script.per]
    return sum(later - earlier < half for earlier, later in pairwise(writes))


def percentile(values: list[int], share: float) -> int:
    """Return the value below which `share` (0 to 1) of the values lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def _excerpt(turn: Turn) -> str:
    whole = b"".join(data for _, data in turn.reads)
    return f"{len(whole)} bytes came, the last are {whole[-300:]!r}"


def main(
    url: Annotated[str, typer.Argument(help="Where to send requests.")],
    model: Annotated[str, typer.Argument(help="The script, as a model name.")],
    connections: Annotated[int, typer.Option(help="Streams at a time.")] = 1,
    turns: Annotated[int, typer.Option(help="Requests in all.")] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds for the whole run.")] = 60,
) -> None:
    """Drive one scenario, verify it and print what was seen."""
    target, script = Target.at(url), Script.parse(model)
    try:
        recording = drive(target, script, connections=connections, turns=turns, timeout=timeout)
        sample = verify(target.api, script, recording)
    except (LoadError, OSError) as error:
        raise SystemExit(str(error)) from None
    seconds = sample.wall_ns / 1e9
    print(f"{sample.events} events in {sample.turns} turns and {seconds:.3f} s")
    print(f"first delta after {percentile(sample.first, 0.5) / 1e6:.3f} ms (p50)")
    if sample.lag:
        p50, p99 = (percentile(sample.lag, share) / 1e3 for share in (0.5, 0.99))
        print(f"provider to client {p50:.0f} µs (p50), {p99:.0f} µs (p99)")


if __name__ == "__main__":
    typer.run(main)
