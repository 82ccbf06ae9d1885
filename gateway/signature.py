"""Verifies AWS Signature Version 4, in the Authorization header or in a presigned query string.

The rules are those of the IAM User Guide, "Create a signed AWS API request"; the codes and HTTP statuses those of
the EC2 API Reference, "Error codes" and "Common errors". For a date stamp more than 15 minutes in the future the
latter has RequestExpired too, as for one in the past.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
SKEW = timedelta(minutes=15)
LONGEST_EXPIRY = 604_800
"""Seven days in seconds: the longest that a presigned request may be valid."""

QUERY_PARTS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature")

_PRESIGNED = re.compile(b"(^|&)X-Amz-Algorithm=")
_KEY_ID = re.compile(r"\w{1,128}", re.ASCII)
"""IAM's rule for access key ids: nothing else is worth a question to the database."""

Headers = dict[str, list[bytes]]


class SignatureError(Exception):
    """A request that is not proven to come from the holder of a key. The message is for the user."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified signature says: whose key, and for which day, region and service it was made."""

    access_key_id: str
    scope_date: str
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says of its signature, before any of it is believed."""

    signed: Signed
    signed_headers: str
    signature: str
    timestamp: str
    query: bytes


def verify(
    method: str,
    path: str,
    raw_query: bytes | str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    secret_for: Callable[[str], str | None],
    now: datetime,
) -> Signed:
    """Return who signed the request, or raise SignatureError.

    `path` and `raw_query` are as the request line has them, still percent-encoded. `headers` are as WSGI gives them:
    text that is the received bytes in Latin-1; a header given twice is two pairs. `secret_for` returns the secret of
    an access key id, or None if there is no such key that may be used. `now` is an aware datetime.
    """
    query = raw_query.encode() if isinstance(raw_query, str) else raw_query
    received = _collect(headers)
    claim = _presigned(query, received, now) if _PRESIGNED.search(query) else _in_header(query, received, now)
    key_id = claim.signed.access_key_id
    secret = secret_for(key_id) if _KEY_ID.fullmatch(key_id) else None
    if secret is None:
        raise SignatureError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if not _matches(claim, secret, method, path, _canonical_headers(claim, received), _payload_hash(received, body)):
        raise _mismatch(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
        )
    return claim.signed


def _collect(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> Headers:
    received: Headers = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        try:
            raw = value.encode("latin-1")
        except UnicodeEncodeError:
            raw = value.encode("utf-8", "surrogateescape")
        received.setdefault(name.lower(), []).append(raw)
    return received


# -- what is claimed ---------------------------------------------------------


def _in_header(query: bytes, received: Headers, now: datetime) -> _Claim:
    given = received.get("authorization")
    if given is None:
        raise SignatureError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    if len(given) > 1:
        raise _incomplete("The request has more than one Authorization header.")
    algorithm, _, rest = given[0].decode("latin-1").strip().partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{algorithm:.64}'.")
    parts = _components(rest)
    signed = _scope(parts["Credential"])
    name = "x-amz-date" if "x-amz-date" in received else "date"
    if name not in received:
        raise _incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    required = {"host", name} | ({"x-amz-security-token"} & received.keys())
    timestamp, moment = _moment(b",".join(received[name]).decode("latin-1"))
    claim = _Claim(signed, _header_names(parts["SignedHeaders"], required), parts["Signature"], timestamp, query)
    _require_same_day(claim)
    _require_fresh(timestamp, moment, now, SKEW)
    return claim


def _presigned(query: bytes, received: Headers, now: datetime) -> _Claim:
    if "authorization" in received:
        raise _incomplete("The request is signed both in its query string and in an Authorization header.")
    parts, rest = _query_components(query)
    for name in QUERY_PARTS:
        if name not in parts:
            raise _incomplete(
                f"AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
            )
    if parts["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{parts['X-Amz-Algorithm']:.64}'.")
    signed = _scope(parts["X-Amz-Credential"])
    timestamp, moment = _moment(parts["X-Amz-Date"])
    names = _header_names(parts["X-Amz-SignedHeaders"], {"host"})
    claim = _Claim(signed, names, parts["X-Amz-Signature"], timestamp, rest)
    _require_same_day(claim)
    _require_fresh(timestamp, moment, now, _expiry(parts.get("X-Amz-Expires", "")))
    return claim


def _components(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for item in text.split(","):
        name, equals, value = item.strip().partition("=")
        if not equals:
            raise _incomplete(f"'{name:.64}' not a valid key=value pair (missing equal-sign) in Authorization header.")
        if name in parts:
            raise _incomplete(f"Authorization header has '{name:.64}' more than once.")
        parts[name] = value
    for name in ("Credential", "Signature", "SignedHeaders"):
        if name not in parts:
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    return parts


def _query_components(query: bytes) -> tuple[dict[str, str], bytes]:
    """Return the signature's own parameters, decoded, and the query string without the signature."""
    parts: dict[str, str] = {}
    rest = []
    for pair in query.split(b"&"):
        if pair.startswith(b"X-Amz-"):
            name, _, value = pair.decode("latin-1").partition("=")
            if name in parts:
                raise _incomplete(f"The query string has '{name:.64}' more than once.")
            parts[name] = unquote_to_bytes(value).decode("latin-1")
        if not pair.startswith(b"X-Amz-Signature="):
            rest.append(pair)
    return parts, b"&".join(rest)


