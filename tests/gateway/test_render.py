import base64
import enum
from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import model, render, wire
from tests.gateway.shapes import NESTED, probe
from translators.memo import Memo

SCALARS = probe()
DESCRIBE = model.operation("ec2", "DescribeInstances")
START = '<?xml version="1.0" encoding="UTF-8"?>\n'
ILLEGAL = {chr(c) for c in range(0x20)} - set("\t\n\r") | {"\ufffe", "\uffff"}


@pytest.fixture(autouse=True)
def _nothing_remembered():
    render.fragments.clear()


def body(operation, result):
    """The text between the request id and the end of the document."""
    text = wire.render(operation, result, "r-1").decode()
    return text.partition("</requestId>")[2].rpartition("</")[0]


def instances(*members):
    return {"Reservations": [{"Instances": list(members)}]}


# -- documents ---------------------------------------------------------------


def test_a_reply_of_ec2_is_exactly_this():
    operation = model.operation("ec2", "DescribeKeyPairs")
    text = wire.render(operation, {"KeyPairs": [{"KeyName": "a"}, {"KeyName": "b"}]}, "r-1").decode()
    assert text == (
        f'{START}<DescribeKeyPairsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId>'
        "<keySet><item><keyName>a</keyName></item><item><keyName>b</keyName></item></keySet></DescribeKeyPairsResponse>"
    )


