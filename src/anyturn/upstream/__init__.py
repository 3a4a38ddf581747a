"""The HTTP client towards providers: pooling, time limits, retries, cancellation."""

from anyturn.upstream.client import Limits, ProviderClient
from anyturn.upstream.stream import ProviderStream

__all__ = ["Limits", "ProviderClient", "ProviderStream"]
