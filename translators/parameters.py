"""Public parameters of Systems Manager: the names of the newest images. There are no other parameters here."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from translators.describe import make_token, open_token
from translators.errors import Ec2Error, refuse
from translators.image_families import Parameter, find_parameter, parameters_under
from translators.registry import Call, Result, action

_PAGE = 10
"""The most parameters in a reply, and how many there are if nothing is said: GetParametersByPath."""
_KIND = "parameter"
_ARN = re.compile(r"arn:aws:ssm:(?P<region>[a-z0-9-]+)::parameter(?P<name>/.+)")


@action
def get_parameter(call: Call, *, name: str, with_decryption: bool = False) -> Result:
    """There is nothing to decrypt: public parameters are plain text, and then WithDecryption is ignored, as in AWS."""
    plain, selector = _parts(call, name)
    parameter = find_parameter(call, plain)
    if parameter is None:
        refuse("ParameterNotFound", f"Parameter {name} not found.")
    if selector and selector != str(_version(parameter)):
        text = f"Systems Manager could not find version or label {selector} of {plain}. Verify it and try again."
        refuse("ParameterVersionNotFound", text)
    return {"Parameter": _shape(call, parameter, selector)}


@action
def get_parameters(call: Call, *, names: list[str], with_decryption: bool = False) -> Result:
    found, lost = [], []
    for name in dict.fromkeys(names):
        plain, selector = _parts(call, name)
        parameter = find_parameter(call, plain)
        if parameter is None or selector not in ("", str(_version(parameter))):
            lost.append(name)
        else:
            found.append(_shape(call, parameter, selector))
    return {"Parameters": found, "InvalidParameters": lost}


@action
def get_parameters_by_path(
    call: Call,
    *,
    path: str,
    recursive: bool = False,
    parameter_filters: list[dict[str, Any]] | None = None,
    with_decryption: bool = False,
    max_results: int = _PAGE,
    next_token: str | None = None,
) -> Result:
    if not path.startswith("/"):
        refuse("ValidationException", 'The parameter path must begin with a forward slash "/".')
    above = path.rstrip("/") + "/"
    found = parameters_under(call, above) if _pass(parameter_filters or ()) else []
    if not recursive:
        found = [parameter for parameter in found if "/" not in parameter.name.removeprefix(above)]
    if next_token:
        (last,) = open_token(_KIND, next_token, 1)
        found = [parameter for parameter in found if parameter.name > str(last)]
    page = found[:max_results]
    token = make_token(_KIND, [page[-1].name]) if len(found) > len(page) else None
    return {"Parameters": [_shape(call, parameter) for parameter in page], "NextToken": token}


def _parts(call: Call, name: str) -> tuple[str, str]:
    """Return a parameter's name, of which the request has the ARN perhaps, and the version or label behind it."""
    arn = _ARN.fullmatch(name)
    if arn:
        # A parameter of another region is not there, as nobody's is.
        name = arn["name"] if arn["region"] == call.region else ""
    plain, _, selector = name.partition(":")
    return plain, selector


def _version(parameter: Parameter) -> int:
    """Return a number that grows with every newer image and stays with this one: when it was made, in milliseconds."""
    return int(datetime.fromisoformat(parameter.created).timestamp() * 1000)


def _shape(call: Call, parameter: Parameter, selector: str = "") -> dict[str, Any]:
    return {
        "Name": parameter.name,
        "Type": "String",
        "Value": parameter.image_id,
        "Version": _version(parameter),
        "Selector": f":{selector}" if selector else None,
        "LastModifiedDate": parameter.created,
        "ARN": f"arn:aws:ssm:{call.region}::parameter{parameter.name}",
        "DataType": "aws:ec2:image",
    }


def _pass(filters: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether public parameters pass all filters: they are of type String, and have neither key nor label."""
    passed = True
    for asked in filters:
        key, option, values = asked["Key"], asked.get("Option", "Equals"), asked.get("Values") or []
        if key not in ("Type", "KeyId", "Label"):
            text = f"The following filter key is not valid: {key}. Valid filter keys include: [Type, KeyId, Label]."
            raise Ec2Error("InvalidFilterKey", text)
        if option not in ("Equals", "BeginsWith") or (key == "Label" and option != "Equals"):
            raise Ec2Error("InvalidFilterOption", f"The following filter option is not valid: {option}.")
        if not values:
            raise Ec2Error("InvalidFilterValue", f"The filter {key} has no values.")
        fits = any("String".startswith(v) if option == "BeginsWith" else v == "String" for v in values)
        passed = passed and key == "Type" and fits
    return passed
