from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from anyturn.auth.gate import Caller, Gate
from anyturn.auth.key_file import KeyFile
from anyturn.server.admission import CALLER, Admission, secrets_in
from anyturn.store.memory import MemoryStore
from anyturn.testing import Answer, Refusal, openai_error, text
from anyturn.wire.profile import Profile
from support.authorization_server import claims, jwt
from support.http_clients import ASK, CODEX, JSON, KEY, SDK, STREAM

PAGE = "https://app.example.org"
EVIL = "https://evil.example"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def secret(keys: KeyFile) -> str:
    return keys.add("laptop")[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer KEY"}, id="bearer"),
        pytest.param({"Authorization": "bearer  KEY "}, id="small letters, blanks"),
        pytest.param({"x-api-key": "KEY"}, id="x-api-key"),
        pytest.param({"api-key": "KEY"}, id="api-key"),
        pytest.param({"Authorization": "Bearer other", "x-api-key": "KEY"}, id="one of two"),
        pytest.param({"Authorization": "Basic b3RoZXI6", "api-key": "KEY"}, id="beside Basic"),
    ],
)
@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "streamed"])
async def test_a_turn_with_a_key_is_answered(
    stage: Any, keys: KeyFile, secret: str, body: JSON, headers: dict[str, str]
) -> None:
    on = await stage(text("Hi."), keys_path=keys.path)
    sent = {name: value.replace("KEY", secret) for name, value in headers.items()}
    assert (await on.post(body, **sent)).status == 200
    # The client's key is for the gateway and goes no further.
    assert secret not in str(on.provider.requests[0].headers)


WRONG = {
    "none": {},
    "wrong": bearer(KEY),
    "empty": bearer(""),
    "another-scheme": {"Authorization": f"Basic {KEY}"},
    "without-a-scheme": {"Authorization": KEY},
    "no-utf8": bearer("\udcff\udcfe"),
    "x-api-key": {"x-api-key": KEY},
}
ROUTES = [
    ("POST", "/v1/responses"),
    ("POST", "/responses"),
    ("POST", "/v1/responses/compact"),
    ("GET", "/v1/responses"),
    ("GET", "/v1/models"),
    ("HEAD", "/v1/models"),
    ("GET", "/nothing"),
    ("OPTIONS", "/v1/models"),
    ("POST", "/health"),
    ("POST", "/"),
    ("GET", "//health"),
    ("GET", "/health/"),
]


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
async def test_a_wrong_key_is_refused_in_openais_envelope(
    stage: Any,
    keys: KeyFile,
    secret: str,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
) -> None:
    on = await stage(text("Hi."), keys_path=keys.path)
    with caplog.at_level(logging.DEBUG):
        reply = await on.post(ASK, **SDK, **headers)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert (reply.error["code"], reply.error["type"]) == (
        "invalid_api_key",
        "invalid_request_error",
    )
    for words in ("This gateway", "Authorization: Bearer", "any_", "anyturn keys add"):
        assert words in reply.error["message"]
    assert on.provider.requests == []
    for planted in (KEY[3:], secret[4:]):
        assert planted not in caplog.text + reply.raw.decode() + str(reply.headers)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_but_the_open_ones_needs_a_key(
    stage: Any, keys: KeyFile, secret: str, method: str, path: str
) -> None:
    on = await stage(keys_path=keys.path)
    assert (await on.call(method, path)).status == 401
    assert (await on.call(method, path, headers=bearer(secret))).status != 401


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("GET", "/"), ("HEAD", "/health")]
)
async def test_an_open_route_needs_none(
    stage: Any, keys: KeyFile, secret: str, method, path
) -> None:
    on = await stage(keys_path=keys.path)
    assert (await on.call(method, path)).status not in (400, 401, 403)


async def test_codex_is_told_with_a_status_that_it_does_not_retry(
    stage: Any, keys: KeyFile, secret: str
) -> None:
    """codex-cli.md section 8."""
    on = await stage(keys_path=keys.path)
    reply = await on.post(STREAM, **CODEX, **bearer(KEY))
    assert (reply.status, reply.error["code"]) == (400, "invalid_prompt")
    assert reply.error["type"] == "authentication_error"
    assert "does not know this key" in reply.error["message"]
    assert "needs a key" in (await on.post(STREAM, **CODEX)).error["message"]


