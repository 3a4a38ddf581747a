"""Addresses: is a URL one of this host's own, and which origin does a browser give it?"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def is_local(url: str) -> bool:
    """Whether the host of `url` is localhost, in 127.0.0.0/8, or ::1. False for anything odd."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_host(host: str) -> bool:
    """Whether `host`, an address or a name without a port, is this machine and nothing else."""
    return is_local(f"http://[{host}]" if ":" in host else f"http://{host}")


def origin_of(text: str) -> str:
    """The origin that `text` writes, as browsers send it (RFC 6454 section 6.1).

    Empty for anything else, `null` and a star among it: they stand for more than one page.
    """
    origin = text.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        return ""
    scheme = origin.partition("://")[0]
    return origin.removesuffix(f":{_DEFAULT_PORTS.get(scheme)}")


def host_name(authority: str) -> str:
    """The host of a `Host` header, without its port and brackets. Empty for anything odd."""
    try:
        return urlsplit(f"http://{authority.strip()}").hostname or ""
    except ValueError:
        return ""
