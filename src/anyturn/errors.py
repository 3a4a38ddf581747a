"""Everything that can end a turn badly: whose fault it is, and what the client is told.

One exception, `TurnError`, carries one `Kind`. The table below is the whole policy: a kind says
who is at fault, the HTTP status, OpenAI's error `type`, and the `code` that clients act on.

===================== ======== ====== ======================= ===========================
kind                  fault    status type                    code
===================== ======== ====== ======================= ===========================
INVALID_REQUEST       client   400    invalid_request_error   invalid_value
INVALID_JSON          client   400    invalid_request_error   invalid_json
UNSUPPORTED           client   400    invalid_request_error   unsupported_value
LOSSY                 client   400    invalid_request_error   invalid_prompt
UNKNOWN_REFERENCE     client   400    invalid_request_error   previous_response_not_found
KEY_REFUSED           client   401    invalid_request_error   invalid_api_key
KEY_REFUSED_FOR_GOOD  client   400    authentication_error    invalid_prompt
FORBIDDEN             client   403    invalid_request_error   forbidden
NOT_FOUND             client   404    invalid_request_error   not_found
METHOD_NOT_ALLOWED    client   405    invalid_request_error   method_not_allowed
BODY_TOO_LARGE        client   413    invalid_request_error   request_too_large
UNKNOWN_ENCODING      client   415    invalid_request_error   unsupported_encoding
UPGRADE_REFUSED       client   426    invalid_request_error   websocket_not_supported
CONNECTION_LIMIT      client   400    invalid_request_error   websocket_connection_limit_reached
TOO_MANY_WAITING      client   429    rate_limit_error        too_many_waiting
GATEWAY_BROKEN        gateway  500    server_error            gateway_error
STORE_FAILED          gateway  503    server_error            store_unavailable
SHUTTING_DOWN         gateway  503    server_error            gateway_shutting_down
MISCONFIGURED         gateway  400    invalid_request_error   invalid_prompt
PROVIDER_REFUSED      provider 400    invalid_request_error   invalid_prompt
PROVIDER_CREDENTIALS  provider 400    authentication_error    invalid_prompt
CONTEXT_OVERFLOW      provider 400    invalid_request_error   context_length_exceeded
CONTENT_POLICY        provider 400    invalid_request_error   content_policy_violation
MODEL_NOT_FOUND       provider 404    invalid_request_error   model_not_found
QUOTA_EXHAUSTED       provider 429    insufficient_quota      insufficient_quota
RATE_LIMITED          provider 429    rate_limit_error        rate_limit_exceeded
PROVIDER_BROKEN       provider 502    server_error            server_error
PROVIDER_UNREACHABLE  provider 502    server_error            provider_unreachable
PROVIDER_TIMEOUT      provider 504    server_error            provider_timeout
===================== ======== ====== ======================= ===========================

Codex decides the codes (codex-cli.md section 8): a 400 with `invalid_prompt` shows our sentence and
stops, whereas a 401 is tried five times (so KEY_REFUSED, which SDKs understand, has a twin for it);
a 429 without `Retry-After` is fatal, with it Codex waits.
"""

from __future__ import annotations

import math
from enum import Enum, StrEnum, unique
from typing import Any, NamedTuple


class Fault(StrEnum):
    """Who has to act."""

    CLIENT = "client"
    GATEWAY = "gateway"
    PROVIDER = "provider"


class _Row(NamedTuple):
    fault: Fault
    status: int
    type: str
    code: str


_REQUEST, _SERVER = "invalid_request_error", "server_error"
_CREDENTIALS = "authentication_error"


