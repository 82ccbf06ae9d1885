"""Every filter that EC2's model documents for an action we have is one that the action takes."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import OperationModel, Shape

import translators
from tests.cloud import IMAGE, Cloud
from translators.registry import ACTIONS, snake

assert translators  # importing it registers the actions

HARMLESS = "true"
"""A value that is a word, a boolean and a pattern."""


class _Items(HTMLParser):
    """Collect the items of the outermost list, without those of the lists in them: these are values."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.items: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "ul":
            self.depth += 1
        elif tag == "li" and self.depth == 1:
            self.items.append("")
        elif tag == "code":
            self.handle_data("`")

    def handle_endtag(self, tag: str) -> None:
        if tag == "ul":
            self.depth -= 1
        elif tag == "code":
            self.handle_data("`")

    def handle_data(self, data: str) -> None:
        if self.depth == 1 and self.items:
            self.items[-1] += data


def documented(documentation: str) -> list[str]:
    """Return the filters' names that a Filters member documents; none where it has prose only."""
    parser = _Items()
    parser.feed(documentation)
    if not parser.items:
        return re.findall(r"the <code>([^<]+)</code> filter", documentation)
    return [_name(item.strip()) for item in parser.items]


def _name(item: str) -> str:
    # Mostly "`name` - text", but also "`name`: text", "`name `- text", "`tag`:<key> - text" and "name - text".
    found = re.match(r"`([^`]+)`(:<key>)?|(\S+) - ", item)
    if found is None:
        raise AssertionError(f"cannot find the filter's name in {item!r}")
    name = (found[1] or found[3]).strip() + (found[2] or "")
    # A bare "tag" is explained as "the key/value combination of a tag": it is short for "tag:<key>".
    return "tag:Name" if name == "tag" else name.replace("<key>", "Name")


def _filters(operation: OperationModel) -> tuple[str, Shape] | None:
    members = operation.input_shape.members.items() if operation.input_shape else ()
    return next(((name, shape) for name, shape in members if shape.name == "FilterList"), None)


def _actions() -> Iterator[tuple[OperationModel, str, list[str]]]:
    """Yield each operation that we have and that takes filters, with its member for them and their names."""
    model = botocore.session.get_session().get_service_model("ec2")
    for name in model.operation_names:
        if snake(name) in ACTIONS:
            operation = model.operation_model(name)
            member = _filters(operation)
            if member and documented(member[1].documentation):
                yield operation, member[0], documented(member[1].documentation)


def _required(cloud: Cloud, operation: OperationModel) -> dict[str, Any]:
    """Return values for what an action cannot do without: of things that every account has, or made here."""
    ec2 = cloud.ec2
    known = {
        "VpcId": lambda: ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        "SubnetId": lambda: ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        "PrefixListId": lambda: ec2.create_managed_prefix_list(
            PrefixListName="one", MaxEntries=1, AddressFamily="IPv4"
        )["PrefixList"]["PrefixListId"],
        "ImageId": lambda: IMAGE,
    }
    needed = operation.input_shape.required_members
    unknown = [name for name in needed if name not in known]
    assert not unknown, f"this test does not know what to give {operation.name} for {unknown}"
    return {name: known[name]() for name in needed}


@pytest.mark.parametrize(("operation", "member", "names"), [pytest.param(*a, id=a[0].name) for a in _actions()])
def test_documented_filters_are_taken(cloud: Cloud, operation: OperationModel, member: str, names: list[str]) -> None:
    call = getattr(cloud.ec2, snake(operation.name))
    required = _required(cloud, operation)
    refused = {}
    for name in names:
        try:
            call(**required, **{member: [{"Name": name, "Values": [HARMLESS]}]})
        except ClientError as error:
            refused[name] = str(error)
    assert not refused


def test_names_are_read_in_all_their_spellings() -> None:
    text = (
        "<p>The filters.</p> <ul> <li> <p> <code>state</code> - One (<code>a</code> | <code>b</code>).</p> <ul> <li>"
        "<p> <code>a</code> - The first.</p> </li> </ul> </li> <li> <p> <code>tag</code>:&lt;key&gt; - A tag.</p> </li>"
        "<li> <p> <code>tag-key </code>- A key.</p> </li> <li> <p> <code>vpc-id</code>: The VPC.</p> </li>"
        "<li> <p>path-found - A Boolean.</p> </li> <li> <p> <code>status</code> </p> </li>"
        "<li> <p> <code>tag:&lt;key&gt;</code> - Another.</p> </li> <li> <p> <code>boot-mode</code> – It.</p> </li>"
        "<li> <p> <code>tag</code> - The key/value combination of a tag assigned to the resource.</p> </li> </ul>"
    )
    names = ["state", "tag:Name", "tag-key", "vpc-id", "path-found", "status", "tag:Name", "boot-mode", "tag:Name"]
    assert documented(text) == names
    assert documented("<p>Filter tasks using the <code>task-state</code> filter.</p>") == ["task-state"]
    assert documented("<p>One or more filters.</p>") == []


def test_names_are_found_for_every_action_of_the_model_that_documents_any() -> None:
    model = botocore.session.get_session().get_service_model("ec2")
    for operation_name in model.operation_names:
        member = _filters(model.operation_model(operation_name))
        for name in documented(member[1].documentation) if member else ():
            assert re.fullmatch(r"[A-Za-z0-9-]+([.:/_-][A-Za-z0-9_-]+)*", name), (operation_name, name)
