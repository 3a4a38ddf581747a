"""`anyturn codex`: a private gateway, and Codex in front of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen
from anyturn.cli.serve import (
    BaseUrlOption,
    CaptureOption,
    ConfigOption,
    KeyOption,
    ModelOption,
    ProviderOption,
    StrictOption,
    WireOption,
    load,
)
from anyturn.codex.launch import (
    INSTALL_HINT,
    codex_home,
    find_codex,
    overrides,
    past_proxies,
    writing_default,
)
from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running

LogFileOption = Annotated[
    Path | None, typer.Option(help="Write the gateway's log to this file; none by default.")
]
_MAY_WRITE = (
    "anyturn: Codex may write in this folder (sandbox workspace-write); "
    "`exec -s read-only` forbids it."
)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else (signal.SIGTERM,)


def codex(
    context: typer.Context,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    base_url: BaseUrlOption = None,
    wire: WireOption = None,
    model: ModelOption = None,
    api_key_env: KeyOption = None,
    strict: StrictOption = None,
    capture: CaptureOption = None,
    log_file: LogFileOption = None,
) -> None:
    """Run the installed Codex CLI on a provider: anyturn codex --provider cerebras -- ARGS

    Everything after -- goes to Codex unchanged; without it the terminal interface opens. None of
    your files is touched.
    """
    settings = load(
        port=0,
        host="127.0.0.1",
        # It lives as long as Codex, on a port that nobody knows.
        auth="off",
        store="memory",
        config=config,
        provider=provider,
        base_url=base_url,
        wire=wire,
        model=model,
        api_key_env=api_key_env,
        strict=strict,
        capture=capture,
    )
    routing = Routing(settings, os.environ)
    if not routing.default.model:
        _give_up(
            f"No model is set for {routing.default.profile.label}. Name one: --model, or the "
            f"variable {routing.default.profile.model_env}."
        )
    binary = find_codex(os.environ, Path.cwd())
    if binary is None:
        _give_up(f"The Codex CLI is not installed. Install it with: {INSTALL_HINT}")
    if log_file is not None:
        logging.basicConfig(
            filename=log_file,
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(message)s",
        )
    else:
        # Codex owns the terminal: a log line would tear its screen.
        logging.getLogger("anyturn").addHandler(logging.NullHandler())
        logging.getLogger("anyturn").propagate = False
    sys.exit(run(_run_codex(settings, routing, binary, context.args)))


async def _run_codex(settings: Settings, routing: Routing, binary: Path, args: list[str]) -> int:
    async with running(settings, routing) as gateway:
        model = routing.default.model
        writing = writing_default(args, codex_home(os.environ))
        if writing:
            error_screen().print(_MAY_WRITE, style="dim", soft_wrap=True)
        if gateway.inspector:
            error_screen().print(f"Inspector: {gateway.inspector}", style="dim", soft_wrap=True)
        loop = asyncio.get_running_loop()
        # Ctrl-C reaches Codex from the terminal itself, and Codex decides what it means.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            process = await asyncio.create_subprocess_exec(
                binary,
                *overrides(gateway.base_url, model),
                *writing,
                *args,
                env=past_proxies(os.environ),
            )
        except OSError as error:
            _give_up(f"Codex cannot be started: {binary}: {error.strerror}.")
        for number in _FORWARDED:
            loop.add_signal_handler(number, process.send_signal, number)
        code = await process.wait()
    return code if code >= 0 else 128 - code


def _give_up(sentence: str) -> NoReturn:
    error_screen().print(f"[bold red]anyturn:[/] {escape(sentence)}", soft_wrap=True)
    raise typer.Exit(2)
