"""Live checks of a server, which `anyturn check URL` runs: progress, the report, the exit code."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

import anyturn
from anyturn.checker.client import CheckClient
from anyturn.checker.run import ServerCheck
from anyturn.cli.check_view import COLOURS, VERDICTS, Forms, print_facts, print_json, write
from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen, screen
from anyturn.codex.launch import CODEX_VERSION
from anyturn.config import ConfigError
from anyturn.conformance import CLIENTS, RULES, Severity, Verdict
from anyturn.conformance.judging import Outcome, State
from anyturn.conformance.live_report import LiveReport, Told, live_junit, live_markdown
from anyturn.conformance.probes import Probe

_CODEX = "codex"
_INTERRUPTED = 130


class ServerTarget(NamedTuple):
    """What to check, as the command line says it."""

    base_url: str
    model: str = ""
    api_key_env: str = ""
    timeout_s: float = 60.0


def check_server(target: ServerTarget, clients: tuple[str, ...], forms: Forms) -> int:
    """Check a server for these clients, print what was found, and return the exit code.

    Raises `ConfigError` for an address or a key that cannot be used.
    """
    base_url = _base_url(target.base_url)
    client = CheckClient(
        base_url,
        key=_key(target.api_key_env),
        timeout_s=target.timeout_s,
        user_agent=_user_agent(clients),
    )
    progress = _Progress(error_screen())
    check = ServerCheck(base_url, client, clients, model=target.model, note=progress.note)
    interrupted = False
    try:
        run(_checked(check, client))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.end()
    report = check.report()
    _hand_out(report, forms)
    return _INTERRUPTED if interrupted else _exit_code(report)


async def _checked(check: ServerCheck, client: CheckClient) -> None:
    async with client:
        await check.run()


def _base_url(given: str) -> str:
    """The address without a slash at its end. Raise `ConfigError` when it cannot be one."""
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        raise ConfigError("The address is not valid. Try http://localhost:8000/v1.") from None
    if parts.username or parts.password or "@" in parts.netloc:
        raise ConfigError("A key has no place in the address: use --api-key-env VARIABLE.")
    if not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ConfigError("The address takes host, port and path, like http://localhost:8000/v1.")
    return given.rstrip("/").removesuffix("/responses")


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError("The environment variable of --api-key-env is not set, or empty.")
    if not key.isascii() or not key.isprintable():
        raise ConfigError("The key has characters that no HTTP header can hold.")
    return key


def _user_agent(clients: tuple[str, ...]) -> str:
    """Who asks. Servers that know Codex by its name answer it in its own way."""
    own = f"anyturn-check/{anyturn.__version__}"
    return f"codex_cli_rs/{CODEX_VERSION} ({own})" if clients == (_CODEX,) else own


def _exit_code(report: LiveReport) -> int:
    if report.is_ready:
        return 0
    if not report.was_checked:
        return 2
    settled = {Verdict.READY, Verdict.UNPROVEN}
    return 3 if set(report.verdicts.values()) <= settled else 1


def _hand_out(report: LiveReport, forms: Forms) -> None:
    if forms.junit:
        write(forms.junit, live_junit(report))
    if forms.markdown:
        write(forms.markdown, live_markdown(report).encode())
    if forms.as_json:
        print_json(report.as_json())
    else:
        _print_report(report)


# ---------------------------------------------------------------- while it runs


class _Progress:
    """One line that moves on a terminal, and nothing anywhere else."""

    def __init__(self, out: Console) -> None:
        self._status: Status | None = Status("", console=out) if out.is_terminal else None
        if self._status:
            self._status.start()

    def note(self, probe: Probe, outcome: Outcome | None) -> None:
        if self._status and outcome is None:
            self._status.update(f"checking: {probe.title}")

    def end(self) -> None:
        if self._status:
            self._status.stop()


# ---------------------------------------------------------------- the report


def _print_report(report: LiveReport) -> None:
    out = screen()
    model = f", model {escape(report.model)}" if report.model else ""
    out.print(f"[bold]{escape(report.base_url)}[/]{model}\n", soft_wrap=True)
    _print_verdicts(report)
    if report.stopped:
        out.print(f"[yellow]Not everything was checked: {escape(report.stopped)}.[/]")
    out.print()
    _print_checks(report)
    for told in report.told():
        _print_told(told, report.clients)
    if _CODEX in report.clients:
        _print_profile(report)
    if report.told():
        out.print("\n[dim]More on a rule: anyturn check --explain RULE[/]")


def _print_verdicts(report: LiveReport) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, verdict in report.verdicts.items():
        table.add_row(VERDICTS[verdict], f"[bold]{CLIENTS[name]}[/]", _why(report, name, verdict))
    screen().print(table)


def _why(report: LiveReport, client: str, verdict: Verdict) -> str:
    if verdict is Verdict.READY:
        return ""
    if verdict is Verdict.UNPROVEN:
        called = all(outcome.state is not State.NOT_CALLED for outcome in report.outcomes)
        return "[dim]not all was seen[/]" if called else "[dim]the model did not call[/]"
    rules = [told.rule.id for told in report.told(client)]
    more = f" and {len(rules) - 2} more" if len(rules) > 2 else ""
    return f"[dim]{', '.join(rules[:2])}{more}[/]"


def _print_checks(report: LiveReport) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for outcome in report.outcomes:
        words = ", ".join(_minded(outcome, report.clients)) or escape(outcome.words)
        seconds = f"[dim]{outcome.took_s:.1f} s[/]"
        table.add_row(_mark(outcome, report.clients), outcome.probe.title, words, seconds)
    screen().print(table)
    screen().print()


def _mark(outcome: Outcome, clients: tuple[str, ...]) -> str:
    if outcome.state is not State.JUDGED:
        return "[yellow]?[/]"
    levels = [
        f.severity(c) for f in outcome.findings for c in clients if c in outcome.probe.clients
    ]
    worst = max(levels, key=lambda level: level.rank, default=Severity.NONE)
    marks = {Severity.BREAKS: "[red]✘[/]", Severity.DEGRADES: "[yellow]≈[/]"}
    return marks.get(worst, "[green]✔[/]")


def _minded(outcome: Outcome, clients: tuple[str, ...]) -> list[str]:
    """The rules that break or degrade one of these clients."""
    needing = [client for client in clients if client in outcome.probe.clients]
    return sorted(
        rule
        for rule in outcome.has
        if any(RULES[rule].severity[c].rank >= Severity.DEGRADES.rank for c in needing)
    )


def _print_told(told: Told, clients: tuple[str, ...]) -> None:
    rule, finding = told.rule, told.finding
    levels = [f"[{COLOURS[s]}]{s}[/] {c}" for c in clients if (s := rule.severity[c]) != "none"]
    place = "" if finding.event is None else f" [dim]at event {finding.event}[/]"
    places = f"[dim]in: {', '.join(told.probes)}[/]"
    screen().print(f"[bold]{rule.id}[/]  {', '.join(levels)}  {places}{place}")
    print_facts(
        ("expected", rule.expected),
        ("found", finding.found),
        ("event", told.first.actual if told.first.actual != finding.found else ""),
        ("why", rule.why),
        ("mend", rule.fix),
        ("fault", str(rule.fault)),
    )


def _print_profile(report: LiveReport) -> None:
    out = screen()
    out.print("[bold]Codex compatibility[/]")
    table = Table(box=None, pad_edge=False, show_header=False)
    lines = report.profile()
    passed = 0
    for check, against, is_open in lines:
        passed += not against and not is_open
        mark = "[red]✘[/]" if against else "[yellow]?[/]" if is_open else "[green]✔[/]"
        words = ", ".join(against) or ("not seen" if is_open else check.question)
        table.add_row(mark, check.name, f"[dim]{words}[/]")
    out.print(table)
    verdict = VERDICTS[report.verdict(_CODEX)]
    out.print(f"{passed} of {len(lines)} checks passed: {verdict} for Codex")
