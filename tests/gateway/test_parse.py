from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import model, wire
from gateway.parse import MAX_DEPTH, MAX_ENTRIES, MAX_FIELDS
from tests.gateway.shapes import NESTED, probe

SCALARS = probe()
DESCRIBE = model.operation("ec2", "DescribeInstances")
RUN = model.operation("ec2", "RunInstances")


def refusal(operation, fields):
    with pytest.raises(wire.WireError) as caught:
        wire.parse(operation, fields)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


def outcome(call, *arguments):
    try:
        call(*arguments)
    except wire.WireError as error:
        return error.code
    return None


# -- names -------------------------------------------------------------------


def test_an_unknown_parameter_is_refused_by_its_full_name():
    assert refusal(DESCRIBE, {"Colour": "red"}) == ("UnknownParameter", "The parameter Colour is not recognized")
    expected = ("UnknownParameter", "The parameter Filter.1.Colour is not recognized")
    assert refusal(DESCRIBE, {"Filter.1.Colour": "red"}) == expected


def test_a_name_is_known_in_its_own_case_only():
    assert refusal(DESCRIBE, {"maxResults": "5"})[0] == "UnknownParameter"


def test_protocol_and_signature_fields_are_skipped():
    fields = dict.fromkeys(("Action", "Version", "AWSAccessKeyId", "Signature", "SignatureMethod", "Timestamp"), "x")
    fields |= dict.fromkeys(("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "SecurityToken", "Expires"), "x")
    assert wire.parse(DESCRIBE, fields | {"MaxResults": "5"}) == {"MaxResults": 5}


def test_protocol_fields_are_unknown_below_the_top():
    assert refusal(DESCRIBE, {"Filter.1.Version": "1"})[0] == "UnknownParameter"
    assert refusal(DESCRIBE, {"Version.1": "1"})[0] == "UnknownParameter"


def test_a_scalar_with_parts_is_not_recognized():
    expected = ("UnknownParameter", "The parameter MaxResults.1 is not recognized")
    assert refusal(DESCRIBE, {"MaxResults.1": "5"}) == expected
    assert refusal(DESCRIBE, {"NextToken.1": "5"})[0] == "UnknownParameter"


@pytest.mark.parametrize(
    "names",
    [
        ("Filter", "Filter.1.Name"),
        ("Filter.1.Name", "Filter"),
        ("Filter.1", "Filter.1.Name"),
        ("Filter.1.Name", "Filter.1"),
    ],
)
def test_a_name_that_is_both_a_value_and_a_structure_is_malformed(names):
    assert refusal(DESCRIBE, dict.fromkeys(names, "x"))[0] == "MalformedQueryString"


def test_the_query_name_of_the_model_is_used():
    fields = {"NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress": "10.0.0.1"}
    parsed = wire.parse(RUN, fields)
    assert parsed == {"NetworkInterfaces": [{"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.1"}]}]}


def test_an_action_without_input_takes_no_parameters():
    operation = probe()
    del operation._operation_model["input"]
    assert wire.parse(operation, {"Action": "Probe"}) == {}
    assert refusal(operation, {"A": "1"})[0] == "UnknownParameter"


def test_a_structure_may_contain_itself():
    fields = {"Child.ChildSet.2.ChildSet.1.Name": "b", "Child.ChildSet.1.Name": "a"}
    expected = {"Child": {"Children": [{"Name": "a"}, {"Children": [{"Name": "b"}]}]}}
    assert wire.parse(probe(**NESTED), fields) == expected


def test_a_protocol_without_form_fields_is_not_ours():
    with pytest.raises(TypeError, match="json"):
        wire.parse(probe("json"), {})


# -- lists -------------------------------------------------------------------


def test_sparse_indices_are_closed_up_in_numeric_order():
    fields = {"InstanceId.10": "c", "InstanceId.2": "a", "InstanceId.9": "b"}
    assert wire.parse(DESCRIBE, fields) == {"InstanceIds": ["a", "b", "c"]}


@pytest.mark.parametrize("wrapper", ["member", "item", "InstanceId"])
def test_a_list_may_have_the_query_protocols_wrapper(wrapper):
    fields = {f"InstanceId.{wrapper}.2": "b", f"InstanceId.{wrapper}.1": "a"}
    assert wire.parse(DESCRIBE, fields) == {"InstanceIds": ["a", "b"]}


