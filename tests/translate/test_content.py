from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.content import (
    as_string_or_parts,
    bad_field,
    convert_content,
    convert_output,
    part_text,
    text_of,
)
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

GENERIC = Profile(name="generic", title="Generic")
TEXT_ONLY = Profile(name="text-only", user_images=False)
NO_ADDRESSES = Profile(name="ollama-like", title="Ollama", image_urls=False)
EVERYTHING = Profile(name="all", user_files=True, user_audio=True)

DATA_URL = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {"type": "input_image", "image_url": DATA_URL}


def text(words: str, kind: str = "input_text") -> JSON:
    return {"type": kind, "text": words}


def convert(content: Any, profile: Profile = GENERIC) -> tuple[list[JSON], Adaptations]:
    adaptations = Adaptations()
    return convert_content(content, "content", profile, adaptations), adaptations


def output(value: Any, profile: Profile = GENERIC) -> tuple[str, list[JSON], Adaptations]:
    adaptations = Adaptations()
    words, media = convert_output(value, "output", profile, adaptations)
    return words, media, adaptations


def reported(adaptations: Adaptations) -> list[tuple[str, str, bool]]:
    return [(a.rule, a.where, a.lossy) for a in adaptations]


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param(None, [], id="null"),
        pytest.param("", [], id="an empty string"),
        pytest.param([], [], id="no parts"),
        pytest.param([text("")], [], id="an empty text"),
        pytest.param("a", ["a"], id="a string"),
        pytest.param([text("a")], ["a"], id="one part"),
        pytest.param([text("a"), text("b")], ["a\nb"], id="neighbours are joined"),
        pytest.param([text("a"), text(""), text("b")], ["a\nb"], id="nothing between neighbours"),
        pytest.param([{"type": "refusal", "refusal": "No."}], ["No."], id="a refusal"),
        pytest.param([text("a", "output_text")], ["a"], id="output_text"),
        pytest.param([text("a", "text")], ["a"], id="text, as Chat calls it"),
        pytest.param([text("a", "reasoning_text")], ["a"], id="reasoning_text"),
    ],
)
def test_text_stays_text_and_neighbours_are_joined(content: Any, parts: list[str]) -> None:
    assert convert(content) == ([{"type": "text", "text": words} for words in parts], [])


def test_text_around_an_image_keeps_its_order() -> None:
    parts, adaptations = convert([text("before"), IMAGE, text(""), text("after")])
    assert [part["type"] for part in parts] == ["text", "image_url", "text"]
    assert adaptations == []


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param([text("a", "text")], "a", id="text alone is a string"),
        pytest.param([{"type": "image_url"}], [{"type": "image_url"}], id="an image is a part"),
        pytest.param(
            [text("a", "text"), {"type": "image_url"}],
            [text("a", "text"), {"type": "image_url"}],
            id="both",
        ),
    ],
)
def test_a_plain_string_is_sent_where_only_text_is_there(parts: list[JSON], content: Any) -> None:
    assert as_string_or_parts(parts) == content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "", id="null"),
        pytest.param("a", "a", id="a string"),
        pytest.param([text("a", "output_text"), text("b", "output_text")], "ab", id="parts"),
        pytest.param(
            [text("a", "output_text"), {"type": "refusal", "refusal": "No."}],
            "aNo.",
            id="a refusal is text too",
        ),
    ],
)
def test_the_text_of_an_assistant_is_joined_without_a_break(content: Any, words: str) -> None:
    assert text_of(content, "content") == words


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("part", "image"),
    [
        pytest.param(IMAGE, {"url": DATA_URL}, id="a data URL"),
        pytest.param(
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"url": "https://example.com/a.png"},
            id="an address",
        ),
        pytest.param({**IMAGE, "detail": "high"}, {"url": DATA_URL, "detail": "high"}, id="detail"),
        pytest.param({**IMAGE, "detail": None}, {"url": DATA_URL}, id="detail null"),
        pytest.param(
            {"type": "image_url", "image_url": {"url": DATA_URL}},
            {"url": DATA_URL},
            id="as in Chat",
        ),
    ],
)
def test_an_image_goes_as_it_came(part: JSON, image: JSON) -> None:
    assert convert([part]) == ([{"type": "image_url", "image_url": image}], [])


