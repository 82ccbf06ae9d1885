"""What a guest is answered: who may ask, with which token, by which method; see "Use the Instance Metadata Service"."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from engine.metadata.facts import Facts, find_facts
from engine.metadata.identity import Identity
from engine.metadata.tokens import LONGEST, make_token, seconds_left
from engine.metadata.tree import read, tree
from engine.state.database import Database

TOKEN = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_PATH = "/latest/api/token"
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
           500: "Internal Server Error"}  # fmt: skip
_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""


@dataclass(frozen=True)
class Question:
    """An HTTP request, and where it comes from: a VPC and an address in it. Header names match in any case."""

    vpc_id: str
    address: str
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """``hops`` is the IP TTL that the answer must be sent with; None is the system's own."""

    status: int
    body: bytes
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    hops: int | None = None


class Answers:
    """Answer questions from the database; any number of threads. ``clock`` gives Unix time."""

    def __init__(
        self, database: Database, secret: bytes, identity: Identity, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._secret = secret
        self._identity = identity
        self._clock = clock

    def answer(self, question: Question) -> Answer:
        """Return EC2's answer, be it an error page. Raises only what the database raises."""
        with self._database.read() as db:
            facts = find_facts(db, question.vpc_id, question.address)
        if facts is None:
            return page(404)
        if facts.http_endpoint == "disabled" or (":" in question.address and facts.http_ipv6 == "disabled"):
            return page(403)
        if question.path == _TOKEN_PATH:
            return self._token(question, facts)
        if question.method not in ("GET", "HEAD"):
            return page(405, {"Allow": "GET, HEAD"})
        return self._metadata(question, facts)

    def _token(self, question: Question, facts: Facts) -> Answer:
        if question.method != "PUT":
            return page(405, {"Allow": "OPTIONS, PUT"})
        hops = facts.http_hop_limit
        # A proxy that was left open must not fetch tokens for strangers.
        if "X-Forwarded-For" in question.headers:
            return page(403, hops=hops)
        asked = question.headers.get(TTL, "")
        if not (asked.isascii() and asked.isdigit() and len(asked) < 6 and 1 <= int(asked) <= LONGEST):
            return page(400, hops=hops)
        token = make_token(self._secret, facts.id, int(asked), self._clock())
        return Answer(200, token.encode(), headers={TTL: asked}, hops=hops)

    def _metadata(self, question: Question, facts: Facts) -> Answer:
        headers = {"Last-Modified": _http_date(facts.launch_time)}
        token = question.headers.get(TOKEN)
        if token is None and facts.http_tokens == "required":
            return page(401)
        if token is not None:
            left = seconds_left(self._secret, facts.id, token, self._clock())
            if not left:
                return page(401)
            headers[TTL] = str(int(left))
        found = read(tree(facts, self._identity.papers(facts)), question.path)
        if found is None:
            return page(404)
        if isinstance(found, bytes):
            return Answer(200, found, "application/octet-stream", headers)
        return Answer(200, found.encode(), headers=headers)


def page(status: int, headers: Mapping[str, str] | None = None, hops: int | None = None) -> Answer:
    """Return an error as EC2's page."""
    text = _PAGE.format(title=f"{status} - {_TITLES[status]}")
    return Answer(status, text.encode(), "text/html", headers or {}, hops)


def _http_date(timestamp: str) -> str:
    return format_datetime(datetime.fromisoformat(timestamp).astimezone(UTC), usegmt=True)