def test_an_empty_value_is_an_empty_list():
    assert wire.parse(DESCRIBE, {"InstanceId": "", "Filter": ""}) == {"InstanceIds": [], "Filters": []}


def test_a_flattened_list_of_the_query_protocol_has_the_name_of_its_entries():
    flat = {"type": "list", "flattened": True, "member": {"shape": "String", "locationName": "Entry"}}
    operation = probe("query", {"Things": {"shape": "Flat"}, "Name": {"shape": "String"}}, Flat=flat)
    assert wire.parse(operation, {"Entry.1": "a", "Entry.2": "b"}) == {"Things": ["a", "b"]}


@pytest.mark.parametrize("index", ["0", "01", "-1", "x", "", "1x", "\u0661", "1001", "9" * 5000, " 1"])
def test_a_list_index_that_is_no_position_is_malformed(index):
    assert refusal(DESCRIBE, {f"InstanceId.{index}": "a"})[0] == "MalformedQueryString"


def test_a_value_where_a_list_is_wanted_is_refused():
    code, message = refusal(DESCRIBE, {"InstanceId": "i-1"})
    assert code == "InvalidParameterValue"
    assert message == "Value (i-1) for parameter InstanceId is invalid. A list is expected."


def test_a_value_where_a_structure_is_wanted_is_refused():
    code, message = refusal(DESCRIBE, {"Filter.1": "vpc-id"})
    assert code == "InvalidParameterValue"
    assert message == "Value (vpc-id) for parameter Filter.1 is invalid. A structure is expected."


# -- limits ------------------------------------------------------------------


def test_a_list_may_have_a_thousand_entries_and_no_more():
    fields = {f"InstanceId.{index}": "i" for index in range(1, MAX_ENTRIES + 1)}
    assert len(wire.parse(DESCRIBE, fields)["InstanceIds"]) == MAX_ENTRIES
    fields[f"InstanceId.{MAX_ENTRIES + 1}"] = "i"
    assert refusal(DESCRIBE, fields) == (
        "InvalidParameterValue",
        "The parameter InstanceId has more than 1000 entries",
    )


def test_a_request_with_too_many_fields_is_malformed():
    assert refusal(DESCRIBE, {str(index): "" for index in range(MAX_FIELDS + 1)})[0] == "MalformedQueryString"


def test_a_name_that_is_nested_too_deep_is_malformed():
    assert refusal(DESCRIBE, {".".join("a" * (MAX_DEPTH + 1)): ""})[0] == "MalformedQueryString"
    assert refusal(DESCRIBE, {".".join("a" * MAX_DEPTH): ""})[0] == "UnknownParameter"
    assert refusal(DESCRIBE, {"." * 1_000_000: ""})[0] == "MalformedQueryString"


def test_a_message_quotes_only_the_beginning_of_a_long_value():
    assert len(refusal(DESCRIBE, {"MaxResults": "x" * 100_000})[1]) < 500
    assert len(refusal(DESCRIBE, {"x" * 100_000: ""})[1]) < 500


# -- values ------------------------------------------------------------------


def test_a_bad_integer_is_refused_in_ec2s_words():
    code, message = refusal(DESCRIBE, {"MaxResults": "abc"})
    assert code == "InvalidParameterValue"
    assert message == "Value (abc) for parameter MaxResults is invalid. An integer is expected."


@pytest.mark.parametrize(
    "text", ["", "1.0", "1_000", " 1", "+1", "0x1", "\u0661", "2147483648", "-2147483649", "9" * 5000]
)
def test_a_bad_integer_is_refused(text):
    assert refusal(SCALARS, {"Integer": text})[0] == "InvalidParameterValue"


@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, -(2**31)])
def test_an_integer_has_32_bits(number):
    assert wire.parse(SCALARS, {"Integer": str(number)}) == {"Integer": number}


def test_a_long_has_64_bits():
    assert wire.parse(SCALARS, {"Long": str(2**63 - 1)}) == {"Long": 2**63 - 1}
    assert refusal(SCALARS, {"Long": str(2**63)})[0] == "InvalidParameterValue"


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e9999", "1_0", "0x1", "1.", ".5"])
def test_a_bad_number_is_refused(text):
    assert refusal(SCALARS, {"Double": text})[0] == "InvalidParameterValue"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("TRUE", True), ("False", False)])
