"""What the life of a turn needs of whatever turns a provider's answer into events."""

from __future__ import annotations

from typing import Any, Protocol

from anyturn.errors import TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.wire import responses as r


class Machine(Protocol):
    """One answer: `start` once, `receive` for each thing that was read, then `end` or `fail`.

    What it receives is what the reader of its wire gives: frames of chunks, or events. After the
    terminal event every method returns no events.
    """

    adaptations: Adaptations
    terminal: r.Terminal | None

    @property
    def error(self) -> TurnError | None:
        """Why the answer failed."""

    @property
    def snapshot(self) -> r.Response:
        """The response as the turn begins."""

    @property
    def finish(self) -> object | None:
        """Not None once only token counts and the end are to come."""

    @property
    def called(self) -> list[str]:
        """The names of the tools that the model called so far."""

    def start(self) -> list[r.Event]:
        """The events that open the stream, if the machine does that itself."""

    def receive(self, said: Any) -> list[r.Event]:
        """The events that the next thing causes."""

    def end(self) -> list[r.Event]:
        """The provider's stream is over."""

    def fail(self, error: TurnError) -> list[r.Event]:
        """End the stream with this error."""

    def take_back(self, events: list[r.Event]) -> None:
        """Forget these events, the last ones made, which were not sent. Only `fail` may follow."""

    def skip(self) -> list[r.Event]:
        """End the answer without asking anybody (`generate: false`)."""

    def so_far(self, status: str) -> r.AnyResponse:
        """The response with the items that are done, for a turn that ends without an event."""
