"""What the checker finds in a recorded turn, for whoever shows it."""

from __future__ import annotations

from multidict import CIMultiDict

from anyturn.capture.format import Capture, Finding
from anyturn.conformance import CLIENTS, Severity, check_stream, client_of
from anyturn.conformance import Finding as Found


def findings_of(capture: Capture) -> list[Finding]:
    """The findings that were recorded, or else those of the rules on the recorded events.

    Only what breaks or degrades the client that asked counts; one that did not say who it is is
    judged as all of them.
    """
    if capture.findings or not capture.timed_events:
        return list(capture.findings)
    client = client_of(CIMultiDict(capture.headers))
    minded_by = (client,) if client in CLIENTS else tuple(CLIENTS)
    events = [event for _, event in capture.timed_events]
    report = check_stream(events, request=capture.request)
    return [_as_recorded(one) for one in report.findings if _matters(one, minded_by)]


def _matters(found: Found, clients: tuple[str, ...]) -> bool:
    return any(found.severity(client).rank >= Severity.DEGRADES.rank for client in clients)


def _as_recorded(found: Found) -> Finding:
    return Finding(
        rule=found.rule,
        where="" if found.event is None else f"event {found.event}",
        what=f"expected: {found.what.expected}; found: {found.found}",
        fault=str(found.what.fault),
        advice=found.what.fix,
    )