def test_the_detail_original_is_dropped_and_reported_q70() -> None:
    parts, adaptations = convert([{**IMAGE, "detail": "original"}])
    assert parts == [{"type": "image_url", "image_url": {"url": DATA_URL}}]
    assert reported(adaptations) == [("content.detail", "content[0].detail", False)]


@pytest.mark.parametrize(
    ("part", "profile", "why"),
    [
        pytest.param(IMAGE, TEXT_ONLY, "this model reads text only", id="F11"),
        pytest.param(
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            NO_ADDRESSES,
            "Ollama takes no image addresses",
            id="an address where only data is taken",
        ),
        pytest.param(
            {"type": "input_image", "file_id": "file_1"},
            GENERIC,
            "it is stored at OpenAI under a file_id",
            id="a file_id",
        ),
    ],
)
def test_an_image_that_cannot_be_sent_leaves_a_sentence_and_a_report_f11(
    part: JSON, profile: Profile, why: str
) -> None:
    parts, adaptations = convert([text("see"), part], profile)
    assert parts == [{"type": "text", "text": f"see\n[image left out: {why}]"}]
    assert reported(adaptations) == [("content.image_left_out", "content[1]", True)]


def test_a_data_url_goes_where_addresses_do_not() -> None:
    assert convert([IMAGE], NO_ADDRESSES)[0][0]["type"] == "image_url"


# ---------------------------------------------------------------- files, audio and the rest

FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        pytest.param(
            FILE,
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
            },
            id="file data",
        ),
        pytest.param(
            {"type": "input_file", "file_id": "file_1"},
            {"type": "file", "file": {"file_id": "file_1"}},
            id="file_id",
        ),
        pytest.param(AUDIO, AUDIO, id="audio"),
    ],
)
def test_files_and_audio_go_where_they_are_taken(part: JSON, sent: JSON) -> None:
    assert convert([part], EVERYTHING) == ([sent], [])


@pytest.mark.parametrize(
    ("part", "profile", "rule", "words"),
    [
        pytest.param(FILE, GENERIC, "content.file_left_out", "file a.pdf left out", id="a file"),
        pytest.param(AUDIO, GENERIC, "content.audio_left_out", "audio left out", id="audio"),
        pytest.param(
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
            EVERYTHING,
            "content.file_left_out",
            "file left out",
            id="a file's address",
        ),
        pytest.param(
            {"type": "input_video", "video_url": "https://example.com/a.mp4"},
            EVERYTHING,
            "content.video_left_out",
            "video left out",
            id="a video",
        ),
        pytest.param(
            {"type": "encrypted_content", "encrypted_content": "gAAAA"},
            EVERYTHING,
            "content.content_left_out",
            "content left out",
            id="sealed content",
        ),
    ],
)
def test_what_cannot_be_sent_leaves_a_sentence_and_a_report(
    part: JSON, profile: Profile, rule: str, words: str
) -> None:
    parts, adaptations = convert([part], profile)
    assert len(parts) == 1
    assert words in parts[0]["text"]
    assert reported(adaptations) == [(rule, "content[0]", True)]


# ---------------------------------------------------------------- tool outputs


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("done", "done", id="a string"),
        pytest.param("", "", id="an empty string"),
        pytest.param("[1, 2]", "[1, 2]", id="a string that looks like JSON"),
        pytest.param([], "", id="no parts"),
        pytest.param([text("done")], "done", id="one part"),
        pytest.param([text("a"), text("b")], "a\nb", id="several parts"),
    ],
)
def test_the_text_of_an_output_is_never_json_f12(value: Any, words: str) -> None:
    assert output(value) == (words, [], [])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"stdout": "done", "n": [1]}, id="an object"),
        pytest.param(None, id="null"),
        pytest.param(5, id="a number"),
        pytest.param(["a", "b"], id="a list of strings"),
        pytest.param([{"stdout": "done", "outcome": {"type": "exit"}}], id="chunks of shell_call"),
    ],
)
def test_an_output_of_another_form_is_kept_as_json(value: Any) -> None:
    words, media, adaptations = output(value)
    assert msgspec.json.decode(words) == value
    assert media == []
    assert reported(adaptations) == [("content.output_as_json", "output", False)]


def test_images_of_an_output_are_taken_out_of_its_text_f10_q69() -> None:
    words, media, adaptations = output([text("a"), IMAGE, text("b"), IMAGE])
    assert words == "a\nb"
    assert media == [{"type": "image_url", "image_url": {"url": DATA_URL}}] * 2
    assert adaptations == []


