"""Checks whether clients of the Responses API can work with a stream.

    from anyturn.conformance import check_stream

    check_stream(body).raise_for("codex")

`check_stream` takes the bytes of an answer or its events, `StreamChecker` the same one by one while
they pass. Rules have stable ids (`RULES`) and a page each in docs/rules. Nothing here knows the
translator: a checker that shared its code would share its mistakes.
"""

from anyturn.conformance.catalogue import RULES
from anyturn.conformance.checker import StreamChecker, check_stream
from anyturn.conformance.codex import CODEX_PROFILE, ProfileCheck
from anyturn.conformance.reader import Recording, read_stream
from anyturn.conformance.report import Finding, NotReady, Report, Verdict
from anyturn.conformance.rules import CLIENTS, Fault, Rule, Severity, client_of, clients_of

__all__ = [
    "CLIENTS",
    "CODEX_PROFILE",
    "RULES",
    "Fault",
    "Finding",
    "NotReady",
    "ProfileCheck",
    "Recording",
    "Report",
    "Rule",
    "Severity",
    "StreamChecker",
    "Verdict",
    "check_stream",
    "client_of",
    "clients_of",
    "read_stream",
]
