from __future__ import annotations

import threading

from anyturn.capture.feed import Feed
from anyturn.wire import responses as r


def delta(number: int) -> r.Event:
    return r.TextDelta("msg_1", 0, 0, f" {number}", number)


def test_what_is_taken_is_gone_and_what_came_later_stays() -> None:
    feed = Feed()
    feed.blocks.append(b"one")
    feed.block_times.append(1.0)
    feed.events += [delta(1), delta(2)]
    feed.counts.append(2)
    feed.event_times.append(2.0)
    # The next write is not whole yet: its time is not there.
    feed.events.append(delta(3))
    feed.counts.append(1)
    taken = feed.take()
    assert (taken.blocks, taken.counts, taken.events) == ([b"one"], [2], [delta(1), delta(2)])
    assert (feed.blocks, feed.events) == ([], [delta(3)])
    feed.event_times.append(3.0)
    assert feed.take().events == [delta(3)]


def test_nothing_is_lost_or_doubled_while_another_thread_takes() -> None:
    feed, taken, done = Feed(), list[r.Event](), threading.Event()

    def taking() -> None:
        while not done.is_set() or feed.events:
            part = feed.take()
            assert sum(part.counts) == len(part.events)
            taken.extend(part.events)

    thread = threading.Thread(target=taking)
    thread.start()
    events = [delta(number) for number in range(20_000)]
    for start in range(0, len(events), 4):
        feed.events += events[start : start + 4]
        feed.counts.append(4)
        feed.event_times.append(0.0)
    done.set()
    thread.join(20)
    assert taken == events
