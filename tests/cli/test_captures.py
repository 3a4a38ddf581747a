from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import zstandard
from typer.testing import CliRunner

from anyturn.capture import format as f
from anyturn.capture_files import CaptureError, write_plain
from anyturn.cli.captures_view import clean, seconds
from anyturn.cli.main import app
from support.captured_turns import CALL, EVENTS, captured, records

WIDE = {"COLUMNS": "220", "NO_COLOR": "1", "ANYTURN_CAPTURE": ""}
LATER = {"input": [{"type": "function_call_output", "call_id": "call_1", "output": "it ran"}]}


def say(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["captures", *map(str, arguments)], env=WIDE)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Three turns: a call, its output, and a failure."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "c"
    made.mkdir()
    write_plain(made / "1.ndjson", records())
    second = records(request=LATER, turn="resp_2", started="2026-01-02T03:04:07.000Z")
    write_plain(made / "2.ndjson", second)
    error = {"code": "rate_limit_exceeded", "message": "Slow down.", "source": "provider"}
    failed = records(turn="resp_3", events=[], status="failed", error=error, text="")
    write_plain(made / "3.ndjson", failed)
    return made


def test_the_list_says_who_asked_whom_and_how_it_ended(folder: Path) -> None:
    shown = say("list", "--dir", folder)
    assert "codex 1" in shown
    assert "10 + 4" in shown
    assert "run" in shown
    assert "completed" in shown and "failed" in shown


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([], [1, 2, 3]),
        (["--outcome", "failed"], [3]),
        (["--tool", "run"], [1, 2]),
        (["--client", "nobody"], []),
        (["--provider", "p", "--model", "m"], [1, 2, 3]),
        (["--limit", "1"], [3]),
    ],
)
def test_filters_narrow_the_list(folder: Path, filters, numbers) -> None:
    lines = msgspec.json.decode(say("list", "--json", "--dir", folder, *filters))
    assert [line["number"] for line in lines] == numbers


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_the_list_shows_models_and_tools_in_every_terminal(
    folder: Path, monkeypatch, columns: int
) -> None:
    monkeypatch.setitem(WIDE, "COLUMNS", str(columns))
    lines = say("list", "--dir", folder).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert {"model", "outcome", "tools", "findings"} <= set(lines[0].split())
    assert ("client" in lines[0]) is (columns >= 120)
    assert " run " in lines[1]


def test_a_turn_is_shown_as_a_person_follows_it(folder: Path) -> None:
    shown = say("show", "1", "--dir", folder)
    order = ["Run.", "reasoning", "Hm.", "function_call run", '{"x":1}', "first delta",
             "handed out whole", "its output came back", "it ran", "completed"]  # fmt: skip
    places = [shown.index(word) for word in order]
    assert places == sorted(places), shown


def test_a_turn_is_explained_in_words(folder: Path) -> None:
    assert "so it ran" in say("explain", "1", "--dir", folder)
    said = say("explain", "--dir", folder)
    assert "Slow down." in said and "the provider or its model" in said


def test_the_format_is_described_as_markdown(folder: Path) -> None:
    assert "| `response.created` | 2 |" in say("format", "--dir", folder)
    assert "| `response.created` | 1 |" in say("format", "1", "--dir", folder)


def test_two_turns_are_compared(folder: Path) -> None:
    assert "same types" in say("compare", "1", "2", "--dir", folder)
    said = say("compare", "1", "3", "--dir", folder)
    assert "response.created" in said and "only in 1: p/m" in said
    assert "chunk: tool_calls" in say("compare", "1", "3", "--chunks", "--dir", folder)


