from __future__ import annotations

import ast
import asyncio
import shutil
import socket
import subprocess
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import anyturn
from anyturn.store.records import StoredItem, StoredResponse, StoreError
from anyturn.store.redis import RedisStore
from anyturn.store.redis_server import RedisServer
from support.redis_server import LocalRedis, free_port

SHORT_S = 0.15
ITEM = StoredItem("msg_1", b'"made-up content"')


@asynccontextmanager
async def opened(url: str, timeout_s: float = 2.0) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(url, timeout_s=timeout_s)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://", "localhost:6379"),
        ("redis://somewhere:7000/3", "somewhere:7000"),
        ("redis://user:pass@somewhere/", "somewhere:6379"),
        ("rediss://:pa%2Fss@somewhere:7000", "somewhere:7000"),
        ("redis://[::1]:7000", "[::1]:7000"),
        ("unix:///run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
async def test_a_server_is_named_without_its_password(url: str, name: str) -> None:
    server = RedisServer(url, 1.0)
    assert server.name == name
    await server.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "somewhere:6379",
        "http://:secret@somewhere",
        "redis://:secret@somewhere:port",
        "redis://:secret@somewhere:99999",
        "redis://:secret@somewhere/name",
        "redis://:12/secret@somewhere",
        "redis://:12#secret@somewhere",
        "redis://:12?secret@somewhere",
        "redis://:secret@[::1",
        "redis://:secret@somewhere?unknown=1",
        "redis://:secret@somewhere?db=secret",
        "unix://:secret@",
    ],
)
async def test_an_unreadable_address_is_an_error_without_the_address(url: str) -> None:
    with pytest.raises(StoreError, match="percent-encoded") as refused:
        await RedisStore.open(url)
    assert "secret" not in "".join(traceback.format_exception(refused.value))
    assert "12" not in str(refused.value)


async def test_a_socket_file_serves_as_well(redis_server: LocalRedis) -> None:
    async with opened(f"unix://{redis_server.socket}") as store:
        await store.put_items("a", [ITEM])
        assert await store.get_items("a", ["msg_1"]) == {"msg_1": ITEM.body}


async def test_tls_is_spoken_and_the_certificate_checked(
    new_redis: Callable[..., LocalRedis], tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    server = new_redis("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    port = free_port()
    server.ask("CONFIG", "SET", "tls-auth-clients", "no", "tls-port", port)
    address = f"127.0.0.1:{port}"
    async with opened(f"rediss://{address}?ssl_ca_certs={certificate}") as store:
        await store.put_items("a", [ITEM])
        assert await store.get_items("a", ["msg_1"]) == {"msg_1": ITEM.body}
    with pytest.raises(StoreError, match=rf"{address} cannot be reached: TLS failed"):
        await RedisStore.open(f"rediss://{address}")


async def test_options_of_the_address_do_not_undo_ours(redis_server: LocalRedis) -> None:
    async with opened(f"{redis_server.url}?decode_responses=true&protocol=3&db=1") as store:
        await store.put_items("a", [ITEM])
        assert await store.get_items("a", ["msg_1"]) == {"msg_1": ITEM.body}
    assert redis_server.ask("INFO", "keyspace")["db1"]["keys"] == 1


def test_only_one_module_needs_the_library() -> None:
    root = Path(anyturn.__file__).parent
    users = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "redis" for name in names):
                users.add(file.relative_to(root).as_posix())
    assert users == {"store/redis_server.py"}


# ---------------------------------------------------------------- faults at the beginning


async def test_no_server_is_said_with_its_address(closed_port: int) -> None:
    url = f"redis://user:secret@127.0.0.1:{closed_port}"
    with pytest.raises(StoreError) as refused:
        await RedisStore.open(url)
    expected = f"Redis at 127.0.0.1:{closed_port} cannot be reached: connection refused."
    assert str(refused.value) == expected
    assert "secret" not in "".join(traceback.format_exception(refused.value))


async def test_no_socket_file_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.sock cannot be reached: no such file"):
        await RedisStore.open(f"unix://{tmp_path}/none.sock")


async def test_a_server_without_tls_is_said(redis_server: LocalRedis) -> None:
    """It waits for the end of a line that never comes."""
    with pytest.raises(StoreError, match=rf"{redis_server.address} did not answer"):
        await RedisStore.open(f"rediss://{redis_server.address}", timeout_s=SHORT_S)


async def test_another_kind_of_server_is_said() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreError, match=f"127.0.0.1:{port} "):
            await RedisStore.open(f"redis://127.0.0.1:{port}")


@pytest.mark.parametrize("credentials", ["", ":wrong-secret@", "nobody:wrong-secret@"])
async def test_a_wrong_password_is_said_without_it(
    new_redis: Callable[..., LocalRedis], credentials: str
) -> None:
    server = new_redis("--requirepass", "right-secret")
    with pytest.raises(StoreError) as refused:
        await RedisStore.open(f"redis://{credentials}{server.address}")
    expected = f"Redis at {server.address} refuses the user name or the password."
    assert str(refused.value) == expected
    assert "secret" not in "".join(traceback.format_exception(refused.value))
    async with opened(f"redis://:right-secret@{server.address}") as store:
        await store.put_items("a", [ITEM])


async def test_too_many_clients_are_said(new_redis: Callable[..., LocalRedis]) -> None:
    server = new_redis("--maxclients", "1")
    async with opened(server.url):
        with pytest.raises(StoreError, match="accepts no more clients"):
            await RedisStore.open(server.url)


