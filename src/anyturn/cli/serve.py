"""`anyturn serve`: the gateway, until Ctrl-C."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

import anyturn
from anyturn.cli.loop import run
from anyturn.cli.screen import (
    facts_table,
    log_to_file,
    log_to_screen,
    memory_words,
    screen,
    target_rows,
)
from anyturn.codex.launch import CLIENT_KEY, command_line
from anyturn.config import Settings, load_settings
from anyturn.daemon.child import Detached, detached
from anyturn.daemon.folder import Flags, State
from anyturn.errors import TurnError
from anyturn.routing import Routing
from anyturn.server.lifecycle import Running, running
from anyturn.wire.address import is_local_host

log = logging.getLogger("anyturn")

Verb = TypeVar("Verb", bound=Callable[..., None])

HostOption = Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")]
PortOption = Annotated[
    int | None, typer.Option(help="Port to listen on, 0 for any. [default: 10000]")
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="Configuration file. [default: ./anyturn.toml if it is there]")
]
ProviderOption = Annotated[
    str | None, typer.Option(help="Known provider: cerebras, groq, ollama, openrouter, vllm ...")
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(help="Any server of either API, for instance http://localhost:8000/v1"),
]
WireOption = Annotated[
    str | None,
    typer.Option(help="What the provider speaks: chat or responses. [default: its profile's]"),
]
ModelOption = Annotated[str | None, typer.Option(help="Model for requests that name none.")]
KeyOption = Annotated[
    str | None, typer.Option(help="Environment variable that holds the provider's key.")
]
StrictOption = Annotated[
    bool | None,
    typer.Option(help="Refuse what cannot reach the provider whole. [default: no-strict]"),
]
AnyoneOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-anyone/--no-allow-anyone",
        help="Listen on other addresses even if clients need no key. [default: no-allow-anyone]",
    ),
]
CaptureOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Record every turn in this folder.")
]
InspectorOption = Annotated[
    bool | None,
    typer.Option(help="Record every turn, and show them in the browser. [default: no-inspector]"),
]
CheckOption = Annotated[
    str | None,
    typer.Option(help="Judge every turn by the checker's rules: off, warn, strict. [default: off]"),
]
LogOption = Annotated[
    str | None, typer.Option(help="debug, info, warning or error. [default: info]")
]


def serve(
    host: HostOption = None,
    port: PortOption = None,
    allow_anyone: AnyoneOption = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    base_url: BaseUrlOption = None,
    wire: WireOption = None,
    model: ModelOption = None,
    api_key_env: KeyOption = None,
    strict: StrictOption = None,
    capture: CaptureOption = None,
    inspector: InspectorOption = None,
    check: CheckOption = None,
    log_level: LogOption = None,
) -> None:
    """Listen for Responses clients and send their turns to a provider."""
    flags = given(
        host=host,
        port=port,
        allow_anyone=allow_anyone,
        config=config,
        provider=provider,
        base_url=base_url,
        wire=wire,
        model=model,
        api_key_env=api_key_env,
        strict=strict,
        capture=capture,
        inspector=inspector,
        check=check,
        log_level=log_level,
    )
    background = detached(os.environ)
    settings = load(**flags)
    routing = Routing(settings, os.environ)
    if background:
        log_to_file(background.log(), settings.log_level)
        run(_serve_unseen(settings, routing, background, flags))
    else:
        log_to_screen(settings.log_level)
        run(_serve(settings, routing))


def takes_flags_of_serve(verb: Verb) -> Verb:
    """Give a verb, which takes them as **flags, the options of `anyturn serve` before its own."""
    parameters = inspect.signature(verb, eval_str=True).parameters.values()
    own = [one for one in parameters if one.kind is not one.VAR_KEYWORD]
    flags = inspect.signature(serve, eval_str=True).parameters.values()
    verb.__signature__ = inspect.Signature([*flags, *own])  # type: ignore[attr-defined]
    return verb


def given(**flags: Any) -> Flags:
    """The flags that were given, as values that can be written down."""
    stated = {name: value for name, value in flags.items() if value is not None}
    return {name: str(one) if isinstance(one, Path) else one for name, one in stated.items()}


def load(**flags: Any) -> Settings:
    """Settings from file, environment and the flags that were given."""
    return load_settings(given(**flags), os.environ, Path.cwd())


async def _serve(settings: Settings, routing: Routing) -> None:
    stop = _stop_on_signals()
    async with running(settings, routing) as gateway:
        _greet(gateway, settings, routing)
        await _warn_if_unreachable(gateway, routing)
        await stop.wait()
        limit = settings.shutdown_timeout_s
        screen().print(f"Stopping; open streams have {limit:g} s. Ctrl-C again stops at once.")
    screen().print("Stopped.")


async def _serve_unseen(
    settings: Settings, routing: Routing, background: Detached, flags: Flags
) -> None:
    stop = _stop_on_signals(patient=True)
    async with running(settings, routing) as gateway:
        log.info("Anyturn %s listens at %s", anyturn.__version__, gateway.base_url)
        # First, so that whoever starts it sees the warning.
        await _warn_if_unreachable(gateway, routing)
        background.listening(_state(gateway, settings, routing, flags), gateway.inspector)
        await stop.wait()
        background.stopping()
        log.info("Stopping; open streams have %g s.", settings.shutdown_timeout_s)
    log.info("Stopped.")
    background.gone()


def _state(gateway: Running, settings: Settings, routing: Routing, flags: Flags) -> State:
    return State(
        pid=os.getpid(),
        started=datetime.now(UTC),
        base_url=gateway.base_url,
        provider=routing.default.profile.name,
        model=routing.default.model,
        needs_key=gateway.gate.closed,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        version=anyturn.__version__,
        cwd=str(Path.cwd()),
        config_file=str(settings.config_file) if settings.config_file else None,
        flags=flags,
    )


async def _warn_if_unreachable(gateway: Running, routing: Routing) -> None:
    unreachable = await gateway.client.why_unreachable(routing.default.profile)
    if unreachable:
        log.warning("%s Turns will fail until it answers.", unreachable)


def _stop_on_signals(*, patient: bool = False) -> asyncio.Event:
    """An event that SIGINT and SIGTERM set. With `patient` a second one changes nothing."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if patient:
            loop.add_signal_handler(number, stop.set)
        else:
            loop.add_signal_handler(number, _ask_to_stop, stop, number)
    return stop


