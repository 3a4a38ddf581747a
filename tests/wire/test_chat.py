from __future__ import annotations

import msgspec
import pytest

from anyturn.wire.chat import decode_chunk


def test_unknown_members_are_ignored_everywhere() -> None:
    """Q82."""
    chunk = decode_chunk(
        b'{"obfuscation":"x","time_info":{},"choices":[{"native_finish_reason":"stop","delta":'
        b'{"content":"a","channel":"x","audio":{},"tool_calls":[{"type":"function","index":0,'
        b'"function":{"name":"f","parsed":1}}]}}]}'
    )
    assert chunk.choices is not None and chunk.choices[0].delta is not None
    assert chunk.choices[0].delta.content == "a"
    assert chunk.choices[0].delta.tool_calls is not None
    assert chunk.choices[0].delta.tool_calls[0].function is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"choices":null,"usage":null,"error":null}', id="nulls"),
        pytest.param(b'{"choices":[]}', id="Q13 no choices"),
        pytest.param(b'{"choices":[{"delta":null}]}', id="Q14 null delta"),
        pytest.param(b'{"choices":[{}]}', id="Q14 no delta"),
        pytest.param(b'{"choices":[{"delta":{"content":[{"type":"text"}]}}]}', id="Q20 content"),
        pytest.param(b'{"choices":[{"delta":{"tool_calls":null}}]}', id="null tool_calls"),
        pytest.param(b'{"choices":[{"delta":{"tool_calls":[{}]}}]}', id="an empty call"),
        pytest.param(b'{"choices":[{"delta":{"tool_calls":[{"function":null}]}}]}', id="Q56"),
        pytest.param(
            b'{"choices":[{"delta":{"tool_calls":[{"index":"0","id":7,"function":'
            b'{"name":3,"arguments":{"a":[]}}}]}}]}',
            id="Q34, Q56 other types",
        ),
        pytest.param(b'{"error":"x","message":{},"code":"1","data":[]}', id="F55 error fields"),
    ],
)
def test_whatever_providers_put_into_a_field_is_read(body: bytes) -> None:
    decode_chunk(body)


@pytest.mark.parametrize(
    "body", [b"[]", b'"text"', b"7", b'{"choices":7}', b"{", b'{"a":NaN}', b""]
)
def test_what_is_no_chunk_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_chunk(body)
