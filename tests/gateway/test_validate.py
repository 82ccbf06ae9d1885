import logging

import pytest

from gateway import model, validate, wire
from tests.gateway.shapes import NESTED, probe


def refusal(operation, params):
    with pytest.raises(wire.WireError) as caught:
        validate.check(operation, params)
    return caught.value.code, caught.value.message


def ec2(action):
    return model.operation("ec2", action)


def of(kind, **rules):
    return probe("ec2", {"Thing": {"shape": "Thing"}}, Thing={"type": kind, **rules})


def invalid(text):
    return "InvalidParameterValue", text


def test_a_missing_parameter_is_named():
    expected = ("MissingParameter", "The request must contain the parameter VolumeId")
    assert refusal(ec2("DeleteVolume"), {}) == expected


def test_a_missing_parameter_has_its_name_on_the_wire():
    # The model's member is InstanceIds.
    expected = ("MissingParameter", "The request must contain the parameter InstanceId")
    assert refusal(ec2("TerminateInstances"), {}) == expected


def test_a_required_list_must_have_entries():
    assert refusal(ec2("TerminateInstances"), {"InstanceIds": []})[0] == "MissingParameter"


def test_a_missing_parameter_in_depth_has_its_whole_path():
    params = {"Child": {"Name": "a", "Children": [{"Name": "b"}, {"Name": "c", "Children": [{}]}]}}
    expected = ("MissingParameter", "The request must contain the parameter Child.ChildSet.2.ChildSet.1.Name")
    assert refusal(probe(**NESTED), params) == expected


def test_what_breaks_no_rule_passes():
    validate.check(ec2("DescribeInstances"), {"InstanceIds": ["i-1"], "MaxResults": 3})
    validate.check(ec2("DeleteVolume"), {"VolumeId": "v"})
    validate.check(probe(**NESTED), {"Child": {"Name": "a", "Children": []}})


def test_an_action_without_rules_or_input_passes():
    operation = probe("ec2", {})
    validate.check(operation, {})
    bare = probe()
    del bare._operation_model["input"]
    validate.check(bare, {})


def test_a_value_outside_an_enumeration_is_refused_with_the_valid_ones():
    code, message = refusal(ec2("CreateVolume"), {"AvailabilityZone": "a", "VolumeType": "fast"})
    assert code == "InvalidParameterValue"
    assert message.startswith("Value (fast) for parameter VolumeType is invalid. Valid values: standard, io1,")


def test_a_long_enumeration_is_not_quoted():
    tags = [{"ResourceType": "unicorn", "Tags": []}]
    code, message = refusal(ec2("CreateVolume"), {"AvailabilityZone": "a", "TagSpecifications": tags})
    assert code == "InvalidParameterValue"
    expected = "Value (unicorn) for parameter TagSpecification.1.ResourceType is invalid. It is not a valid value."
    assert message == expected


def test_the_instance_types_are_not_the_models():
    validate.check(ec2("RunInstances"), {"MinCount": 1, "MaxCount": 1, "InstanceType": "cellar.large"})


def test_a_closed_enumeration_stays_closed_beside_an_open_one():
    params = {"MinCount": 1, "MaxCount": 1, "Placement": {"Tenancy": "shared"}}
    message = "Value (shared) for parameter Placement.Tenancy is invalid. Valid values: default, dedicated, host."
    assert refusal(ec2("RunInstances"), params) == invalid(message)


@pytest.mark.parametrize(
    ("value", "limit"), [(2, "greater than or equal to 5"), (1001, "smaller than or equal to 1000")]
)
def test_a_number_out_of_range_is_refused_in_ec2s_words(value, limit):
    text = f"Value ( {value} ) for parameter maxResults is invalid. Expecting a value {limit}."
    assert refusal(ec2("DescribeVpcs"), {"MaxResults": value}) == invalid(text)


def test_the_ends_of_a_range_are_in_it():
    for value in (5, 1000):
        validate.check(ec2("DescribeVpcs"), {"MaxResults": value})


@pytest.mark.parametrize(("value", "limit"), [("ab", "at least 3"), ("abcdef", "at most 5")])
def test_a_text_of_another_length_is_refused(value, limit):
    message = f"Value ({value}) for parameter Thing is invalid. Expecting {limit} characters."
    assert refusal(of("string", min=3, max=5), {"Thing": value}) == invalid(message)


def test_a_list_of_another_length_is_refused():
    operation = of("list", min=2, max=3, member={"shape": "String"})
    for entries, limit in ((["a"], "at least 2"), (["a"] * 4, "at most 3")):
        message = f"Value ({len(entries)} entries) for parameter Thing is invalid. Expecting {limit}."
        assert refusal(operation, {"Thing": entries}) == invalid(message)
    validate.check(operation, {"Thing": ["a", "b"]})


def test_a_pattern_is_for_the_whole_text_and_for_ascii_digits():
    operation = of("string", pattern=r"\d{3}")
    validate.check(operation, {"Thing": "123"})
    for text in ("1234", "123\n", "\u0661\u0662\u0663"):
        assert refusal(operation, {"Thing": text})[0] == "InvalidParameterValue"


@pytest.mark.parametrize("pattern", [r"\p{L}+", "a/^.{1,255}$"])
def test_a_pattern_that_python_cannot_use_is_ignored(pattern, caplog):
    caplog.set_level(logging.DEBUG, "gateway.validate")
    operation = of("string", pattern=pattern)
    validate.check(operation, {"Thing": "anything"})
    validate.check(operation, {"Thing": "anything"})
    assert len(caplog.records) == 1


def test_all_rules_of_a_value_apply():
    operation = of("string", min=2, pattern="a*")
    assert "at least" in refusal(operation, {"Thing": "a"})[1]
    assert "match" in refusal(operation, {"Thing": "bb"})[1]


def test_the_patterns_of_the_models_are_used_but_for_these():
    shapes = [
        model.service(name).shape_for(shape) for name in model.SERVICES for shape in model.service(name).shape_names
    ]
    patterns = {shape.name: shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}
    ignored = {name for name, pattern in patterns.items() if validate.compiled(pattern) is None}
    java_only = {name for name, pattern in patterns.items() if r"\p{" in pattern}
    assert ignored - java_only <= {"CloudConnectorIamRoleArn", "PlacementGroupArn"}
