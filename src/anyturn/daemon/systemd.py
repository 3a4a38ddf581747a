"""A systemd unit for a gateway of one's own: text, and nothing is asked of systemd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anyturn.daemon.folder import DaemonError

_UNSAFE = re.compile(r"[^A-Za-z0-9_./:=@,+-]")


def unit_text(
    command: Sequence[str],
    *,
    port: int,
    cwd: Path,
    environment_file: Path | None,
    key_variable: str,
    stop_limit_s: float,
) -> str:
    """Return the text of a user unit that runs `command`, which begins with an absolute path.

    `environment_file` is where the user puts the keys, `key_variable` the name of one.
    Exit code 2 is a wrong set-up, which trying again does not mend. Raises `DaemonError` for a path
    that no unit can hold.
    """
    environment = []
    if environment_file:
        environment = [
            f"# Keys stand there, in a file of mode 0600: {key_variable}=YOUR-KEY",
            f"EnvironmentFile=-{_path(environment_file)}",
        ]
    lines = [
        "[Unit]",
        f"Description=Anyturn gateway on port {port}",
        "",
        "[Service]",
        "Type=exec",
        f"WorkingDirectory={_path(cwd)}",
        *environment,
        f"ExecStart={' '.join(map(quoted, command))}",
        "Restart=on-failure",
        "RestartSec=2",
        "RestartPreventExitStatus=2",
        f"TimeoutStopSec={stop_limit_s:g}",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def quoted(argument: str) -> str:
    """Return one argument of ExecStart as systemd reads it back (systemd.service, COMMAND LINES).

    Specifiers (%) and variables ($) stay what they were.
    """
    if argument and not _UNSAFE.search(argument):
        return argument
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    escaped = escaped.replace("\r", "\\r")
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def _path(path: Path) -> str:
    """A path as a whole line's value: it is not quoted, and only % means something.

    Raises `DaemonError` for one that is more than that line, or less.
    """
    text = str(path)
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise DaemonError(f"systemd cannot be told of the path {text!r}: choose a plainer one.")
    return text.replace("%", "%%")