@unique
class Kind(Enum):
    """One row of the table in this module's docstring."""

    INVALID_REQUEST = _Row(Fault.CLIENT, 400, _REQUEST, "invalid_value")
    INVALID_JSON = _Row(Fault.CLIENT, 400, _REQUEST, "invalid_json")
    UNSUPPORTED = _Row(Fault.CLIENT, 400, _REQUEST, "unsupported_value")
    LOSSY = _Row(Fault.CLIENT, 400, _REQUEST, "invalid_prompt")
    UNKNOWN_REFERENCE = _Row(Fault.CLIENT, 400, _REQUEST, "previous_response_not_found")
    KEY_REFUSED = _Row(Fault.CLIENT, 401, _REQUEST, "invalid_api_key")
    KEY_REFUSED_FOR_GOOD = _Row(Fault.CLIENT, 400, _CREDENTIALS, "invalid_prompt")
    FORBIDDEN = _Row(Fault.CLIENT, 403, _REQUEST, "forbidden")
    NOT_FOUND = _Row(Fault.CLIENT, 404, _REQUEST, "not_found")
    METHOD_NOT_ALLOWED = _Row(Fault.CLIENT, 405, _REQUEST, "method_not_allowed")
    BODY_TOO_LARGE = _Row(Fault.CLIENT, 413, _REQUEST, "request_too_large")
    UNKNOWN_ENCODING = _Row(Fault.CLIENT, 415, _REQUEST, "unsupported_encoding")
    UPGRADE_REFUSED = _Row(Fault.CLIENT, 426, _REQUEST, "websocket_not_supported")
    CONNECTION_LIMIT = _Row(Fault.CLIENT, 400, _REQUEST, "websocket_connection_limit_reached")
    TOO_MANY_WAITING = _Row(Fault.CLIENT, 429, "rate_limit_error", "too_many_waiting")
    GATEWAY_BROKEN = _Row(Fault.GATEWAY, 500, _SERVER, "gateway_error")
    STORE_FAILED = _Row(Fault.GATEWAY, 503, _SERVER, "store_unavailable")
    SHUTTING_DOWN = _Row(Fault.GATEWAY, 503, _SERVER, "gateway_shutting_down")
    MISCONFIGURED = _Row(Fault.GATEWAY, 400, _REQUEST, "invalid_prompt")
    PROVIDER_REFUSED = _Row(Fault.PROVIDER, 400, _REQUEST, "invalid_prompt")
    PROVIDER_CREDENTIALS = _Row(Fault.PROVIDER, 400, _CREDENTIALS, "invalid_prompt")
    CONTEXT_OVERFLOW = _Row(Fault.PROVIDER, 400, _REQUEST, "context_length_exceeded")
    CONTENT_POLICY = _Row(Fault.PROVIDER, 400, _REQUEST, "content_policy_violation")
    MODEL_NOT_FOUND = _Row(Fault.PROVIDER, 404, _REQUEST, "model_not_found")
    QUOTA_EXHAUSTED = _Row(Fault.PROVIDER, 429, "insufficient_quota", "insufficient_quota")
    RATE_LIMITED = _Row(Fault.PROVIDER, 429, "rate_limit_error", "rate_limit_exceeded")
    PROVIDER_BROKEN = _Row(Fault.PROVIDER, 502, _SERVER, "server_error")
    PROVIDER_UNREACHABLE = _Row(Fault.PROVIDER, 502, _SERVER, "provider_unreachable")
    PROVIDER_TIMEOUT = _Row(Fault.PROVIDER, 504, _SERVER, "provider_timeout")

    @property
    def fault(self) -> Fault:
        """Whose fault an error of this kind is."""
        return self.value.fault

    @property
    def status(self) -> int:
        """The HTTP status of an error of this kind."""
        return self.value.status

    @property
    def code(self) -> str:
        """The code that clients act on."""
        return self.value.code

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        Kind.RATE_LIMITED,
        Kind.PROVIDER_BROKEN,
        Kind.PROVIDER_UNREACHABLE,
        Kind.PROVIDER_TIMEOUT,
        Kind.STORE_FAILED,
        Kind.SHUTTING_DOWN,
    }
)


class TurnError(Exception):
    """A turn that ends badly. `str()` is the sentence that the client reads.

    `param` names the request field at fault (`input[3].content`), `retry_after` is in seconds,
    `provider` and `provider_status` say who refused and with which HTTP status.
    `failed_generation` is what the model wrote, where a provider could not read it and tells (Q29).
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        provider: str | None = None,
        provider_status: int | None = None,
        failed_generation: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.provider = provider
        self.provider_status = provider_status
        self.failed_generation = failed_generation

    @property
    def retry_after_header(self) -> str | None:
        """When to come back, in whole seconds; None where waiting does not help or is not known.

        A rate limit always says it, because Codex gives up without (F63); a quota does not, because
        it does not come back by waiting.
        """
        limited = self.kind in (Kind.RATE_LIMITED, Kind.TOO_MANY_WAITING)
        if not limited and self.retry_after is None:
            return None
        return str(max(1, math.ceil(self.retry_after or 1)))

    def envelope(self) -> dict[str, Any]:
        """OpenAI's error body, and beside it who refused (F64)."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.kind.value.type,
            "param": self.param,
            "code": self.kind.code,
            "source": self.kind.fault.value,
        }
        if self.provider is not None:
            error["provider"] = self.provider
        if self.provider_status is not None:
            error["provider_status"] = self.provider_status
        return {"error": error}
