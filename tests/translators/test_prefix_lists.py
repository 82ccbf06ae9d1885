"""Managed prefix lists through a real client: versions, sizes, who sees them and who uses them."""

from typing import Any

import pytest

from engine import desired
from engine.state import EndpointService, PrefixList, PrefixListEntry, Route, Tag, Task
from tests.cloud import OPERATOR, Cloud
from tests.translators.groups import by_list, make, make_list, tcp


def see(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_managed_prefix_lists(PrefixListIds=[id])["PrefixLists"]
    return found


def entries(ec2: Any, id: str, **more: Any) -> list[str]:
    return [e["Cidr"] for e in ec2.get_managed_prefix_list_entries(PrefixListId=id, **more)["Entries"]]


def modify(ec2: Any, id: str, add: Any = (), remove: Any = (), **more: Any) -> Any:
    if add:
        more["AddEntries"] = [{"Cidr": cidr} for cidr in add]
    if remove:
        more["RemoveEntries"] = [{"Cidr": cidr} for cidr in remove]
    return ec2.modify_managed_prefix_list(PrefixListId=id, **more)["PrefixList"]


def group_with(ec2: Any, *permissions: dict[str, Any], name: str = "web") -> str:
    group = make(ec2, name)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))
    return group


@pytest.fixture
def service(cloud: Cloud) -> str:
    """The list of a service that the operator offers to everybody."""
    with cloud.database.write() as db:
        owner = {"account": OPERATOR, "region": "us-east-1"}
        listed = PrefixList(
            id=PrefixList.new_id(), **owner, name="com.amazonaws.us-east-1.s3", family="IPv4", max_entries=2
        )
        db.add(listed)
        db.flush()
        for cidr in ("203.0.113.0/28", "198.51.100.0/28"):
            db.add(PrefixListEntry(prefix_list_id=listed.id, cidr=cidr, added=1))
        offered = {"name": listed.name, "kind": "Gateway", "targets": [], "prefix_list_id": listed.id}
        db.add(EndpointService(id=EndpointService.new_id(), **owner, **offered))
        return listed.id


def test_a_new_list_reads_back_as_sent(ec2: Any) -> None:
    tags = [{"Key": "Name", "Value": "a"}]
    made = ec2.create_managed_prefix_list(
        PrefixListName="offices", AddressFamily="IPv4", MaxEntries=3,
        Entries=[{"Cidr": "10.2.0.0/16", "Description": "east"}, {"Cidr": "10.1.0.9/16"}],
        TagSpecifications=[{"ResourceType": "prefix-list", "Tags": tags}],
    )["PrefixList"]  # fmt: skip
    id = made["PrefixListId"]
    assert made["State"] == "create-in-progress"
    assert see(ec2, id) == made | {"State": "create-complete"} == {
        "PrefixListId": id, "PrefixListName": "offices", "AddressFamily": "IPv4", "MaxEntries": 3, "Version": 1,
        "State": "create-complete", "OwnerId": OPERATOR, "Tags": tags,
        "PrefixListArn": f"arn:aws:ec2:us-east-1:{OPERATOR}:prefix-list/{id}",
    }  # fmt: skip
    assert ec2.get_managed_prefix_list_entries(PrefixListId=id)["Entries"] == [
        {"Cidr": "10.1.0.0/16"}, {"Cidr": "10.2.0.0/16", "Description": "east"},
    ]  # fmt: skip
    six = make_list(ec2, "2001:DB8::/32", AddressFamily="IPv6")
    assert entries(ec2, six) == ["2001:db8::/32"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"PrefixListName": ""}, "MissingParameter"),
        ({"PrefixListName": "x" * 256}, "InvalidParameterValue"),
        ({"PrefixListName": "com.amazonaws.mine"}, "InvalidParameterValue"),
        ({"AddressFamily": "IPv5"}, "InvalidParameterValue"),
        ({"MaxEntries": 0}, "InvalidParameterValue"),
        ({"MaxEntries": 1001}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "10.0.0.0"}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "fd00::/8"}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "10.0.0.0/33"}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "10.9.9.9/8"}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "10.0.0.0/8", "Description": "x" * 256}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": f"10.{n}.0.0/16"} for n in range(6)]}, "PrefixListMaxEntriesExceeded"),
    ],
)
def test_a_list_that_cannot_be_is_refused(ec2: Any, refused: Any, change: Any, code: str) -> None:
    with refused(code):
        make_list(ec2, **change)
    assert ec2.describe_managed_prefix_lists()["PrefixLists"] == []


