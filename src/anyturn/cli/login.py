"""`anyturn login` and `anyturn logout`: the ChatGPT account that turns may be run on."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Coroutine
from enum import StrEnum
from functools import partial
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from anyturn.auth.chatgpt import PORTS, LoginError
from anyturn.auth.chatgpt_callback import PortsTaken
from anyturn.auth.chatgpt_file import FileTrouble, LoginFile
from anyturn.auth.chatgpt_issuer import DeviceCode, Issuer
from anyturn.auth.chatgpt_login import TIMEOUT_S, log_in_by_browser, log_in_by_device, log_out
from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen, screen
from anyturn.cli.serve import ConfigOption, load
from anyturn.config import ConfigError, Settings

T = TypeVar("T")


class Service(StrEnum):
    """What one can log in to."""

    CHATGPT = "chatgpt"


ServiceArgument = Annotated[Service, typer.Argument(help="What to log in to.")]


def login(
    service: ServiceArgument = Service.CHATGPT,
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to type on any other device.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Show the address, and open no browser.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port that the browser comes back to; OpenAI knows no others than these. "
            "[default: 1455, else 1457]",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for you.")] = TIMEOUT_S,
    config: ConfigOption = None,
) -> None:
    """Log in to a ChatGPT account, in the browser or with --device.

    Exit code 1 when nobody logged in.
    """
    settings = load(config=config)
    file, issuer = _file(settings), Issuer(settings.chatgpt_issuer)
    # What is shown below a spinner must come from the spinner's own console.
    out = screen()
    if device:
        work = log_in_by_device(issuer, file, partial(_show_code, out), timeout_s=timeout)
    else:
        ports = PORTS if port is None else (port,)
        show = partial(_show_address if no_browser else _open_address, out)
        work = log_in_by_browser(issuer, file, show, timeout_s=timeout, ports=ports)
    tokens = _run(out, work, "Waiting for you to log in ...")
    plan = f", plan {escape(tokens.plan)}" if tokens.plan else ""
    account = escape(tokens.account_id)
    out.print(f"Logged in to the ChatGPT account [bold]{account}[/]{plan}.", soft_wrap=True)
    out.print(f"[dim]{escape(str(file.path))}[/]", soft_wrap=True)


def logout(service: ServiceArgument = Service.CHATGPT, config: ConfigOption = None) -> None:
    """End Anyturn's own login, at the server and here. That of Codex is not touched.

    Exit code 1 when there is none.
    """
    settings = load(config=config)
    work = log_out(Issuer(settings.chatgpt_issuer), _file(settings))
    out = screen()
    complaint = _run(out, work, "Telling the server ...")
    out.print("Logged out.")
    if complaint:
        error_screen().print(escape(complaint), style="yellow", soft_wrap=True)


def _file(settings: Settings) -> LoginFile:
    if settings.chatgpt_path is None:
        raise ConfigError(
            "There is no folder for the login, as neither HOME nor XDG_CONFIG_HOME is set."
        )
    return LoginFile(settings.chatgpt_path)


def _run(out: Console, work: Coroutine[object, object, T], words: str) -> T:
    """Run `work` behind a spinner, which only a terminal shows; its failure is a sentence."""
    try:
        with out.status(words):
            return run(work)
    except (PortsTaken, FileTrouble) as error:
        raise ConfigError(str(error)) from None
    except LoginError as error:
        error_screen().print(f"[bold red]anyturn:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None


# ---------------------------------------------------------------- what the user sees


def _show_code(out: Console, device: DeviceCode) -> None:
    out.print("Open this page on any device, log in, and type the code:\n")
    out.print(f"  {escape(device.url)}", style="green", soft_wrap=True)
    out.print(f"  {escape(device.user_code)}\n", style="bold green", soft_wrap=True)
    out.print("[dim]It holds for 15 minutes. Never type a code that somebody else sent you.[/]")


def _show_address(out: Console, address: str) -> None:
    out.print("Log in on this page:\n")
    out.print(f"  {escape(address)}\n", style="green", soft_wrap=True)
    out.print("[dim]The browser must run on this machine. Elsewhere: --device[/]")


def _open_address(out: Console, address: str) -> None:
    _show_address(out, address)
    if _has_browser():
        # Some browsers stay until they are closed, and the answer comes before.
        threading.Thread(target=_open, args=(address,), daemon=True).start()


def _has_browser() -> bool:
    """Whether a browser would open a window: one that takes the terminal over is no help."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _open(address: str) -> None:
    # The page can be opened by hand.
    try:
        webbrowser.open(address)
    except (webbrowser.Error, OSError, ValueError):
        return
