"""The measured processes: start one, and read what it costs.

CPU and memory are summed over the process tree. On Linux they come from /proc: CPU from the
scheduler's own counter, in nanoseconds, of every thread alive (a thread that ended between two
readings is lost, so a measured server must keep its threads). Elsewhere they come from `ps`, whose
CPU clock ticks a hundred times a second or less: compare only long runs there. Windows has neither.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

HAS_PROC = Path("/proc/self/schedstat").exists()
ADDRESS = re.compile(r"http://[\w.\[\]:-]*:(\d+)")
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class StartError(Exception):
    """A server ended, or stayed silent, before it printed its address."""


class Server:
    """A child that prints its address. A context manager: on leaving, the child is ended.

    `ignore` holds ports that its first lines may name and that are not its own. Raises
    `StartError` with what the child printed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ignore: Sequence[int] = (),
    ) -> None:
        self._command = list(command)
        self._ignore = set(ignore)
        self._output: list[str] = []
        self._known = threading.Event()
        self.port = 0
        self._child = subprocess.Popen(
            self._command,
            env=dict(env or os.environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_output, daemon=True)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Return the last lines that the child printed."""
        return "".join(self._output[-40:])

    def __enter__(self) -> Server:
        self._reader.start()
        self._known.wait(START_SECONDS)
        if not self.port:
            self._stop()
            raise StartError(f"{' '.join(self._command)} gave no address:\n{self.output}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _read_output(self) -> None:
        # Read to the end: a full pipe would block the child in the middle of a measurement.
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._output.append(line)
            del self._output[:-200]
            for port in map(int, ADDRESS.findall(line)):
                if not self.port and port not in self._ignore:
                    self.port = port
                    self._known.set()
        self._known.set()

    def _stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join(STOP_SECONDS)
        if self._child.stdout is not None:
            self._child.stdout.close()


def python(script: Path, *arguments: str) -> list[str]:
    """Return the command that runs a script with this interpreter."""
    return [sys.executable, str(script), *arguments]


def cpu_ns(pid: int) -> int:
    """Return the CPU time that a process and its children have had, in nanoseconds."""
    if HAS_PROC:
        return sum(_scheduled_ns(process) for process in _tree(pid))
    table = _ps()
    return sum(table[process][2] for process in _ps_tree(table, pid))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    if HAS_PROC:
        return sum(_resident_bytes(process) for process in _tree(pid))
    table = _ps()
    return sum(table[process][1] for process in _ps_tree(table, pid))


def _scheduled_ns(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def _resident_bytes(pid: int) -> int:
    # Newer kernels keep the short counters per CPU, so approximate; the rollup is exact.
    for name, field in (("smaps_rollup", "Rss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
    return 0


def _tree(pid: int) -> list[int]:
    return _descendants(dict(_parents()), pid)


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command name may hold spaces and brackets; the rest is plain.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(fields[1])


def _descendants(parents: Mapping[int, int], pid: int) -> list[int]:
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found


def _ps() -> dict[int, tuple[int, int, int]]:
    """Return parent, resident bytes and CPU nanoseconds of every process, by pid."""
    command = ["ps", "-A", "-o", "pid=,ppid=,rss=,time="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return {
        int(pid): (int(parent), int(kilobytes) * 1024, clock_ns(clock))
        for pid, parent, kilobytes, clock in rows
    }


def _ps_tree(table: Mapping[int, tuple[int, int, int]], pid: int) -> list[int]:
    return _descendants({child: row[0] for child, row in table.items()}, pid)


def clock_ns(clock: str) -> int:
    """Read `[[dd-]hh:]mm:ss[.cc]`."""
    days, _, rest = clock.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return int((seconds + int(days or 0) * 86400) * 1e9)