def test_a_reply_of_sts_is_exactly_this():
    operation = model.operation("sts", "GetCallerIdentity")
    text = wire.render(operation, {"UserId": "u", "Account": "1", "Arn": "arn:aws:iam::1:user/u"}, "r-1").decode()
    assert text == (
        f'{START}<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        "<UserId>u</UserId><Account>1</Account><Arn>arn:aws:iam::1:user/u</Arn></GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )


def test_an_action_without_output_says_that_it_succeeded():
    assert body(model.operation("ec2", "DeleteVolume"), {}) == "<return>true</return>"


def test_an_action_without_output_has_no_members():
    with pytest.raises(TypeError, match=r"DeleteVolume .* has no member 'Return'"):
        wire.render(model.operation("ec2", "DeleteVolume"), {"Return": True}, "r-1")


def test_an_error_of_ec2_is_exactly_this():
    assert wire.render_error("ec2", "A.B", "x < y", "r-1").decode() == (
        f"{START}<Response><Errors><Error><Code>A.B</Code><Message>x &lt; y</Message></Error></Errors>"
        "<RequestID>r-1</RequestID></Response>"
    )


@pytest.mark.parametrize(("code", "fault"), [("AccessDenied", "Sender"), ("InternalError", "Receiver")])
def test_an_error_of_the_query_protocol_is_exactly_this(code, fault):
    assert wire.render_error("query", code, "x", "r-1").decode() == (
        f'{START}<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>{fault}</Type>'
        f"<Code>{code}</Code><Message>x</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    )


@pytest.mark.parametrize(
    "call", [lambda: wire.render(probe("json"), {}, "r"), lambda: wire.render_error("j", "", "", "")]
)
def test_another_protocol_is_a_programming_error(call):
    with pytest.raises(TypeError, match="cannot render"):
        call()


def test_a_flattened_list_has_no_element_around_it():
    flat = {"type": "list", "flattened": True, "member": {"shape": "String", "locationName": "Entry"}}
    operation = probe("ec2", {"Things": {"shape": "Flat"}}, Flat=flat)
    assert body(operation, {"Things": ["a", "b"]}) == "<Entry>a</Entry><Entry>b</Entry>"


def test_a_structure_may_contain_itself():
    result = {"Child": {"Children": [{"Name": "a", "Children": [{"Name": "b"}]}]}}
    inner = "<item><name>a</name><childSet><item><name>b</name></item></childSet></item>"
    assert body(probe(**NESTED), result) == f"<child><childSet>{inner}</childSet></child>"


# -- values ------------------------------------------------------------------


def test_none_is_left_out_and_empty_values_are_not():
    result = {"String": "", "Strings": [], "Integer": None, "Boolean": False}
    assert body(SCALARS, result) == "<String></String><Strings></Strings><Boolean>false</Boolean>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2024-01-02T03:04:05.000Z", "2024-01-02T03:04:05.000Z"),
        (datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "2024-01-02T03:04:05.678Z"),
        (datetime(2024, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T03:04:05.000Z"),
        (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05.000Z"),
    ],
)
def test_a_timestamp_has_ec2s_format(value, text):
    assert body(SCALARS, {"Moment": value}) == f"<Moment>{text}</Moment>"


def test_numbers_and_blobs_are_written_as_the_protocol_has_them():
    result = {"Integer": -7, "Long": 2**40, "Double": 1.5, "Blob": b"\xff\x00"}
    expected = f"<Integer>-7</Integer><Long>{2**40}</Long><Double>1.5</Double><Blob>/wA=</Blob>"
    assert body(SCALARS, result) == expected


def test_a_string_enumeration_is_written_by_its_value():
    class State(str, enum.Enum):  # noqa: UP042
        RUNNING = "running"

    assert body(SCALARS, {"String": State.RUNNING}) == "<String>running</String>"


@given(st.text(st.characters(exclude_categories=())), st.binary())
def test_any_text_makes_a_document_that_reads_the_same(text, blob):
    root = ElementTree.fromstring(wire.render(SCALARS, {"String": text, "Strings": [text], "Blob": blob}, text))
    space = "{urn:probe/}"
    expected = "".join("\ufffd" if c in ILLEGAL or "\ud800" <= c <= "\udfff" else c for c in text)
    assert root.findtext(f"{space}String") == expected
    assert root.findtext(f"{space}Strings/{space}item") == expected
    assert root.findtext(f"{space}requestId") == expected
    assert base64.b64decode(root.findtext(f"{space}Blob")) == blob


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_makes_an_error_that_can_be_read(text):
    for protocol in ("ec2", "query"):
        ElementTree.fromstring(wire.render_error(protocol, text, text, text))


# -- programming errors ------------------------------------------------------


def test_a_member_that_the_shape_lacks_is_a_programming_error():
    with pytest.raises(TypeError, match="Instance has no member 'Colour'"):
        wire.render(DESCRIBE, instances({"Colour": "red"}), "r-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("String", 5),
        ("String", b"x"),
        ("Integer", "5"),
        ("Integer", True),
        ("Integer", 1.5),
        ("Double", "1.5"),
        ("Boolean", "true"),
        ("Boolean", 1),
        ("Blob", "text"),
        ("Moment", 1704164645),
        ("Strings", "text"),
        ("Strings", [None]),
        ("Strings", 5),
    ],
)
def test_a_value_of_another_type_is_a_programming_error(name, value):
    with pytest.raises(wire.Mismatch, match=f"Root.{name}: "):
        wire.render(SCALARS, {name: value}, "r-1")


@pytest.mark.parametrize("result", [instances("i-1"), instances(None), {"Reservations": {"Instances": []}}])
def test_something_else_than_a_structure_is_a_programming_error(result):
    with pytest.raises(wire.Mismatch, match="a mapping is expected"):
        wire.render(DESCRIBE, result, "r-1")


# -- memos -------------------------------------------------------------------


def counted(calls, value):
    def make():
        calls.append(value)
        return value

    return make


def test_a_memo_is_made_once_for_each_key():
    calls = []
    first = Memo(("i-1", 1), counted(calls, {"InstanceId": "i-1"}))
    plain = wire.render(DESCRIBE, instances({"InstanceId": "i-1"}), "r-1")
    assert wire.render(DESCRIBE, instances(first), "r-1") == plain
    assert wire.render(DESCRIBE, instances(first, first), "r-1") != plain
    assert len(calls) == 1
    wire.render(DESCRIBE, instances(Memo(("i-1", 2), first.make)), "r-1")
    assert len(calls) == 2


def test_a_memo_is_kept_for_its_shape_only():
    volumes = model.operation("ec2", "DescribeVolumes")
    wire.render(DESCRIBE, instances(Memo(1, lambda: {"InstanceId": "i-1"})), "r-1")
    assert "<volumeId>v</volumeId>" in body(volumes, {"Volumes": [Memo(1, lambda: {"VolumeId": "v"})]})


def test_what_a_memo_makes_is_checked_and_a_failure_is_not_kept():
    with pytest.raises(wire.Mismatch, match="Instance has no member 'Colour'"):
        wire.render(DESCRIBE, instances(Memo(1, lambda: {"Colour": "red"})), "r-1")
    assert len(render.fragments) == 0


def test_an_error_of_a_memos_own_code_is_not_renamed():
    with pytest.raises(KeyError, match="lost"):
        wire.render(DESCRIBE, instances(Memo(1, lambda: {}["lost"])), "r-1")
