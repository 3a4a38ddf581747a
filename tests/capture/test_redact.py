from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.capture.redact import MASK, OWN_SEAL, Redactor, RunningText
from anyturn.capture.streams import Streams
from anyturn.translate.envelope import REASONING, seal
from anyturn.wire import responses as r

JSON = dict[str, Any]

# All made up.
SECRETS = {
    "openai": "sk-proj-Zk3vN8qLw2Rt7Yb5Xc9Md4Hf6Jg1",
    "openai, letters only": "sk-abcdefghijklmnopqrstuvwxyz",
    "anthropic": "sk-ant-api03-Pq7Rs8Tu9Vw0Xy1Za2Bc3",
    "groq": "gsk_9aB8cD7eF6gH5iJ4kL3mN2oP1q",
    "cerebras": "csk-4x8n2m6v9k3j5h7f1d0s8a6p2o4i",
    "ours": "any_7Kp2Xw9Qz4Rt6Yv8Bn3Mc5Ld1Fg0Hs2Jk4Lm6Np8Rq",
    "xai": "xai-T5y6U7i8O9p0A1s2D3f4G5h6",
    "google": "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
}
every_secret = pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)


def without(secret: str, value: Any) -> bool:
    return secret.encode() not in msgspec.json.encode(value)


@every_secret
@pytest.mark.parametrize(
    "text",
    ["{}", "my key is {}.", "KEY={}", "a\n{}\nb", '{{"k":"x\\n{}"}}', "({})", "https://h/?k={}&x"],
)
def test_a_key_is_known_by_its_form(secret: str, text: str) -> None:
    redacted = Redactor().text(text.format(secret))
    assert secret not in redacted
    assert MASK in redacted


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc123def456", "abc123def456"),
        ("curl -H 'Authorization: Basic dXNlcjpwdw=='", "dXNlcjpwdw=="),
        ("Cookie: session=1; theme=dark", "session=1"),
        ('{"password":"hunter2"}', "hunter2"),
        ('{\\"api_key\\": \\"tiny\\"}', "tiny"),
        ("OPENAI_API_KEY=whatever-it-is", "whatever-it-is"),
        ("postgres://ann:letmein@db/x", "letmein"),
        ("'chatgpt-account-id': 'acc-1'", "acc-1"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text: str, secret: str) -> None:
    assert secret not in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "the task-management-system-of-2024",
        "any_of_these_things_may_happen",
        "max_output_tokens: 1000",
        "http://localhost:8080/v1@x",
        "a risk-based approach",
        "ask-me-anything-about-the-weather-1",
        "Use Bearer tokens.",
        'print("Hello from a tool call that really ran")',
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "name",
    ["api_key", "apiKey", "Authorization", "cookie", "access_token", "account_id", "user",
     "safety_identifier", "x-codex-installation-id", "email", "organization_id"],
)  # fmt: skip
def test_what_stands_under_a_secret_name_goes(name: str) -> None:
    assert Redactor().value({"a": [{name: "tiny"}]}) == {"a": [{name: MASK}]}
    assert Redactor().value({name: ["tiny", 7]}) == {name: [MASK, MASK]}


def test_a_schema_that_speaks_of_passwords_stays() -> None:
    schema = {"properties": {"password": {"type": "string"}, "user": {"type": "string"}}}
    assert Redactor().value(schema) == schema


def test_the_keys_of_the_turn_are_known_whatever_they_look_like() -> None:
    redactor = Redactor(["correct-horse-battery", "any"])
    assert redactor.text("any correct-horse-battery staple") == f"any {MASK} staple"


def test_of_headers_only_the_harmless_ones_keep_their_values() -> None:
    headers = {"User-Agent": "codex/1", "Authorization": "Bearer x", "X-Whatever": "secret"}
    assert Redactor().headers(headers) == {
        "user-agent": "codex/1",
        "authorization": MASK,
        "x-whatever": MASK,
    }


def test_our_own_seals_stay_and_foreign_ones_are_cut() -> None:
    own = seal(REASONING, "x", {"text": "I think."})
    assert own is not None and own.startswith(OWN_SEAL)
    assert Redactor().value({"encrypted_content": own}) == {"encrypted_content": own}
    cut = Redactor().value({"encrypted_content": "gAAAA" + "x" * 500})["encrypted_content"]
    assert cut.startswith("<cut: 505 characters, sha256 ")


