"""What is written about the rules: the head of each page in docs/rules, and their list."""

from __future__ import annotations

from anyturn.conformance.catalogue import RULES
from anyturn.conformance.rules import CLIENTS, Rule


def page_head(rule: Rule) -> str:
    """Everything that is known of a rule, in Markdown; its page goes on with two streams."""
    rows = [f"| {title} | {rule.severity[client]} |" for client, title in CLIENTS.items()]
    lines = [
        f"# {rule.id}",
        f"**Expected:** {rule.expected}.",
        f"**Why it matters.** {rule.why}",
        f"**How to mend it.** {rule.fix}",
        f"**Whose fault it is.** {rule.fault[0].upper()}{rule.fault[1:]}.",
        f"**Known to break it:** {rule.seen or 'nobody that we know of'}.",
        "\n".join(["| client | what it means |", "|---|---|", *rows]),
    ]
    return "\n\n".join(lines) + "\n"


def rule_table() -> str:
    """All rules and what each means to each client, as a Markdown table."""
    names = " | ".join(CLIENTS)
    lines = [f"| rule | expected | {names} |", f"|---|---|{'---|' * len(CLIENTS)}"]
    for rule in RULES.values():
        levels = " | ".join(str(rule.severity[client]).replace("none", "") for client in CLIENTS)
        lines.append(f"| [{rule.id}]({rule.id}.md) | {rule.expected} | {levels} |")
    return "\n".join(lines) + "\n"