def test_a_boolean_may_have_any_case(text, value):
    assert wire.parse(SCALARS, {"Boolean": text}) == {"Boolean": value}


@pytest.mark.parametrize("text", ["", "1", "0", "yes", "true ", "t"])
def test_a_bad_boolean_is_refused(text):
    assert refusal(SCALARS, {"Boolean": text})[0] == "InvalidParameterValue"


@pytest.mark.parametrize("text", ["", "2024", "20240102", "2024-W01-1", "2024-13-01", "2024-01-02T25:00:00Z", "now"])
def test_a_bad_timestamp_is_refused(text):
    assert refusal(SCALARS, {"Moment": text})[0] == "InvalidParameterValue"


def test_the_ends_of_the_calendar_are_no_fault_of_ours():
    assert refusal(SCALARS, {"Moment": "0001-01-01T00:00:00+14:00"})[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    "text", ["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.000Z", "2024-01-02T05:04:05+02:00", "2024-01-02T03:04:05"]
)
def test_a_timestamp_is_utc(text):
    moment = wire.parse(SCALARS, {"Moment": text})["Moment"]
    assert moment == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("text", ["a", "a===", "!!!!", "YQ==YQ==x", "\u00e9"])
def test_a_bad_blob_is_refused(text):
    assert refusal(SCALARS, {"Blob": text})[0] == "InvalidParameterValue"


def test_a_blob_may_have_line_breaks():
    assert wire.parse(SCALARS, {"Blob": "aGVs\r\nbG8=\n"}) == {"Blob": b"hello"}


def test_text_that_was_not_utf_8_is_malformed():
    assert refusal(SCALARS, {"String": "a\udcff"})[0] == "MalformedQueryString"
    assert refusal(SCALARS, {"Strin\udcff": "a"})[0] == "MalformedQueryString"


# -- the form ----------------------------------------------------------------


def malformed(raw):
    with pytest.raises(wire.WireError) as caught:
        wire.decode(raw)
    return caught.value.code == "MalformedQueryString"


def test_a_form_is_decoded():
    assert wire.decode(b"A=1&B=x+y%2Bz&C&&D==%C3%A9") == {"A": "1", "B": "x y+z", "C": "", "D": "=\u00e9"}
    assert wire.decode(b"") == {}


def test_a_field_that_is_given_twice_is_malformed():
    assert malformed(b"A=1&A=1")
    assert malformed(b"A=1&%41=1")


@pytest.mark.parametrize("raw", [b"A=%FF", b"A=\xff", b"%FF=1", b"A=%ED%A0%80"])
def test_a_form_that_is_not_utf_8_is_malformed(raw):
    assert malformed(raw)


def test_a_form_with_too_many_fields_is_malformed():
    assert malformed(b"&" * MAX_FIELDS)


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_form_is_decoded_to_what_was_encoded(fields):
    assert wire.decode(urlencode(fields, quote_via=quote_plus).encode()) == fields


@given(st.binary())
def test_any_body_is_decoded_or_refused(raw):
    assert outcome(wire.decode, raw) in (None, "MalformedQueryString")


# -- anything ----------------------------------------------------------------

PARTS = ["Filter", "Name", "Value", "InstanceId", "MaxResults", "DryRun", "1", "2", "0", "member", "item", ""]
NAMES = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), min_size=1, max_size=20).map(".".join)


@given(st.dictionaries(NAMES | st.text(), st.text(), max_size=8))
@example({"": ""})
@example({".": ""})
def test_any_fields_are_parsed_or_refused(fields):
    codes = (None, "UnknownParameter", "InvalidParameterValue", "MalformedQueryString")
    assert outcome(wire.parse, DESCRIBE, fields) in codes


@given(st.sampled_from(["Integer", "Long", "Double", "Boolean", "Blob", "Moment", "Strings.1"]), st.text())
def test_any_value_is_read_or_refused(name, text):
    assert outcome(wire.parse, SCALARS, {name: text}) in (None, "InvalidParameterValue")


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])))
def test_any_moment_is_read(moment):
    try:
        assert wire.parse(SCALARS, {"Moment": moment.isoformat()}) == {"Moment": moment}
    except wire.WireError:
        assert moment.year in (1, 9999)
