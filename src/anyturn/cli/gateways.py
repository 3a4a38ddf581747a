"""Which background gateway a verb means."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from anyturn.config_places import user_file
from anyturn.daemon.folder import DaemonError, Folder, Phase, folders

WhichOption = Annotated[
    int | None,
    typer.Option(
        "--port", help="The gateway on this port. [default: the only one]", min=1, max=65535
    ),
]
_NAME = "gateways"
ALIVE = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.DAMAGED)


def root() -> Path:
    """The folder with a folder for each port. Raises `DaemonError` where there can be none."""
    found = user_file(_NAME, os.environ, kind="STATE")
    if found is None:
        raise DaemonError(
            "There is no folder for the state of gateways, as neither HOME nor XDG_STATE_HOME is "
            "set. Set XDG_STATE_HOME."
        )
    return found


def known(phases: Collection[Phase]) -> list[Folder]:
    """The folders whose gateways are so far; none where there is no folder for any."""
    place = user_file(_NAME, os.environ, kind="STATE")
    return [one for one in folders(place) if one.look().phase in phases] if place else []


def the_one(port: int | None, *preferred: Collection[Phase]) -> Folder | None:
    """The folder of `port`, or without one the only one in the first phases that any is in.

    None when there is none. Raises `DaemonError` when there are several to choose from.
    """
    if port is not None:
        return Folder(root(), port)
    for phases in preferred:
        found = known(phases)
        if len(found) == 1:
            return found[0]
        if found:
            ports = ", ".join(str(folder.port) for folder in found)
            raise DaemonError(f"There are gateways on the ports {ports}. Choose one: --port.")
    return None