def _ask_to_stop(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        # Asked twice: the default action ends the process.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    stop.set()


def _greet(gateway: Running, settings: Settings, routing: Routing) -> None:
    target = routing.default
    out = screen()
    out.print(
        f"[bold]Anyturn {anyturn.__version__}[/] listens at [bold cyan]{gateway.base_url}[/]\n"
    )
    rows = target_rows(target)
    rows.append(("clients", _client_words(gateway, settings)))
    rows.append(("memory", memory_words(settings, works=gateway.store_works)))
    if settings.capture_path is not None:
        rows.append(("captures", f"{escape(str(settings.capture_path))}  (anyturn captures list)"))
    if settings.status_line:
        rows.append(("status line", escape(settings.status_line)))
    rows += alias_rows(routing)
    out.print(facts_table(rows))
    if gateway.inspector:
        show_inspector(gateway.inspector)
    out.print("\nRun Codex on it, from another terminal:\n")
    show_codex_command(gateway.base_url, target.model, needs_key=gateway.gate.closed)
    key = "a key of anyturn keys add NAME" if gateway.gate.closed else "any key"
    out.print(
        f"\nOther clients: [cyan]base_url={gateway.base_url}[/], {key}. Ctrl-C stops.\n",
        soft_wrap=True,
    )


def show_inspector(link: str) -> None:
    """Show the link, which nothing else holds. In a table a narrow screen would break it."""
    screen().print("\nWatch the turns in the browser, with this link only:\n")
    screen().print(f"  [bold cyan]{link}[/]", soft_wrap=True)


def show_codex_command(base_url: str, model: str, *, needs_key: bool) -> None:
    """Show the command that runs Codex on a gateway, to be copied."""
    variable = CLIENT_KEY if needs_key else ""
    command = command_line(base_url, model or "MODEL", key_variable=variable)
    if variable:
        screen().print(f"  export {variable}=any_...", style="green")
    screen().print(f"  {escape(command)}", style="green", soft_wrap=True)


def alias_rows(routing: Routing) -> list[tuple[str, str]]:
    """What [models] says, and what of it cannot be used as things are."""
    return [
        (label, f"{escape(name)} → {escape(to)}{_alias_problem(routing, name)}")
        for label, names in (("alias", routing.aliases), ("pattern", routing.patterns))
        for name, to in names.items()
    ]


def _alias_problem(routing: Routing, name: str) -> str:
    try:
        routing.resolve(name)
    except TurnError as error:
        return f"  [yellow]{escape(error.message.partition(chr(10))[0])}[/]"
    return ""


def _client_words(gateway: Running, settings: Settings) -> str:
    """Who may use the gateway."""
    if gateway.gate.closed:
        count = gateway.gate.keys
        known = f"{count} {'key is' if count == 1 else 'keys are'} known"
        return f"need a key; {known}" if count else "[yellow]need a key: anyturn keys add NAME[/]"
    if is_local_host(settings.host):
        return "everyone on this machine; no key is needed"
    return f"[bold yellow]anyone who can reach {escape(settings.host)}; no key is needed[/]"