def _scope(credential: str) -> Signed:
    elements = credential.split("/")
    if len(elements) != 5 or not all(elements):
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{credential:.255}'."
        )
    if elements[4] != "aws4_request":
        raise _mismatch("Credential should be scoped with a valid terminator: 'aws4_request'.")
    return Signed(*elements[:4])


def _header_names(text: str, required: set[str]) -> str:
    missing = required - set(text.split(";"))
    if missing:
        raise _incomplete(f"'{sorted(missing)[0]}' must be a 'SignedHeader' in the AWS Authorization.")
    return text


def _moment(text: str) -> tuple[str, datetime]:
    """Return a date both as the string to sign has it and as a datetime; ISO 8601 basic or RFC 1123."""
    try:
        if _ISO_BASIC.fullmatch(text):
            return text, datetime.fromisoformat(text)
        moment = parsedate_to_datetime(text)
        # "-0000", which botocore writes, is UTC without a claim to be local time (RFC 5322, 3.3).
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return f"{moment:%Y%m%dT%H%M%SZ}", moment
    except (ValueError, TypeError, OverflowError, IndexError):
        raise _incomplete("Date must be in ISO-8601 'basic format', e.g. 20240102T030405Z.") from None


_ISO_BASIC = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def _expiry(text: str) -> timedelta:
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= LONGEST_EXPIRY:
        reason = f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST_EXPIRY}"
        raise SignatureError("AuthorizationQueryParametersError", reason, 400)
    return timedelta(seconds=int(text))


def _require_same_day(claim: _Claim) -> None:
    if claim.signed.scope_date != claim.timestamp[:8]:
        raise _mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.signed.scope_date:.32}' != '{claim.timestamp[:8]}'."
        )


def _require_fresh(timestamp: str, moment: datetime, now: datetime, lifetime: timedelta) -> None:
    age = now - moment
    if age > lifetime or age < -SKEW:
        reason = "has expired" if age > lifetime else "is dated in the future"
        current = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        text = f"Request {reason}. Timestamp date is {timestamp}. Current date is {current}."
        raise SignatureError("RequestExpired", text, 400)


# -- what is true ------------------------------------------------------------


def _matches(claim: _Claim, secret: str, method: str, path: str, headers: bytes, payload: bytes) -> bool:
    signed = claim.signed
    key = _signing_key(signed.access_key_id, secret, signed.scope_date, signed.region, signed.service)
    scope = f"{signed.scope_date}/{signed.region}/{signed.service}/aws4_request"
    preamble = f"{ALGORITHM}\n{claim.timestamp}\n{scope}\n".encode()
    start = f"{method.upper()}\n{_canonical_path(path)}\n".encode()
    end = b"\n" + headers + b"\n" + claim.signed_headers.encode("latin-1") + b"\n" + payload
    given = claim.signature.encode("latin-1")
    for query in _canonical_queries(claim.query):
        text = preamble + sha256(start + query + end).hexdigest().encode()
        if hmac.compare_digest(hmac.digest(key, text, "sha256").hex().encode(), given):
            return True
    return False


@lru_cache(maxsize=1024)
def _signing_key(access_key_id: str, secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _canonical_path(path: str) -> str:
    # The path comes encoded once; every service but S3 has it encoded twice, after dots and slashes are resolved.
    if path in ("", "/"):
        return "/"
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    tail = "/" if segments and path.endswith(("/", "/.", "/..")) else ""
    return quote("/" + "/".join(segments) + tail, safe="/~")


def _canonical_queries(query: bytes) -> Iterable[bytes]:
    """Yield the canonical forms that a signer may have used: of the text as sent, then of what it means.

    Both sign all that is there. They differ where a client escapes other characters than the rules ask for, or
    sends '+' for a space, which is how the parameters are read.
    """
    if not query:
        yield b""
        return
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    as_sent = b"&".join([name + b"=" + value for name, _, value in sorted(pairs)])
    yield as_sent
    decoded = sorted((_encoded(name), _encoded(value)) for name, equals, value in pairs if name or equals)
    meant = "&".join([f"{name}={value}" for name, value in decoded]).encode()
    if meant != as_sent:
        yield meant


def _encoded(part: bytes) -> str:
    return quote_from_bytes(unquote_to_bytes(part.replace(b"+", b" ")), safe="-_.~")


def _canonical_headers(claim: _Claim, received: Headers) -> bytes:
    lines = []
    for name in claim.signed_headers.split(";"):
        if name not in received:
            raise _mismatch(f"'{name:.64}' is named in SignedHeaders, but the request has no such header.")
        lines.append(name.encode("latin-1") + b":" + b",".join([b" ".join(v.split()) for v in received[name]]) + b"\n")
    return b"".join(lines)


def _payload_hash(received: Headers, body: bytes) -> bytes:
    given = b",".join(received.get("x-amz-content-sha256", ()))
    if given == UNSIGNED_PAYLOAD:
        return given
    actual = sha256(body).hexdigest().encode()
    if given and given.lower() != actual:
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise SignatureError("XAmzContentSHA256Mismatch", text, 400)
    return given or actual


def _incomplete(message: str) -> SignatureError:
    return SignatureError("IncompleteSignature", message, 400)


def _mismatch(message: str) -> SignatureError:
    return SignatureError("SignatureDoesNotMatch", message, 403)
