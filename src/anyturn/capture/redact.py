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

from anyturn.wire import responses as r

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
_FLAGS = re.DOTALL
# Nothing above can match a text, in lower case, without one of these; those of the first row
# need a dash or a line besides, so that most texts are looked at for the second row only.
_DASHED_MARKS = (
    *("sk-", "sk_", "pk_", "pk-", "rk_", "rk-", "xai-", "xai_", "nvapi", "pplx", "hf_", "hf-"),
    *("r8_", "r8-", "fw_", "fw-", "tgp", "ghp", "gho", "ghs", "glpat", "github_pat"),
    *("any_", "xox", "api-key", "api_key"),
)
_MARKS = (
    *("aiza", "akia", "asia", "eyj", "bearer", "://", "key=", "cookie"),
    *("authorization", "apikey", "token", "secret", "private", "passw", "account", "safety"),
)
# In JSON these too: names whose values go whatever they look like.
_NAME_MARKS = (
    "encrypted_content",
    '"user',
    "email",
    "organization",
    "org_id",
    "orgid",
    "installation",
    "device",
)
_TAIL = 96
_RUN_MAX = 160
_KNOWN_MIN = 8


class Redactor:
    """Redacts one turn. `known` are its own keys; the short ones, which are words, are left."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        keys = sorted({key for key in known if len(key) >= _KNOWN_MIN}, key=len, reverse=True)
        own = [rf"(?P<s>{re.escape(key)})" for key in keys]
        # The beginning of a long one is enough to know it, when it comes in pieces.
        own += [rf"(?P<s>{re.escape(key[:12])}\S{{4,}})" for key in keys if len(key) >= 16]
        self._forms = [re.compile(form, _FLAGS) for form in (*own, *_FORMS)]
        self._marks = (*(key[:12].lower() for key in keys), *_MARKS)

    def is_suspicious(self, text: str) -> bool:
        """Whether there may be a secret in this text; cheap, and never wrong when it says no."""
        return _marked(text, self._marks)

    def is_suspicious_json(self, text: str) -> bool:
        """Whether there is a secret in a JSON text, or a name under which one may stand."""
        low = text.lower()
        return any(mark in low for mark in _NAME_MARKS) or self.finds(text)

    def finds(self, text: str) -> bool:
        """Whether there is a secret in this text, known by its form."""
        return self.is_suspicious(text) and any(form.search(text) for form in self._forms)

    def text(self, text: str) -> str:
        """The text without the secrets in it."""
        if not self.is_suspicious(text):
            return text
        for begin, end in reversed(self.spans(text)):
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


def _marked(text: str, marks: Iterable[str]) -> bool:
    # Counts of tokens are everywhere.
    low = text.lower().replace("tokens", "")
    if any(mark in low for mark in marks):
        return True
    return ("-" in low or "_" in low) and any(mark in low for mark in _DASHED_MARKS)


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


# ---------------------------------------------------------------- what streams

# The members of a chunk in which a model's words come.
_PIECE = re.compile(r'"([a-z_]+)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_SECOND = re.compile(r'"index"\s*:\s*[1-9]')
# Which item of a Responses stream an event is of, and whether it is the item's last one.
_PLACE = re.compile(r'("response\.output_item\.done")|"output_index"\s*:\s*([0-9]+)')
_WATCHED = 64
# A key may be written in JSON's own escapes.
_ESCAPED = "\\u00"
_LEARN_ABOVE = 400
_FRAMES_MAX = 16_384
_LONG = 1000
_CLEAN_MAX = 8


class Streams:
    """Redacts both streams of one turn, in order.

    As long as nothing looks like the beginning of a secret, texts are only looked at; from then on
    every piece is (`RunningText`). A look must cost next to nothing: there are thousands a second.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._tails: dict[str, str] = {}
        self._running: dict[tuple[Any, ...], RunningText] = {}
        self._careful = False
        self._envelope = Envelope()
        self._place = ""
        self._places: set[str] = set()
        self._is_open = False
        """The item of a Responses stream that came last, all until now, and whether it goes on."""
        self._clean: list[bytes] = []
        """Long texts, as in JSON, in which there is nothing."""

    # -- events

    def events(self, writes: list[list[r.Event]]) -> bytes:
        """A JSON array of these events, an array for each write, without secrets."""
        pieces: dict[str, list[str]] = {}
        rows: list[list[Any]] = []
        for events in writes:
            row: list[Any] = []
            for event in events:
                delta = getattr(event, "delta", None)
                if delta is None:
                    row.append(self._whole(event))
                else:
                    pieces.setdefault(event.item_id, []).append(delta)  # type: ignore[union-attr]
                    row.append(event)
            rows.append(row)
        if not self._careful:
            for item_id, deltas in pieces.items():
                self._watch(item_id, "".join(deltas))
        encoded = r.encode_json(rows)
        if not self._careful:
            return encoded
        decoded = msgspec.json.decode(encoded)
        return msgspec.json.encode([[self._event(one) for one in row] for row in decoded])

    def _whole(self, event: r.Event) -> Any:
        """An event that is no delta."""
        encoded = r.encode_json(event)
        # The text of an item comes four times in the end: it is looked at once.
        said = encoded
        for clean in self._clean:
            said = said.replace(clean, b"")
        if self._redactor.is_suspicious_json(said.decode()):
            redacted = self._redactor.value(msgspec.json.decode(encoded))
            return msgspec.Raw(msgspec.json.encode(redacted))
        text = getattr(event, "text", None)
        if isinstance(text, str) and len(text) > _LONG and len(self._clean) < _CLEAN_MAX:
            self._clean.append(r.encode_json(text)[1:-1])
        return event

    def _event(self, event: Any) -> Any:
        delta = event.get("delta")
        redacted = self._redactor.value(event)
        if isinstance(delta, str):
            item_id = event.get("item_id")
            redacted["delta"] = self._piece((item_id, event["type"]), str(item_id), delta)
        return redacted

    # -- the provider's messages

    def frames(self, texts: list[str]) -> list[str]:
        """Whole server-sent messages, or whole bodies, without secrets."""
        said = "" if self._careful else self._envelope.merged("".join(texts))
        suspicious = self._redactor.is_suspicious_json(said) or _ESCAPED in said
        if said:
            self._watch_frames(said, suspicious)
        if self._careful:
            return [self._frame(text) for text in texts]
        if not suspicious:
            return texts
        redacted = [self._frame(text) if self._may_hold(text) else text for text in texts]
        # What they have seen is not all that comes: `_tails` has the rest.
        self._running.clear()
        return redacted

    def _may_hold(self, text: str) -> bool:
        return self._redactor.is_suspicious_json(text) or _ESCAPED in text

    def _watch_frames(self, said: str, suspicious: bool) -> None:
        """Look at each text that comes in pieces, put together."""
        # Calls may take turns: their pieces are told apart from here on.
        self._careful = _SECOND.search(said) is not None or self._take_turns(said)
        pieces: dict[str, list[str]] = {}
        for name, piece in _PIECE.findall(said):
            pieces.setdefault(name, []).append(piece)
        for name, found in pieces.items():
            # Where nothing is suspicious inside, only what meets can be.
            meeting = found if suspicious else [_ends(piece) for piece in found]
            self._watch(name, "".join(meeting))

    def _take_turns(self, said: str) -> bool:
        """Whether an item of a Responses stream begins before another one is done."""
        is_last = False
        for done, place in _PLACE.findall(said):
            if done:
                is_last = True
                continue
            if place != self._place and (self._is_open or place in self._places):
                return True
            self._places.add(place)
            self._place, self._is_open, is_last = place, not is_last, False
        return False

    def _frame(self, text: str) -> str:
        if text.lstrip()[:1] in ("{", "["):
            return self._body(text)
        return "".join(self._line(line) for line in re.split(r"(?<=[\r\n])", text))

    def _line(self, line: str) -> str:
        name, _, rest = line.partition(":")
        data = rest.strip(" \r\n")
        if name != "data" or data[:1] not in ("{", "["):
            return self._redactor.text(line)
        begin = line.index(data)
        return f"{line[:begin]}{self._body(data)}{line[begin + len(data) :]}"

    def _body(self, text: str) -> str:
        try:
            decoded = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._redactor.text(text)
        redacted = self._chunk(decoded, ())
        # What needed no change stays as it came, byte for byte.
        return text if redacted == decoded else msgspec.json.encode(redacted).decode()

    def _chunk(self, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, str):
            if "delta" in path:
                return self._piece(path, str(path[-1]), value)
            return self._redactor.text(value)
        if isinstance(value, dict):
            for place in ("index", "output_index"):
                path = (*path, value[place]) if isinstance(value.get(place), int) else path
            return {
                self._redactor.text(k): self._chunk_member(k, v, path) for k, v in value.items()
            }
        if isinstance(value, list):
            return [self._chunk(one, path) for one in value]
        return value

    def _chunk_member(self, name: str, value: Any, path: tuple[Any, ...]) -> Any:
        if is_secret_name(name) or name == "encrypted_content":
            return self._redactor.member(name, value)
        return self._chunk(value, (*path, name))

    # -- pieces

    def _piece(self, path: tuple[Any, ...], key: str, piece: str) -> str:
        running = self._running.get(path)
        if running is None:
            running = RunningText(self._redactor, self._tails.get(key, ""))
            self._running[path] = running
        return running.feed(piece)

    def _watch(self, key: str, text: str) -> None:
        joined = self._tails.get(key, "") + text
        # A form is known by two dozen characters: less than that of it may be written by now.
        if self._redactor.finds(joined) or _ESCAPED in joined:
            self._careful = True
            return
        self._tails[key] = joined[-_WATCHED:]


