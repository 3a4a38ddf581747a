from __future__ import annotations

import pytest

from anyturn.server.absent import why_absent


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/v1/alpha/search", "Web search", id="search"),
        pytest.param("/alpha/search/", "Web search", id="search without v1"),
        pytest.param("/v1/chat/completions", "POST /v1/responses", id="a chat client"),
        pytest.param("/inspector", "anyturn serve --inspector", id="the inspector"),
        pytest.param("/v1/files", "stores no files", id="files"),
    ],
)
def test_what_is_not_offered_is_named_f34(path: str, words: str) -> None:
    assert why_absent(path).startswith(f"There is nothing at {path}. ")
    assert words in why_absent(path)


@pytest.mark.parametrize("path", ["/", "", "/v1", "/nowhere", "/v1/v1/alpha/search"])
def test_of_any_other_path_only_the_absence_is_told_f34(path: str) -> None:
    assert why_absent(path) == f"There is nothing at {path}."
