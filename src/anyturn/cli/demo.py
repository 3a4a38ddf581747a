"""`anyturn demo`: the main job, offline: an agent on a Chat provider, its tool call executed."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.syntax import Syntax

from anyturn.capture_files import CaptureError, CaptureFolder, capture_paths, read_file
from anyturn.cli.captures import make_default_folder
from anyturn.cli.demo_view import TwoWires
from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen, picture, screen
from anyturn.codex.launch import find_codex, overrides, past_proxies
from anyturn.config import load_settings
from anyturn.replay.provider import SESSION, ReplayProvider, tapes_of
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import (
    AgentError,
    Answer,
    ScriptedProvider,
    call,
    reasoning,
    run_agent,
    text,
)

MODEL = "gpt-oss-120b"
PROMPT = "Create hello.py, which prints a greeting, and run it."
_FILE = "hello.py"
_COMMAND = f"""cat > {_FILE} <<'EOF'
print("Hello from a tool call that really ran ✔")
EOF
python3 {_FILE}"""
_PACE_S = 0.03
_CODEX_LIMIT_S = 90


def demo(
    svg: Annotated[
        Path | None, typer.Option(help="Also save what the screen shows as a picture.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Replay a recorded session instead of a script.")
    ] = False,
    capture: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Record the turns here. [default: .anyturn/captures]"),
    ] = None,
    no_capture: Annotated[bool, typer.Option("--no-capture", help="Record nothing.")] = False,
) -> None:
    """Show a Codex turn on a Chat Completions provider: no key, no network, a minute at most."""
    out = screen()
    out.record = svg is not None
    folder = None if no_capture else _capture_folder(capture)
    code = run(_demo(out, replay, folder))
    if svg is not None:
        svg.write_text(picture(out, "anyturn demo"), encoding="utf-8")
    sys.exit(code)


def _capture_folder(stated: Path | None) -> Path | None:
    """Where to record; nothing is recorded where that cannot be, which is said."""
    try:
        path = stated.absolute() if stated is not None else make_default_folder()
        CaptureFolder(path).make()
    except CaptureError as error:
        error_screen().print(f"{escape(str(error))} Nothing will be recorded.", soft_wrap=True)
        return None
    return path


async def _demo(out: Console, replay: bool, folder: Path | None) -> int:
    binary = find_codex(os.environ, Path.cwd())
    agent = "the Codex CLI" if binary else "a small agent (the Codex CLI is not installed here)"
    kind = "A replayed" if replay else "A scripted"
    out.print(
        Panel(
            f"{kind} Chat Completions provider → [bold]Anyturn[/] → {agent}.\n"
            f"Its task: [italic]{PROMPT}[/]",
            title="Anyturn demo",
            expand=False,
        )
    )
    with (
        tempfile.TemporaryDirectory(prefix="anyturn-demo-") as workspace,
        tempfile.TemporaryDirectory(prefix="anyturn-demo-codex-") as codex_home,
    ):
        code = await _play(out, binary, Path(workspace), Path(codex_home), replay, folder)
    if folder is not None:
        words = f"\nThe turns are recorded in {_from_here(folder)}: {program_name()} captures show"
        words += f"\nIn the browser: {program_name()} inspect"
        out.print(f"[dim]{escape(words)}[/]", soft_wrap=True)
    return code


async def _play(
    out: Console,
    binary: Path | None,
    workspace: Path,
    codex_home: Path,
    replay: bool,
    folder: Path | None,
) -> int:
    async with _provider(replay) as provider:
        flags = {"provider": "cerebras", "base_url": provider.base_url, "model": MODEL, "port": 0}
        flags["store"] = "memory"
        flags["capture"] = None if folder is None else str(folder)
        settings = load_settings(flags, {}, workspace)
        routing = Routing(settings, {})
        async with running(settings, routing, taps=[TwoWires(out)]) as gateway:
            try:
                said = await _run_agent(binary, gateway.base_url, workspace, codex_home)
            except (AgentError, OSError) as error:
                error_screen().print(f"[bold red]The agent failed:[/] {escape(str(error))}")
                return 1
    return _show_result(out, said, workspace)


def _provider(replay: bool) -> ReplayProvider | ScriptedProvider:
    if replay:
        return ReplayProvider(tapes_of(map(read_file, capture_paths(SESSION))), speed=1.0)
    return ScriptedProvider(_script(), models=(MODEL,))


def _script() -> list[Any]:
    return [
        Answer(
            reasoning("The user wants a file and its output. One command does both."),
            call("exec_command", {"cmd": _COMMAND}),
            fragment=24,
            pace=_PACE_S,
        ),
        lambda body: Answer(text(_closing_words(body)), fragment=16, pace=_PACE_S),
    ]


def _closing_words(body: dict[str, Any]) -> str:
    """What the provider says last depends on the output that really came back."""
    output = str(body["messages"][-1].get("content", "")).strip().splitlines()
    return f"Done. {_FILE} exists, and running it printed: {output[-1] if output else 'nothing'}"


async def _run_agent(binary: Path | None, base_url: str, workspace: Path, codex_home: Path) -> str:
    if binary is None:
        result = await run_agent(base_url, PROMPT, model=MODEL, directory=workspace)
        return result.text
    process = await asyncio.create_subprocess_exec(
        binary,
        *overrides(base_url, MODEL),
        *("-c", "features.plugins=false", "-c", "analytics.enabled=false"),
        "exec",
        "--skip-git-repo-check",
        # The commands are our own script's, in a folder that is deleted afterwards.
        "--dangerously-bypass-approvals-and-sandbox",
        PROMPT,
        cwd=workspace,
        env={**past_proxies(os.environ), "CODEX_HOME": str(codex_home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_CODEX_LIMIT_S):
            said, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AgentError(f"Codex did not finish within {_CODEX_LIMIT_S} s") from None
    if process.returncode:
        raise AgentError(f"Codex exited with {process.returncode}: {complaints.decode()[-2000:]}")
    return said.decode().strip()


def _show_result(out: Console, said: str, workspace: Path) -> int:
    made = workspace / _FILE
    out.rule("[bold]result[/]")
    out.print(f"The agent says: [bold]{escape(said)}[/]")
    if not made.exists():
        error_screen().print(f"[bold red]{_FILE} was not created: the tool call did not run.[/]")
        return 1
    out.print(f"\n[green]✔[/] {_FILE} is on disk, written by the executed tool call:")
    out.print(Syntax(made.read_text(encoding="utf-8").strip(), "python", padding=(0, 2)))
    program = program_name()
    out.print("\nNow with your own key:\n")
    out.print("  export CEREBRAS_API_KEY=...", style="green")
    out.print(
        f'  {program} codex --provider cerebras -- exec "create hello.py and run it"',
        style="green",
        soft_wrap=True,
    )
    return 0


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def program_name() -> str:
    """How the reader can call this program from here."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m anyturn"
    found = shutil.which("anyturn")
    if found and called.exists() and Path(found).samefile(called):
        return "anyturn"
    return _from_here(called.absolute())
