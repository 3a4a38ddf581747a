"""A report for other programs: Markdown for people's threads, JUnit for CI."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from anyturn.conformance.catalogue import RULES
from anyturn.conformance.report import Finding, Report
from anyturn.conformance.rules import CLIENTS, Severity, clients_of

# What XML 1.0 cannot hold, however it is escaped.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(report: Report, clients: Iterable[str], title: str) -> str:
    """The report as Markdown: verdicts, the Codex profile, and the findings of these clients."""
    names = tuple(clients)
    lines = [f"# {title}", "", f"{report.events} events, kind: {report.kind}.", ""]
    lines += ["| client | verdict |", "|---|---|"]
    lines += [f"| {CLIENTS[c]} | {v.replace('_', ' ')} |" for c, v in report.verdicts.items()]
    lines += ["", "| Codex compatibility | |", "|---|---|"]
    for check, against in report.profile():
        said = ", ".join(sorted({finding.rule for finding in against})) or "passed"
        lines.append(f"| {check.name} | {said} |")
    for finding in report.for_client(*names):
        lines += ["", *_markdown_finding(finding)]
    return "\n".join(lines) + "\n"


def _markdown_finding(finding: Finding) -> list[str]:
    rule = finding.what
    place = "" if finding.event is None else f" at event {finding.event}"
    return [
        f"## {rule.id}{place}",
        "",
        f"- expected: {rule.expected}",
        f"- found: `{finding.found.replace('`', chr(39))}`",
        f"- why: {rule.why}",
        f"- mend: {rule.fix}",
        f"- fault: {rule.fault}",
    ]


def junit(report: Report, clients: Iterable[str], title: str) -> bytes:
    """The report as JUnit XML: a suite for each client, a case for each rule that it minds."""
    root = ElementTree.Element("testsuites", name=title)
    for client in dict.fromkeys(one for name in clients for one in clients_of(name)):
        failed = {f.rule: f for f in reversed(report.findings) if _is_failure(f, client)}
        minded = [rule for rule in RULES.values() if _minds(rule.severity[client])]
        counts = {"tests": str(len(minded)), "failures": str(len(failed))}
        suite = ElementTree.SubElement(root, "testsuite", {"name": client, **counts})
        for rule in minded:
            name = {"name": rule.id, "classname": f"anyturn.{client}"}
            case = ElementTree.SubElement(suite, "testcase", name)
            if finding := failed.get(rule.id):
                _add_failure(case, finding)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add_failure(case: ElementTree.Element, finding: Finding) -> None:
    failure = ElementTree.SubElement(case, "failure", message=xml_text(finding.found))
    rule = finding.what
    failure.text = f"expected: {rule.expected}\nwhy: {rule.why}\nmend: {rule.fix}"


def xml_text(text: str) -> str:
    """A text that XML can hold."""
    return _NO_XML.sub("\ufffd", text)


def _minds(severity: Severity) -> bool:
    return severity.rank >= Severity.DEGRADES.rank


def _is_failure(finding: Finding, client: str) -> bool:
    return _minds(finding.severity(client))
