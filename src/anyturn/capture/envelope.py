"""What the messages of a stream have in common, and the words in which they differ."""

from __future__ import annotations

from collections.abc import Sequence

PORTION = 32
_LEARN_ABOVE = 400
_FRAMES_MAX = 16_384


class Envelope:
    """What neighbouring chunks of a stream have in common, learnt from two of them.

    `between` is what stands between the words of two neighbours; `head` and `foot` are what a
    message of that form begins and ends with.
    """

    def __init__(self) -> None:
        self.between = b""
        self.head = b""
        self.foot = b""

    def pieces(self, data: bytes) -> list[bytes]:
        """The data, cut where neighbours differ in their words only: `between` is left out there.

        What comes in hundreds of pieces can then be looked at as one.
        """
        found = self._cut(data)
        if len(data) > _LEARN_ABOVE and _is_long(found, data):
            self._learn(data)
            found = self._cut(data)
        return found

    def alike(self, blocks: Sequence[bytes]) -> tuple[int, int]:
        """The range of blocks from the first to the last that begins and ends in this form."""
        if not self.head:
            middle = len(blocks) // 2
            self._learn(b"".join(blocks[max(0, middle - 1) : middle + 2]))
        head, foot, begin, end = self.head, self.foot, 0, len(blocks) if self.head else 0
        while begin < end and not (blocks[begin].startswith(head) and blocks[begin].endswith(foot)):
            begin += 1
        while begin < end and not (
            blocks[end - 1].startswith(head) and blocks[end - 1].endswith(foot)
        ):
            end -= 1
        return begin, end

    def holds(self, words: list[bytes], ends: Sequence[int], blocks: Sequence[bytes]) -> bool:
        """Whether the blocks are messages of this form with these words.

        `ends` says how many words there are up to the end of each portion of `PORTION` blocks:
        large pieces of memory, fetched from the system again and again, would cost most.
        """
        at = 0
        for number, end in enumerate(ends):
            portion = blocks[number * PORTION : (number + 1) * PORTION]
            if self._messages(words[at:end]) != b"".join(portion):
                return False
            at = end
        return at == len(words)

    def _messages(self, words: list[bytes]) -> bytes:
        return b"".join((self.head, self.between.join(words), self.foot))

    def _cut(self, data: bytes) -> list[bytes]:
        if not self.between:
            return [data]
        return self._same_lines(data) or data.split(self.between)

    def _same_lines(self, data: bytes) -> list[bytes]:
        """The pieces if each message is one line of the form; none if not. Three times as fast."""
        lines = data.split(b"\n")
        begin, end = len(self.head), len(self.foot) - 2
        if end <= 0 or len(lines) < 5:
            return []
        words = [line[begin:-end] for line in lines[:-1:2]]
        words[0] = self.head + words[0]
        words[-1] += self.foot
        return words if self.between.join(words) == data else []

    def _learn(self, data: bytes) -> None:
        # In the middle: streams begin and end in other forms.
        start = data.find(b"\n\n", len(data) // 2 - 1) + 2
        frames = data[start : start + _FRAMES_MAX].split(b"\n\n", 2)
        if start < 2 or len(frames) < 3:
            frames = [b"", b"", *data.split(b"\n\n", 2)][-3:]
        one, other = frames[0], frames[1]
        # Words may begin or end alike: the envelope reaches to a quote that is none of theirs.
        begin = _common(one, other)
        while (begin := one.rfind(b'"', 0, begin)) >= 0 and _is_escaped(one, begin):
            continue
        last = end = len(one) - _common(one[::-1], other[::-1])
        while (end := one.find(b'"', end)) >= 0 and _is_escaped(one, end):
            end += 1
        # Behind the words there may be a number that differs, and no quote.
        end = last if end < 0 else end
        if 0 <= begin < end and begin + 1 + len(one) - end <= min(len(one), len(other)):
            self.head, self.foot = other[: begin + 1], one[end:] + b"\n\n"
            self.between = self.foot + self.head


def _is_escaped(text: bytes, place: int) -> bool:
    """Whether an odd number of backslashes stands before this place."""
    before = text[:place]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _is_long(pieces: list[bytes], data: bytes) -> bool:
    """Whether cutting has left so much that another form may fit better."""
    left = sum(map(len, pieces))
    return left > _LEARN_ABOVE and left > len(data) // 4


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with together."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
