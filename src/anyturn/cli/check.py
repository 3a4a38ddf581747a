"""`anyturn check`: whether clients can work with a recorded stream."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from anyturn.cli.check_server import check_server
from anyturn.cli.screen import screen
from anyturn.config import ConfigError
from anyturn.conformance import (
    CLIENTS,
    RULES,
    Finding,
    Report,
    Severity,
    Verdict,
    check_stream,
    clients_of,
)
from anyturn.conformance.formats import junit, markdown
from anyturn.conformance.pages import page_head

_VERDICTS = {
    Verdict.READY: "[green]✔ ready[/]",
    Verdict.PARTLY: "[yellow]≈ partly[/]",
    Verdict.NOT_READY: "[red]✘ not ready[/]",
}
_COLOURS = {
    Severity.BREAKS: "red",
    Severity.DEGRADES: "yellow",
    Severity.COSMETIC: "dim",
    Severity.NONE: "dim",
}
_KINDS = {
    "responses": "a Responses stream",
    "chat": "a Chat Completions stream: no Responses client can read it",
    "foreign": "a stream of another format",
    "nothing": "no stream of events",
}
_CLIENT_HELP = "For whom: codex, openai, ai-sdk, open-responses or all; may be given again."


def check(
    target: Annotated[str, typer.Argument(metavar="FILE|URL", help=".sse or .jsonl.")] = "",
    client: Annotated[list[str], typer.Option(help=_CLIENT_HELP)] = ["codex"],  # noqa: B006
    request: Annotated[
        Path | None, typer.Option(help="The client's request (JSON): its tools are known then.")
    ] = None,
    chunks: Annotated[
        Path | None, typer.Option(help="The provider's Chat stream, to be compared.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write Markdown to this file.")
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="List all rules.")] = False,
    explain: Annotated[str, typer.Option(metavar="RULE", help="Explain one rule.")] = "",
) -> None:
    """Check a recorded stream: what each client would make of it, and why.

    Exit code 0 only when the clients asked for are ready, 1 when not, 2 when nothing was checked.
    """
    if list_rules:
        _print_rules()
        return
    if explain:
        _print_rule(explain)
        return
    clients = _clients(client)
    if not target:
        raise ConfigError("Name a file to check: anyturn check answer.sse")
    if target.startswith(("http://", "https://")):
        sys.exit(check_server(target, clients))
    report = check_stream(
        _read(Path(target)),
        request=_decoded(request) if request else None,
        chunks=_read(chunks) if chunks else None,
    )
    title = f"anyturn check {Path(target).name}"
    if junit_file:
        _write(junit_file, junit(report, clients, title))
    if markdown_file:
        _write(markdown_file, markdown(report, clients, title).encode())
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report.as_json())).decode())
    else:
        _print_report(report, clients)
    sys.exit(0 if report.verdict(*clients) is Verdict.READY else 1)


def _clients(names: list[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(one for name in names for one in clients_of(name)))
    except KeyError as error:
        known = ", ".join([*CLIENTS, "openai", "all"])
        raise ConfigError(f"No client is called {error.args[0]}. Known: {known}.") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


def _decoded(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(_read(path), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ConfigError(f"{path} holds no JSON object: {error}.") from None


def _print_report(report: Report, clients: tuple[str, ...]) -> None:
    out = screen()
    out.print(f"{report.events} events, {_KINDS[report.kind]}\n")
    findings = report.for_client(*clients)
    for finding in findings:
        _print_finding(finding, clients)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, verdict in report.verdicts.items():
        asked = name in clients
        title = f"[bold]{CLIENTS[name]}[/]" if asked else f"[dim]{CLIENTS[name]}[/]"
        table.add_row(_VERDICTS[verdict], title)
    out.print(table)
    if "codex" in clients:
        _print_profile(report)
    if findings:
        out.print("\n[dim]More on a rule: anyturn check --explain RULE[/]")


def _print_finding(finding: Finding, clients: tuple[str, ...]) -> None:
    out, rule = screen(), finding.what
    levels = [f"[{_COLOURS[s]}]{s}[/] {c}" for c in clients if (s := rule.severity[c]) != "none"]
    place = "" if finding.event is None else f" [dim]at event {finding.event}[/]"
    again = f" [dim]and {finding.times - 1} times more[/]" if finding.times > 1 else ""
    out.print(f"[bold]{rule.id}[/]{place}{again}  {', '.join(levels)}")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=10, justify="right")
    table.add_column(overflow="fold")
    for name, words in (
        ("expected", rule.expected),
        ("found", finding.found),
        ("why", rule.why),
        ("mend", rule.fix),
        ("fault", str(rule.fault)),
    ):
        table.add_row(name, escape(words))
    out.print(table)
    out.print()


def _print_profile(report: Report) -> None:
    out = screen()
    out.print("\n[bold]Codex compatibility[/]")
    table = Table(box=None, pad_edge=False, show_header=False)
    passed = 0
    for check, against in report.profile():
        passed += not against
        mark = "[red]✘[/]" if against else "[green]✔[/]"
        rules = ", ".join(dict.fromkeys(finding.rule for finding in against))
        table.add_row(mark, check.name, f"[dim]{rules or check.question}[/]")
    out.print(table)
    out.print(f"{passed} of {len(report.profile())} checks passed")


def _print_rules() -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("rule", *CLIENTS):
        table.add_column(heading, no_wrap=True)
    for rule in RULES.values():
        levels = (rule.severity[name] for name in CLIENTS)
        shown = [f"[{_COLOURS[s]}]{'·' if s == 'none' else s}[/]" for s in levels]
        table.add_row(f"[bold]{rule.id}[/]", *shown)
    screen().print(table)


def _print_rule(name: str) -> None:
    if name not in RULES:
        near = ", ".join(get_close_matches(name, RULES))
        hint = f"Do you mean {near}?" if near else "See anyturn check --list-rules."
        raise ConfigError(f"No rule is called {name}. {hint}")
    screen().print(Markdown(page_head(RULES[name])))
