from __future__ import annotations

import pytest

from anyturn import errors
from anyturn.errors import Fault, Kind, TurnError


def table() -> list[tuple[str, ...]]:
    """The rows of the table in the module's docstring."""
    assert errors.__doc__ is not None
    lines = errors.__doc__.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("=====")]
    return [tuple(line.split()) for line in lines[rules[1] + 1 : rules[2]]]


def test_the_table_in_the_docstring_is_the_policy() -> None:
    assert table() == [(k.name, k.fault.value, str(k.status), k.value.type, k.code) for k in Kind]


def test_only_failures_that_may_pass_by_themselves_are_transient() -> None:
    assert {kind.name for kind in Kind if kind.transient} == {
        "RATE_LIMITED",
        "PROVIDER_BROKEN",
        "PROVIDER_UNREACHABLE",
        "PROVIDER_TIMEOUT",
        "SHUTTING_DOWN",
        "STORE_FAILED",
    }


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_the_envelope_is_openais_and_says_whose_fault_it_is(kind: Kind) -> None:
    """F64."""
    error = TurnError(kind, "It broke.", param="input[3]")
    assert error.envelope() == {
        "error": {
            "message": "It broke.",
            "type": kind.value.type,
            "param": "input[3]",
            "code": kind.code,
            "source": kind.fault.value,
        }
    }
    assert str(error) == "It broke."


def test_the_envelope_names_the_provider_that_refused_and_its_status() -> None:
    """F64."""
    error = TurnError(
        Kind.RATE_LIMITED, "Slow down.", provider="acme", provider_status=429, retry_after=2.0
    )
    told = error.envelope()["error"]
    assert (told["provider"], told["provider_status"]) == ("acme", 429)
    assert error.retry_after == 2.0


def test_a_status_tells_the_client_who_has_to_act() -> None:
    for kind in Kind:
        assert 400 <= kind.status < 600
        if kind.fault is Fault.CLIENT:
            assert kind.status < 500


def test_a_wrong_key_is_not_answered_with_a_status_that_codex_retries() -> None:
    """codex-cli.md section 8: a 401 is tried five times, a 400 `invalid_prompt` is shown."""
    kind = Kind.PROVIDER_CREDENTIALS
    assert (kind.status, kind.code) == (400, "invalid_prompt")
    assert Kind.KEY_REFUSED.status == 401
    twin = Kind.KEY_REFUSED_FOR_GOOD
    assert (twin.status, twin.code) == (400, "invalid_prompt")
