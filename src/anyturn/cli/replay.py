"""`anyturn replay`: run what was recorded again, as the provider or as the client."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.markup import escape
from rich.text import Text

from anyturn.capture.format import Capture
from anyturn.capture_files import CaptureError, capture_paths, read_file
from anyturn.cli.captures_view import clean, print_problems
from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen, screen
from anyturn.replay.client import Checked, resend
from anyturn.replay.provider import ReplayProvider, tapes_of
from anyturn.server.lifecycle import CannotListen, why_not_listening

SPEEDS = {"none": 0.0, "original": 1.0}
_SHOWN = 10


def replay(
    path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="Captures, or one of them.")],
    side: Annotated[
        str, typer.Option("--as", metavar="provider|client", help="Whose part to play.")
    ] = "provider",
    port: Annotated[int, typer.Option(min=0, max=65535, help="As provider; 0 for any.")] = 0,
    speed: Annotated[
        str, typer.Option(help="As provider: none (no waiting), original, or 2x, 0.5x ...")
    ] = "none",
    to: Annotated[str, typer.Option(metavar="URL", help="As client: the gateway, up to /v1.")] = "",
    key_env: Annotated[
        str, typer.Option(help="As client: environment variable with the gateway's key.")
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="As client: deltas must be cut at the same places.")
    ] = False,
) -> None:
    """Serve recorded answers offline, or ask a gateway again and check that it answers the same."""
    captures = _read(path)
    if side == "provider":
        sys.exit(run(_provide(captures, port, speed_of(speed))))
    if side != "client":
        raise CaptureError(f"--as takes provider or client, not {side!r}.")
    if not to:
        raise CaptureError("--as client needs the gateway's address: --to URL.")
    sys.exit(run(_ask(captures, to, _key(key_env), exact)))


def speed_of(word: str) -> float:
    """How fast: 0 without waiting, 1 as it was. Raises `CaptureError`."""
    if word in SPEEDS:
        return SPEEDS[word]
    try:
        speed = float(word.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0.01 <= speed <= 1000:
        raise CaptureError(f"--speed takes none, original, or a factor like 2x, not {word!r}.")
    return speed


def _key(variable: str) -> str:
    return os.environ.get(variable, "") if variable else ""


def _read(path: Path) -> list[Capture]:
    captures = []
    for one in capture_paths(path):
        capture = read_file(one)
        print_problems(error_screen(), one.name, capture.problems)
        captures.append(capture)
    return captures


async def _provide(captures: list[Capture], port: int, speed: float) -> int:
    tapes = tapes_of(captures)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    provider = ReplayProvider(tapes, speed=speed, port=port)
    try:
        await provider.__aenter__()
    except OSError as error:
        raise CannotListen(why_not_listening(error, "127.0.0.1", port)) from None
    try:
        count = f"{len(tapes)} recorded {'answer' if len(tapes) == 1 else 'answers'}"
        out = screen()
        out.print(f"{count} at [bold cyan]{provider.base_url}[/]")
        model = provider.models[0] if provider.models else "MODEL"
        profile = _profile_of(captures)
        named = f"--provider {escape(clean(profile))} " if profile else ""
        command = f"anyturn serve {named}--base-url {provider.base_url} --model "
        if any(tape.wire == "responses" for tape in tapes):
            out.print("It speaks Responses: point a client at it as at the backend, or a gateway:")
            command = command.replace("--model", "--wire responses --model")
        out.print(f"  [green]{command}{escape(clean(model))}[/]", soft_wrap=True)
        await stop.wait()
    finally:
        await provider.__aexit__(None, None, None)
    return 1 if provider.refused else 0


def _profile_of(captures: list[Capture]) -> str:
    """The profile of a gateway that was recorded; a backend's name is none."""
    named = (one.head.provider for one in captures if not one.head.passive and one.head.provider)
    return next(named, "")


async def _ask(captures: list[Capture], url: str, key: str, exact: bool) -> int:
    results: list[Checked] = []
    try:
        async for result in resend(captures, url, key=key, exact=exact):
            results.append(result)
            _report(result)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        words = f"The gateway at {url} did not answer: {str(error) or type(error).__name__}."
        raise CaptureError(words) from None
    same = sum(result.passed for result in results)
    skipped = sum(bool(result.skipped) for result in results)
    screen().print(f"{same} of {len(results)} turns are the same; {skipped} skipped.")
    return 0 if same and same + skipped == len(results) else 1


def _report(result: Checked) -> None:
    out = screen()
    name = clean(result.turn[:24]) or "a turn"
    if result.skipped:
        out.print(Text(f"- {name}: skipped: {result.skipped}", style="yellow"))
        return
    style = "green" if result.passed else "bold red"
    out.print(Text(f"{'✔' if result.passed else '✘'} {name}: {result.events} events", style=style))
    for difference in result.differences[:_SHOWN]:
        out.print(Text(f"    {clean(difference, 300)}"), soft_wrap=True)
    if len(result.differences) > _SHOWN:
        out.print(f"    and {len(result.differences) - _SHOWN} more differences")
