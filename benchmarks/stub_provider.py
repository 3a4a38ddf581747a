"""A provider that is never the bottleneck: pre-encoded chunks or events, plain sockets.

It speaks Chat Completions, and the Responses API at paths that end with /responses.

What a request gets is written in its model name, because a gateway forwards that unchanged:
`bench:n=5000,rate=3000,stamp=1`. See `Script` for the fields. Prints one line with its address.

    python benchmarks/stub_provider.py --port 0
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import select
import selectors
import socket
import time
from functools import lru_cache
from typing import Literal

import msgspec

PREFIX = "bench:"
STAMP_DIGITS = 20
PLACEHOLDER = b"0" * STAMP_DIGITS
# Writes made before sockets are looked at again, so that a flat-out stream starves nobody.
QUANTUM = 64
GOLDEN = 0.6180339887498949
CALL_ID = b"call_4b7a90c1e"

TOKENS = (
    *(" the", " a", " of", " to", " and", "ing", " function", " returns", " value", ".", ","),
    *("\n", "\n\n", "    ", " def", "(", ")", ":", " self", "_id", " =", ' "', '"', " if", " not"),
    *(" None", " é", " →", " 🚀", "\t", "\\", "/", " stream", " error", " 42", "1", "[", "]"),
    *("{", "}", " chunk", " token", " and", " so", " it", " works", "!"),
)
IDENTITY = '"id":"chatcmpl-7c1f0f52-3a84-4f0c-9a7e-5d1b8e6f2c90"'
ENVELOPE = (
    '"created":1763708400,"model":"gpt-oss-120b","system_fingerprint":"fp_6a2c4be08d1f7735a9e0",'
    '"object":"chat.completion.chunk","service_tier":"default","usage":null'
)
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
MODELS = (
    b'{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"bench"}]}'
)


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider streams for one request; travels as the model name.

    mode: `text`, or `tool` for one call whose arguments come in `n` pieces. n: deltas. rate:
    deltas per second, 0 for flat out. per: deltas in one write. stamp: each delta carries the
    monotonic nanosecond of its write. hold: seconds of silence after the first write of deltas.
    """

    mode: Literal["text", "tool"] = "text"
    n: int = 100
    rate: float = 0
    per: int = 1
    stamp: bool = False
    hold: float = 0

    @property
    def model(self) -> str:
        """Return the model name that asks for this."""
        fields = msgspec.to_builtins(self) | {"stamp": int(self.stamp)}
        return PREFIX + ",".join(f"{name}={value}" for name, value in fields.items())

    @classmethod
    def parse(cls, model: str) -> Script:
        """Read a model name. Raises `ValueError` when it asks for something unknown."""
        if not model.startswith(PREFIX):
            raise ValueError(f"the model name must start with {PREFIX!r}, got {model!r}")
        pairs = [field.partition("=") for field in model.removeprefix(PREFIX).split(",") if field]
        script = msgspec.convert({k: v for k, _, v in pairs}, cls, strict=False)
        if script.n < 1 or script.per < 1 or script.rate < 0 or script.hold < 0:
            raise ValueError(f"n and per must be positive, rate and hold not negative: {model!r}")
        return script


