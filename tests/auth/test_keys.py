from __future__ import annotations

import hashlib
import hmac
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.auth.keys import (
    DamagedKeys,
    Key,
    decode_keys,
    digest_of,
    encode_keys,
    find_key,
    name_problem,
    named_key,
    secret_of,
)

CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def key(number: int, secret: str = "", name: str = "") -> Key:
    return Key(
        f"key_{number:012x}", name or f"client {number}", CREATED, digest_of(secret or f"{number}")
    )


KEYS = tuple(key(number) for number in range(1, 6))


# ---------------------------------------------------------------- one key


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_key_is_as_long_as_every_other_and_says_all_of_its_bytes(one: bytes, two: bytes) -> None:
    assert re.fullmatch(r"any_[0-9A-Za-z]{43}", secret_of(one))
    assert (secret_of(one) == secret_of(two)) == (one == two)


def test_the_largest_number_fits() -> None:
    assert len({secret_of(b"\xff" * 32), secret_of(b"\xff" * 31 + b"\xfe"), secret_of(b"")}) == 3


def test_what_is_kept_is_a_plain_sha_256() -> None:
    assert digest_of("any_x") == hashlib.sha256(b"any_x").hexdigest()


@given(st.text())
def test_any_header_can_be_compared(text: str) -> None:
    with_bytes = text.encode("utf-8", "replace").decode("ascii", "surrogateescape")
    assert find_key(KEYS, with_bytes) is None or text in "12345"


@pytest.mark.parametrize(
    "name", ["laptop", "a", "Anna's".replace("'", "."), "ci 2", "Jürgen", "x@y"]
)
def test_a_name_can_be(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize(
    "name", ["", " ", "a ", " a", "a\nb", "-rf", "a" * 65, "a/b", "[bold]", "key_0", "any_x"]
)
def test_a_name_cannot_be(name: str) -> None:
    assert name_problem(name)


def test_a_key_that_was_pasted_as_a_name_is_not_repeated() -> None:
    planted = secret_of(b"planted")
    assert planted not in name_problem(planted)


# ---------------------------------------------------------------- the comparison


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_key_is_found_wherever_it_stands(number: int) -> None:
    assert find_key(KEYS, f"{number}") == KEYS[number - 1]


@pytest.mark.parametrize("sent", ["", "6", "11", digest_of("1"), "key_000000000001", "client 1"])
def test_nothing_else_is_a_key(sent: str) -> None:
    assert find_key(KEYS, sent) is None


@pytest.mark.parametrize("sent", ["1", "5", "wrong"], ids=["first", "last", "none"])
def test_every_key_is_compared_in_constant_time_whichever_matches(
    monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    compared: list[Any] = []

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    find_key(KEYS, sent)
    assert compared == [(64, 64)] * len(KEYS)


def test_a_key_is_named_by_name_or_id() -> None:
    assert named_key(KEYS, "client 2") == named_key(KEYS, "key_000000000002") == KEYS[1]
    assert named_key(KEYS, "client") is None


# ---------------------------------------------------------------- the content of the file

NAMES = st.from_regex(r"[a-z][a-z ]{0,20}[a-z]", fullmatch=True).filter(
    lambda name: not name_problem(name)
)


@given(st.lists(NAMES, unique=True, max_size=5))
def test_what_was_written_is_read(names: list[str]) -> None:
    keys = tuple(key(number, name=name) for number, name in enumerate(names))
    assert decode_keys(encode_keys(keys)) == keys


def reads_or_complains(data: bytes) -> None:
    with suppress(DamagedKeys):
        assert all(re.fullmatch(r"[0-9a-f]{64}", key.sha256) for key in decode_keys(data))


@given(st.binary())
def test_any_bytes_are_keys_or_a_complaint(data: bytes) -> None:
    reads_or_complains(data)


FIELDS = st.sampled_from(["version", "keys", "id", "name", "created", "sha256", "more"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["key_000000000001", "a", "2026-03-04T05:06:07Z", "0" * 64, "9" * 30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=12,
)


@given(VALUES, st.data())
def test_any_json_is_keys_or_a_complaint(value: Any, data: Any) -> None:
    reads_or_complains(msgspec.json.encode(value))
    reads_or_complains(msgspec.json.encode({"version": 1, "keys": [value]}))
    whole = encode_keys(KEYS)
    cut = data.draw(st.integers(0, len(whole)))
    reads_or_complains(whole[:cut])
    reads_or_complains(
        whole[:cut] + data.draw(st.binary(min_size=1, max_size=3)) + whole[cut + 1 :]
    )


PLAIN = msgspec.to_builtins(KEYS[0])
DAMAGED: dict[str, bytes | Any] = {
    "nothing": b"",
    "cut": encode_keys(KEYS)[:-9],
    "a list": [],
    "no version": {"keys": []},
    "another version": {"version": 2, "keys": []},
    "a hash too short": {"version": 1, "keys": [{**PLAIN, "sha256": "0" * 63}]},
    "a hash with a line's end": {"version": 1, "keys": [{**PLAIN, "sha256": "0" * 64 + "\n"}]},
    "no hash": {"version": 1, "keys": [{**PLAIN, "sha256": ""}]},
    "a field of another": {"version": 1, "keys": [{**PLAIN, "admin": True}]},
    "the same name twice": {"version": 1, "keys": [PLAIN, {**PLAIN, "id": "key_0000000000ff"}]},
    "the same id twice": {"version": 1, "keys": [PLAIN, {**PLAIN, "name": "other"}]},
    "no date": {"version": 1, "keys": [{**PLAIN, "created": "yesterday"}]},
    "a name that is none": {"version": 1, "keys": [{**PLAIN, "name": "\x1b[2J"}]},
    "deeply nested": b'{"version":1,"keys":' + b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_never_a_list_of_fewer_keys(content: bytes | Any) -> None:
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    with pytest.raises(DamagedKeys):
        decode_keys(data)
