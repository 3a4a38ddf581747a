from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.envelope import MAX_BYTES, Unsealable, seal, unseal

contents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(contents)
def test_what_was_sealed_comes_back(content):
    sealed = seal("reasoning", "cerebras", content)
    assert sealed == seal("reasoning", "cerebras", content)
    assert unseal("reasoning", sealed) == ("cerebras", content)


@given(st.text() | st.binary().map(lambda b: "gAAAA" + base64.b64encode(b).decode()))
def test_a_foreign_text_is_recognised(text):
    with pytest.raises(Unsealable, match="not sealed by Anyturn"):
        unseal("reasoning", text)


@given(st.integers(0, 200), st.characters(min_codepoint=33, max_codepoint=126))
def test_one_changed_character_is_noticed(position, character):
    """F17."""
    sealed = seal("reasoning", "groq", {"text": "because " * 20})
    at = position % len(sealed)
    changed = sealed[:at] + character + sealed[at + 1 :]
    if changed != sealed:
        with pytest.raises(Unsealable):
            unseal("reasoning", changed)


def test_a_seal_of_another_kind_is_refused():
    with pytest.raises(Unsealable):
        unseal("reasoning", seal("compaction", "groq", "summary"))


def test_content_that_is_too_large_is_not_sealed():
    assert seal("reasoning", "groq", "x" * MAX_BYTES) is None


def test_a_bomb_is_not_unfolded():
    packed = base64.urlsafe_b64encode(zlib.compress(b"0" * (MAX_BYTES * 20))).decode()
    checksum = hashlib.sha256(f"reasoning.{packed}".encode()).hexdigest()[:16]
    with pytest.raises(Unsealable, match="larger"):
        unseal("reasoning", f"anyturn1.reasoning.{checksum}.{packed}")


def test_content_that_is_nested_beyond_reason_is_not_sealed():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert seal("reasoning", "groq", nested) is None


def test_a_seal_that_is_nested_beyond_reason_is_refused():
    deep = b'["groq",' + b"[" * 100_000 + b"]" * 100_000 + b"]"
    packed = base64.urlsafe_b64encode(zlib.compress(deep)).decode()
    checksum = hashlib.sha256(f"reasoning.{packed}".encode()).hexdigest()[:16]
    with pytest.raises(Unsealable, match="damaged"):
        unseal("reasoning", f"anyturn1.reasoning.{checksum}.{packed}")
