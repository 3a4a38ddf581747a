from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.wire.address import is_local


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://localhost:11434/v1",
        "HTTP://LOCALHOST/v1",
        "http://models.localhost:8000",
        "http://127.0.0.1:8000/v1",
        "http://127.8.9.10",
        "https://[::1]:8443/v1",
        "http://user:secret@127.0.0.1/v1",
    ],
)
def test_addresses_of_this_host_are_local(url: str) -> None:
    assert is_local(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.cerebras.ai/v1",
        "http://192.168.1.7:8000",
        "http://0.0.0.0:8000",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://example.com/localhost",
        "http://localhost@example.com",
        "http://notlocalhost",
        "http://[::2]",
    ],
)
def test_addresses_elsewhere_are_not(url: str) -> None:
    assert not is_local(url)


@pytest.mark.parametrize("url", ["", "localhost", "localhost:8000", "http://", "http://[::1", "::"])
def test_what_is_no_url_is_not_local(url: str) -> None:
    assert not is_local(url)


@given(st.text() | st.text().map("http://{}".format))
def test_any_text_has_an_answer(url: str) -> None:
    assert is_local(url) in (True, False)
