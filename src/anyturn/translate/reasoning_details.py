"""`reasoning_details`: structured reasoning that a provider wants back unchanged (Q18).

OpenRouter and MiniMax tell a block in pieces, and a signature holds for a whole block only: the
pieces are put together before they are sent back. In a stream the `index` cannot tell the blocks
apart, because it may be 0 for all of them; a change of type, id or format does, and a signature
ends its block. Encrypted data goes on only under the same id.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from anyturn.translate.envelope import MAX_BYTES

Detail: TypeAlias = dict[str, Any]

TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"

# The member of each type that comes in pieces. A detail of any other type comes whole.
_WORDS = {TEXT: "text", SUMMARY: "summary", ENCRYPTED: "data"}
_IDENTITY = ("id", "format")

_encode = msgspec.json.Encoder(order="deterministic").encode


class ReasoningDetails:
    """The details of one answer, in the order in which they began."""

    __slots__ = ("_blocks", "_by_index", "_size")

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._by_index: dict[Any, _Block] = {}
        self._size = 0

    @property
    def is_too_large(self) -> bool:
        """Whether more came than a seal can hold; then nothing is kept."""
        return self._size > MAX_BYTES

    def add(self, pieces: Any) -> int:
        """Take the details of one chunk, or whole ones; returns about how many bytes they have.

        What is no list of objects is passed over.
        """
        before = self._size
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._add(piece)
        return self._size - before

    def whole(self) -> list[Detail]:
        """The details put together, without empty ones and without exact repeats."""
        told: dict[bytes, Detail] = {}
        for block in self._blocks:
            if block.says_anything:
                detail = block.whole()
                told.setdefault(_encode(detail), detail)
        return list(told.values())

    def _add(self, piece: Detail) -> None:
        try:
            self._size += len(_encode(piece))
        except RecursionError:
            return
        if self.is_too_large:
            self._blocks, self._by_index = [], {}
            return
        index = piece.get("index")
        if isinstance(index, int | str):
            block = self._by_index.get(index)
        else:
            index, block = None, self._blocks[-1] if self._blocks else None
        if block is not None and block.goes_on_with(piece):
            block.add(piece)
            return
        block = _Block(piece)
        self._blocks.append(block)
        if index is not None:
            self._by_index[index] = block


class _Block:
    """One detail, as far as it was told."""

    __slots__ = ("_is_closed", "_member", "_members", "_pieces")

    def __init__(self, piece: Detail) -> None:
        self._member = _words_member(piece)
        self._members = dict(piece)
        self._pieces: list[str] = []
        self._is_closed = False
        """Whether a signature came behind the words, which may stand in an earlier item: it holds
        for these words only."""
        self._take_words(piece)

    @property
    def says_anything(self) -> bool:
        if not self._member:
            return bool(self._members)
        return bool(self._pieces or self._members.get("signature"))

    def whole(self) -> Detail:
        if not self._pieces:
            return self._members
        return {**self._members, self._member: "".join(self._pieces)}

    def goes_on_with(self, piece: Detail) -> bool:
        """Whether a piece under the same index is more of this block, or the same again."""
        if not self._member or piece.get("type") != self._members.get("type"):
            return False
        if _words_member(piece) != self._member or not self._is_same(piece, _IDENTITY):
            return False
        if self._members.get("type") == ENCRYPTED:
            # It comes whole as a rule, and two in a row would both be ruined.
            return bool(piece.get("id") and self._members.get("id"))
        if not self._is_same(piece, ("signature",)):
            return False
        return not self._is_closed or bool(piece.get("signature"))

    def add(self, piece: Detail) -> None:
        """Take a piece that goes on with this block."""
        for name, value in piece.items():
            if name != self._member and self._members.get(name) in (None, ""):
                self._members[name] = value
        if not self._is_repeat(piece):
            self._take_words(piece)

    def _is_same(self, piece: Detail, names: tuple[str, ...]) -> bool:
        """Whether nothing that both tell differs."""
        told = [(self._members.get(name), piece.get(name)) for name in names]
        return all(mine == theirs for mine, theirs in told if mine and theirs)

    def _is_repeat(self, piece: Detail) -> bool:
        """Whether a block that was whole is told again (Q25: equal deltas alone prove nothing)."""
        words = piece.get(self._member)
        is_whole = self._is_closed or self._members.get("type") == ENCRYPTED
        return bool(words) and is_whole and words == "".join(self._pieces)

    def _take_words(self, piece: Detail) -> None:
        if self._member and (words := piece.get(self._member)):
            self._pieces.append(words)
        if piece.get("signature") and (self._pieces or self._member not in piece):
            self._is_closed = True


def _words_member(piece: Detail) -> str:
    """The member that holds the words of a piece; empty where the piece can only be whole."""
    kind = piece.get("type")
    if kind is None:
        member = "text" if "text" in piece else ""
    else:
        member = _WORDS.get(kind, "") if isinstance(kind, str) else ""
    return member if isinstance(piece.get(member), str | None) else ""
