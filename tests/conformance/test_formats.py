from __future__ import annotations

from xml.etree import ElementTree

from anyturn.conformance import check_stream
from anyturn.conformance.formats import junit, markdown
from support.responses_streams import call, message, stream

BROKEN = check_stream(stream(call("")))


def test_markdown_has_the_verdicts_the_profile_and_the_findings() -> None:
    text = markdown(BROKEN, ["codex"], "answer.sse")
    assert text.startswith("# answer.sse\n")
    assert "| Codex CLI 0.169.0 | not ready |" in text
    assert "| arguments not empty | items.arguments-empty |" in text
    assert "| event structure | passed |" in text
    assert "## items.arguments-empty at event 6" in text


def test_junit_has_a_suite_for_each_client_and_a_failure_for_each_rule_that_matters() -> None:
    root = ElementTree.fromstring(junit(BROKEN, ["codex", "openai"], "t"))
    assert [suite.get("name") for suite in root] == ["codex", "openai-python", "openai-node"]
    codex = root[0]
    assert codex.get("tests") == str(len(codex))
    failed = [case.get("name") for case in codex if len(case)]
    assert failed == ["items.arguments-empty"]
    assert codex.get("failures") == "1"
    assert "failed to parse" in (codex.find("testcase/failure").text or "")


def test_junit_bears_what_xml_cannot_hold() -> None:
    events = stream(message())
    events[7]["part"]["text"] = "\x00\x1b[31m \ud83d\ude00 \uffff"
    report = check_stream(events)
    root = ElementTree.fromstring(junit(report, ["open-responses"], "t"))
    assert [case.get("name") for case in root[0] if len(case)] == ["grammar.part-differs"]