def test_exports_go_to_the_screen_or_to_a_new_file(folder: Path, tmp_path: Path) -> None:
    assert say("export", "1", "--dir", folder, "--as", "jsonl").count("\n") == len(EVENTS)
    out = tmp_path / "out.sse"
    say("export", "1", "--dir", folder, "--out", out)
    assert out.read_bytes().startswith(b"event: response.created\n")
    result = CliRunner().invoke(
        app, ["captures", "export", "1", "--dir", str(folder), "--out", str(out)]
    )
    assert isinstance(result.exception, CaptureError)
    assert "File exists" in str(result.exception)


def test_prune_keeps_the_newest(folder: Path) -> None:
    assert "Deleted 2 captures." in say("prune", "--turns", "1", "--dir", folder)
    assert [one.name for one in folder.iterdir()] == ["3.ndjson"]
    assert "Deleted 1 capture." in say("prune", "--days", "0", "--dir", folder)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "7"], "there are 1 to 3"),
        (["show", "../../etc/passwd"], "cannot be read"),
        (["show", "nothing.ndjson"], "cannot be read"),
        (["export", "1", "--as", "pdf"], "Known: sse, jsonl"),
        (["list", "--outcome", "done"], "Known: completed, incomplete"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(folder: Path, arguments, sentence) -> None:
    result = CliRunner().invoke(app, ["captures", *arguments, "--dir", str(folder)])
    assert isinstance(result.exception, CaptureError)
    assert sentence in str(result.exception)


def test_an_empty_folder_says_how_to_record(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "anyturn serve --capture .anyturn" in say("list")
    result = CliRunner().invoke(app, ["captures", "show"])
    assert "anyturn serve --capture .anyturn" in str(result.exception)


HOSTILE = "\x1b[31m[bold]x[/bold]\x07\x1b]0;title\x07\r\u202e"


@pytest.mark.parametrize("verb", ["list", "show", "explain", "format", "compare"])
def test_others_words_are_no_markup_and_no_escape_codes(tmp_path: Path, monkeypatch, verb) -> None:
    monkeypatch.chdir(tmp_path)
    events = [
        *EVENTS[:4],
        {
            "type": "response.output_item.done",
            "item": {**CALL, "name": HOSTILE, "call_id": HOSTILE},
        },
        {"type": HOSTILE, "delta": HOSTILE, HOSTILE: 1},
    ]
    error = {"code": HOSTILE, "message": HOSTILE, "source": HOSTILE}
    hostile = records(events=events, status=HOSTILE, error=error, turn=HOSTILE, started=HOSTILE)
    hostile[0] = f.Head(client=HOSTILE, provider=HOSTILE, model=HOSTILE, started=HOSTILE)
    hostile.append(f.Findings(findings=[f.Finding(rule=HOSTILE, what=HOSTILE)]))
    write_plain(tmp_path / "1.ndjson", hostile)
    write_plain(tmp_path / "2.ndjson", records())
    which = ["1", "2"] if verb == "compare" else [] if verb == "list" else ["1"]
    shown = say(verb, *which, "--dir", str(tmp_path))
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
    assert "[bold]" in shown


@pytest.mark.parametrize("verb", ["list", "show", "explain", "format"])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\xff" * 50, id="noise"),
        pytest.param(zstandard.compress(b'{"kind":"head","version":99}\n'), id="from the future"),
        pytest.param(zstandard.compress(b"".join(map(f.encode_record, records())))[:-40], id="cut"),
        pytest.param(b'{"kind":"events","t":[1],"events":[[{"item":[{}]}]]}', id="odd events"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_damaged_files_break_no_verb(tmp_path: Path, verb, data) -> None:
    (tmp_path / "1.ndjson").write_bytes(data)
    arguments = [verb, "--dir", str(tmp_path)]
    result = CliRunner().invoke(app, ["captures", *arguments], env=WIDE)
    assert result.exit_code == 0, result.exception
    assert verb == "format" or "1" in result.stderr


def test_short_forms() -> None:
    assert (seconds(None), seconds(1500), seconds(2_500_000)) == ("", "2 ms", "2.50 s")
    assert clean("abcdef", 4) == "abc…"
    assert captured().events
