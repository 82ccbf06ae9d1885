import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader

from gateway import model


def test_an_operation_is_found_by_its_name():
    assert model.operation("ec2", "DescribeInstances").name == "DescribeInstances"
    assert model.operation("sts", "GetCallerIdentity").name == "GetCallerIdentity"


def test_the_same_operation_is_one_object():
    assert model.operation("ec2", "RunInstances") is model.operation("ec2", "RunInstances")


@pytest.mark.parametrize("action", ["", "describeInstances", "Nonsense", "__class__", "GetCallerIdentity"])
def test_a_name_the_model_lacks_is_no_operation(action):
    assert model.operation("ec2", action) is None


def test_a_service_outside_the_list_is_refused():
    with pytest.raises(UnknownServiceError):
        model.service("s3")


@pytest.mark.parametrize("name", model.SERVICES)
def test_only_prose_is_dropped_from_the_model(name):
    raw = Loader().load_service_model(name, "service-2")
    slim = model.service(name)
    assert list(slim.operation_names) == list(raw["operations"])
    assert list(slim.shape_names) == list(raw["shapes"])
    for shape, description in raw["shapes"].items():
        assert list(slim.shape_for(shape)._shape_model.get("members", {})) == list(description.get("members", {}))
    assert "documentation" not in str(slim.shape_for(next(iter(raw["shapes"])))._shape_model)
