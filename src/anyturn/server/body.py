"""Request bodies: read, decompressed and bounded (F65, A1)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator

import brotli
import zstandard
from aiohttp import web
from aiohttp.web_request import BaseRequest

from anyturn.errors import Kind, TurnError

_STEP = 64 * 1024
# In zstd four bytes can unfold to 128 kB: so many bytes to 32 MB at the most.
_ZSTD_STEP = 1024
# What RFC 9659 allows over HTTP; the memory for it is taken before anything is decoded.
_ZSTD_WINDOW = 8 * 1024 * 1024
_MAX_ENCODINGS = 3
_SILENCE_S = 60.0


async def read_body(request: BaseRequest, max_bytes: int) -> bytes:
    """The body of a request, decoded from zstd, gzip, deflate or br, singly or stacked.

    `max_bytes` bounds what is read and what it unfolds to. Raises `TurnError`: BODY_TOO_LARGE,
    UNKNOWN_ENCODING, or INVALID_JSON for a body that is cut off or damaged.
    """
    body = await _read_raw(request, max_bytes)
    header = request.headers.get("Content-Encoding", "")
    encodings = [name.strip().lower() for name in header.split(",") if name.strip()]
    if len(encodings) > _MAX_ENCODINGS:
        raise TurnError(
            Kind.UNKNOWN_ENCODING, f"Content-Encoding names more than {_MAX_ENCODINGS} encodings."
        )
    for encoding in reversed(encodings):
        body = decode_body(body, encoding, max_bytes)
    return body


async def _read_raw(request: BaseRequest, max_bytes: int) -> bytes:
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await _read_piece(request):
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            pieces.append(piece)
    except TimeoutError:
        raise TurnError(
            Kind.INVALID_JSON,
            f"The request body stopped after {size:,} bytes: nothing came for {_SILENCE_S:g} s.",
        ) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise TurnError(Kind.INVALID_JSON, f"The request body ended early: {error}.") from None
    return b"".join(pieces)


async def _read_piece(request: BaseRequest) -> bytes:
    # aiohttp does not wake up the reader of a body whose chunk framing is broken.
    async with asyncio.timeout(_SILENCE_S):
        return await request.content.readany()


def decode_body(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo one content encoding. Raises `TurnError` as `read_body` does."""
    if encoding == "identity":
        return body
    decoder = _DECODERS.get(encoding)
    if decoder is None:
        raise TurnError(
            Kind.UNKNOWN_ENCODING,
            f"Content-Encoding {encoding[:40]!r} is unknown. Known: {', '.join(_DECODERS)}.",
        )
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in decoder(body):
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            pieces.append(piece)
    except (zlib.error, zstandard.ZstdError, brotli.error, EOFError) as error:
        raise TurnError(
            Kind.INVALID_JSON, f"The request body is not valid {encoding}: {error}."
        ) from None
    return b"".join(pieces)


def _zstd(body: bytes) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    for start in range(0, len(body), _ZSTD_STEP):
        yield decoder.decompress(body[start : start + _ZSTD_STEP])
    if not decoder.eof:
        raise EOFError("it ends early")


def _zlib(window_bits: int) -> Callable[[bytes], Iterator[bytes]]:
    def decode(body: bytes) -> Iterator[bytes]:
        decoder = zlib.decompressobj(window_bits)
        for start in range(0, len(body), _STEP):
            rest = body[start : start + _STEP]
            while rest and not decoder.eof:
                yield decoder.decompress(rest, _STEP)
                rest = decoder.unconsumed_tail
        yield decoder.flush()
        if not decoder.eof:
            raise EOFError("it ends early")

    return decode


def _brotli(body: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    for start in range(0, len(body), _STEP):
        yield decoder.process(body[start : start + _STEP], output_buffer_limit=_STEP)
        while not decoder.can_accept_more_data():
            yield decoder.process(b"", output_buffer_limit=_STEP)
    while not decoder.is_finished():
        rest = decoder.process(b"", output_buffer_limit=_STEP)
        if not rest:
            raise EOFError("it ends early")
        yield rest


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "zstd": _zstd,
    "gzip": _zlib(zlib.MAX_WBITS | 16),
    "x-gzip": _zlib(zlib.MAX_WBITS | 16),
    # Real clients send zlib's format under this name, as RFC 9110 section 8.4.1.2 asks.
    "deflate": _zlib(zlib.MAX_WBITS),
    "br": _brotli,
}


def _too_large(max_bytes: int) -> TurnError:
    return TurnError(
        Kind.BODY_TOO_LARGE,
        f"The request body is larger than {max_bytes:,} bytes (max_body_bytes).",
    )
