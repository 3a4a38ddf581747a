"""`anyturn record`: a relay between a client and a backend that work, which records both."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

import anyturn
from anyturn.capture.format import Capture
from anyturn.capture.timeline import timeline_of
from anyturn.capture_files import read_file
from anyturn.captured_findings import findings_of
from anyturn.cli.captures import DEFAULT_FOLDER, make_default_folder
from anyturn.cli.captures_view import clean, outcome, seconds, tools_of
from anyturn.cli.loop import run
from anyturn.cli.screen import facts_table, log_to_screen, screen
from anyturn.cli.serve import load
from anyturn.codex.launch import recorded_command_line
from anyturn.config import Settings
from anyturn.own_faults import where_from
from anyturn.recorder import recording
from anyturn.relay.server import Backend, Relay, backend_of, relaying
from anyturn.server.lifecycle import CannotListen
from anyturn.wire.address import is_local_host

log = logging.getLogger("anyturn")

# Not the gateway's own, so that both can run.
DEFAULT_PORT = 10001
_LOGIN_PATH = "/backend-api/"


def record(
    to: Annotated[
        str, typer.Option(metavar="URL", help="The backend's base URL, up to /v1 or the like.")
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on, 0 for any.")
    ] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    capture: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Record in this folder. [default: the option capture, or .anyturn/captures]",
        ),
    ] = None,
    allow_anyone: Annotated[
        bool, typer.Option("--allow-anyone", help="Listen on other addresses than this machine's.")
    ] = False,
) -> None:
    """Relay Responses or Chat Completions traffic unchanged, and record what both sides say."""
    backend = backend_of(to)
    if not (is_local_host(host) or allow_anyone):
        raise CannotListen(
            f"Keys and conversations pass through here: on {host} others could send theirs, and "
            "the connection to the client is not encrypted. To listen there all the same: "
            "--allow-anyone."
        )
    settings = load(capture=capture)
    if settings.capture_path is None:
        settings = load(capture=str(make_default_folder()))
    log_to_screen(settings.log_level)
    run(_record(settings, backend, host, port))


async def _record(settings: Settings, backend: Backend, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    told = Told(screen())
    with recording(settings, written=told.of) as recorders:
        async with relaying(backend, recorders[0], host=host, port=port) as (relay, base_url):
            _greet(backend, base_url, settings)
            await stop.wait()
    _sum_up(told, relay, settings, base_url)


def _greet(backend: Backend, base_url: str, settings: Settings) -> None:
    out = screen()
    out.print(
        f"[bold]Anyturn {anyturn.__version__}[/] relays [bold cyan]{escape(base_url)}[/] to "
        f"[bold cyan]{escape(backend.url)}[/]\n",
        soft_wrap=True,
    )
    rows = [
        ("changes", "nothing; keys and logins are the client's own and are passed on"),
        ("records", f"{escape(str(settings.capture_path))}, without keys, tokens and accounts"),
    ]
    out.print(facts_table(rows))
    login = _LOGIN_PATH in f"{backend.path}/"
    command = recorded_command_line(base_url, login=login)
    out.print("\nRun Codex through it, from another terminal:\n")
    out.print(f"  {escape(command)}", style="green", soft_wrap=True)
    if not login:
        out.print("\nOr a program with an OpenAI SDK:\n")
        out.print(f"  export OPENAI_BASE_URL={escape(base_url)}", style="green", soft_wrap=True)
    out.print("\nEach turn is told here when it ends. Ctrl-C stops.\n")


class Told:
    """Tells each turn in a line when its file is whole. Called in the recorder's thread."""

    def __init__(self, out: Console) -> None:
        self.outcomes: Counter[str] = Counter()
        self.findings = 0
        self._out = out

    def of(self, path: Path) -> None:
        """Tell the turn in this file."""
        try:
            capture = read_file(path)
            findings = len(findings_of(capture))
            self.outcomes[capture.status] += 1
            self.findings += findings
            self._out.print(_line(capture, findings, path.name), soft_wrap=True)
        except Exception as error:
            # A line less must not end the recording of all that comes.
            log.error("%s was recorded and cannot be told\n%s", path.name, where_from(error))


def _line(capture: Capture, findings: int, name: str) -> Text:
    """`10:00:00 POST /v1/responses gpt-5 completed: run ×2, 120 + 30 tokens, 1.20 s  FILE`."""
    head, end, usage = capture.head, capture.end, capture.usage
    url = capture.asked[0].url if capture.asked else ""
    path = "/" + url.partition("://")[2].partition("?")[0].partition("/")[2]
    verb = "frame" if head.transport == "websocket" else "POST"
    line = Text(f"{_clock(head.started)} {verb} {clean(path, 80)} {clean(head.model, 40)} ")
    line.append_text(outcome(capture.status))
    status = end.http_status if end is not None else 0
    parts = [f"HTTP {status}"] if status and status != 200 else []
    parts += [tools] if (tools := clean(tools_of(timeline_of(capture)), 80)) else []
    parts += [f"{usage[0]} + {usage[1]} tokens"] if usage else []
    parts += [seconds(end.t)] if end is not None else []
    line.append(f": {', '.join(parts)}")
    if findings:
        line.append(f", {findings} {'finding' if findings == 1 else 'findings'}", style="yellow")
    line.append(f"  {name}", style="dim")
    error = end.error if end is not None else None
    if error is not None:
        line.append(f"\n         {clean(error.get('message') or '', 200)}", style="red")
    return line


def _clock(started: str) -> str:
    """As the log tells it."""
    return datetime.fromisoformat(started).astimezone().strftime("%H:%M:%S")


def _sum_up(told: Told, relay: Relay, settings: Settings, base_url: str) -> None:
    out = screen()
    turns = sum(told.outcomes.values())
    if not turns:
        out.print(
            f"\nNothing was recorded: of {relay.relayed} requests none was a POST to .../responses "
            f"or .../chat/completions. Is the client pointed at {escape(base_url)}?",
            soft_wrap=True,
        )
        return
    counts = ", ".join(f"{count} {word}" for word, count in told.outcomes.items())
    word = "turn is" if turns == 1 else "turns are"
    out.print(f"\n{turns} {word} recorded ({counts}). See them:\n", soft_wrap=True)
    folder = settings.capture_path
    named = "" if folder == DEFAULT_FOLDER.absolute() else f" --dir {_quoted(folder)}"
    for verb in ("list", "format", "explain last"):
        out.print(f"  anyturn captures {verb}{escape(named)}", style="green", soft_wrap=True)
    where = named.removeprefix(" --dir")
    out.print(f"  anyturn inspect{escape(where)}   # in the browser", style="green", soft_wrap=True)


def _quoted(path: Path | None) -> str:
    shown = os.path.relpath(str(path))
    shown = str(path) if shown.startswith("..") else shown
    return f"'{shown}'" if " " in shown else shown
