"""Tags: put on at creation or later, taken off, found."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, select, tuple_

from engine.snapshots import DELETED
from engine.state import RESOURCES, Peering, Resource, Snapshot, Tag
from translators.describe import PAGE, make_token, open_token
from translators.errors import Ec2Error, invalid, missing, not_found
from translators.filters import matches
from translators.registry import Call, Result, action

_MOST_TAGS = 50

# The API's name of a resource's type, where it is not the table's name with dashes.
_TYPES = {
    "eipalloc": "elastic-ip",
    "sgr": "security-group-rule",
    "acl": "network-acl",
    "nat": "natgateway",
    "replacevol": "replace-root-volume-task",
}


def type_of(id: str) -> str:
    """Return the resource type by which tags call a resource: ``instance`` for i-..."""
    prefix = id.rpartition("-")[0]
    if prefix not in RESOURCES:
        raise Ec2Error("InvalidID", f"The ID '{id}' is not valid")
    return _TYPES.get(prefix, RESOURCES[prefix].__tablename__.replace("_", "-"))


def put_at_creation(
    call: Call, specifications: Sequence[Mapping[str, Any]] | None, created: Mapping[str, Sequence[str]]
) -> None:
    """Tag what a request creates: ``created`` maps each resource type it may tag to the new ids."""
    seen = set()
    for specification in specifications or ():
        kind = specification.get("ResourceType", "")
        if kind not in created:
            raise invalid("tagSpecification", kind, "The tag specification's resource type is not one of this request.")
        if kind in seen:
            raise invalid("tagSpecification", kind, "Duplicate resource type.")
        seen.add(kind)
        tags = _checked(specification.get("Tags") or [])
        for id in created[kind]:
            call.db.add_all(_row(call, id, key, value, kind) for key, value in tags.items())


def _row(call: Call, id: str, key: str, value: str, kind: str) -> Tag:
    return Tag(resource_id=id, key=key, value=value, account=call.account, region=call.region, resource_type=kind)


def _checked(tags: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in tags:
        key, value = tag.get("Key"), tag.get("Value") or ""
        if not key:
            raise missing("Tag.Key") if key is None else invalid("tagKey", key, "Tag keys cannot be empty.")
        if key.lower().startswith("aws:"):
            raise invalid("tagKey", key, "Tag keys starting with 'aws:' are reserved for internal use")
        if len(key) > 127 or len(value) > 256:
            raise invalid("tagKey" if len(key) > 127 else "tagValue", key, "It is too long.")
        if key in found:
            raise invalid("tagKey", key, "Duplicate tag key specified.")
        found[key] = value
    if len(found) > _MOST_TAGS:
        raise Ec2Error("TagLimitExceeded", f"More than {_MOST_TAGS} tags specified")
    return found


@action
def create_tags(call: Call, *, resources: list[str], tags: list[dict[str, Any]]) -> Result:
    wanted = _checked(tags)
    for id in dict.fromkeys(resources):
        kind = _own(call, id)
        held = {t.key: t for t in call.db.scalars(select(Tag).where(*_mine(call, id)).with_for_update())}
        if len(held.keys() | wanted.keys()) > _MOST_TAGS:
            raise Ec2Error("TagLimitExceeded", f"The resource {id} would have more than {_MOST_TAGS} tags")
        for key, value in wanted.items():
            if key in held:
                held[key].value = value
            else:
                call.db.add(_row(call, id, key, value, kind))
    return {}


@action
def delete_tags(call: Call, *, resources: list[str], tags: list[dict[str, Any]] | None = None) -> Result:
    """Without Tags all go; a tag with a Value, even an empty one, goes only if it has that value."""
    for id in resources:
        _own(call, id)
        mine = delete(Tag).where(*_mine(call, id))
        if not tags:
            call.db.execute(mine)
        for tag in tags or ():
            if not tag.get("Key"):
                raise missing("Tag.Key")
            same = (Tag.value == tag["Value"],) if tag.get("Value") is not None else ()
            call.db.execute(mine.where(Tag.key == tag["Key"], *same))
    return {}


def _mine(call: Call, id: str) -> tuple[Any, ...]:
    return Tag.resource_id == id, Tag.account == call.account


def _own(call: Call, id: str) -> str:
    """Return the type of a resource that the caller may tag: its own, or an image or a peering that it can see."""
    kind = type_of(id)
    table = RESOURCES[id.rpartition("-")[0]]
    row = call.db.get(table, id)
    gone = isinstance(row, Snapshot) and row.state == DELETED
    if row is None or gone or row.region != call.region or not _may_tag(call, row):
        raise not_found(table, id)
    return kind


def _may_tag(call: Call, row: Resource) -> bool:
    other_side = row.accepter_account if isinstance(row, Peering) and row.status != "failed" else ""
    return call.account in (row.account, other_side) or bool(getattr(row, "public", False))


def copy(call: Call, sources: Mapping[str, str], kind: str) -> None:
    """Give new resources, of one type, the caller's tags of others (``sources``) where they have none of that key."""
    call.db.flush()
    ids = [*sources, *sources.values()]
    found: dict[str, dict[str, str]] = {}
    for tag in call.db.scalars(select(Tag).where(Tag.resource_id.in_(ids), Tag.account == call.account)):
        found.setdefault(tag.resource_id, {})[tag.key] = tag.value
    for id, source in sources.items():
        own, given = found.get(id, {}), found.get(source, {})
        if len(own.keys() | given.keys()) > _MOST_TAGS:
            raise Ec2Error("TagLimitExceeded", f"The resource {id} would have more than {_MOST_TAGS} tags")
        call.db.add_all(_row(call, id, key, value, kind) for key, value in given.items() if key not in own)


def forget(call: Call, *ids: str) -> None:
    """Take away the tags of resources that go, whoever put them."""
    call.db.execute(delete(Tag).where(Tag.resource_id.in_(ids)))


_ORDER = (Tag.resource_id, Tag.key)


@action
def describe_tags(
    call: Call,
    *,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    statement = select(Tag.resource_id, Tag.key, Tag.value, Tag.resource_type).where(
        Tag.account == call.account, Tag.region == call.region, *(_filter(f) for f in filters or ())
    )
    if next_token:
        statement = statement.where(tuple_(*_ORDER) > tuple_(*open_token("tag", next_token, 2)))
    size = max_results or PAGE
    rows = call.db.execute(statement.order_by(*_ORDER).limit(size + 1)).all()
    more = len(rows) > size
    found = [{"ResourceId": r[0], "Key": r[1], "Value": r[2], "ResourceType": r[3]} for r in rows[:size]]
    return {"Tags": found, "NextToken": make_token("tag", rows[size - 1][:2]) if more else None}


_FILTERS = {
    "key": Tag.key,
    "resource-id": Tag.resource_id,
    "resource-type": Tag.resource_type,
    "value": Tag.value,
}


def _filter(asked: Mapping[str, Any]) -> Any:
    name, values = asked.get("Name", ""), asked.get("Values") or []
    if name.startswith("tag:"):
        return and_(Tag.key == name[4:], matches(Tag.value, values))
    if name not in _FILTERS:
        raise Ec2Error("InvalidParameterValue", f"The filter '{name}' is invalid")
    return matches(_FILTERS[name], values)
