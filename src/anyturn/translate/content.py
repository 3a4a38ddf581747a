"""Content parts: what a Responses message or tool output holds, as Chat content.

Text stays text. Images, files and audio go where the provider takes them; where it does not, a
sentence stands in their place and the loss is reported (F10, F11, Q69, Q70).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.residual_base64 import cut_base64
from anyturn.wire.profile import Profile

_TEXT_TYPES = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
# OpenAI knows "low", "high" and "auto"; Codex also sends "original" (Q70).
_DETAILS = frozenset({"low", "high", "auto"})


def bad_field(place: str, expected: str, found: Any) -> TurnError:
    """The error for a request field of the wrong form."""
    shown = repr(found) if isinstance(found, str | int | float | bool) else type(found).__name__
    return TurnError(
        Kind.INVALID_REQUEST,
        f"Invalid request: {place} must be {expected}, not {shown[:80]}.",
        param=place,
    )


def convert_content(
    content: Any, place: str, profile: Profile, adaptations: Adaptations
) -> list[dict[str, Any]]:
    """Read a string or a list of parts into Chat parts, neighbouring texts joined with LF.

    Empty texts are left out: several providers refuse a message of nothing.
    Raises `TurnError` (INVALID_REQUEST) for a part that has no known type or form.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise bad_field(place, "a string or a list of parts", content)
    parts = [
        _convert_part(part, f"{place}[{position}]", profile, adaptations)
        for position, part in enumerate(content)
    ]
    return join_texts([part for part in parts if part.get("text") != ""])