def pieces(script: Script) -> list[str]:
    """Return the text of every delta. A stamped one holds 20 zeros where the time will stand."""
    n = script.n
    if script.mode == "tool":
        return ["{}"] if n == 1 else ['{"path":"', *_path_pieces(script), '"}']
    if script.stamp:
        return [f"@{PLACEHOLDER.decode()}@"] * n
    return [TOKENS[(i * 7 + i // len(TOKENS)) % len(TOKENS)] for i in range(n)]


def _path_pieces(script: Script) -> list[str]:
    # The ends stay plain, so that the arguments are one valid JSON object.
    if script.stamp:
        return [f"@{PLACEHOLDER.decode()}@"] * (script.n - 2)
    return [f"a{i % 10}/" for i in range(1, script.n - 1)]


def _http_chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _chunk(delta: str, finish: str = "null", usage: str = "") -> bytes:
    choice = f'{{"delta":{delta},"finish_reason":{finish},"index":0,"logprobs":null}}'
    envelope = ENVELOPE.replace('"usage":null', usage) if usage else ENVELOPE
    return f'data: {{{IDENTITY},"choices":[{choice}],{envelope}}}\n\n'.encode()


def _delta(mode: str, piece: str) -> str:
    quoted = msgspec.json.encode(piece).decode()
    if mode == "text":
        return f'{{"content":{quoted}}}'
    return f'{{"tool_calls":[{{"index":0,"function":{{"arguments":{quoted}}}}}]}}'


def _opening(mode: str) -> str:
    if mode == "text":
        return '{"role":"assistant"}'
    call = (
        f'{{"index":0,"id":"{CALL_ID.decode()}","type":"function",'
        '"function":{"name":"read_file","arguments":""}}'
    )
    return f'{{"role":"assistant","tool_calls":[{call}]}}'


def _closing(script: Script) -> bytes:
    usage = (
        f'"usage":{{"prompt_tokens":1234,"completion_tokens":{script.n},'
        f'"total_tokens":{1234 + script.n},"prompt_tokens_details":{{"cached_tokens":1024}}}}'
    )
    finish = '"stop"' if script.mode == "text" else '"tool_calls"'
    done = _http_chunk(b"data: [DONE]\n\n")
    return _http_chunk(_chunk("{}", finish, usage)) + done + b"0\r\n\r\n"


ITEM_ID = "msg_68f0c1d2a7b481909c3e5d6f7a8b9c0d1e2f3a4b5c6d7e8f"
RESPONSE = (
    '"id":"resp_68f0c1d2a7b48190","object":"response","created_at":1763708400,'
    '"model":"gpt-oss-120b","parallel_tool_calls":true,"tool_choice":"auto","tools":[],"error":null'
)
EMPTY = '""'
AT = f'"item_id":"{ITEM_ID}","output_index":0'
MESSAGE = f'"id":"{ITEM_ID}","type":"message","role":"assistant"'


def _event(kind: str, number: int, members: str) -> bytes:
    body = f'{{"type":"response.{kind}","sequence_number":{number},{members}}}'
    return _http_chunk(f"event: response.{kind}\ndata: {body}\n\n".encode())


@lru_cache(maxsize=64)
def encode_events(script: Script) -> tuple[bytes, ...]:
    """Return what an answer of the Responses API puts on the wire, as `encode` does; text only."""
    begun = f'"response":{{{RESPONSE},"status":"in_progress","output":[],"usage":null}}'
    part = '"part":{"type":"output_text","text":%s,"annotations":[],"logprobs":[]}'
    item = f'"output_index":0,"item":{{{MESSAGE},"status":"%s","content":[%s]}}'
    head = (
        _event("created", 0, begun)
        + _event("in_progress", 1, begun)
        + _event("output_item.added", 2, item % ("in_progress", ""))
        + _event("content_part.added", 3, f'{AT},"content_index":0,{part % EMPTY}')
    )
    said = pieces(script)
    frames = [
        _event(
            "output_text.delta",
            number,
            f'{AT},"content_index":0,"delta":{msgspec.json.encode(piece).decode()},"logprobs":[]',
        )
        for number, piece in enumerate(said, 4)
    ]
    groups = [b"".join(frames[i : i + script.per]) for i in range(0, script.n, script.per)]
    return (HEAD + head, *groups, _last_events(script, "".join(said), item, part))


def _last_events(script: Script, text: str, item: str, part: str) -> bytes:
    quoted, number = msgspec.json.encode(text).decode(), script.n + 4
    whole = (part % quoted).removeprefix('"part":')
    done = item % ("completed", whole)
    usage = (
        f'"usage":{{"input_tokens":1234,"output_tokens":{script.n},"total_tokens":'
        f'{1234 + script.n},"input_tokens_details":{{"cached_tokens":1024}},'
        '"output_tokens_details":{"reasoning_tokens":0}}'
    )
    output = done.removeprefix('"output_index":0,"item":')
    ended = f'"response":{{{RESPONSE},"status":"completed","output":[{output}],{usage}}}'
    return (
        _event("output_text.done", number, f'{AT},"content_index":0,"text":{quoted},"logprobs":[]')
        + _event("content_part.done", number + 1, f'{AT},"content_index":0,"part":{whole}')
        + _event("output_item.done", number + 2, done)
        + _event("completed", number + 3, ended)
        + b"0\r\n\r\n"
    )


@lru_cache(maxsize=64)
def encode(script: Script) -> tuple[bytes, ...]:
    """Return what the answer puts on the wire, one member per write: head, deltas, end."""
    frames = [_http_chunk(_chunk(_delta(script.mode, piece))) for piece in pieces(script)]
    per = script.per
    groups = [b"".join(frames[i : i + per]) for i in range(0, script.n, per)]
    return (HEAD + _http_chunk(_chunk(_opening(script.mode))), *groups, _closing(script))


class Answer:
    """One stream on its way out: which write is next, and when it is due.

    A late write is made at once but as a write of its own: two deltas never share one because
    the timer overslept.
    """

    __slots__ = ("_call_id", "_first", "_hold", "_interval", "_next", "_stamp", "_writes")

    def __init__(self, script: Script, phase: float, *, events: bool = False) -> None:
        # No two answers of a run have the same phase.
        self._call_id = b"call_%09x" % int(phase * 16**9)
        self._writes = encode_events(script) if events else encode(script)
        self._stamp = script.stamp
        self._interval = script.per * 1e9 / script.rate if script.rate else 0.0
        self._hold = int(script.hold * 1e9)
        self._first = time.monotonic_ns() + int(phase * self._interval)
        self._next = 0

    @property
    def over(self) -> bool:
        return self._next == len(self._writes)

    def due(self) -> int:
        """Return the monotonic nanosecond of the next write; the end goes with the last delta."""
        position = min(self._next, len(self._writes) - 2) - 1
        if position < 0:
            return 0
        return self._first + int(position * self._interval) + (self._hold if position else 0)

    def take(self) -> bytes:
        payload = self._writes[self._next]
        self._next += 1
        if self._next == 1:
            payload = payload.replace(CALL_ID, self._call_id)
        if self._stamp:
            return payload.replace(PLACEHOLDER, b"%0*d" % (STAMP_DIGITS, time.monotonic_ns()))
        return payload


class Request(msgspec.Struct):
    """The two fields of a Chat Completions request that matter here."""

    model: str
    stream: bool = False


class Connection:
    """One client connection. Serves one request at a time; more may follow on it."""

    __slots__ = ("_received", "_unsent", "answer", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.answer: Answer | None = None
        self._received = bytearray()
        self._unsent = memoryview(b"")

    def receive(self) -> bool:
        """Read what has come. Return False when the client has left."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += data
        return bool(data)

    def next_request(self) -> tuple[str, str, bytes] | None:
        """Cut one whole request out of what came: its method, its path and its body."""
        head, found, _ = bytes(self._received[:65536]).partition(b"\r\n\r\n")
        if not found:
            return None
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        fields = {name.strip().lower(): value.strip() for name, _, value in lines}
        start = len(head) + 4
        end = start + int(fields.get(b"content-length", b"0"))
        if len(self._received) < end:
            return None
        body = bytes(self._received[start:end])
        del self._received[:end]
        method, path, *_ = head.decode("latin-1").split(" ", 2)
        return method, path, body

    def send(self, payload: bytes) -> bool:
        """Write, and keep what the socket did not take. Return whether it took everything."""
        self._unsent = memoryview(payload)
        return self.flush()

    def flush(self) -> bool:
        while self._unsent:
            try:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            except BlockingIOError:
                return False
        return True


class Provider:
    """The server: one thread, one selector, one heap of due writes."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port), backlog=4096)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._heap: list[tuple[int, int, Connection]] = []
        self._serial = 0

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def serve_forever(self) -> None:
        while True:
            self._wait()
            for key, mask in self._selector.select(0):
                if key.data is None:
                    self._accept()
                else:
                    self._touch(key.data, mask)
            self.write_what_is_due()

    def begin(self, connection: Connection, script: Script, *, events: bool = False) -> None:
        """Start an answer; those that start together are spread over one interval."""
        self._serial += 1
        connection.answer = Answer(script, self._serial * GOLDEN % 1, events=events)
        self._schedule(connection)

    def write_what_is_due(self) -> None:
        """Make the writes whose time has come, the most overdue first, `QUANTUM` at most."""
        for _ in range(QUANTUM):
            if not self._heap or self._heap[0][0] > time.monotonic_ns():
                return
            connection = heapq.heappop(self._heap)[2]
            if connection.answer is None:
                continue
            try:
                sent = connection.send(connection.answer.take())
            except OSError:
                self._drop(connection)
                continue
            if sent:
                self._schedule(connection)
            else:
                both = selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(connection.sock, both, connection)

    def close(self) -> None:
        self._selector.close()
        self._listener.close()

    def _wait(self) -> None:
        timeout = None
        if self._heap:
            timeout = max(0.0, (self._heap[0][0] - time.monotonic_ns()) / 1e9)
        # epoll rounds its time limit up to a millisecond, which would pair up the writes of a
        # fast stream; select does not, and the selector's own descriptor can be selected on.
        select.select([self._selector], [], [], timeout)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._selector.register(sock, selectors.EVENT_READ, Connection(sock))

    def _touch(self, connection: Connection, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE and connection.flush():
                self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
                self._schedule(connection)
            if mask & selectors.EVENT_READ:
                if not connection.receive():
                    self._drop(connection)
                elif connection.answer is None:
                    self._serve(connection)
        except OSError:
            self._drop(connection)

    def _serve(self, connection: Connection) -> None:
        request = connection.next_request()
        if request is None:
            return
        method, path, body = request
        if method == "GET":
            self._reply(connection, 200, MODELS)
            return
        try:
            asked = msgspec.json.decode(body, type=Request)
            if not asked.stream:
                raise ValueError("this provider only streams")
            script = Script.parse(asked.model)
            if script.stamp and path.endswith("/responses"):
                raise ValueError("stamps would not add up to the text of the done events")
        except ValueError as error:
            self._reply(connection, 400, msgspec.json.encode({"message": str(error)}))
            return
        self.begin(connection, script, events=path.endswith("/responses"))

    def _reply(self, connection: Connection, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} Bench\r\nContent-Type: application/json\r\n"
        connection.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def _schedule(self, connection: Connection) -> None:
        if connection.answer is not None and connection.answer.over:
            connection.answer = None
            self._serve(connection)
        elif connection.answer is not None:
            self._serial += 1
            heapq.heappush(self._heap, (connection.answer.due(), self._serial, connection))

    def _drop(self, connection: Connection) -> None:
        connection.answer = None
        if connection.sock.fileno() >= 0:
            self._selector.unregister(connection.sock)
            connection.sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The provider that the benchmark measures with.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    # Linux lets a sleeper oversleep by 50 µs unless it asks for less.
    with contextlib.suppress(OSError), open("/proc/self/timerslack_ns", "w") as slack:
        slack.write("1000")
    gc.disable()
    provider = Provider(arguments.host, arguments.port)
    print(f"stub provider listening on {provider.address}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        provider.serve_forever()


if __name__ == "__main__":
    main()
