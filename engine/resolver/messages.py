"""DNS messages (RFC 1035, RFC 6891): what is asked, and how what is known, or not, is said."""

import secrets
import struct

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from engine.resolver.names import Known

Message = dns.message.Message

_TTL = 60
"""Seconds that names of a VPC may be remembered, as EC2's are; the same for names that are not there."""
_PAYLOAD = 1232
"""The longest UDP answer: what passes everywhere without fragments (DNS Flag Day 2020)."""
_PLAIN = 512
"""The longest UDP answer to who does not say how much it takes (RFC 1035)."""
LONGEST = 65535
_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)


class Refusal(Exception):
    """A question that is not answered as it stands; ``wire`` is what to say instead, None nothing at all."""

    def __init__(self, wire: bytes | None) -> None:
        super().__init__()
        self.wire = wire


def read(wire: bytes) -> Message:
    """Return the request in a packet. Raise Refusal for whatever is no plain question about a name."""
    if len(wire) < 12 or wire[2] & 0x80:
        # Nobody asks by answering: two programs could go on for ever.
        raise Refusal(None)
    try:
        request = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        raise Refusal(_bare(wire, dns.rcode.FORMERR)) from None
    refused = _objection(request)
    if refused is not None:
        raise Refusal(_bare(wire, refused) if refused == dns.rcode.FORMERR else said(_reply(request, refused)))
    return request


def _bare(wire: bytes, code: dns.rcode.Rcode) -> bytes:
    """Return an answer of nothing but a header, to a request of which no more can be trusted."""
    opcode, asked = wire[2] & 0x79, wire[2] & 0x01
    return wire[:2] + bytes([0x80 | opcode | asked, 0x80 | code]) + bytes(8)


def _objection(request: Message) -> dns.rcode.Rcode | None:
    if request.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(request.question) != 1 or request.answer or request.authority:
        return dns.rcode.FORMERR
    if request.edns > 0:
        return dns.rcode.BADVERS
    (question,) = request.question
    if question.rdclass != dns.rdataclass.IN or question.rdtype in _TRANSFERS:
        return dns.rcode.REFUSED
    return None


def asked_name(request: Message) -> str:
    """Return the name in question, in lower case and without the last dot."""
    return request.question[0].name.to_text(omit_final_dot=True).lower()


def of_known(request: Message, known: Known) -> Message:
    """Return the answer from what a VPC itself knows."""
    reply = _reply(request, dns.rcode.NOERROR if known.exists else dns.rcode.NXDOMAIN)
    (question,) = request.question
    wanted = dns.rdatatype.to_text(question.rdtype)
    zone = dns.name.from_text(known.zone)
    records = {kind: values for kind, values in known.records.items() if wanted in (kind, "ANY") and values}
    if question.name == zone and wanted in ("SOA", "ANY"):
        records["SOA"] = [_authority(known.zone)]
    for kind, values in records.items():
        reply.answer.append(dns.rrset.from_text_list(question.name, _TTL, "IN", kind, values))
    if not records:
        # By it who asks knows how long there is no such thing (RFC 2308).
        reply.authority.append(dns.rrset.from_text(zone, _TTL, "IN", "SOA", _authority(known.zone)))
    return reply


def _authority(zone: str) -> str:
    return f"ns.{zone}. hostmaster.{zone}. 1 3600 900 604800 {_TTL}"


def to_forward(request: Message) -> Message:
    """Return the same question as one of our own, with an id that nobody can guess."""
    query = dns.message.Message(id=secrets.randbelow(65536))
    query.flags = dns.flags.Flag.RD | (request.flags & (dns.flags.CD | dns.flags.AD))
    query.question = list(request.question)
    query.use_edns(0, request.ednsflags & dns.flags.DO, _PAYLOAD)
    return query


def of_reply(request: Message, reply: Message | None) -> Message:
    """Return what somebody else said to the same question as an answer to this one; None is nobody did."""
    if reply is None:
        return _reply(request, dns.rcode.SERVFAIL)
    answer = _reply(request, reply.rcode())
    answer.flags |= reply.flags & dns.flags.AD
    answer.answer, answer.authority, answer.additional = reply.answer, reply.authority, reply.additional
    return answer


def failed(request: Message) -> bytes:
    return said(_reply(request, dns.rcode.SERVFAIL))


def _reply(request: Message, code: dns.rcode.Rcode) -> Message:
    reply = dns.message.make_response(request, recursion_available=True, our_payload=_PAYLOAD)
    reply.flags |= request.flags & dns.flags.CD
    reply.set_rcode(code)
    return reply


def room(request: Message) -> int:
    """Return how many bytes an answer by UDP may have: what is longer is asked for by TCP again."""
    return _PLAIN if request.edns < 0 else min(max(request.payload, _PLAIN), _PAYLOAD)


def said(reply: Message, longest: int = LONGEST) -> bytes:
    """Return a message as bytes; of one that is too long as much as says that it is."""
    return reply.to_wire(max_size=longest, prefer_truncation=True)