def _ends(piece: str) -> str:
    """The beginning and the end of a long piece, which do not meet."""
    both = 2 * _WATCHED
    return piece if len(piece) <= both else f"{piece[:_WATCHED]}\0{piece[-_WATCHED:]}"


class Envelope:
    """What all chunks of a stream have in common, learnt from two of them."""

    def __init__(self) -> None:
        self._between = ""

    def merged(self, text: str) -> str:
        """The text with neighbours made one, where nothing but their words differs.

        What comes in hundreds of pieces can then be looked at as one.
        """
        said = text.replace(self._between, "") if self._between else text
        if len(said) > _LEARN_ABOVE and len(said) > len(text) // 4:
            self._learn(text)
            if self._between:
                said = text.replace(self._between, "")
        return said

    def _learn(self, text: str) -> None:
        # In the middle: streams begin and end in other forms.
        start = text.find("\n\n", len(text) // 2 - 1) + 2
        frames = text[start : start + _FRAMES_MAX].split("\n\n", 2)
        if start < 2 or len(frames) < 3:
            frames = ["", "", *text.split("\n\n", 2)][-3:]
        one, other = frames[0], frames[1]
        # Words may begin or end alike: the envelope reaches to a quote.
        begin = one.rfind('"', 0, _common(one, other)) + 1
        ends = one[len(one) - _common(one[::-1], other[::-1]) :]
        end = len(ends) - max(ends.find('"'), 0)
        if begin + end <= min(len(one), len(other)):
            self._between = one[len(one) - end :] + "\n\n" + other[:begin]


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with together."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