async def test_a_key_counts_from_when_it_is_made_to_when_it_is_revoked(
    stage: Any, keys: KeyFile
) -> None:
    on = await stage(keys_path=keys.path)
    assert (await on.call("GET", "/v1/models")).status == 200
    _, secret = keys.add("laptop")
    assert (await on.call("GET", "/v1/models")).status == 401
    assert (await on.call("GET", "/v1/models", headers=bearer(secret))).status == 200
    keys.revoke("laptop")
    assert (await on.call("GET", "/v1/models", headers=bearer(secret))).status == 401


async def test_a_turn_that_runs_outlives_its_key(stage: Any, keys: KeyFile, secret: str) -> None:
    held = Answer(text("Hello there."), fragment=4, hold_after=1)
    on = await stage(held, keys_path=keys.path)
    async with on.open(STREAM, **bearer(secret)) as response:
        await response.content.readany()
        keys.revoke("laptop")
        on.provider.release(1)
        assert b"response.completed" in await response.content.read()


async def test_keys_that_cannot_be_read_are_not_the_clients_fault(
    stage: Any, keys: KeyFile
) -> None:
    on = await stage(keys_path=keys.path)
    keys.path.write_bytes(b"half a fi")
    reply = await on.post(ASK, **bearer(KEY))
    assert (reply.status, reply.error["source"]) == (400, "gateway")
    assert "cannot read its clients' keys" in reply.error["message"]


@pytest.mark.parametrize(("auth", "status"), [("auto", 200), ("off", 200), ("required", 401)])
async def test_without_a_key_it_is_the_option_that_decides(
    stage: Any, auth: str, status: int
) -> None:
    on = await stage(auth=auth)
    assert (await on.call("GET", "/v1/models", headers=bearer(KEY))).status == status


@pytest.mark.parametrize("headers", [{}, bearer("\udcff"), bearer(KEY)], ids=["no", "odd", "any"])
async def test_switched_off_keys_are_not_asked_for(
    stage: Any, keys: KeyFile, secret: str, headers: dict[str, str]
) -> None:
    on = await stage(text("Hi."), keys_path=keys.path, auth="off")
    assert (await on.post(ASK, **headers)).status == 200


def test_the_keys_that_are_sent_are_read_in_a_fixed_order() -> None:
    headers = {"api-key": "c", "x-api-key": " b ", "Authorization": "BEARER a"}
    assert secrets_in(headers) == ["a", "b", "c"]
    assert secrets_in({"Authorization": "Bearer", "api-key": " "}) == []


# ---------------------------------------------------------------- the caller


