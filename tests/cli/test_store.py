from __future__ import annotations

import asyncio
import os
import sqlite3
from functools import partial
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from anyturn.cli.main import app
from anyturn.store.records import StoredConversation, StoredItem, StoredResponse
from anyturn.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "s.db"


@pytest.fixture
def anyturn(monkeypatch, tmp_path, path):
    """Run `anyturn store ARGUMENTS` in an empty folder, with the store at `path`."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("ANYTURN_", "XDG_"))]:
        monkeypatch.delenv(name)
    given = {"HOME": str(tmp_path), "ANYTURN_STORE_PATH": str(path), "COLUMNS": "200"}

    def run(*arguments, **environ):
        return CliRunner().invoke(app, ["store", *arguments], env={**given, **environ})

    return run


@pytest.fixture
def online(anyturn):
    """The same in another thread: the loop of this one is the gateway's."""
    return partial(asyncio.to_thread, anyturn)


@pytest.fixture
async def open_beside(path: Path):
    """The store as a running gateway has it open: with three items, a response, a conversation."""
    store = SqliteStore(path)
    await store.put_items("me", [StoredItem(f"i{n}", os.urandom(50_000)) for n in range(3)])
    await store.put_response("me", StoredResponse(id="r", created_at=1_700_000_000, body=b"{}"))
    await store.put_conversation("me", StoredConversation("c", 1))
    yield store
    await store.close()


async def test_the_statistics_are_shown_beside_a_running_gateway(online, open_beside, path):
    shown = await online("stats")
    assert shown.exit_code == 0
    rows = dict(line.strip().split("  ", 1) for line in shown.stdout.splitlines() if line.strip())
    assert rows["place"] == str(path)
    assert (rows["items"], rows["responses"], rows["conversations"]) == ("3", "1", "1")
    assert rows["oldest response"].startswith("2023-11-1")
    assert rows["kept for"] == "30 days"
    assert rows["size"].endswith("KiB, 1 GiB at most")
    await open_beside.put_items("me", [StoredItem("more", b"1")])


async def test_the_statistics_are_also_json(online, open_beside, path):
    facts = msgspec.json.decode((await online("stats", "--json")).stdout)
    assert facts.pop("bytes") > 150_000
    assert facts == {
        "place": str(path),
        "kind": "sqlite",
        "items": 3,
        "responses": 1,
        "conversations": 1,
        "oldest": 1_700_000_000,
    }


def test_no_file_is_made_to_look_at_it(anyturn, path):
    facts = msgspec.json.decode(anyturn("stats", "--json").stdout)
    assert (facts["place"], facts["items"], facts["bytes"]) == (str(path), 0, 0)
    assert "none" in anyturn("stats").stdout
    assert anyturn("prune").exit_code == anyturn("vacuum").exit_code == 0
    assert not path.parent.exists()


async def test_pruning_forgets_what_is_older_than_the_configuration_says(online, open_beside, path):
    assert "0 records forgotten in" in (await online("prune")).stdout
    await open_beside.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE items SET put_at = put_at - 86400 WHERE id <> 'i0'")
    connection.close()
    shown = await online("prune", ANYTURN_STORE_TTL_DAYS="0.9")
    assert shown.stdout == f"2 records forgotten in {path}.\n"
    assert msgspec.json.decode((await online("stats", "--json")).stdout)["items"] == 1
    facts = msgspec.json.decode((await online("prune", "--json")).stdout)
    assert facts == {"place": str(path), "forgotten": 0}


async def test_vacuuming_makes_the_file_smaller_beside_a_running_gateway(online, open_beside, path):
    await open_beside.delete_items("me", ["i0", "i1", "i2"])
    facts = msgspec.json.decode((await online("vacuum", "--json")).stdout)
    assert facts["place"] == str(path) and facts["bytes"] > 150_000
    assert sum(part.stat().st_size for part in path.parent.iterdir()) < 150_000
    assert (await online("vacuum")).stdout == f"{path} is 0 bytes smaller.\n"
    await open_beside.put_items("me", [StoredItem("more", b"1")])


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ANYTURN_STORE": "off"}, "The store is off (store = off): nothing is kept."),
        ({"ANYTURN_STORE": "memory"}, "The store is the gateway's own memory"),
    ],
    ids=["off", "memory"],
)
def test_where_there_is_no_file_that_is_said(anyturn, environ, words):
    for verb in ("stats", "prune", "vacuum"):
        ended = anyturn(verb, **environ)
        assert words in str(ended.exception)


def test_only_a_file_can_be_vacuumed(anyturn):
    redis = {"ANYTURN_STORE": "redis", "ANYTURN_STORE_URL": "redis://:secret@localhost:1/0"}
    assert "Only the SQLite store" in str(anyturn("vacuum", **redis).exception)


async def test_a_store_that_fails_is_a_sentence_and_exit_code_2(start, workspace):
    (workspace / "s.db").write_text("Dear diary, " * 100)
    ended = await (await start("store", "stats", environ={"ANYTURN_STORE_PATH": "s.db"})).ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"anyturn: The store {workspace / 's.db'} is damaged or no ")
    assert "Traceback" not in ended.stderr
