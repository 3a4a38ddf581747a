from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from anyturn.relay.decoding import Decoder

ENCODE = {
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "identity": lambda data: data,
    "": lambda data: data,
}
LIMIT = 1_000_000


@given(st.sampled_from(list(ENCODE)), st.binary(max_size=5000), st.integers(1, 400))
def test_any_cut_gives_the_same_bytes(encoding: str, data: bytes, step: int) -> None:
    decoder = Decoder(encoding, LIMIT)
    encoded = ENCODE[encoding](data)
    pieces = [decoder.feed(encoded[n : n + step]) for n in range(0, len(encoded), step)]
    assert b"".join(pieces) == data
    assert decoder.problem == ""


def test_stacked_encodings_are_undone_from_the_last() -> None:
    encoded = ENCODE["zstd"](ENCODE["gzip"](b"hello"))
    assert Decoder("gzip, zstd", LIMIT).feed(encoded) == b"hello"


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "deflate", "br"])
def test_what_unfolds_beyond_the_limit_is_cut(encoding: str) -> None:
    decoder = Decoder(encoding, LIMIT)
    got = decoder.feed(ENCODE[encoding](bytes(50 * LIMIT)))
    assert len(got) <= LIMIT
    assert "larger" in decoder.problem
    assert decoder.feed(b"more") == b""


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "deflate", "br"])
def test_damage_ends_it_and_is_said(encoding: str) -> None:
    decoder = Decoder(encoding, LIMIT)
    assert decoder.feed(b"\x00 this is not encoded at all " * 20) == b""
    assert "cannot be decoded" in decoder.problem


@pytest.mark.parametrize("header", ["snappy", "gzip, gzip, gzip, gzip"])
def test_what_is_unknown_stays_as_it_is(header: str) -> None:
    decoder = Decoder(header, LIMIT)
    assert decoder.feed(b"bytes") == b"bytes"
    assert "Content-Encoding" in decoder.problem
