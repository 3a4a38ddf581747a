"""`anyturn check FILE`: the exit code, what is printed and what is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from anyturn.cli.main import main
from anyturn.conformance import RULES
from support.bent_streams import REQUEST, chunks
from support.responses_streams import as_sse, call, message, stream

Run = Callable[..., tuple[int, str, str]]
GOOD = as_sse(stream(message()))
BROKEN = as_sse(stream(call("")))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `anyturn check ARGUMENTS` in a folder with a good and a broken stream."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "good.sse").write_bytes(GOOD)
    (tmp_path / "broken.sse").write_bytes(BROKEN)
    lines = map(msgspec.json.encode, stream(message()))
    (tmp_path / "good.jsonl").write_bytes(b"\n".join(lines))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anyturn", "check", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int) or ended.value.code is None
        return ended.value.code or 0, said.out, said.err

    return run


@pytest.mark.parametrize("name", ["good.sse", "good.jsonl"])
def test_a_good_stream_ends_with_0(run: Run, name: str) -> None:
    code, out, err = run(name, "--client", "all")
    assert (code, err) == (0, "")
    assert out.count("✔ ready") == 5
    assert "6 of 6 checks passed" in out


def test_a_broken_stream_ends_with_1_and_says_why(run: Run) -> None:
    code, out, _ = run("broken.sse")
    assert code == 1
    assert "items.arguments-empty at event 6  breaks codex" in out
    assert "failed to parse function arguments" in out
    assert "✘ not ready  Codex CLI" in out
    assert "5 of 6 checks passed" in out


def test_the_clients_that_were_asked_for_count(run: Run, tmp_path: Path) -> None:
    events = stream(message())
    events[-1]["response"]["truncation"] = None
    (tmp_path / "one.sse").write_bytes(as_sse(events))
    assert run("one.sse")[0] == 0
    assert run("one.sse", "--client", "openai", "--client", "ai-sdk")[0] == 0
    code, out, _ = run("one.sse", "--client", "open-responses")
    assert code == 1
    assert "open-responses.member-invalid" in out


def test_json_is_one_document(run: Run) -> None:
    code, out, _ = run("broken.sse", "--json")
    assert code == 1
    assert msgspec.json.decode(out)["verdicts"]["codex"] == "not_ready"


def test_reports_are_written_for_other_programs(run: Run, tmp_path: Path) -> None:
    assert run("broken.sse", "--junit", "r.xml", "--markdown", "r.md")[0] == 1
    assert ElementTree.parse(tmp_path / "r.xml").getroot()[0].get("failures") == "1"
    assert (tmp_path / "r.md").read_text().startswith("# anyturn check broken.sse")


def test_what_was_asked_and_what_the_provider_said_can_be_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "call.sse").write_bytes(as_sse(stream(call(name="other"))))
    (tmp_path / "request.json").write_bytes(msgspec.json.encode(REQUEST))
    (tmp_path / "chat.sse").write_bytes(as_sse(chunks(content="Something else.")))
    code, out, _ = run("call.sse", "--request", "request.json", "--chunks", "chat.sse")
    assert code == 1
    assert "items.name-undeclared" in out
    assert "fidelity.text" in out
    assert "fidelity.calls" in out


def test_a_chat_stream_is_said_to_be_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "chat.sse").write_bytes(as_sse(chunks(content="Hi")))
    code, out, _ = run("chat.sse")
    assert code == 1
    assert "a Chat Completions stream: no Responses client can read it" in out


def test_control_characters_and_markup_are_shown_as_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.sse").write_bytes(as_sse(stream(call("[bold]x[/] \x1b[31m"))))
    code, out, _ = run("x.sse")
    assert code == 1
    assert "[bold]x[/]" in out
    assert "\x1b[31m" not in out


def test_all_rules_are_listed(run: Run) -> None:
    code, out, _ = run("--list-rules")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(RULES)


def test_a_rule_is_explained(run: Run) -> None:
    code, out, _ = run("--explain", "items.arguments-empty")
    assert code == 0
    assert "Why it matters." in out
    assert "failed to parse function arguments" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.sse"], "absent.sse cannot be read"),
        (["localhost:8000/v1"], "The address of a server begins with http://"),
        ([], "Name a server or a file"),
        (["good.sse", "--client", "curl"], "No client is called curl"),
        (["--explain", "items.argument-empty"], "Do you mean items.arguments-empty"),
        (["--explain", "xyzzy"], "anyturn check --list-rules"),
        (["http://me:secret@localhost:1/v1"], "A key has no place in the address"),
        (["http://localhost:99999/v1"], "The address is not valid"),
        (["http://localhost:1/v1?x=1"], "takes host, port and path"),
        (["http://localhost:1/v1", "--api-key-env", "UNSET_HERE"], "is not set, or empty"),
        (["good.sse", "--request", "good.sse"], "holds no JSON object"),
        (["good.sse", "--junit", "no/such/folder.xml"], "cannot be written"),
    ],
    ids=[
        "no file",
        "no scheme",
        "nothing",
        "client",
        "near rule",
        "no rule",
        "key",
        "port",
        "query",
        "no key",
        "request",
        "folder",
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    run: Run, arguments: list[str], words: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
