from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.wire.address import host_name, is_local, is_local_host, origin_of


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


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "::1"])
def test_a_host_of_this_machine_alone(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "example.com", "127.1", "fe80::1%eth0", "", "["]
)
def test_a_host_that_others_reach_or_that_nobody_knows(host: str) -> None:
    assert not is_local_host(host)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.org", "https://app.example.org"),
        (" HTTPS://App.Example.org/ ", "https://app.example.org"),
        ("https://app.example.org:443", "https://app.example.org"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("vscode-webview://1a2b", "vscode-webview://1a2b"),
        ("null", ""),
        ("*", ""),
        ("https://*.example.org", ""),
        ("https://app.example.org/path", ""),
        ("https://user@app.example.org", ""),
        ("app.example.org", ""),
        ("https://", ""),
        ("", ""),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(text: str, origin: str) -> None:
    assert origin_of(text) == origin
    assert origin_of(origin) == origin


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("LOCALHOST:80", "localhost"),
        ("[::1]:80", "::1"),
        ("a.example", "a.example"),
        ("localhost@a.example:1", "a.example"),
        ("[", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(authority: str, name: str) -> None:
    assert host_name(authority) == name


@given(st.text())
def test_any_header_has_an_answer(text: str) -> None:
    assert isinstance(host_name(text), str)
    assert isinstance(origin_of(text), str)
    assert is_local_host(text) in (True, False)
