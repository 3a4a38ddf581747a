"""`anyturn check`: whether clients can work with a server, or with a recorded stream."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markdown import Markdown
from rich.table import Table

from anyturn.cli.check_server import ServerTarget, check_server
from anyturn.cli.check_view import COLOURS, VERDICTS, Forms, print_facts, print_json, write
from anyturn.cli.screen import screen
from anyturn.config import ConfigError
from anyturn.conformance import (
    CLIENTS,
    RULES,
    Finding,
    Report,
    Verdict,
    check_stream,
    clients_of,
)
from anyturn.conformance.formats import junit, markdown
from anyturn.conformance.pages import page_head

_KINDS = {
    "responses": "a Responses stream",
    "chat": "a Chat Completions stream: no Responses client can read it",
    "foreign": "a stream of another format",
    "nothing": "no stream of events",
}
_CLIENT_HELP = "For whom: codex, openai, ai-sdk, open-responses or all; may be given again."


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="URL|FILE", help="http://localhost:8000/v1, or a .sse or .jsonl file."
        ),
    ] = "",
    client: Annotated[list[str], typer.Option(help=_CLIENT_HELP)] = ["codex"],  # noqa: B006
    model: Annotated[str, typer.Option(help="Model; without it the first of /models.")] = "",
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the server's key.")
    ] = "",
    host: Annotated[str, typer.Option(help="Instead of a URL: the server's host.")] = "",
    port: Annotated[int, typer.Option(help="Instead of a URL: the server's port.")] = 0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one request may take.")
    ] = 60.0,
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
    """Check a server, or a recorded stream: what each client would make of it, and why.

    Exit code 0 only when the clients asked for are ready, 1 when not, 2 when nothing was checked,
    3 when the model did not call, so that nothing is proven.
    """
    if list_rules:
        _print_rules()
        return
    if explain:
        _print_rule(explain)
        return
    clients = _clients(client)
    forms = Forms(as_json, junit_file, markdown_file)
    address = _address(target, host, port)
    if address:
        asked = ServerTarget(address, model, api_key_env, timeout)
        sys.exit(check_server(asked, clients, forms))
    if not target:
        raise ConfigError("Name a server or a file: anyturn check http://localhost:8000/v1")
    sys.exit(_check_file(Path(target), clients, request, chunks, forms))


def _address(target: str, host: str, port: int) -> str:
    """The address of the server to be checked, empty where a file is meant."""
    if target.startswith(("http://", "https://")):
        return target
    if not (host or port) or target:
        return ""
    name = host or "127.0.0.1"
    return f"http://{f'[{name}]' if ':' in name else name}:{port or 8000}/v1"


def _check_file(
    path: Path, clients: tuple[str, ...], request: Path | None, chunks: Path | None, forms: Forms
) -> int:
    report = check_stream(
        _read(path),
        request=_decoded(request) if request else None,
        chunks=_read(chunks) if chunks else None,
    )
    title = f"anyturn check {path.name}"
    if forms.junit:
        write(forms.junit, junit(report, clients, title))
    if forms.markdown:
        write(forms.markdown, markdown(report, clients, title).encode())
    if forms.as_json:
        print_json(report.as_json())
    else:
        _print_report(report, clients)
    return 0 if report.verdict(*clients) is Verdict.READY else 1


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
        hint = "" if path.suffix else " The address of a server begins with http:// or https://."
        raise ConfigError(f"{path} cannot be read: {error.strerror}.{hint}") from None


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
        table.add_row(VERDICTS[verdict], title)
    out.print(table)
    if "codex" in clients:
        _print_profile(report)
    if findings:
        out.print("\n[dim]More on a rule: anyturn check --explain RULE[/]")


def _print_finding(finding: Finding, clients: tuple[str, ...]) -> None:
    out, rule = screen(), finding.what
    levels = [f"[{COLOURS[s]}]{s}[/] {c}" for c in clients if (s := rule.severity[c]) != "none"]
    place = "" if finding.event is None else f" [dim]at event {finding.event}[/]"
    again = f" [dim]and {finding.times - 1} times more[/]" if finding.times > 1 else ""
    out.print(f"[bold]{rule.id}[/]{place}{again}  {', '.join(levels)}")
    print_facts(
        ("expected", rule.expected),
        ("found", finding.found),
        ("why", rule.why),
        ("mend", rule.fix),
        ("fault", str(rule.fault)),
    )


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
        shown = [f"[{COLOURS[s]}]{'·' if s == 'none' else s}[/]" for s in levels]
        table.add_row(f"[bold]{rule.id}[/]", *shown)
    screen().print(table)


def _print_rule(name: str) -> None:
    if name not in RULES:
        near = ", ".join(get_close_matches(name, RULES))
        hint = f"Do you mean {near}?" if near else "See anyturn check --list-rules."
        raise ConfigError(f"No rule is called {name}. {hint}")
    screen().print(Markdown(page_head(RULES[name])))
