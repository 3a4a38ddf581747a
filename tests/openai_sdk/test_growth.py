"""A thousand streams leave nothing behind."""

from __future__ import annotations

import gc
import time
import tracemalloc
from statistics import median

import msgspec
import pytest
from openai import OpenAI

from anyturn.openai_sdk import Event, intercept_llm_requests
from anyturn.testing import Answer, Stamp, call, chunks
from support.sdk_chunks import BODY

STREAMS = 1000
MAX_KEPT_BYTES = 100 * 1024


def transport(body: bytes) -> object:
    """A client of the SDK's own HTTP library that answers at once, without a socket."""
    http = pytest.importorskip("httpx2") if _has_httpx2() else pytest.importorskip("httpx")

    def respond(request: object) -> object:
        return http.Response(200, content=body, headers={"content-type": "text/event-stream"})

    return http.Client(transport=http.MockTransport(respond))


def _has_httpx2() -> bool:
    import openai

    return int(openai.__version__.partition(".")[0]) >= 3


@pytest.mark.timeout(120)
def test_a_thousand_streams_keep_no_memory_and_get_no_slower(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The records that pytest keeps are not the interceptor's.
    caplog.set_level("CRITICAL", "anyturn.openai_sdk")
    caplog.set_level("CRITICAL")
    body = b"".join(chunks(Answer(call("add_task", {"title": "Test"})), Stamp()))
    told = 0

    def count(event: Event) -> None:
        nonlocal told
        told += 1

    def one() -> float:
        began = time.process_time()
        for _ in client.chat.completions.create(**BODY, stream=True):
            pass
        return time.process_time() - began

    with OpenAI(base_url="http://localhost/v1", api_key="k", http_client=transport(body)) as client:  # type: ignore[arg-type]
        intercept_llm_requests(client, on_event=count)
        for _ in range(50):
            one()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            took = [one() for _ in range(STREAMS)]
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert kept < MAX_KEPT_BYTES
    assert told == 5 * (STREAMS + 50)
    assert median(took[-200:]) < 2 * median(took[:200])


def test_a_watch_costs_no_more_than_a_fraction_of_the_sdk() -> None:
    """The gate is `make bench`; this only catches what is wrong by an order of magnitude."""
    from openai._models import construct_type
    from openai.types.chat import ChatCompletionChunk

    from anyturn.openai_sdk.report import Listeners, Report
    from anyturn.openai_sdk.watch import AnswerWatch

    frames = chunks(Answer(call("add_task", {"title": "x" * 4000}), fragment=4), Stamp())
    built = [
        construct_type(type_=ChatCompletionChunk, value=msgspec.json.decode(frame[6:]))
        for frame in frames
        if frame[6:10] != b"[DON"
    ]
    best = 1.0
    for _ in range(5):
        watch = AnswerWatch(Report(Listeners(None, None)))
        began = time.process_time()
        for chunk in built:
            watch.see(chunk)
        best = min(best, (time.process_time() - began) / len(built))
    assert best < 30e-6
