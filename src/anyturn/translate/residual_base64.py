"""Base64 that tools print into their text output, cut out before it is read as words (F10, F12).

A screenshot of 80 kB that a tool prints as text is 100,000 tokens of noise, and the context is
full. What is cut must be beyond doubt: a `data:` URL, or a run whose letters are spread as only
base64 spreads them. Prose, hex dumps, minified code and lists of paths stay as they are.
"""

from __future__ import annotations

import re

import msgspec

# About 4,000 tokens: what is shorter may be what the model is working on.
MIN_CHARACTERS = 16 * 1024

# Lines of 60 characters and more: MIME and PEM wrap at 64 or 76, and tools not at all.
_LINE = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{60,}")
_LINE_ENDS = ("\n", "\r\n")
_PADDING = re.compile(r"(?:\r?\n[A-Za-z0-9+/]{1,99})?={1,2}")
_DATA_URL = re.compile(r"data:([\w.+/-]{0,80})(?:;[\w.=-]{1,40}){0,3};base64,\Z")
_DATA_URL_MAX = 220

_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWER = _UPPER.lower()
_DIGITS = b"0123456789"


class _Run(msgspec.Struct):
    """Lines of base64 that belong together; `line` is the length of all but the last."""

    start: int
    end: int
    line: int
    ended: bool = False


def cut_base64(text: str) -> tuple[str, int]:
    """Replace long base64 in a text by a note of its size; also give the characters left out.

    The same text gives the same result, and one without such runs comes back as it is.
    """
    if len(text) < MIN_CHARACTERS:
        return text, 0
    pieces, behind, left_out = [], 0, 0
    for run in _runs(text):
        if run.end - run.start < MIN_CHARACTERS:
            continue
        media = _media_type(text, run.start)
        if media is None and not _looks_like_base64(text[run.start : run.end]):
            continue
        padding = _PADDING.match(text, run.end)
        end = padding.end() if padding else run.end
        what = f"base64 of {media}" if media else "base64"
        note = f"[{end - run.start:,} characters of {what} left out]"
        pieces += [text[behind : run.start], note]
        behind, left_out = end, left_out + end - run.start
    return "".join([*pieces, text[behind:]]) if pieces else text, left_out


def _runs(text: str) -> list[_Run]:
    """The runs of base64 characters, lines of the same length joined."""
    runs: list[_Run] = []
    for found in _LINE.finditer(text):
        start, end = found.span()
        last = runs[-1] if runs else None
        if last and _continues(last, text, start, end):
            last.ended, last.end = end - start < last.line, end
        else:
            runs.append(_Run(start, end, end - start))
    return runs


def _continues(run: _Run, text: str, start: int, end: int) -> bool:
    return not run.ended and end - start <= run.line and text[run.end : start] in _LINE_ENDS


def _media_type(text: str, start: int) -> str | None:
    """The media type of the data URL whose base64 begins at `start`; None when it is none."""
    found = _DATA_URL.search(text, max(0, start - _DATA_URL_MAX), start)
    return (found[1] or "text/plain") if found else None


def _looks_like_base64(run: str) -> bool:
    """Whether capitals, small letters and digits are as frequent as in base64 of any data.

    Random data has 41, 41 and 16 in a hundred. Words, names and hex have none of one kind or far
    too many of another.
    """
    data = run.encode()
    size = len(data)
    upper, lower, digits = (
        (size - len(data.translate(None, kind))) / size for kind in (_UPPER, _LOWER, _DIGITS)
    )
    spread = 0.2 < upper < 0.6 and 0.2 < lower < 0.6 and 0.06 < digits < 0.35
    return spread and len(set(data)) >= 48
