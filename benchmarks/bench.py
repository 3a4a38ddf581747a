"""What the gateway costs per event, beside the same work through a plain byte relay.

    python benchmarks/bench.py            about 150 seconds
    python benchmarks/bench.py --quick    about 40 seconds

CPU and ratios are what counts; times of a shared machine are not. README.md says how to read it.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from process import HAS_PROC, StartError
from rich.console import Console
from rich.table import Table
from rig import Rig
from scenarios import SCENARIOS, Row, Scenario
from sdk import SDK_SCENARIOS
from stub_provider import Script

COLOURS = {"ok": "green", "missed": "red", "broken": "bold red", "": ""}
# Up to here a paced provider was as regular as a real one; past it, writes that fell together
# spared the gateway some wake-ups.
TOLERATED_CATCHING_UP = 0.10


def measure(scenario: Scenario, rig: Rig) -> list[Row]:
    """Run one scenario. What goes wrong in it becomes a row, so that the others still run.

    Raises `StartError`, because without its processes no other scenario can run either.
    """
    try:
        return scenario.measure(rig)
    except StartError:
        raise
    except Exception as error:
        row = scenario.row()
        row.problem = f"{type(error).__name__}: {error}"
        return [row]


def draw(rows: list[Row], slack: float) -> Table:
    """Return the table of a run."""
    table = Table()
    for heading in ("scenario", "what"):
        table.add_column(heading)
    for heading in ("count", "relay", "gateway", "unit", "ratio", "target", "verdict"):
        table.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    table.add_column("added p50 / p99", justify="right", no_wrap=True)
    for row in rows:
        verdict = row.verdict(slack)
        colour = COLOURS[verdict]
        table.add_row(
            row.name,
            row.title,
            f"{row.count:,}" if row.count else "",
            _number(row.relay_median),
            _number(row.gateway_median),
            row.unit,
            "" if row.ratio is None else f"{_number(row.ratio)}×",
            _target(row, slack),
            f"[{colour}]{verdict}[/{colour}]" if colour else verdict,
            "" if row.added_p50 is None else f"{row.added_p50:+.0f} / {row.added_p99:+.0f} µs",
        )
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _target(row: Row, slack: float) -> str:
    if row.target is None:
        return ""
    before = {"difference": "relay + ", "value": "", "ratio": ""}[row.judged]
    return f"≤ {before}{row.target * slack:,g}{'×' if row.judged == 'ratio' else ''}"


def remarks(rows: list[Row]) -> list[str]:
    """Return what a reader must know about these figures."""
    found = [f"{row.name} is broken: {row.problem}" for row in rows if row.problem]
    found += [
        f"{row.name}: {row.caught_up:.0%} of the provider's writes were late and close to "
        "their neighbours: the machine is busy, the figures are too kind."
        for row in rows
        if (row.caught_up or 0.0) > TOLERATED_CATCHING_UP
    ]
    if not HAS_PROC:
        found.append("There is no /proc here: CPU comes from ps, in steps of 10 ms or more.")
    return found


def machine(load_before: str) -> dict[str, Any]:
    """Return where the run was made."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "uvloop": find_spec("uvloop") is not None,
        "load_before": load_before,
        "load_after": load_average(),
    }


def load_average() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def as_json(rows: list[Row], slack: float, where: dict[str, Any]) -> bytes:
    """Return the run as a document: every round's value, medians, verdicts."""
    documents = [
        msgspec.to_builtins(row)
        | {
            "relay_median": row.relay_median,
            "gateway_median": row.gateway_median,
            "ratio": row.ratio,
            "verdict": row.verdict(slack),
        }
        for row in rows
    ]
    document = {"machine": where, "slack": slack, "rows": documents}
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def keep(rig: Rig, console: Console) -> None:
    """Leave the processes running for a profiler, until Ctrl-C."""
    relay, gateway = rig.subjects
    fast = Script(n=30_000, rate=3000).model
    console.print(f"gateway  pid {gateway.server.pid}  {gateway.server.url}/v1/responses")
    console.print(f"relay    pid {relay.server.pid}  {relay.server.url}/v1/chat/completions")
    console.print("Load for it, in another terminal:")
    console.print(
        f"  {sys.executable} benchmarks/load.py {gateway.server.url}/v1/responses {fast}",
        soft_wrap=True,
    )
    console.print("Ctrl-C ends everything.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print()


def chosen(names: list[str]) -> list[Scenario]:
    """Return the scenarios of these names, or all. Raises `BadParameter` for an unknown one."""
    everything = (*SCENARIOS, *SDK_SCENARIOS)
    known = {scenario.name: scenario for scenario in everything}
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"no {', '.join(unknown)}; there is {', '.join(known)}")
    return [known[name] for name in names] or list(everything)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter streams, fewer turns.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this scenario; repeatable.")] = None,
    rounds: Annotated[
        int, typer.Option(min=0, help="Measurements of each side; 0: 5, or 3 when quick.")
    ] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the run here as JSON.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a target is missed.")] = False,
    slack: Annotated[float, typer.Option(help="Multiply every target by this.")] = 1.0,
    keep_running: Annotated[
        bool, typer.Option("--keep", help="Measure nothing: start everything for a profiler.")
    ] = False,
) -> None:
    """Measure the gateway beside a plain byte relay, in one run."""
    # As an exception, so that the children are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = rounds or (3 if quick else 5)
    console = Console(width=None if sys.stdout.isatty() else 160)
    scenarios, rows, load_before = chosen(only or []), [], load_average()
    with Rig(rounds=rounds, quick=quick) as rig:
        if keep_running:
            keep(rig, console)
            return
        try:
            for scenario in scenarios:
                with console.status(scenario.title):
                    rows += measure(scenario, rig)
        except StartError as error:
            console.print(error, markup=False, soft_wrap=True)
            raise typer.Exit(1) from None
    where = machine(load_before)
    console.print(draw(rows, slack))
    console.print(
        f"Medians of {rounds} rounds. Load average {where['load_before']} before, "
        f"{where['load_after']} after, on {where['cpus']} CPUs; Python {where['python']}."
    )
    for remark in remarks(rows):
        console.print(remark, markup=False, soft_wrap=True)
    if json is not None:
        json.write_bytes(as_json(rows, slack, where))
    verdicts = {row.verdict(slack) for row in rows}
    if "broken" in verdicts or (check and "missed" in verdicts):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
