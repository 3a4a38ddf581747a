from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

Run = Callable[..., tuple[int, str, str]]
KEY = r"any_[0-9A-Za-z]{43}"


@pytest.fixture
def keys(at_home: Run) -> Run:
    """Run `anyturn keys ARGUMENTS` in an empty home: exit code, output, errors."""
    return partial(at_home, "keys")


def test_a_key_is_shown_once_and_alone_on_standard_output(keys: Run, tmp_path: Path) -> None:
    code, out, err = keys("add", "laptop")
    assert code == 0
    assert re.fullmatch(f"{KEY}\n", out)
    secret = out.strip()
    assert "'laptop'" in err and "not shown again" in err
    assert "From now on every client needs a key." in err
    assert "From now on" not in keys("add", "ci")[2]
    later = "".join(map(str, keys("list") + keys("list", "--json") + keys("revoke", "laptop")))
    kept = (tmp_path / ".config/anyturn/keys.json").read_text(encoding="utf-8")
    assert secret[4:] not in err + later + kept


def test_the_list_is_a_table_and_also_json(keys: Run) -> None:
    assert keys("list") == (0, "There are no keys. Make one: anyturn keys add NAME\n", "")
    assert keys("list", "--json")[1] == "[]\n"
    keys("add", "laptop")
    keys("add", "anna@work")
    rows = msgspec.json.decode(keys("list", "--json")[1])
    assert [row["name"] for row in rows] == ["laptop", "anna@work"]
    assert all(set(row) == {"name", "id", "created"} for row in rows)
    _, shown, _ = keys("list")
    for row in rows:
        (line,) = [line for line in shown.splitlines() if row["id"] in line]
        assert row["name"] in line and row["created"][:10] in line
    assert "keys.json" in shown


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_key_is_revoked_by_name_or_id(keys: Run, by: str) -> None:
    keys("add", "laptop")
    keys("add", "ci")
    (row, _) = msgspec.json.decode(keys("list", "--json")[1])
    assert keys("revoke", row[by]) == (0, f"Revoked 'laptop' ({row['id']}).\n", "")
    assert [row["name"] for row in msgspec.json.decode(keys("list", "--json")[1])] == ["ci"]


def test_the_last_key_is_revoked_with_a_word_on_what_that_means(keys: Run) -> None:
    keys("add", "laptop")
    code, _, err = keys("revoke", "laptop")
    assert code == 0
    assert "nobody is let in" in err and "keys.json" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["revoke", "latop"], "no key with the name or id 'latop'. Did you mean 'laptop'?"),
        (["revoke", "zzz"], "no key with the name or id 'zzz'."),
        (["add", "laptop"], "There is a key 'laptop' already."),
        (["add", "[red]"], "A name has up to 64 letters"),
        (["add", "any_0123"], "This looks like a key."),
        (["ad"], "ad"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(keys: Run, arguments: list[str], words: str) -> None:
    keys("add", "laptop")
    code, out, err = keys(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_damaged_file_is_told_and_left_alone(keys: Run, tmp_path: Path) -> None:
    keys("add", "laptop")
    path = tmp_path / ".config/anyturn/keys.json"
    path.write_bytes(b"{")
    for arguments in (["list"], ["add", "ci"], ["revoke", "laptop"]):
        code, out, err = keys(*arguments)
        assert (code, out) == (2, "")
        assert f"The keys file {path} cannot be read: it is not JSON." in err
    assert path.read_bytes() == b"{"


def test_the_file_is_where_the_configuration_says(keys: Run, tmp_path: Path) -> None:
    (tmp_path / "anyturn.toml").write_text('keys_file = "team/k.json"\n', encoding="utf-8")
    keys("add", "laptop")
    assert (tmp_path / "team" / "k.json").exists()
    (tmp_path / "other.toml").write_text("", encoding="utf-8")
    assert keys("list", "--config", "other.toml", "--json")[1] == "[]\n"


def test_keys_that_are_switched_off_are_said_to_be(keys: Run, monkeypatch) -> None:
    monkeypatch.setenv("ANYTURN_AUTH", "off")
    assert 'the option auth is "off"' in keys("add", "laptop")[2]


def test_without_a_home_a_file_is_asked_for(keys: Run, monkeypatch) -> None:
    monkeypatch.delenv("HOME")
    code, _, err = keys("list")
    assert code == 2
    assert "ANYTURN_KEYS_FILE" in err
