"""Content encodings undone for the record only, block by block and bounded (A1)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

import brotli
import zstandard

_Step: TypeAlias = Callable[[bytes], Iterator[bytes]]

_MAX_ENCODINGS = 3
_STEP = 64 * 1024
# A few bytes of zstd can unfold to megabytes.
_ZSTD_STEP = 1024
_ZSTD_WINDOW = 8 * 1024 * 1024


class Decoder:
    """Undoes the encodings that a Content-Encoding header names.

    What cannot be decoded is given as it is; what comes behind `max_bytes`, or behind damage, is
    left out. `problem` says so.
    """

    def __init__(self, header: str, max_bytes: int) -> None:
        self.problem = ""
        self._left = max_bytes
        self._broken = False
        names = [name.strip().lower() for name in header.split(",") if name.strip()]
        names = [name for name in names if name != "identity"]
        unknown = [name for name in names if name not in _DECODERS]
        if unknown or len(names) > _MAX_ENCODINGS:
            self.problem = f"its Content-Encoding {header[:40]!r} cannot be decoded"
            names = []
        self._steps: list[_Step] = [_DECODERS[name]() for name in reversed(names)]

    def feed(self, block: bytes) -> bytes:
        """The next block, decoded."""
        if self._broken:
            return b""
        pieces: list[bytes] = []
        try:
            for piece in self._through(block, 0):
                self._left -= len(piece)
                if self._left < 0:
                    self._give_up("it is larger than what is recorded")
                    break
                pieces.append(piece)
        except (zlib.error, zstandard.ZstdError, brotli.error) as error:
            self._give_up(f"it cannot be decoded: {error}")
        return b"".join(pieces)

    def _through(self, block: bytes, step: int) -> Iterator[bytes]:
        if step == len(self._steps):
            yield block
            return
        for piece in self._steps[step](block):
            yield from self._through(piece, step + 1)

    def _give_up(self, why: str) -> None:
        self._broken = True
        self.problem = self.problem or why


def _zlib(window_bits: int) -> _Step:
    decoder = zlib.decompressobj(window_bits)

    def decode(block: bytes) -> Iterator[bytes]:
        while block and not decoder.eof:
            yield decoder.decompress(block, _STEP)
            block = decoder.unconsumed_tail

    return decode


def _zstd() -> _Step:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = decompressor.decompressobj(read_across_frames=True)

    def decode(block: bytes) -> Iterator[bytes]:
        for start in range(0, len(block), _ZSTD_STEP):
            yield decoder.decompress(block[start : start + _ZSTD_STEP])

    return decode


def _brotli() -> _Step:
    decoder = brotli.Decompressor()

    def decode(block: bytes) -> Iterator[bytes]:
        yield decoder.process(block, output_buffer_limit=_STEP)
        while not decoder.can_accept_more_data():
            yield decoder.process(b"", output_buffer_limit=_STEP)

    return decode


_DECODERS: dict[str, Callable[[], _Step]] = {
    "zstd": _zstd,
    "gzip": lambda: _zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _zlib(zlib.MAX_WBITS),
    "br": _brotli,
}