def test_names_that_only_look_like_awss_are_taken(ec2: Any) -> None:
    assert see(ec2, make_list(ec2, PrefixListName="com.amazonaws-mine"))["PrefixListName"] == "com.amazonaws-mine"


def test_every_change_of_the_entries_is_a_version(ec2: Any, refused: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16", "10.2.0.0/16")
    answer = modify(ec2, id, add=["10.3.0.0/16"], remove=["10.1.0.0/16"], CurrentVersion=1)
    assert (answer["State"], answer["Version"]) == ("modify-in-progress", 2)
    assert see(ec2, id)["State"] == "modify-complete"
    modify(ec2, id, remove=["10.2.0.0/16", "10.3.0.0/16"], CurrentVersion=2)
    found = [entries(ec2, id, TargetVersion=version) for version in (1, 2, 3)]
    assert found == [["10.1.0.0/16", "10.2.0.0/16"], ["10.2.0.0/16", "10.3.0.0/16"], []]
    assert entries(ec2, id) == []
    for version in (0, 4):
        with refused("InvalidParameterValue", "The specified value for version is not valid."):
            entries(ec2, id, TargetVersion=version)


def test_a_change_of_another_version_is_refused(ec2: Any, refused: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16")
    modify(ec2, id, add=["10.2.0.0/16"], CurrentVersion=1)
    with refused("PrefixListVersionMismatch", "The prefix list has the incorrect version number."):
        modify(ec2, id, add=["10.3.0.0/16"], CurrentVersion=1)
    with refused("PrefixListVersionMismatch"):
        ec2.restore_managed_prefix_list_version(PrefixListId=id, PreviousVersion=1, CurrentVersion=1)
    assert see(ec2, id)["Version"] == 2


def test_changes_that_cannot_be_are_refused(ec2: Any, refused: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16", "10.2.0.0/16", MaxEntries=2)
    both = "Request cannot contain Cidr 10.3.0.0/16 in both AddPrefixListEntries and RemovePrefixListEntries"
    for change, code, text in (
        ({"add": ["10.1.0.0/16"]}, "InvalidPrefixListModification", "already exists."),
        ({"remove": ["10.9.0.0/16"]}, "InvalidPrefixListModification", "does not exist."),
        ({"add": ["10.3.0.0/16"], "remove": ["10.3.0.0/16"]}, "InvalidParameterValue", both),
        ({"add": ["10.3.0.0/16"]}, "PrefixListMaxEntriesExceeded", "maximum number of entries"),
        ({"add": ["10.3.0.0/16"], "MaxEntries": 5}, "InvalidParameterCombination", ""),
        ({"MaxEntries": 1}, "InvalidParameterValue", ""),
        ({"MaxEntries": 5000}, "InvalidParameterValue", "Must specify a max size between 1 and 1000"),
        ({"PrefixListName": "com.aws.x"}, "InvalidParameterValue", ""),
        ({}, "InvalidRequest", ""),
    ):
        with refused(code, text):
            modify(ec2, id, **change)  # type: ignore[arg-type]
    assert (see(ec2, id)["Version"], see(ec2, id)["State"]) == (1, "create-complete")


def test_name_and_size_change_without_a_version(ec2: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16")
    modify(ec2, id, PrefixListName="branches", MaxEntries=20)
    found = see(ec2, id)
    assert (found["PrefixListName"], found["MaxEntries"], found["Version"]) == ("branches", 20, 1)


def test_an_earlier_version_is_restored_as_a_new_one(ec2: Any, refused: Any) -> None:
    id = make_list(ec2, Entries=[{"Cidr": "10.1.0.0/16", "Description": "one"}, {"Cidr": "10.2.0.0/16"}])
    modify(ec2, id, remove=["10.1.0.0/16"], add=["10.3.0.0/16"])
    modify(ec2, id, add=["10.1.0.0/16"])
    answer = ec2.restore_managed_prefix_list_version(PrefixListId=id, PreviousVersion=1, CurrentVersion=3)
    assert (answer["PrefixList"]["State"], answer["PrefixList"]["Version"]) == ("restore-in-progress", 4)
    assert see(ec2, id)["State"] == "restore-complete"
    assert ec2.get_managed_prefix_list_entries(PrefixListId=id)["Entries"] == [
        {"Cidr": "10.1.0.0/16", "Description": "one"}, {"Cidr": "10.2.0.0/16"},
    ]  # fmt: skip
    assert entries(ec2, id, TargetVersion=3) == ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]
    with refused("InvalidParameterValue"):
        ec2.restore_managed_prefix_list_version(PrefixListId=id, PreviousVersion=5, CurrentVersion=4)


def test_old_versions_are_let_go(ec2: Any, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("prefix_lists", "prefix_list_changes"):
        monkeypatch.setattr(f"translators.{module}.VERSIONS_KEPT", 2)
    id = make_list(ec2, "10.1.0.0/16")
    modify(ec2, id, remove=["10.1.0.0/16"], add=["10.2.0.0/16"])
    modify(ec2, id, remove=["10.2.0.0/16"], add=["10.3.0.0/16"])
    assert [entries(ec2, id, TargetVersion=version) for version in (2, 3)] == [["10.2.0.0/16"], ["10.3.0.0/16"]]
    with refused("InvalidParameterValue"):
        entries(ec2, id, TargetVersion=1)


def test_a_list_goes_with_its_entries_and_tags(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16")
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a"}])
    assert ec2.delete_managed_prefix_list(PrefixListId=id)["PrefixList"]["State"] == "delete-in-progress"
    with refused("InvalidPrefixListID.NotFound", f"The prefix list ID '{id}' does not exist"):
        see(ec2, id)
    assert cloud.look(lambda db: (db.query(PrefixListEntry).count(), db.query(Tag).count())) == (0, 0)


def test_a_list_in_use_is_not_deleted_and_says_who_uses_it(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16")
    group = group_with(ec2, by_list(id))
    table = ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"]
    with cloud.database.write() as db:
        db.add(Route(route_table_id=table, destination=id, target="igw-1", origin="CreateRoute"))
    answer = ec2.get_managed_prefix_list_associations(PrefixListId=id)
    owner = {"ResourceOwner": OPERATOR}
    assert answer["PrefixListAssociations"] == [{"ResourceId": table, **owner}, {"ResourceId": group, **owner}]
    ec2.delete_managed_prefix_list(PrefixListId=id)
    found = see(ec2, id)
    assert found["State"] == "delete-failed" and table in found["StateMessage"] and group in found["StateMessage"]
    with cloud.database.write() as db:
        db.query(Route).filter_by(destination=id).delete()
    ec2.delete_security_group(GroupId=group)
    ec2.delete_managed_prefix_list(PrefixListId=id)
    with refused("InvalidPrefixListID.NotFound"):
        see(ec2, id)


def test_a_list_counts_for_as_many_rules_as_it_may_have_entries(ec2: Any, refused: Any) -> None:
    large, six = make_list(ec2, MaxEntries=58), make_list(ec2, MaxEntries=60, AddressFamily="IPv6")
    group = group_with(ec2, by_list(large), by_list(six), tcp(1), tcp(2))
    with refused("RulesPerSecurityGroupLimitExceeded"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(3)])
    modify(ec2, large, MaxEntries=57)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(3)])
    answer = modify(ec2, large, MaxEntries=58)
    assert answer["State"] == "modify-in-progress"
    found = see(ec2, large)
    assert (found["State"], found["MaxEntries"]) == ("modify-failed", 57) and group in found["StateMessage"]
    modify(ec2, large, add=["10.1.0.0/16"])
    assert "StateMessage" not in see(ec2, large)


def test_a_size_that_a_route_table_does_not_support_fails(make_cloud: Any) -> None:
    cloud = make_cloud(quotas={"routes per route table": 5})
    ec2 = cloud.ec2
    table = ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"]
    id = make_list(ec2, MaxEntries=3)
    with cloud.database.write() as db:
        db.add(Route(route_table_id=table, destination=id, target="igw-1", origin="CreateRoute"))
    modify(ec2, id, MaxEntries=4)
    assert see(ec2, id)["MaxEntries"] == 4
    modify(ec2, id, MaxEntries=5)
    assert (see(ec2, id)["MaxEntries"], see(ec2, id)["State"]) == (4, "modify-failed")
    assert table in see(ec2, id)["StateMessage"]


def test_lists_are_counted(make_cloud: Any, refused: Any) -> None:
    ec2 = make_cloud(quotas={"prefix lists": 1, "entries per prefix list": 2000}).ec2
    make_list(ec2, MaxEntries=2000)
    with refused("PrefixListLimitExceeded"):
        make_list(ec2)


def test_a_changed_list_reaches_the_groups_that_name_it(cloud: Cloud, ec2: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16")
    group = group_with(ec2, by_list(id))
    cloud.settle()

    def inside() -> Any:
        found = cloud.look(lambda db: desired.group(db, group))
        assert found is not None
        return next(rule.peer for rule in found.rules if rule.direction == "in")

    assert inside() == ("10.1.0.0/16",)
    modify(ec2, id, add=["10.2.0.0/16"])
    assert cloud.look(lambda db: [(t.resource_id, t.workflow) for t in db.query(Task)]) == [(group, "sync_group")]
    assert inside() == ("10.1.0.0/16", "10.2.0.0/16")
    modify(ec2, id, remove=["10.1.0.0/16", "10.2.0.0/16"])
    assert inside() == ()
    cloud.settle()


def test_another_accounts_list_is_not_found(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = make_list(ec2, "10.1.0.0/16")
    other = cloud.another_account()
    assert other.describe_managed_prefix_lists()["PrefixLists"] == []
    for act in (
        lambda: see(other, id),
        lambda: entries(other, id),
        lambda: modify(other, id, add=["10.2.0.0/16"]),
        lambda: other.delete_managed_prefix_list(PrefixListId=id),
        lambda: other.get_managed_prefix_list_associations(PrefixListId=id),
        lambda: other.restore_managed_prefix_list_version(PrefixListId=id, PreviousVersion=1, CurrentVersion=1),
        lambda: group_with(other, by_list(id)),
        lambda: other.describe_prefix_lists(PrefixListIds=[id]),
    ):
        with refused("InvalidPrefixListID.NotFound"):
            act()
    with refused("InvalidPrefixListID.NotFound"):
        see(ec2, "pl-x")


def test_a_services_list_is_everybodys_to_read_and_nobodys_to_change(
    cloud: Cloud, ec2: Any, service: str, refused: Any
) -> None:
    for client in (ec2, cloud.another_account()):
        assert see(client, service) == {
            "PrefixListId": service, "PrefixListName": "com.amazonaws.us-east-1.s3", "AddressFamily": "IPv4",
            "State": "create-complete", "OwnerId": "AWS", "Tags": [],
            "PrefixListArn": f"arn:aws:ec2:us-east-1:aws:prefix-list/{service}",
        }  # fmt: skip
        assert client.describe_prefix_lists()["PrefixLists"] == [
            {"PrefixListId": service, "PrefixListName": "com.amazonaws.us-east-1.s3",
             "Cidrs": ["198.51.100.0/28", "203.0.113.0/28"]}
        ]  # fmt: skip
        assert len(entries(client, service)) == 2
        with refused("OperationNotPermitted"):
            modify(client, service, add=["10.0.0.0/8"])
        with refused("OperationNotPermitted"):
            client.delete_managed_prefix_list(PrefixListId=service)
    group = group_with(cloud.another_account(), by_list(service))
    assert ec2.get_managed_prefix_list_associations(PrefixListId=service)["PrefixListAssociations"] == []
    (mine,) = cloud.another_account().get_managed_prefix_list_associations(PrefixListId=service)[
        "PrefixListAssociations"
    ]
    assert mine["ResourceId"] == group


def test_lists_are_filtered_and_paged(ec2: Any, service: str) -> None:
    ids = sorted(make_list(ec2, *(f"10.{n}.0.0/16" for n in range(3)), PrefixListName=f"list-{n}") for n in range(3))

    def found(**asked: Any) -> list[str]:
        pages = ec2.get_paginator("describe_managed_prefix_lists").paginate(PaginationConfig={"PageSize": 2}, **asked)
        return [one["PrefixListId"] for page in pages for one in page["PrefixLists"]]

    assert found() == sorted([*ids, service])
    for name, value, expected in (
        ("owner-id", "AWS", [service]), ("owner-id", OPERATOR, ids), ("prefix-list-id", ids[0], ids[:1]),
        ("prefix-list-name", "list-*", ids),
    ):  # fmt: skip
        assert found(Filters=[{"Name": name, "Values": [value]}]) == expected, name
    pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(
        PrefixListId=ids[0], PaginationConfig={"PageSize": 2}
    )
    assert [[e["Cidr"] for e in page["Entries"]] for page in pages] == [["10.0.0.0/16", "10.1.0.0/16"], ["10.2.0.0/16"]]


def test_a_client_token_makes_one_list(ec2: Any) -> None:
    assert make_list(ec2, ClientToken="one") == make_list(ec2, ClientToken="one")
    assert len(ec2.describe_managed_prefix_lists()["PrefixLists"]) == 1