def test_an_output_of_images_alone_says_where_they_are_f10() -> None:
    words, media, _ = output([IMAGE])
    assert words == "[the content follows in the next message]"
    assert len(media) == 1


def test_an_image_in_the_output_is_never_text_for_a_text_only_model_f10_f11() -> None:
    words, media, adaptations = output([text("a"), IMAGE], TEXT_ONLY)
    assert words == "a\n[image left out: this model reads text only]"
    assert media == []
    assert reported(adaptations) == [("content.image_left_out", "output[1]", True)]


PRINTED = "data:image/png;base64," + "iVBORw0KGgo1" * 3000


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PRINTED, id="a string"),
        pytest.param([text(PRINTED)], id="a part"),
        pytest.param({"stdout": PRINTED}, id="an object"),
    ],
)
def test_a_picture_that_a_tool_prints_is_cut_out_of_its_output_f10_f12(value: Any) -> None:
    words, media, adaptations = output(value)
    assert "data:image/png;base64,[36,000 characters of base64 of image/png left out]" in words
    assert len(words) < 200
    assert media == []
    assert ("content.base64_left_out", "output", True) in reported(adaptations)


def test_base64_that_a_user_writes_is_left_alone() -> None:
    assert convert(PRINTED) == ([{"type": "text", "text": PRINTED}], [])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param(5, "content", id="a number"),
        pytest.param({"type": "input_text"}, "content", id="one part without a list"),
        pytest.param(["a"], "content[0]", id="a string among the parts"),
        pytest.param([text("a"), None], "content[1]", id="null among the parts"),
        pytest.param([{}], "content[0].type", id="no type"),
        pytest.param([{"type": "hologram"}], "content[0].type", id="an unknown type"),
        pytest.param([{"type": {}}], "content[0].type", id="a type that is no string"),
        pytest.param([{"type": "input_text"}], "content[0].text", id="no text"),
        pytest.param([{"type": "refusal"}], "content[0].refusal", id="no refusal"),
        pytest.param(
            [{"type": "input_image", "image_url": 5}], "content[0].image_url", id="a number as URL"
        ),
        pytest.param([{**IMAGE, "detail": []}], "content[0].detail", id="a list as detail"),
        pytest.param(
            [{"type": "input_file", "filename": 5}], "content[0].filename", id="a number as name"
        ),
        pytest.param(
            [{"type": "input_audio", "input_audio": "AA"}],
            "content[0].input_audio",
            id="bare audio",
        ),
    ],
)
def test_malformed_content_is_refused_by_place(content: Any, place: str) -> None:
    with pytest.raises(TurnError) as caught:
        convert(content, EVERYTHING)
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, place)
    assert f"{place} must be " in caught.value.message


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param(5, "content", id="a number"),
        pytest.param(["a"], "content[0]", id="a string among the parts"),
        pytest.param([IMAGE], "content[0].type", id="an image"),
        pytest.param([{"type": []}], "content[0].type", id="a type that is no string"),
        pytest.param([{"type": "output_text", "text": 5}], "content[0].text", id="no text"),
    ],
)
def test_an_assistant_says_nothing_but_text(content: Any, place: str) -> None:
    with pytest.raises(TurnError) as caught:
        text_of(content, "content")
    assert caught.value.param == place


def test_an_output_part_of_unknown_type_is_refused_by_place() -> None:
    with pytest.raises(TurnError) as caught:
        output([text("a"), {"type": "hologram"}])
    assert caught.value.param == "output[1].type"


def test_one_part_can_be_read_by_itself() -> None:
    assert part_text(text("a", "summary_text"), "summary[0]") == "a"


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        pytest.param("x" * 500, repr("x" * 500)[:80], id="a long string is cut"),
        pytest.param(5, "5", id="a number"),
        pytest.param(True, "True", id="a truth"),
        pytest.param(None, "NoneType", id="null"),
        pytest.param({"a": 1}, "dict", id="an object"),
    ],
)
def test_a_refusal_shows_what_was_found(found: Any, shown: str) -> None:
    error = bad_field("input[3].content", "a string", found)
    assert error.message == f"Invalid request: input[3].content must be a string, not {shown}."
    assert error.kind.status == 400
