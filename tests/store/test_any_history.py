"""Every kind of store under any sequence of calls, against plain dictionaries."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from anyturn.store import Store, StoreError
from anyturn.store.records import MissingLink, Order, StoredConversation, StoredItem, StoredResponse

T = TypeVar("T")
TTL_S = 1000.0
OWNERS = st.sampled_from(["me", "you"])
IDS = st.sampled_from(["a", "b", "c", "", "\x00", "'; --"])
SOME = st.lists(IDS, max_size=4)
BODIES = st.binary(max_size=40) | st.binary(min_size=1, max_size=20).map(lambda b: b * 300)
ITEMS = st.lists(st.builds(StoredItem, IDS, BODIES, st.sampled_from(["", "c1", "c2"])), max_size=4)
RESPONSES = st.builds(
    StoredResponse,
    id=IDS,
    created_at=st.integers(0, 2**40),
    body=BODIES,
    input=BODIES,
    parent=IDS,
    conversation=IDS,
    events=BODIES,
)
CONVERSATIONS = st.builds(StoredConversation, IDS, st.integers(0, 2**40), BODIES)


class AnyHistory(RuleBasedStateMachine):
    """A store against plain dictionaries, from which time takes its share."""

    store: Store
    clock: Any

    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__()
        self.runner = runner
        # Each value is the time of its put and the record; the last put comes last.
        self.items: dict[tuple[str, str], tuple[float, StoredItem]] = {}
        self.responses: dict[tuple[str, str], tuple[float, StoredResponse]] = {}
        self.conversations: dict[
            tuple[str, str], tuple[float, StoredConversation, dict[str, StoredItem]]
        ] = {}

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(owner=OWNERS, items=ITEMS)
    def put_items(self, owner: str, items: list[StoredItem]) -> None:
        self.wait(self.store.put_items(owner, items))
        for one in items:
            self.items.pop((owner, one.id), None)
            self.items[owner, one.id] = (self.clock.now, one)

    @rule(owner=OWNERS, ids=SOME)
    def delete_items(self, owner: str, ids: list[str]) -> None:
        known = sum(self.items.pop((owner, id), None) is not None for id in ids)
        assert self.wait(self.store.delete_items(owner, ids)) == known

    @rule(owner=OWNERS, response=RESPONSES)
    def put_response(self, owner: str, response: StoredResponse) -> None:
        self.wait(self.store.put_response(owner, response))
        self.responses[owner, response.id] = (self.clock.now, response)

    @rule(owner=OWNERS, id=IDS)
    def delete_response(self, owner: str, id: str) -> None:
        known = self.responses.pop((owner, id), None) is not None
        assert self.wait(self.store.delete_response(owner, id)) is known

    @rule(owner=OWNERS, id=IDS, most=st.integers(1, 4))
    def get_chain(self, owner: str, id: str, most: int) -> None:
        chain: list[StoredResponse] = []
        try:
            found = self.wait(self.store.get_chain(owner, id, most))
        except MissingLink as broken:
            found = broken.id
        except StoreError:
            found = None
        while id or not chain:
            if (owner, id) not in self.responses:
                assert found == id
                return
            if len(chain) == most:
                assert found is None
                return
            link = self.responses[owner, id][1]
            chain.insert(0, msgspec.structs.replace(link, events=b""))
            id = link.parent
        assert found == chain

    @rule(owner=OWNERS, conversation=CONVERSATIONS)
    def put_conversation(self, owner: str, conversation: StoredConversation) -> None:
        self.wait(self.store.put_conversation(owner, conversation))
        kept = self.conversations.get((owner, conversation.id))
        held = kept[2] if kept else {}
        self.conversations[owner, conversation.id] = (self.clock.now, conversation, held)

    @rule(owner=OWNERS, id=IDS, items=ITEMS)
    def add_to_conversation(self, owner: str, id: str, items: list[StoredItem]) -> None:
        known = self.conversations.get((owner, id))
        assert self.wait(self.store.add_to_conversation(owner, id, items)) is bool(known)
        if known:
            held = known[2] | {one.id: one for one in items}
            self.conversations[owner, id] = (self.clock.now, known[1], held)

    @rule(owner=OWNERS, id=IDS, item_id=IDS)
    def delete_conversation_item(self, owner: str, id: str, item_id: str) -> None:
        held = self.conversations[owner, id][2] if (owner, id) in self.conversations else {}
        known = held.pop(item_id, None) is not None
        assert self.wait(self.store.delete_conversation_item(owner, id, item_id)) is known

    @rule(owner=OWNERS, id=IDS)
    def delete_conversation(self, owner: str, id: str) -> None:
        known = self.conversations.pop((owner, id), None) is not None
        assert self.wait(self.store.delete_conversation(owner, id)) is known

    @rule(
        owner=OWNERS,
        id=IDS,
        after=IDS,
        limit=st.integers(0, 3),
        order=st.sampled_from(["asc", "desc"]),
    )
    def conversation_items(self, owner: str, id: str, after: str, limit: int, order: Order) -> None:
        held = self.conversations[owner, id][2] if (owner, id) in self.conversations else {}
        expected = list(held.values())[:: 1 if order == "asc" else -1]
        ids = [one.id for one in expected]
        if after:
            expected = expected[ids.index(after) + 1 :] if after in ids else []
        found = self.wait(
            self.store.conversation_items(owner, id, after=after, limit=limit, order=order)
        )
        assert found == expected[: limit or None]

    @rule(seconds=st.sampled_from([0.5, 400.0, 999.0, 1000.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.move(seconds)
        for kept in (self.items, self.responses, self.conversations):
            for key in [key for key, one in kept.items() if one[0] + TTL_S <= self.clock.now]:
                del kept[key]

    @rule()
    def prune(self) -> None:
        self.wait(self.store.prune())

    @invariant()
    def everything_is_as_expected(self) -> None:
        for owner in ("me", "you"):
            mine = {id: one[1] for (of, id), one in self.items.items() if of == owner}
            ids = ["a", "b", "c", "", "\x00", "'; --"]
            bodies = {id: one.body for id, one in mine.items()}
            assert self.wait(self.store.get_items(owner, ids)) == bodies
            calls = {one.call_id: one.body for one in mine.values() if one.call_id}
            assert self.wait(self.store.get_calls(owner, ["c1", "c2", ""])) == calls
            for id in ids:
                _, response = self.responses.get((owner, id), (0, None))
                assert self.wait(self.store.get_response(owner, id)) == response
                _, conversation, _ = self.conversations.get((owner, id), (0, None, {}))
                assert self.wait(self.store.get_conversation(owner, id)) == conversation

    @invariant()
    def the_counts_are_right(self) -> None:
        stats = self.wait(self.store.stats())
        counted = (stats.items, stats.responses, stats.conversations)
        assert counted == (len(self.items), len(self.responses), len(self.conversations))
        assert stats.oldest == min((r.created_at for _, r in self.responses.values()), default=None)


def test_any_history_ends_as_with_plain_dictionaries(
    open_one, clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with asyncio.Runner() as runner:

        class History(AnyHistory):
            def __init__(self) -> None:
                super().__init__(runner)
                folder: Path = tmp_path_factory.mktemp("history")
                self.clock = type(clock)()
                self.store = open_one(folder, TTL_S, self.clock)

            def teardown(self) -> None:
                self.wait(self.store.close())

        run_state_machine_as_test(
            History,
            settings=settings(
                max_examples=40,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