@pytest.fixture
async def whoami(keys: KeyFile) -> Any:
    """A server that answers with the caller of each request."""

    async def say(request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(request[CALLER]))

    app = web.Application()
    app.router.add_get("/{any:.*}", say)
    Admission(Gate(keys), host="127.0.0.1").install(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:

        async def ask(path: str = "/v1/models", **headers: str) -> Caller:
            async with http.get(url + path, headers=headers) as reply:
                return msgspec.json.decode(await reply.read(), type=Caller)

        yield ask
    await runner.cleanup()


async def test_with_keys_a_request_belongs_to_its_key(whoami: Any, keys: KeyFile) -> None:
    key, secret = keys.add("laptop")
    assert await whoami(**bearer(secret)) == Caller(key.id, "laptop")
    assert await whoami("/health") == Caller("", "")
    assert await whoami("/health", **bearer(secret)) == Caller(key.id, "laptop")


async def test_without_keys_a_request_belongs_to_whoever_sends_the_same(whoami: Any) -> None:
    one, other = await whoami(**bearer("one")), await whoami(**bearer("other"))
    assert await whoami() == Caller("", "")
    assert len({one.owner, other.owner, ""}) == 3
    assert await whoami(**{"x-api-key": "one"}) == one


def login(account: str = "acc-1", **more: Any) -> str:
    return jwt(claims(account, **more))


async def passing(stage: Any, *script: Any, **settings: Any) -> Any:
    """A gateway that asks its provider as whoever asks it."""
    own = Profile(name="own", auth="client", key_optional=True)
    return await stage(*script, profile="own", providers={"own": own}, **settings)


async def test_a_clients_own_login_is_sent_on_and_nothing_keeps_it(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store, token = MemoryStore(), login()
    on = await passing(stage, text("Hi."), store=store)
    sent = {**bearer(token), "chatgpt-account-id": "acc-1", "x-other": "mine"}
    assert (await on.post({**ASK, "store": True}, **sent)).status == 200
    got = on.provider.requests[0].headers
    assert (got["Authorization"], got["chatgpt-account-id"]) == (f"Bearer {token}", "acc-1")
    assert "x-other" not in got
    assert token not in caplog.text
    assert (await store.stats()).items > 0
    assert token not in repr(vars(store))


async def test_an_account_finds_its_responses_again_with_a_new_token(stage: Any) -> None:
    on = await passing(stage, text("Hi."), store=MemoryStore())
    body = {**ASK, "store": True}
    id = (await on.post(body, **bearer(login(exp=1)))).json["id"]
    path = f"/v1/responses/{id}"
    assert (await on.call("GET", path, headers=bearer(login(exp=2)))).status == 200
    for other in (login("acc-2"), login(user="other"), "opaque"):
        assert (await on.call("GET", path, headers=bearer(other))).status == 404


async def test_without_a_login_of_its_own_a_client_is_told(stage: Any) -> None:
    on = await passing(stage, text("Hi."))
    reply = await on.post(ASK)
    assert reply.status == 400
    assert "the client's own login" in reply.error["message"]
    assert on.provider.requests == []


async def test_beside_a_login_the_gateways_key_stays_here(
    stage: Any, keys: KeyFile, secret: str
) -> None:
    on = await passing(stage, text("Hi."), keys_path=keys.path)
    assert (await on.post(ASK, **bearer(login()))).status == 401
    assert "own login" in (await on.post(ASK, **bearer(secret))).error["message"]
    assert (await on.post(ASK, **bearer(login()), x_api_key=secret)).status == 200
    (asked,) = on.provider.requests
    assert secret not in str(asked.headers)


# ---------------------------------------------------------------- the name in Host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("127.9.9.9", 200),
        ("localhost:10000", 200),
        ("LOCALHOST", 200),
        ("app.localhost", 200),
        ("[::1]:10000", 200),
        ("evil.example", 403),
        ("evil.example:10000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("localhost:1@evil.example", 403),
        ("192.0.2.1", 403),
        ("0.0.0.0", 403),
        ("[", 403),
    ],
)
async def test_on_loopback_only_its_own_names_are_answered_to(
    stage: Any, host: str, status: int
) -> None:
    on = await stage()
    reply = await on.call("GET", "/v1/models", headers={"Host": host})
    assert reply.status == status
    if status == 403:
        assert reply.error["code"] == "forbidden"
        assert "does not answer to" in reply.error["message"]


async def test_a_client_without_any_host_is_no_web_page(stage: Any) -> None:
    on = await stage()
    reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).endswith(b"200 OK\r\n")
    writer.close()


async def test_where_a_key_is_needed_any_name_will_do(
    stage: Any, keys: KeyFile, secret: str
) -> None:
    on = await stage(keys_path=keys.path)
    named = {"Host": "gateway.example.org"}
    assert (await on.call("GET", "/v1/models", headers=named)).status == 401
    assert (await on.call("GET", "/v1/models", headers={**named, **bearer(secret)})).status == 200


@pytest.mark.parametrize("host", ["gateway.test", "192.0.2.7"])
async def test_what_listens_for_others_does_not_know_its_names(stage: Any, host: str) -> None:
    on = await stage(host="0.0.0.0", allow_anyone=True)
    on.root = f"http://127.0.0.1:{on.port}"
    assert (await on.call("GET", "/v1/models", headers={"Host": host})).status == 200


