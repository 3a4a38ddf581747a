"""Both streams of a turn, on their way into its capture: without secrets, in few lines.

As long as nothing looks like the beginning of a secret, texts are only looked at, many pieces as
one; from then on every piece is taken apart. A look must cost next to nothing: there are thousands
of pieces a second.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from anyturn.capture.envelope import PORTION, Envelope
from anyturn.capture.format import ProviderBytes, encode_json, encode_record
from anyturn.capture.redact import Redactor, RunningText, is_secret_name
from anyturn.capture.runs import chunk_run, delta_run, deltas_of
from anyturn.wire import responses as r

# The members of a chunk in which a model's words come.
_PIECE = re.compile(r'"([a-z_]+)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_PIECE_BEGINS = re.compile(r'"([a-z_]+)"\s*:\s*"$')
_SECOND = re.compile(r'"index"\s*:\s*[1-9]')
# Which item of a Responses stream an event is of, and whether it is the item's last one.
_PLACE = re.compile(r'("response\.output_item\.done")|"output_index"\s*:\s*([0-9]{1,9})')
_BEGINS = "response.output_item.added"
_WATCHED = 64
# A key may be written in JSON's own escapes.
_ESCAPED = "\\u00"
_LONG = 50
_CLEAN_MAX = 8
# What `…done` events call the text that is done.
_TEXTS = ("text", "arguments", "input")
# What a response repeats of its request.
_ECHOED = frozenset({"instructions", "metadata", "reasoning", "text", "tool_choice", "tools"})


class Written(NamedTuple):
    """What the client got: events and their times."""

    at: list[int]
    events: list[r.Event]

    def between(self, start: int, stop: int | None) -> tuple[int, int]:
        """The range of these times, from its first to its last delta."""
        begin = bisect_left(self.at, start)
        end = len(self.at) if stop is None else bisect_left(self.at, stop)
        while begin < end and not hasattr(self.events[begin], "delta"):
            begin += 1
        while begin < end and not hasattr(self.events[end - 1], "delta"):
            end -= 1
        return begin, max(begin, end)

    def part(self, begin: int, end: int | None = None) -> Written:
        """Some of them."""
        return Written(self.at[begin:end], self.events[begin:end])


class _Delta(msgspec.Struct):
    """What a delta event of a Responses server says."""

    delta: str
    item_id: str = ""


class _Order(msgspec.Struct, frozen=True):
    """The items of a Responses stream so far: the last one, whether it goes on, and all of them."""

    last: int = 0
    is_open: bool = False
    known: frozenset[int] = frozenset()

    def with_more(self, said: str) -> _Order | None:
        """The order after these messages; None when an item begins before another one is done."""
        last, is_open, is_done, known = self.last, self.is_open, False, set(self.known)
        for done, place in _PLACE.findall(said):
            if done:
                is_done = True
                continue
            item = int(place)
            if item != last and (is_open or item in known):
                return None
            known.add(item)
            last, is_open, is_done = item, not is_done, False
        return _Order(last, is_open, frozenset(known))


_decode_delta = msgspec.json.Decoder(_Delta).decode


class Streams:
    """Both streams of one turn, in order."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._tails: dict[str, str] = {}
        self._running: dict[tuple[Any, ...], RunningText] = {}
        self._careful = False
        self._envelope = Envelope()
        self._relayed = Envelope()
        self._words_of: dict[tuple[bytes, bytes], str] = {}
        self._order = _Order()
        self._told: r.Response | None = None
        """The last response in which there was nothing."""
        self._clean: list[bytes] = []
        """Long texts, as they stand in JSON, in which there is nothing."""

    # -- both

    def lines(self, times: list[int], blocks: list[bytes], written: Written) -> list[bytes]:
        """The lines for blocks of whole messages and for the events that were made of them.

        Raises `UnicodeDecodeError` when one of the blocks is no UTF-8.
        """
        first, last = (0, 0) if self._careful else self._envelope.alike(blocks)
        if first == last:
            return self._apart(times, blocks, written)
        begin, end = written.between(times[first], times[last] if last < len(times) else None)
        lines = self._apart(times[:first], blocks[:first], written.part(0, begin))
        same = self._same_words(times[first:last], blocks[first:last], written.part(begin, end))
        if same is None:
            last, end, same = first, begin, []
        return lines + same + self._apart(times[last:], blocks[last:], written.part(end))

    def _apart(self, times: list[int], blocks: list[bytes], written: Written) -> list[bytes]:
        return self.block_lines(times, blocks) + self.event_lines(written)

    def _same_words(
        self, times: list[int], blocks: list[bytes], written: Written
    ) -> list[bytes] | None:
        """The lines when both say the same words and nothing else, as they do most of the time.

        They are looked at once then. None when they do not, or when something is in them.
        """
        envelope, (at, events) = self._envelope, written
        if self._careful or not events:
            return None
        name = self._name_of_words(envelope.head, envelope.foot)
        deltas = deltas_of(events) if name else None
        if deltas is None:
            return None
        # Inside of a text no quote stands alone: here is where two texts meet.
        words = encode_json(deltas)[2:-2].split(b'","')
        ends = [bisect_left(at, t) for t in times[PORTION::PORTION]]
        if not envelope.holds(words, [*ends, len(words)], blocks):
            return None
        if not self._is_clean(name, events[0].item_id, "".join(deltas)):  # type: ignore[union-attr]
            return None
        words[0], words[-1] = envelope.head + words[0], words[-1] + envelope.foot
        chunks = chunk_run(times, list(map(len, blocks)), envelope.between, words)
        if chunks is None:
            return None
        return [chunks, delta_run(at, events[0], deltas)]

    def _is_clean(self, name: str, item_id: str, text: str) -> bool:
        """Whether nothing is in a text that goes on in both streams."""
        told, said = self._tails.get(item_id, ""), self._tails.get(name, "")
        if self._redactor.finds(told + text):
            return False
        begin, end = (
            encode_json(one)[1:-1].decode() for one in (text[:_WATCHED], text[-_WATCHED:])
        )
        if said != told and self._redactor.finds(said + begin):
            return False
        self._tails[item_id] = (told + text)[-_WATCHED:]
        self._tails[name] = (said + end)[-_WATCHED:]
        return True

    # -- events

    def event_lines(self, written: Written) -> list[bytes]:
        """The lines for these events."""
        lines: list[bytes] = []
        plain: list[tuple[int, r.Event]] = []
        at, end = written.at, 0
        for _, found in groupby(written.events, type):
            events: list[r.Event] = list(found)
            begin, end = end, end + len(events)
            deltas = None if self._careful else deltas_of(events)
            if deltas is None:
                plain += zip(at[begin:end], events, strict=True)
                continue
            if plain:
                lines.append(self._plain(plain))
                plain = []
            # What stands before may have been found to be the beginning of a secret just now.
            if not self._careful:
                self._watch(events[0].item_id, "".join(deltas))  # type: ignore[union-attr]
            if self._careful:
                plain += zip(at[begin:end], events, strict=True)
            else:
                lines.append(delta_run(at[begin:end], events[0], deltas))
        if plain:
            lines.append(self._plain(plain))
        return lines

    def _plain(self, timed: list[tuple[int, r.Event]]) -> bytes:
        """The line for events that are no run."""
        times: list[int] = []
        writes: list[list[r.Event]] = []
        for t, found in groupby(timed, itemgetter(0)):
            times.append(t)
            writes.append([event for _, event in found])
        return b'{"kind":"events","t":%b,"events":%b}\n' % (
            encode_json(times),
            self.events(writes),
        )

    def events(self, writes: Sequence[list[r.Event]]) -> bytes:
        """A JSON array of these events, an array for each write, without secrets."""
        pieces: dict[str, list[str]] = {}
        rows: list[list[Any]] = []
        looked_at = self._look_at_relayed(writes)
        for events in writes:
            row: list[Any] = []
            for event in events:
                said: Any = event
                if type(event) is r.Relayed:
                    said = self._relayed_delta(event, looked_at)
                if isinstance(getattr(said, "delta", None), str):
                    pieces.setdefault(said.item_id, []).append(said.delta)
                    row.append(event if said is event else msgspec.Raw(r.encode_json(event)))
                else:
                    row.append(self._whole(event))
            rows.append(row)
        if not self._careful:
            for item_id, deltas in pieces.items():
                self._watch(item_id, "".join(deltas))
        encoded = r.encode_json(rows)
        if not self._careful:
            return encoded
        decoded = msgspec.json.decode(encoded)
        return msgspec.json.encode([[self._event(one) for one in row] for row in decoded])

    def _look_at_relayed(self, writes: Sequence[list[r.Event]]) -> bool:
        """Whether there is nothing in these events of a Responses server, seen one by one."""
        found = [e.data + b"\n\n" for events in writes for e in events if type(e) is r.Relayed]
        if not found or self._careful:
            return True
        said = b"".join(self._relayed.pieces(b"".join(found)))
        return not self._redactor.is_suspicious_json(said.decode("utf-8", "surrogatepass"))

    def _relayed_delta(self, event: r.Relayed, looked_at: bool) -> _Delta | None:
        """The delta of an event of a Responses server; None for other events, and odd ones."""
        if b'"delta"' not in event.data:
            return None
        try:
            delta = _decode_delta(event.data)
        except (msgspec.DecodeError, UnicodeError):
            return None
        if not looked_at:
            around = event.data.replace(encode_json(delta.delta)[1:-1], b"")
            if self._redactor.is_suspicious_json(around.decode("utf-8", "surrogatepass")):
                return None
        return delta

    def _whole(self, event: r.Event) -> Any:
        """An event that is no delta."""
        encoded = r.encode_json(event)
        response: Any = getattr(event, "response", None)
        told = isinstance(response, r.Response)
        # The text of an item comes four times in the end: it is looked at once.
        said = r.encode_json(self._news(response)) if told else encoded
        for clean in self._clean:
            said = said.replace(clean, b'""')
        if self._redactor.is_suspicious_json(said.decode()):
            redacted = self._redactor.value(msgspec.json.decode(encoded))
            return msgspec.Raw(msgspec.json.encode(redacted))
        if told:
            self._told = response
        text = next((getattr(event, one) for one in _TEXTS if hasattr(event, one)), "")
        if len(text) > _LONG and len(self._clean) < _CLEAN_MAX:
            self._clean.append(encode_json(text))
        return msgspec.Raw(encoded)

    def _news(self, response: r.Response) -> dict[str, Any]:
        """The members of a response that are worth a look.

        It comes three times in a turn, and echoes what came with the turn before.
        """
        found = {}
        for name in response.__struct_fields__:
            value = getattr(response, name)
            if value is UNSET or value is getattr(self._told, name, UNSET):
                continue
            is_deep = name in _ECHOED and value
            if not is_deep or not self._redactor.is_harmless_json(encode_json({name: value})):
                found[name] = value
        return found

    def _event(self, event: Any) -> Any:
        delta = event.get("delta")
        redacted = self._redactor.value(event)
        if isinstance(delta, str):
            item_id = event.get("item_id")
            redacted["delta"] = self._piece((item_id, event.get("type")), str(item_id), delta)
        return redacted

    # -- the provider's messages

    def block_lines(self, times: Sequence[int], blocks: Sequence[bytes]) -> list[bytes]:
        """The lines for blocks of whole server-sent messages, or of whole bodies.

        Raises `UnicodeDecodeError` when one of them is no UTF-8.
        """
        if not blocks:
            return []
        sizes, data = list(map(len, blocks)), b"".join(blocks)
        pieces = self._envelope.pieces(data)
        if not self._is_clean_run(pieces):
            texts = [block.decode() for block in blocks]
            redacted = self._redacted(texts, pieces)
            if redacted is not texts:
                return [encode_record(ProviderBytes(t=list(times), text=redacted))]
        line = chunk_run(times, sizes, self._envelope.between, pieces)
        if line is None:
            texts = [block.decode() for block in blocks]
            line = encode_record(ProviderBytes(t=list(times), text=texts))
        return [line]

    def frames(self, texts: list[str]) -> list[str]:
        """Whole server-sent messages, or whole bodies, without secrets; the same list if none."""
        data = "".join(texts).encode("utf-8", "surrogatepass")
        return self._redacted(texts, self._envelope.pieces(data))

    def _is_clean_run(self, pieces: list[bytes]) -> bool:
        """Whether these are chunks that differ in their words only, and there is nothing in them.

        Only what was looked at as a whole before may stand around the words.
        """
        head, foot = self._envelope.head, self._envelope.foot
        if self._careful or not head or len(pieces) < 2:
            return False
        if not pieces[0].startswith(head) or not pieces[-1].endswith(foot):
            return False
        if len(pieces[0]) < len(head) or len(pieces[-1]) < len(foot):
            return False
        first, last = pieces[0][len(head) :], pieces[-1][: -len(foot)]
        words = b"".join((first, *pieces[1:-1], last))
        if b'"' in words and b'"' in words.replace(b"\\\\", b"").replace(b'\\"', b""):
            return False
        name = self._name_of_words(head, foot)
        if not name:
            return False
        joined = self._tails.get(name, "") + words.decode()
        if self._is_odd(joined):
            return False
        self._tails[name] = joined[-_WATCHED:]
        return True

    def _name_of_words(self, head: bytes, foot: bytes) -> str:
        """The name of the words in such chunks; empty if they must be taken apart."""
        name = self._words_of.get((head, foot))
        if name is None:
            begin, end = head.decode(), foot.decode()
            found, around = _PIECE_BEGINS.search(begin), f"{begin}x{end}"
            odd = self._redactor.is_suspicious_json(around) or _ESCAPED in around
            name = "" if found is None or odd or _SECOND.search(around) else found[1]
            self._words_of = {(head, foot): name}
        return name

    def _redacted(self, texts: list[str], pieces: list[bytes]) -> list[str]:
        said = "" if self._careful else b"".join(pieces).decode("utf-8", "surrogatepass")
        suspicious = self._may_hold(said)
        if said:
            self._watch_frames(said, self._named(pieces), suspicious)
        if self._careful:
            return [self._frame(text) for text in texts]
        if not suspicious:
            return texts
        redacted = [self._frame(text) if self._may_hold(text) else text for text in texts]
        # What they have seen is not all that comes: `_tails` has the rest.
        self._running.clear()
        return redacted

    def _may_hold(self, text: str) -> bool:
        return self._redactor.is_suspicious_json(text) or _ESCAPED in text

    def _named(self, pieces: list[bytes]) -> str:
        """The pieces with the name of their words before each, so that one is told from another."""
        head, foot = self._envelope.head, self._envelope.foot
        found = _PIECE_BEGINS.search(head.decode("utf-8", "surrogatepass"))
        between = self._envelope.between
        if found is not None:
            between = b'%b,"%b":"' % (foot[:1] if foot[:1] == b'"' else b"", found[1].encode())
        return between.join(pieces).decode("utf-8", "surrogatepass")

    def _watch_frames(self, said: str, named: str, suspicious: bool) -> None:
        """Look at each text that comes in pieces, put together."""
        # Calls may take turns: their pieces are told apart from here on.
        order = self._order.with_more(said)
        if order is None or _SECOND.search(said):
            self._careful = True
            return
        pieces: dict[str, list[str]] = {name: [] for name in self._tails}
        for name, piece in _PIECE.findall(named):
            pieces.setdefault(name, []).append(piece)
            if piece == _BEGINS:
                # Its words have nothing to do with those of the item before it.
                for earlier in pieces.values():
                    earlier.append("\0")
        tails: dict[str, str] = {}
        for name, found in pieces.items():
            # Where nothing is suspicious inside, only what meets can be.
            meeting = found if suspicious else [_ends(piece) for piece in found]
            tails[name] = self._tails.get(name, "") + "".join(meeting)
        if self._is_odd("\0".join(tails.values())):
            self._careful = True
            return
        self._tails |= {name: text[-_WATCHED:] for name, text in tails.items()}
        self._order = order

    def _frame(self, text: str) -> str:
        if text.lstrip()[:1] in ("{", "["):
            return self._body(text)
        return "".join(self._line(line) for line in re.split(r"(?<=[\r\n])", text))

    def _line(self, line: str) -> str:
        name, _, rest = line.partition(":")
        data = rest.strip(" \r\n")
        if name != "data" or data[:1] not in ("{", "["):
            return self._redactor.text(line)
        begin = line.index(data)
        return f"{line[:begin]}{self._body(data)}{line[begin + len(data) :]}"

    def _body(self, text: str) -> str:
        try:
            decoded = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._redactor.text(text)
        redacted = self._chunk(decoded, ())
        # What needed no change stays as it came, byte for byte.
        return text if redacted == decoded else msgspec.json.encode(redacted).decode()

    def _chunk(self, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, str):
            if "delta" in path:
                return self._piece(path, str(path[-1]), value)
            return self._redactor.text(value)
        if isinstance(value, dict):
            for place in ("index", "output_index"):
                path = (*path, value[place]) if isinstance(value.get(place), int) else path
            return {
                self._redactor.text(k): self._chunk_member(k, v, path) for k, v in value.items()
            }
        if isinstance(value, list):
            return [self._chunk(one, path) for one in value]
        return value

    def _chunk_member(self, name: str, value: Any, path: tuple[Any, ...]) -> Any:
        if is_secret_name(name) or name == "encrypted_content":
            return self._redactor.member(name, value)
        return self._chunk(value, (*path, name))

    # -- pieces

    def _piece(self, path: tuple[Any, ...], key: str, piece: str) -> str:
        running = self._running.get(path)
        if running is None:
            said = self._tails.get(key, "") if self._goes_on(path) else ""
            running = RunningText(self._redactor, said)
            self._running[path] = running
        return running.feed(piece)

    def _goes_on(self, path: tuple[Any, ...]) -> bool:
        """Whether this is the item, or the call, that came last when all came one after another."""
        return all(one == self._order.last for one in path if isinstance(one, int))

    def _watch(self, key: str, text: str) -> None:
        joined = self._tails.get(key, "") + text
        if self._is_odd(joined):
            self._careful = True
            return
        self._tails[key] = joined[-_WATCHED:]

    def _is_odd(self, text: str) -> bool:
        # A form is known by two dozen characters: less than that of it may be written by now.
        return self._redactor.finds(text) or _ESCAPED in text


def _ends(piece: str) -> str:
    """The beginning and the end of a long piece, which do not meet."""
    both = 2 * _WATCHED
    return piece if len(piece) <= both else f"{piece[:_WATCHED]}\0{piece[-_WATCHED:]}"
