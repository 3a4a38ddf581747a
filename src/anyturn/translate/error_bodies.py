"""Error bodies, read: what a provider says went wrong, whatever the shape it says it in.

Every shape of chat-providers.md section 4 ends as one `Report`. Nothing is judged here; which
kind of failure a report is, `failures.py` says.
"""

from __future__ import annotations

import html
import re
from typing import Any, NamedTuple

import msgspec

# A larger body is no error message: it is not parsed, only its start is read as text.
MAX_PARSED_BYTES = 1024 * 1024
# Far above any error seen; what lies behind it is neither matched nor shown.
MAX_WORDS = 16_000
# Providers nest an error at most three deep (wrapper, list, object).
_MAX_DEPTH = 5
_MAX_DETAILS = 8
_MAX_NAMES = 8
_MAX_KEY = 300

_HTML = re.compile(r"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html|head|body)\b", re.I | re.S)
_TITLE = re.compile(r"<(title|h1)\b[^>]{0,200}>(.{0,300}?)</\1", re.I | re.S)
_KEY_END = re.compile(r"[^\s\"'`,;:<>(){}\[\]]+\Z")
_TAG = re.compile(r"<[^>]{0,200}>")

# The members that hold the words, best first: `msg` and `status_msg` are MiniMax's and the
# wrapping gateways', `title` stands beside `detail` in problem details (NIM).
_WORDS = ("message", "msg", "status_msg", "detail", "title")
_STATUSES = ("status_code", "http_code", "status", "code")
_NAMES = ("code", "type", "status", "status_code")


class Report(NamedTuple):
    """A provider's account of a failure.

    `words` are its own, unmasked and at most 16,000 characters, '' when it gave none. `names` are
    the machine-readable ones (`code`, `type`, `status` of the body), the most telling first.
    `status` is the error status that the body states (400 to 599), 0 when it states none.
    `page`: the body is an HTML page and `words` is its title.
    `failed_generation`: what the model wrote that the provider could not read, whole (Q29).
    """

    words: str = ""
    names: tuple[str, ...] = ()
    status: int = 0
    page: bool = False
    failed_generation: str = ""

    @property
    def said(self) -> str:
        """Everything that phrases are looked for in: the words, then the names."""
        return "\n".join((self.words, *self.names))


def read_body(body: bytes) -> Report:
    """Read a whole body: JSON of any shape, HTML, text or nothing. Never raises."""
    if len(body) <= MAX_PARSED_BYTES:
        try:
            value = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            return read_value(value)
    return _read_text(body[: 4 * MAX_WORDS].decode("utf-8", "replace"))


def read_value(value: Any) -> Report:
    """Read a decoded body or a part of one. Never raises."""
    report = _read(value, _MAX_DEPTH)
    return report._replace(
        words=_bounded(report.words), names=tuple(map(_bounded, report.names[:_MAX_NAMES]))
    )


def status_of(value: Any) -> int:
    """A number of 100 to 599, also as text ('429'), as the status it is; 0 for anything else."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value
    return 0


def _read_text(text: str) -> Report:
    if not _HTML.match(text[:2000]):
        return Report(words=_bounded(text.strip()))
    title = _TITLE.search(text)
    return Report(words=html.unescape(_TAG.sub("", title[2])).strip() if title else "", page=True)


def _read(value: Any, depth: int) -> Report:
    if depth == 0:
        return Report(words=_text(value))
    if isinstance(value, list):
        return _read_list(value, depth)
    if isinstance(value, dict):
        return _read_object(value, depth)
    return _read_text(_text(value))


def _read_list(values: list[Any], depth: int) -> Report:
    """Gemini puts its error into a list; validation servers list every fault (`msg`, `loc`)."""
    if values and all(isinstance(value, dict) and "loc" in value for value in values):
        return Report(words="; ".join(map(_validation_fault, values[:_MAX_DETAILS])))
    if values and all(isinstance(value, str) for value in values):
        return Report(words="; ".join(values[:_MAX_DETAILS]))
    return _read(values[0], depth - 1) if values else Report()


def _validation_fault(fault: dict[str, Any]) -> str:
    place = fault["loc"]
    path = ".".join(map(str, place[:_MAX_DETAILS])) if isinstance(place, list) else _text(place)
    words = _text(fault.get("msg") or fault.get("message") or fault.get("type"))
    return f"{path}: {words}" if path else words


def _read_object(value: dict[str, Any], depth: int) -> Report:
    """The innermost account wins; names and status may stand outside it (Cerebras, xAI)."""
    outer = _read_flat(value, depth)
    # `errors` comes with `success: false`, `base_resp` from MiniMax.
    for key in ("error", "errors", "base_resp"):
        if value.get(key) and value[key] is not True:
            return _join(_read(value[key], depth - 1), outer)
    if not outer.words and isinstance(value.get("data"), dict):
        return _join(_read(value["data"], depth - 1), outer)
    if value and outer == Report():
        # No shape that anybody documents: its JSON is the best there is.
        return Report(words=_text(value))
    return outer


def _read_flat(value: dict[str, Any], depth: int) -> Report:
    inner = Report()
    for key in _WORDS:
        if value.get(key):
            inner = _read(value[key], depth - 1)
            break
    names = (*inner.names, *_names(value))
    stated = (status_of(value.get(key)) for key in _STATUSES)
    status = next((status for status in stated if status >= 400), inner.status)
    generation = value.get("failed_generation")
    generation = generation if isinstance(generation, str) else inner.failed_generation
    return Report(_with_cause(inner.words, value), names, status, inner.page, generation)


def _names(value: dict[str, Any]) -> tuple[str, ...]:
    """The codes of one object, without those that only repeat a status."""
    found = (value.get(key) for key in _NAMES)
    names = [
        str(name)
        for name in found
        if isinstance(name, str | int) and not isinstance(name, bool) and not status_of(name)
    ]
    return tuple(dict.fromkeys(name for name in names if name not in ("", "error", "0")))


def _with_cause(words: str, value: dict[str, Any]) -> str:
    """OpenRouter says "Provider returned error" and hides the reason in `metadata.raw`."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{words}: {_text(raw)}" if raw else words


def _join(inner: Report, outer: Report) -> Report:
    return Report(
        inner.words or outer.words,
        tuple(dict.fromkeys(inner.names + outer.names)),
        inner.status or outer.status,
        inner.page,
        inner.failed_generation or outer.failed_generation,
    )


def _bounded(text: str) -> str:
    """Cut at `MAX_WORDS`, but not through the middle of what may be a key: half of one would not
    be recognised and masked."""
    if len(text) <= MAX_WORDS:
        return text
    sure = MAX_WORDS - _MAX_KEY
    return text[:sure] + _KEY_END.sub("", text[sure:MAX_WORDS])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return ""
