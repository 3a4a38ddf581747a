"""Take secrets out of what is written to a capture (A2).

Three things give a secret away: the name it stands under (`api_key`, `cookie`, `user`), its own
form (`sk-…`, a JWT), and that it is one of the keys of this very turn. A key that a model writes
piece by piece is recognised while it comes: what was written by then is its beginning.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MASK = "<redacted>"
# Headers whose values are worth keeping; of all others only the name is.
KEPT_HEADERS = frozenset(
    {
        *("user-agent", "originator", "version", "accept", "content-type", "content-encoding"),
        *("openai-beta", "x-stainless-lang", "x-stainless-package-version"),
    }
)
# Our own seals are needed to replay a turn; `translate/envelope.py` makes them.
OWN_SEAL = "anyturn1."
_SEAL_MAX = 2 * 1024 * 1024

_SECRET_NAMES = frozenset(
    {
        *("authorization", "proxyauthorization", "apikey", "xapikey", "accesstoken"),
        *("refreshtoken", "idtoken", "sessiontoken", "authtoken", "bearertoken", "clientsecret"),
        *("secretkey", "privatekey", "password", "passwd", "cookie", "cookies", "setcookie"),
        *("accountid", "chatgptaccountid", "organizationid", "openaiorganization", "orgid"),
        *("userid", "user", "useremail", "email", "safetyidentifier", "installationid"),
        *("xcodexinstallationid", "deviceid"),
    }
)
_PLAIN = re.compile(r"[^a-z0-9]")

# A word begins here: behind no letter or digit, or behind an escaped line end in a JSON text.
_EDGE = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_WORD = r"[A-Za-z0-9_\-]"
_NAMES = (
    r"(?:proxy-)?authorization|x-api-key|api[_-]?key|access[_-]?token|refresh[_-]?token|"
    r"id[_-]?token|auth[_-]?token|bearer[_-]?token|cookies|session[_-]?token|client[_-]?secret|secret[_-]?key|private[_-]?key|password|"
    r"passwd|set-cookie|cookie|(?:chatgpt[_-]?)?account[_-]?id|safety[_-]identifier"
)
_FORMS = (
    rf"{_EDGE}(?P<s>(?:sk|csk|pk|rk|xai|gsk|nvapi|pplx|hf|r8|fw|tgp|ghp|gho|ghs|glpat|"
    rf"github_pat)[-_](?={_WORD}*[0-9]){_WORD}{{12,}})",
    rf"{_EDGE}(?P<s>sk-{_WORD}{{16,}})",
    rf"{_EDGE}(?P<s>any_[A-Za-z0-9]{{16,}})",
    rf"{_EDGE}(?P<s>(?:AIza|AKIA|ASIA){_WORD}{{12,}})",
    rf"{_EDGE}(?P<s>xox[abprs]-{_WORD}{{8,}})",
    rf"{_EDGE}(?P<s>eyJ{_WORD}{{6,}}\.{_WORD}{{4,}}(?:\.{_WORD}*)*)",
    r"(?i:\bBearer\s+)(?P<s>(?=[A-Za-z0-9._~+/=\-]*[0-9])[A-Za-z0-9._~+/=\-]{8,}"
    r"|[A-Za-z0-9._~+/=\-]{20,})",
    r"://(?P<s>[^/\s:@\"'\\]*:[^/\s@\"'\\]+)@",
    rf"(?i:(?P<q>\\*[\"'])(?:{_NAMES})(?P=q)\s*[:=]\s*)(?P<p>\\*[\"'])(?P<s>(?:(?!(?P=p)).)+)",
    r"(?i:\b(?:(?:proxy-)?authorization|x-api-key|set-cookie|cookie):[ \t]*)"
    r"(?P<s>[^\r\n\"'\\\s][^\r\n\"'\\]*)",
    rf"{_EDGE}[A-Z][A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASSWORD)=[\"']?(?P<s>[^\s\"'\\;$]{{6,}})",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<s>(?:(?!-----END).)+)",
)
# Nothing above can match a text without one of these. They are what is rare in it, and then what
# stands before and behind that: a search for one rare character after the other is cheap.
_COMMON = re.compile(
    r"[-_AJBb](?:"
    r"(?<=[-_])(?:(?<=(?:sk|pk|rk|r8|hf|fw).)|(?<=(?:xai|tgp|ghp|gho|ghs|pat|any).)"
    r"|(?<=pplx.)|(?<=nvapi.))(?=[A-Za-z0-9_\-]{12})"
    r"|(?<=A)(?:Iza|KIA|SIA)"
    r"|(?<=eyJ)"
    r"|(?<=[Bb])(?i:earer)"
    r"|(?<=xox[abprs]-)"
    r"|(?<=-)----BEGIN )"
)
_NAMED = re.compile(
    r"[:=\\\"'](?:"
    r"(?<=[\\\"'])(?=[\\\"']*\s*[:=]\s*\\*[\"'])"
    r"(?<=(?i:key|ken|ret|ion|kie|ies|ord|swd|[td_-]id|ier).)"
    r"(?:(?<=(?i:(?:api|ret|ate)[_-]key).)|(?<=(?i:(?:api|ret|ate)key).)"
    r"|(?<=(?i:[shdrn][_-]token).)|(?<=(?i:[shdrn]token).)"
    r"|(?<=(?i:client[_-]secret).)|(?<=(?i:clientsecret).)"
    r"|(?<=(?i:authorization).)|(?<=(?i:cookies).)|(?<=(?i:cookie).)"
    r"|(?<=(?i:password).)|(?<=(?i:passwd).)"
    r"|(?<=(?i:account[_-]id).)|(?<=(?i:accountid).)|(?<=(?i:safety[_-]identifier).))"
    r"|(?<=:)(?://[^/\s:@\"'\\]*:[^/\s@\"'\\]+@"
    r"|(?:(?<=(?i:authorization).)|(?<=(?i:x-api-key).)|(?<=(?i:cookie).)))"
    r"|(?<==)(?:(?<=KEY.)|(?<=TOKEN.)|(?<=SECRET.)|(?<=PASSWORD.)))"
)
# In JSON these too: names whose values go whatever they look like.
_NAME_MARKS = (
    *(b"encrypted_content", b'"user', b"email", b"organization", b"org_id", b"orgid"),
    *(b"installation", b"device"),
)
_TAIL = 96
_RUN_MAX = 160
_KNOWN_MIN = 8
_HARMLESS_MAX = 20_000

_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Redactor:
    """Redacts one turn. `known` are its own keys; the short ones, which are words, are left."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        keys = sorted({key for key in known if len(key) >= _KNOWN_MIN}, key=len, reverse=True)
        own = [rf"(?P<s>{re.escape(key)})" for key in keys]
        # The beginning of a long one is enough to know it, when it comes in pieces.
        own += [rf"(?P<s>{re.escape(key[:12])}\S{{4,}})" for key in keys if len(key) >= 16]
        self._forms = [re.compile(form, re.DOTALL) for form in (*own, *_FORMS)]
        self._own = tuple({key[:12] for key in keys})
        # Hashes of what was looked at: what an agent sends is mostly what it sent before. A text
        # may look like an object whose names give something away, so they are kept apart.
        self._harmless: set[int] = set()
        self._harmless_json: set[int] = set()

    def is_suspicious(self, text: str) -> bool:
        """Whether there may be a secret in this text; cheap, and never wrong when it says no."""
        if _COMMON.search(text) or _NAMED.search(text):
            return True
        return any(one in text for one in self._own)

    def is_suspicious_json(self, text: str) -> bool:
        """Whether there is a secret in a JSON text, or a name under which one may stand."""
        # Of bytes that is ten times as fast, and no other letter becomes one of these.
        low = text.encode("utf-8", "surrogatepass").lower()
        return any(mark in low for mark in _NAME_MARKS) or self.finds(text)

    def finds(self, text: str) -> bool:
        """Whether there is a secret in this text, known by its form."""
        return self.is_suspicious(text) and any(form.search(text) for form in self._forms)

    def text(self, text: str) -> str:
        """The text without the secrets in it."""
        if hash(text) in self._harmless:
            return text
        spans = self.spans(text) if self.is_suspicious(text) else []
        if not spans:
            _remember(text, self._harmless)
        for begin, end in reversed(spans):
            text = text[:begin] + MASK + text[end:]
        return text

    def value(self, value: Any) -> Any:
        """JSON-like data without the secrets in it, names included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.member(name, v) for name, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def json(self, text: bytes) -> bytes:
        """A JSON object, as msgspec writes it, without the secrets in it.

        What was seen before is not looked at again: an agent sends its whole history every time.
        """
        members = _decode_members(text)
        return _encode({self.text(name): self._raw(name, raw) for name, raw in members.items()})

    def _raw(self, name: str, raw: msgspec.Raw) -> Any:
        text = bytes(raw)
        if is_secret_name(name) or name == "encrypted_content" or text[:1] not in b"[{":
            return self.member(name, msgspec.json.decode(text))
        if text[:1] == b"[":
            return [self._known(one) for one in _decode_list(text)]
        return self._known(raw)

    def is_harmless_json(self, text: bytes) -> bool:
        """Whether there is no secret in a JSON text; of one that comes again that is known."""
        if hash(text) in self._harmless_json:
            return True
        if self.is_suspicious_json(text.decode()):
            return False
        _remember(text, self._harmless_json)
        return True

    def _known(self, raw: msgspec.Raw) -> Any:
        """A part of a body, whatever name it stands under."""
        text = bytes(raw)
        if hash(text) in self._harmless_json:
            return raw
        value = msgspec.json.decode(text)
        redacted = self.value(value)
        if redacted == value:
            _remember(text, self._harmless_json)
            return raw
        return redacted

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that say something about the client; of the others only the names."""
        kept = {}
        for name, value in headers.items():
            known = name.lower() in KEPT_HEADERS
            kept[self.text(name.lower())] = self.text(value) if known else MASK
        return kept

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the secrets of a text are, in order and without overlaps."""
        return [(begin, end) for begin, end, _ in self.matches(text)]

    def matches(self, text: str) -> list[tuple[int, int, int]]:
        """As `spans`, and where what gave the secret away begins."""
        found = [
            (*match.span("s"), match.start())
            for form in self._forms
            for match in form.finditer(text)
        ]
        merged: list[tuple[int, int, int]] = []
        for begin, end, start in sorted(found):
            if merged and begin <= merged[-1][1]:
                last = merged[-1]
                merged[-1] = (last[0], max(end, last[1]), min(start, last[2]))
            else:
                merged.append((begin, end, start))
        return merged

    def member(self, name: Any, value: Any) -> Any:
        """The value of a member of this name, without secrets."""
        if name == "encrypted_content" and isinstance(value, str):
            return self._sealed(value)
        if is_secret_name(name):
            return _masked(value, self)
        return self.value(value)

    def _sealed(self, blob: str) -> str:
        """Our own seals, which a replay needs; of foreign ones their length and a digest."""
        if blob.startswith(OWN_SEAL):
            inside = _inside(blob)
            if inside is not None and not self.spans(inside):
                return blob
        digest = hashlib.sha256(blob.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"<cut: {len(blob)} characters, sha256 {digest}>"


def _remember(text: str | bytes, harmless: set[int]) -> None:
    if len(harmless) >= _HARMLESS_MAX:
        harmless.clear()
    harmless.add(hash(text))


def is_secret_name(name: Any) -> bool:
    """Whether what stands under this name is secret whatever it looks like."""
    return _PLAIN.sub("", str(name).lower()) in _SECRET_NAMES


def _masked(value: Any, redactor: Redactor) -> Any:
    """What stands under a secret's name: texts and numbers go, a schema may stay."""
    if isinstance(value, Mapping):
        return redactor.value(value)
    if isinstance(value, list | tuple):
        return [_masked(one, redactor) for one in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _inside(blob: str) -> str | None:
    """What is in one of our seals; None for one that cannot be opened."""
    packed = blob.rpartition(".")[2]
    try:
        decoder = zlib.decompressobj()
        data = decoder.decompress(base64.urlsafe_b64decode(packed), _SEAL_MAX)
    except (binascii.Error, zlib.error, ValueError):
        return None
    return data.decode("utf-8", "replace") if decoder.eof else None


class RunningText:
    """One text that comes in pieces."""

    def __init__(self, redactor: Redactor, before: str = "") -> None:
        self._redactor = redactor
        self._tail = before

    def feed(self, piece: str) -> str:
        """The next piece, without what belongs to a secret in it."""
        known = len(self._tail)
        joined = self._tail + piece
        matches = self._redactor.matches(joined) if self._redactor.is_suspicious(joined) else []
        if matches and matches[-1][1] == len(joined):
            # It may go on: its beginning must be seen again with the next piece.
            begin = matches[-1][2]
            self._tail = joined[begin : begin + _RUN_MAX]
        else:
            self._tail = joined[-_TAIL:]
        for begin, end, _ in reversed(matches):
            if end > known:
                cut = max(begin, known) - known
                mask = MASK if begin >= known else ""
                piece = piece[:cut] + mask + piece[end - known :]
        return piece
