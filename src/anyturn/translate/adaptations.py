"""What was changed on the way, so that nothing is dropped silently (A3, G6).

Rules are named `subject.change` and documented in docs/adaptations.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from anyturn.errors import Kind, TurnError

HEADER = "x-anyturn-adaptations"
_HEADER_MAX = 1500
_LISTED = 5


class Adaptation(msgspec.Struct, frozen=True):
    """One change: the rule, where it struck (`input[3].content[1]`), and what it did, in words.

    `lossy` says that the provider saw less than the client sent.
    """

    rule: str
    where: str
    what: str
    lossy: bool = False


class Adaptations(list[Adaptation]):
    """The adaptations of one turn, in the order in which they were made."""

    def note(self, rule: str, where: str, what: str) -> None:
        """Record a change that loses nothing the model would need."""
        self.append(Adaptation(rule, where, what))

    def loss(self, rule: str, where: str, what: str) -> None:
        """Record that something the client sent did not reach the provider."""
        self.append(Adaptation(rule, where, what, lossy=True))


def refuse_losses(adaptations: Iterable[Adaptation]) -> None:
    """Raise `TurnError` (LOSSY) that lists what would be lost, when anything would (`--strict`)."""
    losses = [change for change in adaptations if change.lossy]
    if not losses:
        return
    listed = "; ".join(
        f"{change.where}: {change.what} ({change.rule})" for change in losses[:_LISTED]
    )
    more = f"; and {len(losses) - _LISTED} more" if len(losses) > _LISTED else ""
    raise TurnError(
        Kind.LOSSY,
        f"Strict mode: the provider would not get all of this request. {listed}{more}. "
        "Leave these out, or start the gateway without --strict.",
        param=losses[0].where,
    )


def header_value(adaptations: Iterable[Adaptation]) -> str:
    """The adaptations as one header value: `rule@where`, joined with '; ', at most 1,500 bytes.

    What does not fit is counted at the end (`+12 more`); a rule that struck several times is
    listed each time. Only visible ASCII comes out.
    """
    entries = [_visible(f"{a.rule}@{a.where}") for a in adaptations]
    value = ""
    for position, entry in enumerate(entries):
        joined = f"{value}; {entry}" if value else entry
        more = f"+{len(entries) - position} more"
        if len(joined) > _HEADER_MAX - len(f"; {more}"):
            return f"{value}; {more}" if value else more
        value = joined
    return value


def _visible(text: str) -> str:
    return "".join(c if " " <= c <= "~" and c != ";" else "?" for c in text)
