"""`anyturn captures`: what was recorded: list it, follow it, explain it, take it elsewhere."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from anyturn.capture.analyse import analysis
from anyturn.capture.compare import contrast, course
from anyturn.capture.explain import Judge, explain
from anyturn.capture.export import FORMS
from anyturn.capture.format import Capture, chunks_of
from anyturn.capture.timeline import timeline_of
from anyturn.capture_files import CaptureError, CaptureFolder, Listed, read_file
from anyturn.captured_findings import findings_of
from anyturn.cli.captures_view import (
    Line,
    line_of,
    list_table,
    print_problems,
    show,
    show_contrast,
    show_explanation,
)
from anyturn.cli.screen import error_screen, screen
from anyturn.cli.serve import load
from anyturn.config_places import captures_path

app = typer.Typer(
    help="See what was recorded (--capture DIR): list, follow, explain, compare, export.",
    no_args_is_help=True,
)

# Where captures are when nothing says so: the demo puts its own there.
DEFAULT_FOLDER = Path(".anyturn") / "captures"
# Who finds faults in a recorded turn.
JUDGE: Judge = findings_of
_LATER = 20
_DAY_S = 86_400.0
_OUTCOMES = ("completed", "incomplete", "failed", "left", "cut")

FolderOption = Annotated[
    Path | None,
    typer.Option("--dir", help="Folder of the captures. [default: the option capture]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
WhichArgument = Annotated[
    str, typer.Argument(metavar="N|last|FILE", help="A number of the list, last, or a file.")
]


def folder_of(stated: Path | None) -> CaptureFolder:
    """The folder that is meant: named, configured, or where somebody recorded last."""
    if path := stated or load().capture_path:
        return CaptureFolder(path)
    own = captures_path(os.environ)
    folders = [CaptureFolder(path) for path in (DEFAULT_FOLDER, own) if path is not None]
    return max(folders, key=_last_change)


def make_default_folder() -> Path:
    """Make the default folder, out of the way of version control. Raises `CaptureError`.

    The working directory may be somebody else's: no link in it leads elsewhere what is written and
    deleted here.
    """
    folder = DEFAULT_FOLDER.absolute()
    try:
        for place in (folder.parent, folder):
            place.mkdir(exist_ok=True, mode=0o700)
            if place.is_symlink():
                raise CaptureError(f"{str(place)!r} is a link. Name the folder: --capture DIR.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(folder.parent / ".gitignore", flags, 0o600), "wb") as ignored:
            ignored.write(b"*\n")
    except OSError as error:
        words = f"Captures cannot be written to {str(folder)!r}: {error.strerror}."
        raise CaptureError(words) from None
    return folder


def _last_change(folder: CaptureFolder) -> float:
    try:
        return max((one.changed for one in folder.files()), default=0.0)
    except CaptureError:
        return 0.0


@app.command("list")
def listing(
    client: Annotated[str, typer.Option(help="Only clients whose name holds this.")] = "",
    model: Annotated[str, typer.Option(help="Only models whose name holds this.")] = "",
    provider: Annotated[str, typer.Option(help="Only this provider.")] = "",
    outcome: Annotated[str, typer.Option(help=f"Only one of {', '.join(_OUTCOMES)}.")] = "",
    tool: Annotated[str, typer.Option(help="Only turns that call a tool of this name.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 30,
    as_json: JsonOption = False,
    folder: FolderOption = None,
) -> None:
    """List the recorded turns, the newest last."""
    if outcome and outcome not in _OUTCOMES:
        raise CaptureError(f"There is no outcome {outcome!r}. Known: {', '.join(_OUTCOMES)}.")
    where = folder_of(folder)
    files = where.files()
    lines: list[Line] = []
    for number, listed in reversed(list(enumerate(files, 1))):
        line = _line(number, listed)
        wanted = client in line.client and model in line.model
        wanted = wanted and provider in ("", line.provider) and outcome in ("", line.outcome)
        if wanted and (not tool or tool in line.tools):
            lines.insert(0, line)
        if len(lines) >= limit:
            break
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(lines)).decode())
        return
    if not lines:
        none = f"None of the {len(files)} captures in {str(where.path)!r} is like that."
        screen().print(escape(none if files else _no_captures(where)), soft_wrap=True)
        return
    screen().print(list_table(lines, screen().width))
    for line in lines:
        print_problems(error_screen(), f"{line.number}", line.problems)


def _line(number: int, listed: Listed) -> Line:
    try:
        capture = read_file(listed.path)
    except CaptureError as error:
        capture = Capture(records=[], problems=[str(error)])
    return line_of(number, listed.name, capture, len(list(JUDGE(capture))))


@app.command("show")
def showing(which: WhichArgument = "last", folder: FolderOption = None) -> None:
    """Follow one turn: request, reasoning, text, and each call from first delta to output."""
    capture, later = _chosen(which, folder)
    show(screen(), capture, timeline_of(capture, later))


@app.command("explain")
def explaining(which: WhichArgument = "last", folder: FolderOption = None) -> None:
    """Say in plain words whether each call could run, and if not, why and what to do."""
    capture, later = _chosen(which, folder)
    show_explanation(screen(), explain(capture, later, JUDGE))


@app.command("format")
def formatting(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[N|last|FILE]...", help="None: all of them.")
    ] = None,
    folder: FolderOption = None,
) -> None:
    """Describe what was sent as Markdown: types, order, fields, counts."""
    if which:
        captures = [_chosen(one, folder)[0] for one in which]
    else:
        captures = [read_file(one.path) for one in folder_of(folder).files()]
    print(analysis(captures), end="")


@app.command("compare")
def comparing(
    left: Annotated[str, typer.Argument(metavar="A", help="As N of show.")],
    right: Annotated[str, typer.Argument(metavar="B", help="As N of show.")],
    chunks: Annotated[
        bool, typer.Option("--chunks", help="The providers' chunks instead of the events.")
    ] = False,
    folder: FolderOption = None,
) -> None:
    """Put two turns side by side: what one sends that the other does not."""
    a, b = (_chosen(one, folder)[0] for one in (left, right))
    sides = (chunks_of(a.stream), chunks_of(b.stream)) if chunks else (a.said, b.said)
    names = (_name(left, a), _name(right, b))
    courses = (course(sides[0]), course(sides[1]))
    show_contrast(screen(), names, courses, contrast(*sides))


def _name(which: str, capture: Capture) -> str:
    return f"{which}: {capture.head.provider}/{capture.head.model}"


@app.command("export")
def exporting(
    which: WhichArgument = "last",
    form: Annotated[
        str, typer.Option("--as", help=f"One of {', '.join(FORMS)}.", metavar="FORM")
    ] = "sse",
    out: Annotated[Path | None, typer.Option(help="Write to this file, which is new.")] = None,
    folder: FolderOption = None,
) -> None:
    """Give a turn in another form: a stream, a command, a test that runs."""
    if form not in FORMS:
        raise CaptureError(f"There is no form {form!r}. Known: {', '.join(FORMS)}.")
    try:
        data = FORMS[form](_chosen(which, folder)[0])
    except ValueError as error:
        raise CaptureError(str(error)) from None
    if out is None:
        sys.stdout.buffer.write(data)
        return
    try:
        with out.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise CaptureError(f"{str(out)!r} cannot be written: {error.strerror}.") from None


@app.command()
def prune(
    turns: Annotated[int | None, typer.Option(min=0, help="Keep so many.")] = None,
    size: Annotated[int | None, typer.Option("--bytes", min=0, help="Keep so many bytes.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Keep those of so many days.")] = None,
    folder: FolderOption = None,
) -> None:
    """Delete the oldest captures; without options, down to the limits of the configuration."""
    settings = load()
    keep_days = settings.capture_max_days if days is None else days
    gone = folder_of(folder).prune(
        turns=settings.capture_max_turns if turns is None else turns,
        bytes=settings.capture_max_bytes if size is None else size,
        before=time.time() - keep_days * _DAY_S,
    )
    screen().print(f"Deleted {gone} {'capture' if gone == 1 else 'captures'}.")


# ---------------------------------------------------------------- which one is meant


def _chosen(which: str, folder: Path | None) -> tuple[Capture, list[Capture]]:
    """The capture that is meant, and those after it; says what cannot be read of it."""
    path, later = _found(which, folder)
    capture = read_file(path)
    print_problems(error_screen(), path.name, capture.problems)
    return capture, [read_file(one) for one in later[:_LATER]]


def _found(which: str, folder: Path | None) -> tuple[Path, list[Path]]:
    if os.sep in which or which.endswith((".ndjson", ".zst")):
        path = Path(which)
        found = [one.path for one in CaptureFolder(path.parent).files()]
        later = found[found.index(path) + 1 :] if path in found else []
        return path, later
    where = folder_of(folder)
    files = where.files()
    if not files:
        raise CaptureError(_no_captures(where))
    position = _position(which, files)
    if position is None:
        raise CaptureError(
            f"There is no capture {which!r} in {str(where.path)!r}: there are 1 to {len(files)}, "
            "and last."
        )
    return files[position].path, [one.path for one in files[position + 1 :]]


def _no_captures(where: CaptureFolder) -> str:
    return (
        f"There are no captures in {str(where.path)!r}. Record some: anyturn serve --capture "
        f"{where.path}, or name the folder: --dir."
    )


def _position(which: str, files: list[Listed]) -> int | None:
    if which == "last":
        return len(files) - 1
    if which.isascii() and which.isdigit():
        number = int(which)
        return number - 1 if 1 <= number <= len(files) else None
    return next((n for n, one in enumerate(files) if which in one.name), None)