# ---------------------------------------------------------------- web pages


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        (PAGE, 200),
        ("http://localhost:3000", 200),
        (EVIL, 403),
        ("null", 403),
        ("", 403),
        (f"{PAGE}.evil.example", 403),
        (f"{PAGE}:8443", 403),
        ("http://app.example.org", 403),
        ("http://localhost:3001", 403),
    ],
)
@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "streamed"])
async def test_a_page_may_post_where_it_is_allowed_to(
    stage: Any, body: JSON, origin: str | None, status: int
) -> None:
    on = await stage(text("Hi."), cors_origins=f"{PAGE}, http://localhost:3000/")
    reply = await on.post(body, **({} if origin is None else {"Origin": origin}))
    assert reply.status == status
    assert reply.headers["Vary"] == "Origin"
    allowed = origin if status == 200 else None
    assert reply.headers.get("Access-Control-Allow-Origin") == allowed
    if status == 403:
        assert "cors_origins" in reply.error["message"]
        assert on.provider.requests == []


async def test_by_default_no_page_may_and_no_header_says_otherwise(stage: Any) -> None:
    on = await stage(text("Hi."))
    assert (await on.post(ASK, Origin=PAGE)).status == 403
    for reply in (
        await on.call("GET", "/v1/models", headers={"Origin": PAGE}),
        await on.post(ASK),
    ):
        assert reply.status == 200
        assert not [name for name in reply.headers if name.startswith("Access-Control")]


async def test_a_page_of_the_gateway_itself_may(stage: Any) -> None:
    on = await stage(text("Hi."), text("Hi."))
    assert (await on.post(ASK, Origin=on.root)).status == 200
    local = on.root.replace("127.0.0.1", "localhost")
    reply = await on.post(ASK, Origin=local, Host=local.removeprefix("http://"))
    assert reply.status == 200


async def test_a_page_whose_name_was_made_to_lead_here_may_not(stage: Any) -> None:
    on = await stage(text("Hi."), host="0.0.0.0", allow_anyone=True)
    on.root = f"http://127.0.0.1:{on.port}"
    reply = await on.post(ASK, Origin="http://evil.example:1", Host="evil.example:1")
    assert reply.status == 403


async def test_a_websocket_of_a_page_is_refused(stage: Any) -> None:
    on = await stage(websocket=False)
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade"}
    refused = await on.call("GET", "/v1/responses", headers={**handshake, "Origin": EVIL})
    assert refused.status == 403
    assert (await on.call("GET", "/v1/responses", headers=handshake)).status == 426


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


async def test_a_preflight_of_an_allowed_page_is_answered_without_a_key(
    stage: Any, keys: KeyFile, secret: str
) -> None:
    on = await stage(keys_path=keys.path, cors_origins=PAGE)
    reply = await on.call("OPTIONS", "/v1/responses", headers={**PREFLIGHT, "Origin": PAGE})
    assert (reply.status, reply.raw) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert reply.headers["Access-Control-Allow-Headers"] == "authorization, content-type"


@pytest.mark.parametrize("options", [{}, {"cors_origins": PAGE}], ids=["default", "with another"])
async def test_a_preflight_of_another_page_is_refused(stage: Any, options: dict[str, str]) -> None:
    on = await stage(**options)
    reply = await on.call("OPTIONS", "/v1/responses", headers={**PREFLIGHT, "Origin": EVIL})
    assert reply.status == 403
    assert "Access-Control-Allow-Origin" not in reply.headers


async def test_an_allowed_page_can_read_errors_and_what_was_adapted(
    stage: Any, keys: KeyFile, secret: str
) -> None:
    on = await stage(Refusal(400, openai_error("No.")), keys_path=keys.path, cors_origins=PAGE)
    replies = [
        await on.post(ASK, Origin=PAGE),
        await on.post(ASK, Origin=PAGE, **bearer(secret)),
        await on.post(b"{", Origin=PAGE, **bearer(secret)),
        await on.call("GET", "/nothing", headers={"Origin": PAGE, **bearer(secret)}),
    ]
    assert [reply.status for reply in replies] == [401, 400, 400, 404]
    for reply in replies:
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert "x-anyturn-adaptations" in reply.headers["Access-Control-Expose-Headers"]