def join_texts(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join neighbouring text parts with LF."""
    joined: list[dict[str, Any]] = []
    for is_text, run in groupby(parts, lambda part: part["type"] == "text"):
        if is_text:
            joined.append({"type": "text", "text": "\n".join(part["text"] for part in run)})
        else:
            joined += run
    return joined


def as_string_or_parts(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A plain string where only text is there: the form that every provider takes."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def text_of(content: Any, place: str) -> str:
    """The text of an assistant message or of reasoning, refusals included.

    Raises `TurnError` (INVALID_REQUEST) for anything that is not text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise bad_field(place, "a string or a list of parts", content)
    return "".join(part_text(part, f"{place}[{n}]") for n, part in enumerate(content))


def part_text(part: Any, place: str) -> str:
    """The text of one part; raises `TurnError` (INVALID_REQUEST) when it is not text."""
    if not isinstance(part, dict):
        raise bad_field(place, "an object", part)
    kind = part.get("type")
    if kind == "refusal":
        return _string(part, "refusal", place)
    if isinstance(kind, str) and kind in _TEXT_TYPES:
        return _string(part, "text", place)
    raise bad_field(f"{place}.type", "output_text or refusal", kind)


def _convert_part(
    part: Any, place: str, profile: Profile, adaptations: Adaptations
) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise bad_field(place, "an object", part)
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise bad_field(f"{place}.type", "one of " + ", ".join(sorted(_KNOWN)), kind)
    if kind in _CONVERTERS:
        return _CONVERTERS[kind](part, place, profile, adaptations)
    return {"type": "text", "text": part_text(part, place)}


def _convert_image(
    part: dict[str, Any], place: str, profile: Profile, adaptations: Adaptations
) -> dict[str, Any]:
    url = part.get("image_url")
    if isinstance(url, dict):  # Chat clients nest it.
        url = url.get("url")
    if url is not None and not isinstance(url, str):
        raise bad_field(f"{place}.image_url", "a URL", url)
    if not url:
        return _stand_in("image", place, "it is stored at OpenAI under a file_id", adaptations)
    if not profile.user_images:
        return _stand_in("image", place, "this model reads text only", adaptations)
    if not profile.image_urls and not url.startswith("data:"):
        return _stand_in("image", place, f"{profile.label} takes no image addresses", adaptations)
    image = {"url": url}
    detail = part.get("detail")
    if detail is not None and not isinstance(detail, str):
        raise bad_field(f"{place}.detail", "a string", detail)
    if detail in _DETAILS:
        image["detail"] = detail
    elif detail:
        adaptations.note("content.detail", f"{place}.detail", f"{detail[:20]!r} is unknown there")
    return {"type": "image_url", "image_url": image}


def _convert_file(
    part: dict[str, Any], place: str, profile: Profile, adaptations: Adaptations
) -> dict[str, Any]:
    name = part.get("filename") or "file"
    if not isinstance(name, str):
        raise bad_field(f"{place}.filename", "a string", name)
    if not profile.user_files:
        return _stand_in("file", place, f"{profile.label} takes no files", adaptations, name)
    if isinstance(data := part.get("file_data"), str):
        return {"type": "file", "file": {"filename": name, "file_data": data}}
    if isinstance(file_id := part.get("file_id"), str):
        return {"type": "file", "file": {"file_id": file_id}}
    return _stand_in("file", place, "Chat Completions takes no file addresses", adaptations, name)


def _convert_audio(
    part: dict[str, Any], place: str, profile: Profile, adaptations: Adaptations
) -> dict[str, Any]:
    if not profile.user_audio:
        return _stand_in("audio", place, f"{profile.label} takes no audio", adaptations)
    audio = part.get("input_audio")
    if not isinstance(audio, dict):
        raise bad_field(f"{place}.input_audio", "an object", audio)
    return {"type": "input_audio", "input_audio": audio}


def _convert_video(
    part: dict[str, Any], place: str, profile: Profile, adaptations: Adaptations
) -> dict[str, Any]:
    return _stand_in("video", place, "Chat Completions takes no videos", adaptations)


def _convert_sealed(
    part: dict[str, Any], place: str, profile: Profile, adaptations: Adaptations
) -> dict[str, Any]:
    return _stand_in("content", place, "it is encrypted for another provider", adaptations)


def _stand_in(
    what: str, place: str, why: str, adaptations: Adaptations, name: object = ""
) -> dict[str, Any]:
    adaptations.loss(f"content.{what}_left_out", place, f"the {what} was left out: {why}")
    named = f" {name}" if name else ""
    return {"type": "text", "text": f"[{what}{named} left out: {why}]"}


def _string(part: dict[str, Any], key: str, place: str) -> str:
    value = part.get(key)
    if not isinstance(value, str):
        raise bad_field(f"{place}.{key}", "a string", value)
    return value


_CONVERTERS = {
    "input_image": _convert_image,
    "image_url": _convert_image,
    "input_file": _convert_file,
    "input_audio": _convert_audio,
    "input_video": _convert_video,
    "encrypted_content": _convert_sealed,
}
_KNOWN = _TEXT_TYPES | _CONVERTERS.keys() | {"refusal"}


def convert_output(
    output: Any, place: str, profile: Profile, adaptations: Adaptations
) -> tuple[str, list[dict[str, Any]]]:
    """A tool's output as the text of its tool message, and the media that must follow it.

    Chat tool messages hold text only (F10), and long base64 is no text. An output that is neither
    a string nor a list of parts is kept as JSON text (F12): the chunks of a `shell_call_output`,
    for instance. Raises `TurnError` (INVALID_REQUEST) for a part of unknown type or form.
    """
    if isinstance(output, str):
        return _without_base64(output, place, adaptations), []
    if not isinstance(output, list) or not all(isinstance(p, dict) and "type" in p for p in output):
        adaptations.note("content.output_as_json", place, "neither text nor parts; sent as JSON")
        return _without_base64(msgspec.json.encode(output).decode(), place, adaptations), []
    parts = convert_content(output, place, profile, adaptations)
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    text = _without_base64(text, place, adaptations)
    media = [part for part in parts if part["type"] != "text"]
    if media and not text:
        text = "[the content follows in the next message]"
    return text, media


def _without_base64(text: str, place: str, adaptations: Adaptations) -> str:
    kept, left_out = cut_base64(text)
    if left_out:
        adaptations.loss(
            "content.base64_left_out", place, f"{left_out:,} characters of base64 were left out"
        )
    return kept