@every_secret
def test_a_seal_of_ours_with_a_secret_in_it_is_cut(secret: str) -> None:
    own = seal(REASONING, "x", {"text": f"The key is {secret}"})
    assert Redactor().value({"encrypted_content": own})["encrypted_content"].startswith("<cut")


@pytest.mark.parametrize("blob", [OWN_SEAL, OWN_SEAL + "reasoning.0.%%%", OWN_SEAL + "r.c.eJw="])
def test_a_damaged_seal_is_cut(blob: str) -> None:
    assert Redactor().value({"encrypted_content": blob})["encrypted_content"].startswith("<cut")


# ---------------------------------------------------------------- planted anywhere

words = st.text(max_size=20)
planted = st.sampled_from(list(SECRETS.values()))
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), words, st.just("\0")),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=12,
)


def plant(value: Any, secret: str) -> Any:
    """Put the secret wherever a zero stands, and into every name and every text, as a word."""
    if isinstance(value, dict):
        return {f"{name} {secret}": plant(one, secret) for name, one in value.items()}
    if isinstance(value, list):
        return [plant(one, secret) for one in [*value, "\0"]]
    return f"{value}\n{secret} {value}" if isinstance(value, str) else value


@given(documents, planted)
def test_a_key_planted_anywhere_is_never_written(document: Any, secret: str) -> None:
    assert without(secret, Redactor().value(plant([document], secret)))


@given(documents, planted)
def test_a_key_inside_json_inside_a_text_is_never_written(document: Any, secret: str) -> None:
    inner = msgspec.json.encode(plant([document], secret)).decode()
    assert without(secret, Redactor().value({"arguments": inner, "output": [{"text": inner}]}))


