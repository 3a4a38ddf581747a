"""Every rule: the defects that it names, and the page that explains it."""

from __future__ import annotations

import pytest

from anyturn.conformance import CLIENTS, RULES, Severity, check_stream, client_of, clients_of
from anyturn.conformance.rules import GROUPS
from support.bent_streams import Defect
from support.defects import DEFECTS
from support.rule_pages import FOLDER, WITHOUT_STREAMS, index, page, streams_of

NAMES = [f"{defect.rule} {defect.name}".strip() for defect in DEFECTS]
each_defect = pytest.mark.parametrize("defect", DEFECTS, ids=NAMES)
each_rule = pytest.mark.parametrize("name", RULES)
each_rule_with_streams = pytest.mark.parametrize("name", sorted(RULES.keys() - WITHOUT_STREAMS))


@each_defect
def test_a_defect_is_named_by_its_rule_and_by_no_other(defect: Defect) -> None:
    report = check_stream(defect.bad, **defect.known, **defect.bad_known)
    assert [finding.rule for finding in report.findings] == [defect.rule]
    assert report.findings[0].found


@each_defect
def test_the_stream_without_the_defect_has_no_finding(defect: Defect) -> None:
    report = check_stream(defect.good, **defect.known, **defect.good_known)
    assert report.findings == ()


def test_every_rule_has_a_defect() -> None:
    assert {defect.rule for defect in DEFECTS} == RULES.keys() - WITHOUT_STREAMS


@each_rule
def test_a_rule_matters_to_someone_and_says_so_in_whole_words(name: str) -> None:
    rule = RULES[name]
    assert rule.id == name
    assert rule.severity.keys() == CLIENTS.keys()
    assert set(rule.severity.values()) != {Severity.NONE}
    for words in (rule.why, rule.fix):
        assert words.endswith("."), words
    assert not rule.expected.endswith(".")


# ---------------------------------------------------------------- pages


def test_there_is_a_page_for_every_rule_and_for_nothing_else() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")}
    assert pages == {*RULES, "README", "known", "sdks"}


@each_rule
def test_a_page_says_what_the_rule_says(name: str) -> None:
    """To write the pages anew: `PYTHONPATH=src:tests python -m support.rule_pages`."""
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == page(name)


def test_the_list_of_rules_is_the_list_of_rules() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == index()


@each_rule_with_streams
def test_the_bad_stream_of_a_page_breaks_its_rule_and_the_good_one_none(name: str) -> None:
    streams = streams_of((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    found = {
        label: [finding.rule for finding in check_stream(stream, **known).findings]
        for label, (stream, known) in streams.items()
    }
    assert found == {"bad": [name], "good": []}


# ---------------------------------------------------------------- clients


def test_a_group_means_its_clients() -> None:
    assert clients_of("openai") == ("openai-python", "openai-node")
    assert clients_of("all") == tuple(CLIENTS)
    assert clients_of("codex") == ("codex",)
    assert not GROUPS.keys() & CLIENTS.keys()


def test_nobody_else_is_a_client() -> None:
    with pytest.raises(KeyError):
        clients_of("curl")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("codex_exec/0.169.0 (Debian 12; x86_64) unknown", "codex"),
        ("OpenAI/Python 2.8.0", "openai-python"),
        ("AsyncOpenAI/Python 2.8.0", "openai-python"),
        ("OpenAI/JS 6.9.1", "openai-node"),
        ("ai/6.0 ai-sdk/openai/3.0 runtime/node.js/22", "ai-sdk"),
        ("curl/8.0", ""),
        ("", ""),
    ],
)
def test_clients_are_called_what_the_checker_calls_them(agent: str, name: str) -> None:
    assert client_of({"User-Agent": agent}) == client_of({"user-agent": agent}) == name
    assert name in {"", *CLIENTS}
