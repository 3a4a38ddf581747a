"""The inspector as a part of a gateway: which folder, and which turns are running."""

from __future__ import annotations

from anyturn.capture_files import CaptureError, CaptureFolder
from anyturn.config import Settings
from anyturn.gateway import Turn
from anyturn.inspector.app import Inspector
from anyturn.inspector.reading import ReadingProcess
from anyturn.wire import responses as r


class Underway:
    """A tap that knows which turns are running, also those that are silent for minutes."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def ids(self) -> frozenset[str]:
        """The ids of the running turns."""
        return frozenset(self._ids)

    def request(self, turn: Turn) -> None:
        """A turn begins."""
        self._ids.add(turn.id)

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        """Say nothing."""

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        """Say nothing."""

    def ended(self, turn: Turn) -> None:
        """A turn is over."""
        self._ids.discard(turn.id)


def inspector_of(settings: Settings, underway: Underway) -> Inspector:
    """Make the inspector of a gateway. Raises `CaptureError` when nothing can be recorded."""
    if settings.capture_path is None:
        raise CaptureError(
            "The inspector shows what is recorded, and there is no home folder to record in. Name "
            "one: --capture DIR."
        )
    return Inspector(
        CaptureFolder(settings.capture_path), reading=ReadingProcess(), underway=underway.ids
    )
