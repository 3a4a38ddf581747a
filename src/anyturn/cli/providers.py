"""`anyturn providers`: who is known, what is known of them, and whether it still holds."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen, facts_table, screen
from anyturn.cli.serve import BaseUrlOption, ConfigOption, KeyOption, ModelOption, load
from anyturn.config import ConfigError, Settings
from anyturn.probe import PROBES, Finding, Probing, Verdict
from anyturn.providers import UnknownProvider, find, is_local, load_table, retired_on
from anyturn.routing import Routing
from anyturn.upstream import Limits, ProviderClient
from anyturn.wire.profile import Profile

app = typer.Typer(
    help="List the known providers, show one, or test one with your key.",
    invoke_without_command=True,
    no_args_is_help=False,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the provider: cerebras, groq ...")]

_WIDTHS = {"name": 13, "key": 24, "default model": 13}
_MARKS = {
    Verdict.HOLDS: "[green]✔ holds[/]",
    Verdict.DIFFERS: "[yellow]≠ differs[/]",
    Verdict.FAILS: "[red]✘ fails[/]",
    Verdict.SKIPPED: "[dim]– left out[/]",
}


@app.callback()
def listing(
    context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List the known providers, and for which of them a key is set."""
    if context.invoked_subcommand:
        return
    profiles = {**load_table(), **load(config=config).providers}
    rows = [_row(profile) for profile in profiles.values()]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "key", "default model", "address"):
        table.add_column(heading, no_wrap=True, min_width=_WIDTHS.get(heading))
    for row in rows:
        address = row["base_url"].removeprefix("https://")
        table.add_row(
            f"[bold]{row['name']}[/]",
            _key_words(row),
            escape(row["default_model"]),
            f"[dim]{escape(address)}[/]",
        )
    screen().print(table)
    screen().print(
        "\n[dim]One of them: anyturn providers show NAME; anyturn providers test NAME[/]"
    )


def _row(profile: Profile) -> dict[str, Any]:
    found = next((name for name in profile.key_env if os.environ.get(name, "").strip()), None)
    with_key = profile.auth not in ("chatgpt", "client")
    return {
        "name": profile.name,
        "title": profile.label,
        "base_url": profile.base_url,
        "key_env": list(profile.key_env),
        "key_found_in": found,
        "key_needed": with_key and not (profile.key_optional or is_local(profile.base_url)),
        "auth": profile.auth,
        "default_model": profile.default_model,
        "retired": retired_on(profile.name),
    }


def _key_words(row: dict[str, Any]) -> str:
    if row["retired"]:
        return f"[dim]service ended {row['retired']}[/]"
    if row["auth"] == "chatgpt":
        return "[dim]anyturn login chatgpt[/]"
    if row["auth"] == "client":
        return "[dim]the client's own[/]"
    if row["key_found_in"]:
        return f"[green]✔ {row['key_found_in']}[/]"
    if not row["key_needed"]:
        return "[dim]none needed[/]"
    return f"[yellow]set {row['key_env'][0]}[/]" if row["key_env"] else "[dim]api_key_env[/]"


@app.command()
def show(name: NameArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show everything that is known about a provider: what its requests and answers need."""
    profile = _find(name, load(config=config))
    facts = msgspec.to_builtins(profile)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return
    plain = msgspec.to_builtins(Profile(name=profile.name))
    out = screen()
    out.print(f"[bold]{escape(profile.label)}[/]  {escape(profile.base_url)}\n")
    particular = [(k, _value(v)) for k, v in facts.items() if v != plain[k] and k != "models"]
    out.print(facts_table(particular))
    for entry in profile.models:
        out.print(f"\nModels that match [bold]{escape(entry.match)}[/]:")
        out.print(facts_table([(k, _value(v)) for k, v in entry.facts.items()]))
    out.print("\n[dim]Only what differs from the common form is shown; --json shows all.[/]")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return escape(", ".join(str(v) for v in value)) or "[dim]none[/]"
    if isinstance(value, dict):
        return escape(", ".join(f"{k} → {v}" for k, v in value.items()))
    return escape(str(value))


@app.command("test")
def probe(
    name: NameArgument,
    base_url: BaseUrlOption = None,
    model: ModelOption = None,
    api_key_env: KeyOption = None,
    config: ConfigOption = None,
    overflow: Annotated[
        bool, typer.Option(help="Also send a prompt that is too long, to see the refusal.")
    ] = True,
) -> None:
    """Send a provider a few short real requests, and say what holds of its profile.

    It uses your key: six requests, a few hundred tokens. Exit code 1 when something fails.
    """
    settings = load(
        provider=name, base_url=base_url, model=model, api_key_env=api_key_env, config=config
    )
    routing = Routing(settings, os.environ)
    if not routing.default.model:
        raise ConfigError(
            f"No model is set for {routing.default.profile.label}: name one with --model or "
            f"{routing.default.profile.model_env}."
        )
    with _silent_log():
        code = run(_test(settings, routing, overflow))
    sys.exit(code)


@contextmanager
def _silent_log() -> Iterator[None]:
    """The probes say what went wrong; the gateway's log would say it twice."""
    log = logging.getLogger("anyturn")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


async def _test(settings: Settings, routing: Routing, overflow: bool) -> int:
    out, target = screen(), routing.default
    out.print(f"[bold]{escape(target.profile.label)}[/], {escape(target.model)}\n")
    limits = Limits(
        connect_timeout_s=settings.connect_timeout_s,
        first_byte_timeout_s=60,
        idle_timeout_s=60,
        retries=0,
    )
    findings: list[Finding] = []
    async with ProviderClient(limits) as client:
        probing = Probing(routing, client)
        for title, probe in PROBES.items():
            if title == "overflow" and not overflow:
                continue
            with out.status(f"{title} ..."):
                finding = await probe(probing)
            findings.append(finding)
            out.print(f"{_MARKS[finding.verdict]}  [bold]{title}[/]  {escape(finding.words)}")
            if finding.is_final:
                break
    failed = sum(f.verdict is Verdict.FAILS for f in findings)
    differ = sum(f.verdict is Verdict.DIFFERS for f in findings)
    out.print(f"\n{len(findings)} probes: {failed} failed, {differ} differ from the profile.")
    return 1 if failed else 0


def _find(name: str, settings: Settings) -> Profile:
    try:
        return find(name, settings.providers)
    except UnknownProvider as error:
        error_screen().print(f"[bold red]anyturn:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None