# ---------------------------------------------------------------- faults in the middle


async def test_it_works_again_after_the_server_was_away(
    new_redis: Callable[..., LocalRedis],
) -> None:
    server = new_redis()
    async with opened(server.url) as store:
        await store.put_items("a", [ITEM])
        server.stop()
        for _ in range(2):
            with pytest.raises(StoreError, match=rf"Redis at {server.address} cannot be reached"):
                await store.get_items("a", ["msg_1"])
        assert server.start()
        await store.put_items("a", [ITEM])
        server.stop()
        assert server.start()
        for _ in range(3):
            await asyncio.sleep(0)  # the loop hears that the connection was closed
        # Nobody has to have met the gap: connections and scripts are renewed.
        await store.put_items("a", [ITEM])
        assert await store.get_items("a", ["msg_1"]) == {"msg_1": ITEM.body}


async def test_a_server_that_became_a_replica_is_left(
    new_redis: Callable[..., LocalRedis],
) -> None:
    """After a failover its name leads to the new master, but old connections do not."""
    server = new_redis()

    def connections() -> set[bytes]:
        """The numbers of all, this question's own included."""
        return {line.split()[0] for line in server.ask("CLIENT", "LIST").splitlines()}

    async with opened(server.url) as store:
        await store.put_items("a", [ITEM])
        before = connections()
        server.ask("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreError, match="replica"):
            await store.put_items("a", [ITEM])
        await store.get_items("a", ["msg_1"])
        assert before.isdisjoint(connections())


async def test_a_slow_server_meets_the_time_limit(new_redis: Callable[..., LocalRedis]) -> None:
    server = new_redis()
    async with opened(server.url, SHORT_S) as store:
        await store.put_items("a", [ITEM])
        server.pause()
        begun = asyncio.get_running_loop().time()
        for wait in (
            store.put_items("a", [ITEM]),
            store.get_items("a", ["msg_1"]),
            store.get_response("a", "resp_1"),
            store.stats(),
            RedisStore.open(server.url, timeout_s=SHORT_S),
        ):
            with pytest.raises(StoreError, match=rf"{server.address} did not answer within 0.15 s"):
                await wait
        assert asyncio.get_running_loop().time() - begun < 10 * SHORT_S
        server.resume()
        assert await store.get_items("a", ["msg_1"]) == {"msg_1": ITEM.body}


async def test_more_at_once_than_connections_wait_within_the_time_limit(
    new_redis: Callable[..., LocalRedis],
) -> None:
    server = new_redis()
    async with opened(server.url, SHORT_S) as store:
        server.pause()
        waits = (store.get_items("a", ["msg_1"]) for _ in range(100))
        answers = await asyncio.gather(*waits, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreError}
        server.resume()
        assert server.ask("INFO", "clients")["maxclients"] > 0
        assert await store.get_items("a", ["msg_1"]) == {}


async def test_an_operation_given_up_leaves_no_answer_to_the_next(
    new_redis: Callable[..., LocalRedis],
) -> None:
    server = new_redis()
    async with opened(server.url) as store:
        await store.put_items("a", [StoredItem(str(n), b"%d" % n) for n in range(20)])
        await store.put_response("a", StoredResponse(id="r", created_at=1, body=b"r"))
        server.pause()
        given_up = [
            asyncio.ensure_future(work)
            for work in (
                *(store.get_items("a", [str(n)]) for n in range(10)),
                *(store.get_chain("a", "r", 9) for _ in range(5)),
            )
        ]
        for _ in range(20):
            await asyncio.sleep(0)
        for work in given_up:
            work.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        assert all(work.cancelled() for work in given_up)
        server.resume()
        for n in range(20):
            assert await store.get_items("a", [str(n)]) == {str(n): b"%d" % n}


@pytest.mark.parametrize(
    ("break_it", "mend_it", "words"),
    [
        pytest.param(
            ("CONFIG", "SET", "maxmemory", "1"),
            ("CONFIG", "SET", "maxmemory", "0"),
            "has no memory left (maxmemory)",
            id="full",
        ),
        pytest.param(
            ("REPLICAOF", "127.0.0.1", "1"),
            ("REPLICAOF", "NO", "ONE"),
            "is a replica that cannot be written to",
            id="replica",
        ),
        pytest.param(
            ("ACL", "SETUSER", "default", "-@write"),
            ("ACL", "SETUSER", "default", "+@all"),
            "does not permit this user what the store needs",
            id="no-permission",
        ),
    ],
)
async def test_what_cannot_be_written_can_still_be_read(
    new_redis: Callable[..., LocalRedis],
    break_it: tuple[str, ...],
    mend_it: tuple[str, ...],
    words: str,
) -> None:
    server = new_redis()
    async with opened(server.url) as store:
        await store.put_items("a", [ITEM])
        server.ask(*break_it)
        for write in (
            store.put_items("a", [ITEM]),
            store.put_response("a", StoredResponse(id="r", created_at=1, body=ITEM.body)),
        ):
            with pytest.raises(StoreError) as refused:
                await write
            assert str(refused.value) == f"Redis at {server.address} {words}."
            assert "made-up" not in "".join(traceback.format_exception(refused.value))
        assert await store.get_items("a", ["msg_1"]) == {"msg_1": ITEM.body}
        server.ask(*mend_it)
        await store.put_items("a", [ITEM])
        await store.put_response("a", StoredResponse(id="r", created_at=1, body=b"{}"))
