from __future__ import annotations

import copy

import msgspec
import pytest

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.failures import failure_from_http
from anyturn.translate.image_refusals import refuses_images, without_images
from anyturn.translate.responses_to_chat import ChatRequest, convert_request
from anyturn.translate.tools import convert_tools
from anyturn.wire.profile import Profile
from support.chat_requests import EVERYTHING
from support.strict_providers import PROFILES, provider_refusal

PROFILE = Profile(name="acme", title="Acme")


def refusal(status: int, message: str) -> bool:
    body = msgspec.json.encode({"error": {"message": message, "type": "t", "code": None}})
    return refuses_images(failure_from_http(status, body, {}, PROFILE))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "messages[1]: unknown variant `image_url`, expected `text` at line 1 column 200"),
        (422, "Failed to deserialize the JSON body: unknown variant `image_url`, expected `text`"),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (400, "messages[1].content must be a string"),
        (400, "'messages.1' : for 'role:user' the following must be satisfied"
              "[('messages.1.content' : value must be a string)]"),
        (404, "No endpoints found that support image input"),
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (400, "acme/model is not a multimodal model"),
        (400, "At most 0 image(s) may be provided in one prompt."),
        (400, "Image input is not enabled for this model"),
        (400, "Model does not support images. Please use a model that does."),
        (400, "This model doesn't support image inputs"),
        (500, "this model is missing data required for image input"),
        (400, "Images are not supported by this model."),
    ],
)  # fmt: skip
def test_a_provider_says_in_many_ways_that_it_takes_no_images_f11(
    status: int, message: str
) -> None:
    assert refusal(status, message)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Invalid image_url: the image could not be downloaded."),
        (400, "Error while downloading https://example.com/a.png, image not supported."),
        (400, "Unsupported image format: the image type webp is not supported"),
        (400, "The image size is not supported"),
        (400, "Only images smaller than 5 MB are supported"),
        (400, "tool_choice is not supported"),
        (400, "'type' of tool must be 'function'"),
        (401, "images are not supported"),
        (429, "images are not supported"),
        (400, "This model's maximum context length is 8192 tokens; images are not supported"),
    ],
)
def test_other_refusals_are_no_reason_to_leave_images_out_f11(status: int, message: str) -> None:
    assert not refusal(status, message)


def chat(*content: object) -> ChatRequest:
    messages = [{"role": "system", "content": "Be brief."}, *content]
    tools = convert_tools([], PROFILE, Adaptations()).map
    return ChatRequest({"model": "m", "messages": messages}, tools, Adaptations())


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
LEFT_OUT = "[image left out: this model takes no images]"


def test_a_sentence_stands_where_an_image_was_and_the_loss_is_told_once_f11() -> None:
    words = {"type": "text", "text": "see"}
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:x;base64,AA=="}}
    before = chat(
        {"role": "user", "content": [words, IMAGE, IMAGE]},
        {"role": "user", "content": [IMAGE, file]},
        {"role": "user", "content": "plain"},
    )
    kept = copy.deepcopy(before.body)
    after = without_images(before, PROFILE)
    assert after is not None
    assert [message["content"] for message in after.body["messages"]] == [
        "Be brief.",
        f"see\n{LEFT_OUT}\n{LEFT_OUT}",
        [{"type": "text", "text": LEFT_OUT}, file],
        "plain",
    ]
    (told,) = after.adaptations
    assert (told.rule, told.lossy) == ("content.image_left_out", True)
    assert told.what == "Acme refused images; it was asked again without 3"
    assert before.body == kept and before.adaptations is after.adaptations


def test_where_no_image_is_there_is_nothing_to_leave_out() -> None:
    assert without_images(chat({"role": "user", "content": "Hi"}), PROFILE) is None


@pytest.mark.parametrize("profile", [p for p in PROFILES if p.user_images], ids=lambda p: p.name)
def test_a_request_without_its_images_is_valid_for_every_provider_i8_f11(profile: Profile) -> None:
    after = without_images(convert_request(copy.deepcopy(EVERYTHING), profile, "m"), profile)
    assert after is not None
    assert b"image_url" not in after.encode()
    assert provider_refusal(after.body, profile) is None
