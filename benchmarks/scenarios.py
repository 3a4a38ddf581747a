"""What is measured, and against which target. A new scenario is an entry of `SCENARIOS`."""

from __future__ import annotations

import contextlib
import statistics
import time
from abc import abstractmethod
from typing import Literal

import bodies
import msgspec
from load import Sample, percentile
from process import resident_bytes
from rig import Rig, Subject, redis_program, redis_server
from stub_provider import Script

Judged = Literal["value", "difference", "ratio"]
Verdict = Literal["", "ok", "missed", "broken"]


class Row(msgspec.Struct, kw_only=True):
    """One line of the table. `relay` and `gateway` hold one value per round, in `unit`.

    count: events, requests or streams behind one value. judged: what the target speaks of, the
    gateway's median, its distance from the relay's, or its ratio to it. added_p50 and added_p99:
    what the gateway adds to the way from provider to client, in microseconds. caught_up: share of
    deltas that the provider wrote late and close together. problem: why there are no values.
    """

    name: str
    title: str
    unit: str
    count: int = 0
    relay: list[float] = []
    gateway: list[float] = []
    target: float | None = None
    judged: Judged = "value"
    added_p50: float | None = None
    added_p99: float | None = None
    caught_up: float | None = None
    problem: str = ""

    @property
    def relay_median(self) -> float | None:
        return statistics.median(self.relay) if self.relay else None

    @property
    def gateway_median(self) -> float | None:
        return statistics.median(self.gateway) if self.gateway else None

    @property
    def ratio(self) -> float | None:
        """Return gateway by relay, when both were measured."""
        relay, gateway = self.relay_median, self.gateway_median
        return gateway / relay if relay and gateway is not None else None

    @property
    def judged_value(self) -> float | None:
        if self.judged == "ratio":
            return self.ratio
        gateway = self.gateway_median
        if self.judged == "difference" and gateway is not None:
            return gateway - (self.relay_median or 0.0)
        return gateway

    def verdict(self, slack: float = 1.0) -> Verdict:
        """Judge against the target times `slack`; '' where there is no target."""
        value = self.judged_value
        if self.problem or value is None:
            return "broken"
        if self.target is None:
            return ""
        return "ok" if value <= self.target * slack else "missed"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Something to measure. `measure` returns its rows, or raises what the load client raises."""

    name: str
    title: str
    unit: str
    target: float | None = None
    judged: Judged = "value"

    @abstractmethod
    def measure(self, rig: Rig) -> list[Row]:
        raise NotImplementedError

    def row(self) -> Row:
        return Row(
            name=self.name,
            title=self.title,
            unit=self.unit,
            target=self.target,
            judged=self.judged,
        )


def _rounds(rig: Rig) -> list[tuple[Subject, Subject]]:
    """Return the subjects of every round; each round begins with the other one."""
    relay, gateway = rig.subjects
    return [(relay, gateway) if i % 2 == 0 else (gateway, relay) for i in range(rig.rounds)]


class Streams(Scenario, frozen=True, kw_only=True):
    """CPU per delta of some streams; for stamped ones also the latency that is added."""

    unit: str = "µs/event"
    script: Script
    quick_n: int = 0
    connections: int = 1
    turns: int = 1

    def measure(self, rig: Rig) -> list[Row]:
        script = self.script
        if rig.quick and self.quick_n:
            script = msgspec.structs.replace(script, n=self.quick_n)
        row = self.row()
        added: list[tuple[float, float]] = []
        caught_up: list[float] = []
        for subjects in _rounds(rig):
            samples: dict[str, Sample] = {}
            for subject in subjects:
                cost, sample = subject.run(script, connections=self.connections, turns=self.turns)
                samples[subject.target.api] = sample
                values = row.gateway if subject.target.api == "responses" else row.relay
                values.append(microseconds_each(subject, cost, sample.events))
            row.count = samples["chat"].events
            if script.stamp:
                added.append(_added(samples["chat"], samples["responses"]))
                caught_up.append(max(sample.caught_up for sample in samples.values()))
        if added:
            row.added_p50 = statistics.median(p50 for p50, _ in added)
            row.added_p99 = statistics.median(p99 for _, p99 in added)
            row.caught_up = statistics.median(caught_up)
        return [row]


class RelayedStreams(Streams, frozen=True, kw_only=True):
    """The same in front of a Responses server, whose events the gateway relays as they are."""

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        with (
            rig.fresh_relay("/v1/responses") as relay,
            rig.fresh_gateway(wire="responses") as gateway,
        ):
            for turn in range(rig.rounds):
                for subject in (relay, gateway) if turn % 2 == 0 else (gateway, relay):
                    cost, sample = subject.run(
                        self.script, connections=self.connections, turns=self.turns
                    )
                    values = row.gateway if subject is gateway else row.relay
                    values.append(microseconds_each(subject, cost, sample.events))
                    row.count = sample.events
        return [row]


def microseconds_each(subject: Subject, cost_ns: int, count: int) -> float:
    """Return the CPU cost of one of `count`.

    Raises `RuntimeError` for a gateway that cost nothing: the clock was too coarse to see it, and
    a zero would meet every target.
    """
    if cost_ns <= 0 and subject.target.api == "responses":
        raise RuntimeError("no CPU time was counted: this system's clock is too coarse for this")
    return cost_ns / 1e3 / count


def _added(relay: Sample, gateway: Sample) -> tuple[float, float]:
    p50, p99 = (
        (percentile(gateway.lag, share) - percentile(relay.lag, share)) / 1e3
        for share in (0.5, 0.99)
    )
    return p50, p99


class Recording(Scenario, frozen=True, kw_only=True):
    """What recording adds to the CPU of a stream: a gateway that records beside one that does not.

    The first stands in the column of the gateway, the second in that of the relay.
    """

    unit: str = "µs/event"
    judged: Judged = "ratio"
    script: Script
    quick_n: int = 0
    connections: int = 1
    turns: int = 1

    def measure(self, rig: Rig) -> list[Row]:
        script = self.script
        if rig.quick and self.quick_n:
            script = msgspec.structs.replace(script, n=self.quick_n)
        row = self.row()
        with rig.fresh_gateway() as plain, rig.fresh_gateway(records=True) as recording:
            for number in range(rig.rounds):
                pair = [(plain, row.relay), (recording, row.gateway)]
                for subject, values in pair if number % 2 else reversed(pair):
                    row.count = self._measure(subject, script, values)
        return [row]

    def _measure(self, subject: Subject, script: Script, values: list[float]) -> int:
        # The recorder writes up to half a second later, and that has to be counted too.
        cost, sample = subject.run(
            script, connections=self.connections, turns=self.turns, settle_s=1.5
        )
        values.append(microseconds_each(subject, cost, sample.events))
        return sample.events


class FirstEvent(Scenario, frozen=True, kw_only=True):
    """From the request to the first delta, one turn after the other; the difference is judged."""

    unit: str = "ms"
    judged: Judged = "difference"
    turns: int

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        row.count = self.turns
        for subjects in _rounds(rig):
            for subject in subjects:
                _, sample = subject.run(Script(n=1), turns=self.turns)
                values = row.gateway if subject.target.api == "responses" else row.relay
                values.append(percentile(sample.first, 0.5) / 1e6)
        return [row]


class TinyTurns(Scenario, frozen=True, kw_only=True):
    """What a request costs when its answer is one delta, and how many of them go through."""

    unit: str = "µs/request"
    turns: int
    connections: int = 8

    def measure(self, rig: Rig) -> list[Row]:
        cost_row = self.row()
        title = f"{self.title}, throughput"
        rate_row = Row(name=f"{self.name}-rate", title=title, unit="requests/s")
        cost_row.count = rate_row.count = self.turns
        for subjects in _rounds(rig):
            for subject in subjects:
                cost, sample = subject.run(
                    Script(n=1), connections=self.connections, turns=self.turns
                )
                side = "gateway" if subject.target.api == "responses" else "relay"
                each = microseconds_each(subject, cost, self.turns)
                getattr(cost_row, side).append(each)
                getattr(rate_row, side).append(self.turns / sample.wall_ns * 1e9)
        return [cost_row, rate_row]


class CheckedStreams(Scenario, frozen=True, kw_only=True):
    """What `--check` adds to an event: a gateway without it stands in the place of the relay."""

    unit: str = "µs/event"
    judged: Judged = "difference"
    script: Script
    turns: int

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        with rig.fresh_gateway() as plain, rig.fresh_gateway(ANYTURN_CHECK="warn") as checked:
            for _ in range(rig.rounds):
                for subject, values in ((plain, row.relay), (checked, row.gateway)):
                    cost, sample = subject.run(self.script, turns=self.turns)
                    values.append(microseconds_each(subject, cost, sample.events))
                    row.count = sample.events
        return [row]


class SilentStreams(Scenario, frozen=True, kw_only=True):
    """Resident memory per open stream whose provider went silent after the first delta.

    In fresh processes: memory that an earlier scenario freed would be used again and not be seen.
    """

    unit: str = "kB/stream"
    streams: int

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        row.count = self.streams
        with rig.fresh_relay() as relay:
            row.relay.append(self._kilobytes(relay))
        with rig.fresh_gateway() as gateway:
            row.gateway.append(self._kilobytes(gateway))
        return [row]

    def _kilobytes(self, subject: Subject) -> float:
        pid = subject.server.pid
        before = resident_bytes(pid)
        with subject.hold_open(Script(n=2, hold=60), self.streams):
            return (resident_bytes(pid) - before) / 1e3 / self.streams


class ManyTurns(Scenario, frozen=True, kw_only=True):
    """Growth of resident memory over many turns, after a tenth of them as warm-up."""

    unit: str = "MB"
    turns: int
    quick_turns: int

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        row.count = self.quick_turns if rig.quick else self.turns
        with rig.fresh_gateway() as gateway:
            self._run(gateway, max(row.count // 10, 500))
            before = resident_bytes(gateway.server.pid)
            self._run(gateway, row.count)
            row.gateway.append((resident_bytes(gateway.server.pid) - before) / 1e6)
        return [row]

    def _run(self, gateway: Subject, turns: int) -> None:
        # In portions, because the client keeps what it read until it has checked it.
        for start in range(0, turns, 500):
            portion = min(500, turns - start)
            gateway.run(Script(n=5, per=5), connections=8, turns=portion)


class Memory(Scenario, frozen=True, kw_only=True):
    """What a store adds to the turns of agents that name the response before.

    Beside the same gateway without a store, where they send everything: it takes the relay's place.
    """

    unit: str = "ms"
    judged: Judged = "difference"
    script: Script
    quick_n: int
    loops: int
    turns: int
    most_rounds: int = 3

    def measure(self, rig: Rig) -> list[Row]:
        with contextlib.ExitStack() as stack:
            none = stack.enter_context(rig.fresh_gateway())
            stores = {"sqlite": {"ANYTURN_STORE_PATH": "{folder}/store.sqlite3"}}
            if redis_program() is not None:
                stores["redis"] = {"ANYTURN_STORE_URL": stack.enter_context(redis_server())}
            subjects = {
                name: stack.enter_context(rig.fresh_gateway(ANYTURN_STORE=name, **options))
                for name, options in stores.items()
            }
            rows = {name: self._rows(name) for name in stores}
            for _ in range(min(rig.rounds, self.most_rounds)):
                floor = self._run(none, rig.quick, remembered=False)
                for name, subject in subjects.items():
                    found = self._run(subject, rig.quick, remembered=True)
                    for row, relay, gateway in zip(rows[name], floor, found, strict=True):
                        row.relay.append(relay)
                        row.gateway.append(gateway)
        return [row for pair in rows.values() for row in pair]

    def _rows(self, store: str) -> list[Row]:
        time_row, cost_row = self.row(), self.row()
        time_row.name, cost_row.name = f"{self.name}-{store}", f"{self.name}-{store}-cpu"
        time_row.title = cost_row.title = f"{self.title}, {store} beside no store"
        time_row.count = cost_row.count = self.loops * self.turns
        cost_row.unit, cost_row.target = "µs/turn", None
        return [time_row, cost_row]

    def _run(self, subject: Subject, quick: bool, *, remembered: bool) -> tuple[float, float]:
        """Return the median time of a turn in ms, and what each cost in µs."""
        script = self.script
        if quick:
            script = msgspec.structs.replace(script, n=self.quick_n)
        cost, took = subject.run_loops(
            script, loops=self.loops, turns=self.turns, remembered=remembered
        )
        return percentile(took, 0.5) / 1e6, microseconds_each(subject, cost, len(took))


class Conversion(Scenario, frozen=True, kw_only=True):
    """CPU of one long request on its way through the translator, bytes to bytes, in this process.

    Each round is the best of a few: what is added to it is the machine's noise, not the code's.
    """

    unit: str = "ms"
    repeats: int = 7

    def measure(self, rig: Rig) -> list[Row]:
        # Here, because the other scenarios need the gateway's command but not its package.
        from anyturn.translate.responses_to_chat import convert_request
        from anyturn.wire.profile import Profile
        from anyturn.wire.request import parse_request

        body = bodies.long_conversation("bench")
        profile = Profile(name="bench", reasoning_replay="tool_turns")
        row = self.row()
        row.count = 1
        for _ in range(rig.rounds):
            costs = []
            for _ in range(self.repeats):
                start = time.thread_time_ns()
                convert_request(parse_request(body), profile, "bench").encode()
                costs.append(time.thread_time_ns() - start)
            row.gateway.append(min(costs) / 1e6)
        return [row]


SCENARIOS: tuple[Scenario, ...] = (
    Streams(
        name="flat50",
        title="1 stream × 5,000, flat out, 50 per write",
        script=Script(n=5000, per=50),
        turns=4,
        target=10,
    ),
    Streams(
        name="flat1",
        title="1 stream × 5,000, flat out, 1 per write",
        script=Script(n=5000),
        turns=4,
    ),
    RelayedStreams(
        name="relayed50",
        title="Responses server, 1 stream × 5,000, 50 per write",
        script=Script(n=5000, per=50),
        turns=4,
        target=10,
    ),
    RelayedStreams(
        name="relayed1",
        title="Responses server, 1 stream × 5,000, 1 per write",
        script=Script(n=5000),
        turns=4,
    ),
    RelayedStreams(
        name="relayed-fast",
        title="Responses server, 1 stream at 3,000 events/s",
        script=Script(n=3000, rate=3000),
        target=60,
    ),
    Streams(
        name="tool",
        title="tool call of 400 argument deltas, flat out",
        script=Script(mode="tool", n=400),
        turns=20,
    ),
    Streams(
        name="fast",
        title="1 stream at 3,000 events/s",
        script=Script(n=9000, rate=3000, stamp=True),
        quick_n=3000,
        target=60,
    ),
    Streams(
        name="many",
        title="100 streams at 100 events/s",
        script=Script(n=300, rate=100, stamp=True),
        quick_n=100,
        connections=100,
        turns=100,
        target=90,
    ),
    Recording(
        name="record",
        title="1 stream at 3,000 events/s, recorded or not",
        script=Script(n=9000, rate=3000),
        quick_n=3000,
        target=1.05,
    ),
    Recording(
        name="record100",
        title="100 streams at 100 events/s, recorded or not",
        script=Script(n=300, rate=100),
        quick_n=100,
        connections=100,
        turns=100,
        target=1.05,
    ),
    FirstEvent(name="first", title="first event after the provider's, p50", turns=40, target=5),
    # The gateway's own limit for a request: a turn of Codex waits seconds, not milliseconds.
    TinyTurns(name="tiny", title="turn of one event", turns=400, target=1000),
    # A model that takes 0.6 s: what the store adds is its own time, not a queue for the CPU.
    Memory(
        name="memory",
        title="50 loops × 6 turns",
        script=Script(mode="tool", n=24, rate=40),
        quick_n=12,
        loops=50,
        turns=6,
        target=3,
    ),
    CheckedStreams(
        name="checked",
        title="flat50 with check = warn, beside check = off",
        script=Script(n=5000, per=50),
        turns=4,
        target=15,
    ),
    Conversion(name="convert", title="1 MB request of 400 items", target=15),
    SilentStreams(name="silent", title="500 open silent streams", streams=500, target=40),
    ManyTurns(
        name="growth", title="memory growth over turns", turns=10_000, quick_turns=2000, target=2
    ),
)