plain = st.recursive(
    st.one_of(st.none(), st.integers(-(2**53), 2**53), st.text('abc "\\\n\u00e9\u2028')),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text("xyz\n", max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_what_holds_no_secret_stays_as_it_is(document: Any) -> None:
    assert msgspec.json.encode(Redactor().value(document)) == msgspec.json.encode(document)


FRAGMENTS = (
    *(
        "sk",
        "csk",
        "gsk",
        "pk",
        "rk",
        "xai",
        "nvapi",
        "pplx",
        "hf",
        "r8",
        "fw",
        "tgp",
        "ghp",
        "gho",
    ),
    *(
        "ghs",
        "glpat",
        "github_pat",
        "any_",
        "AIza",
        "AKIA",
        "ASIA",
        "xoxb-",
        "eyJ",
        "Bearer",
        "bearer",
    ),
    *(
        "https",
        "://",
        ":",
        "@",
        "user",
        "proxy-",
        "authorization",
        "Authorization",
        "x-api-key",
        "api",
    ),
    *(
        "access",
        "refresh",
        "id",
        "auth",
        "session",
        "token",
        "cookie",
        "cookies",
        "client",
        "secret",
    ),
    *("private", "key", "KEY", "\u212aey", "TOKEN", "SECRET", "PASSWORD", "password", "passwd"),
    *(
        "set-cookie",
        "chatgpt",
        "account",
        "safety",
        "identifier",
        "-----BEGIN RSA PRIVATE KEY-----",
    ),
    *(
        "-",
        "_",
        "=",
        " ",
        "\t",
        "\n",
        '"',
        "'",
        "\\",
        "\\n",
        ".",
        "/",
        "a",
        "7",
        "A1b2C3d4E5f6G7h8",
    ),
    *("correct-ho", "correct-horse-battery"),
)


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_what_is_not_suspicious_holds_nothing(text: str) -> None:
    redactor = Redactor(["correct-horse-battery"])
    found = [form.pattern for form in redactor._forms if form.search(text)]
    assert not found or redactor.is_suspicious(text)


def test_every_form_can_be_found_by_that_test() -> None:
    """What the fragments are put together to, once for each form."""
    redactor = Redactor(["correct-horse-battery"])
    texts = [
        *("sk_A1b2C3d4E5f6G7h8", "sk-A1b2C3d4E5f6G7h8", "any_A1b2C3d4E5f6G7h8"),
        *("AKIAA1b2C3d4E5f6G7h8", "xoxb-A1b2C3d4E5f6G7h8", "Bearer A1b2C3d4E5f6G7h8"),
        *("eyJA1b2C3d4E5f6G7h8.A1b2C3d4E5f6G7h8", "https://user:a@", '"api_key":"a'),
        *("authorization: a", "API_KEY=A1b2C3d4E5f6G7h8", "correct-horse-battery"),
        *("correct-horse-battery7", "-----BEGIN RSA PRIVATE KEY-----a", "api_\u212aey"),
    ]
    for form in redactor._forms:
        assert any(form.search(text) for text in texts), form.pattern


@given(documents, planted)
def test_a_body_is_redacted_as_data_is_also_when_it_comes_again(document: Any, secret: str) -> None:
    body = {"input": [document, plant([document], secret)], "user": "ann", "tools": [document]}
    redactor, text = Redactor(), msgspec.json.encode(body)
    expected = redactor.value(msgspec.json.decode(text))
    for _ in range(2):
        assert msgspec.json.decode(redactor.json(text)) == expected


def test_a_text_that_looks_like_an_object_does_not_excuse_the_object() -> None:
    redactor, inner = Redactor(), '{"user":"ann"}'
    assert redactor.text(inner) == inner
    assert b"ann" not in redactor.json(b'{"input":[{"user":"ann"}]}')


# ---------------------------------------------------------------- in pieces


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


# So much of a key may be written before it is known to be one.
KNOWN_BY = 24


@given(planted, st.text("abc \n.", max_size=200), st.lists(st.integers(0, 400), max_size=30))
def test_a_key_that_comes_in_pieces_is_recognised(
    secret: str, before: str, cuts: list[int]
) -> None:
    running = RunningText(Redactor())
    out = "".join(running.feed(piece) for piece in split(f"{before} {secret} and on", cuts))
    assert secret[: KNOWN_BY + 4] not in out
    assert secret[-6:] not in out
    assert out.endswith(" and on")


def delta(text: str, number: int, item: str = "msg_1") -> r.Event:
    return r.TextDelta(item, 0, 0, text, number)


@given(planted, st.lists(st.integers(0, 100), max_size=12), st.lists(st.integers(1, 4), min_size=1))
def test_a_key_in_the_deltas_of_events_is_not_written(
    secret: str, cuts: list[int], sizes: list[int]
) -> None:
    pieces = split(f"It is {secret}, he said.", cuts)
    streams = Streams(Redactor())
    out = ""
    while pieces:
        size = sizes[len(pieces) % len(sizes)]
        batch, pieces = pieces[:size], pieces[size:]
        told = msgspec.json.decode(streams.events([[delta(one, 1)] for one in batch]))
        out += "".join(event["delta"] for events in told for event in events)
    assert secret[-6:] not in out
    assert out.startswith("It is ") and out.endswith(", he said.")


def frame(text: str, index: int | None = None) -> str:
    said: JSON = {"content": text}
    if index is not None:
        said = {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
    chunk = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": said, "finish_reason": None}]}
    return f"data: {msgspec.json.encode(chunk).decode()}\n\n"


def words_of(frames: list[str]) -> str:
    out = ""
    for one in "".join(frames).split("\n\n"):
        if one:
            said = msgspec.json.decode(one.removeprefix("data: "))["choices"][0]["delta"]
            calls = said.get("tool_calls")
            out += calls[0]["function"]["arguments"] if calls else said["content"]
    return out


@given(
    planted,
    st.text("abc \n.", max_size=300),
    st.lists(st.integers(0, 400), max_size=20),
    st.lists(st.integers(1, 4), min_size=1),
    st.booleans(),
)
def test_a_key_in_the_chunks_of_a_provider_is_not_written(
    secret: str, before: str, cuts: list[int], sizes: list[int], called: bool
) -> None:
    whole = f"{before} It is {secret}, he said."
    frames = [frame(piece, 0 if called else None) for piece in split(whole, cuts)]
    streams, out = Streams(Redactor()), []
    while frames:
        size = sizes[len(frames) % len(sizes)]
        batch, frames = frames[:size], frames[size:]
        out += streams.frames(batch)
    assert secret[-6:] not in words_of(out)
    assert words_of(out).startswith(before)


def test_chunks_without_secrets_stay_byte_for_byte() -> None:
    texts = [frame(f" tok{n}") for n in range(300)]
    texts += [': comment\n\ndata: {"odd" :  1}\r\n\r\n', "data: [DONE]\n\n"]
    streams = Streams(Redactor())
    assert streams.frames(texts) == texts
    assert streams.frames(["data: the token is an account\n\n"]) != []
    assert streams.frames(texts) == texts


def test_a_key_that_calls_write_in_turns_is_not_written() -> None:
    secret = SECRETS["openai"]
    a, b = secret[:14], secret[14:]
    texts = [frame(" x"), frame(f"it is {a}", 0), frame(f"it is {a}", 1), frame(b, 0), frame(b, 1)]
    out = Streams(Redactor()).frames(texts)
    assert b not in "".join(out)


def responses_stream(texts: list[list[str]], order: list[int]) -> list[str]:
    """A Responses stream whose items take turns as `order` says, each from added to done."""
    events: list[JSON] = []
    left = [[f"added {n}", *pieces, f"done {n}"] for n, pieces in enumerate(texts)]
    turns = order + [n for n, pieces in enumerate(left) for _ in pieces]
    for number, n in enumerate(turns):
        if not left[n]:
            continue
        piece = left[n].pop(0)
        kind, _, whole = piece.partition(" ")
        event: JSON = {"type": "response.output_text.delta", "sequence_number": number}
        if whole == str(n) and kind in ("added", "done"):
            event["type"] = f"response.output_item.{kind}"
        event |= {"item_id": f"msg_{n}", "output_index": n}
        if not event["type"].startswith("response.output_item"):
            event["delta"] = piece
        events.append(event)
    return [f"data: {msgspec.json.encode(event).decode()}\n\n" for event in events]


@given(
    planted,
    st.lists(st.integers(0, 60), max_size=20),
    st.lists(st.integers(0, 1), max_size=60),
    st.lists(st.integers(1, 4), min_size=1),
)
def test_a_key_in_an_item_of_a_responses_stream_is_not_written(
    secret: str, cuts: list[int], order: list[int], sizes: list[int]
) -> None:
    """Whether items come one after the other or take turns, and whatever is redacted at once."""
    frames = responses_stream([split(f"It is {secret}.", cuts), list("The other one.")], order)
    streams, out = Streams(Redactor()), []
    while frames:
        size = sizes[len(frames) % len(sizes)]
        batch, frames = frames[:size], frames[size:]
        out += streams.frames(batch)
    events = [msgspec.json.decode(one.removeprefix("data: ")) for one in out]
    said = ["".join(e.get("delta", "") for e in events if e["output_index"] == n) for n in (0, 1)]
    assert secret[-6:] not in said[0]
    # What follows a key directly may be taken for more of it.
    assert said[1].endswith(" one.")


@given(planted, st.lists(st.integers(0, 60), max_size=9), st.lists(st.integers(1, 4), min_size=1))
def test_a_key_that_begins_an_item_is_known_whatever_the_item_before_ends_with(
    secret: str, cuts: list[int], sizes: list[int]
) -> None:
    frames = responses_stream([["One item ends wit", "h"], split(f"{secret}.", cuts)], [])
    streams, out = Streams(Redactor()), []
    while frames:
        size = sizes[len(frames) % len(sizes)]
        batch, frames = frames[:size], frames[size:]
        out += streams.frames(batch)
    events = [msgspec.json.decode(one.removeprefix("data: ")) for one in out]
    said = "".join(e.get("delta", "") for e in events if e["output_index"] == 1)
    assert secret[-6:] not in said


def test_a_key_in_escapes_of_json_is_not_written() -> None:
    secret = SECRETS["groq"]
    escaped = "".join(f"\\u{ord(c):04x}" for c in secret)
    out = Streams(Redactor()).frames([f'data: {{"x": "{escaped}"}}\n\n'])
    assert secret not in msgspec.json.decode(out[0].removeprefix("data: "))["x"]
    assert escaped not in out[0]


def test_a_foreign_seal_in_a_stream_is_cut() -> None:
    blob = base64.b64encode(b"x" * 300).decode()
    out = Streams(Redactor()).frames([f'data: {{"encrypted_content":"{blob}"}}\n\n'])
    assert blob not in out[0] and "<cut: 400 characters" in out[0]
