"""What a security group's rule may name as its other end: a group of its VPC or of a peer's, or a prefix list."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, tuple_

from engine.state import Peering, SecurityGroup, SecurityGroupRule
from translators.errors import Ec2Error, not_found, unsupported
from translators.find import check_ids
from translators.ip_permissions import Columns, Permission
from translators.prefix_lists import find_list
from translators.registry import Call
from translators.security_groups import ids_of_names


@dataclass(frozen=True, slots=True)
class GroupPeers:
    """The other ends that rules of the group ``owner`` may have.

    What one of the rules ``held`` names already may be gone: it is how a stale rule is told from others.
    """

    call: Call
    owner: SecurityGroup
    held: Iterable[SecurityGroupRule] = ()

    def prefix_list(self, item: Permission) -> Columns:
        id = item.get("PrefixListId") or ""
        if any(rule.prefix_list_id == id != "" for rule in self.held):
            return {"prefix_list_id": id}
        return {"prefix_list_id": find_list(self.call, id).id}

    def group(self, pair: Permission) -> Columns:
        """Return the group that a UserIdGroupPair means. One in another VPC must be reached by an active peering."""
        for rule in self.held:
            if rule.peer_vpc_id and rule.peer_group_id == pair.get("GroupId"):
                way = {"peer_vpc_id": rule.peer_vpc_id, "peering_id": rule.peering_id}
                return {"peer_group_id": rule.peer_group_id, "peer_account": rule.peer_account, **way}
        peer = self._named(pair)
        columns = {"peer_group_id": peer.id, "peer_account": peer.account}
        peering = self._peering(pair, peer) if peer.vpc_id != self.owner.vpc_id else None
        if pair.get("VpcPeeringConnectionId") not in (None, "", peering.id if peering else None):
            raise not_found(Peering, pair["VpcPeeringConnectionId"])
        if pair.get("PeeringStatus") not in (None, "", peering.status if peering else None):
            raise unsupported("PeeringStatus", "It is a part of answers.")
        if pair.get("VpcId") not in (None, "", peer.vpc_id):
            raise _apart()
        return columns | ({"peer_vpc_id": peer.vpc_id, "peering_id": peering.id} if peering else {})

    def _named(self, pair: Permission) -> SecurityGroup:
        """Return the group with this id, whosever it is, or with this name in the caller's default VPC."""
        id, name = pair.get("GroupId") or "", pair.get("GroupName") or ""
        if not id and not name:
            raise Ec2Error("MissingParameter", "Source group ID missing.")
        if id:
            check_ids(SecurityGroup, [id])
        found = self.call.db.get(SecurityGroup, id or ids_of_names(self.call, [name])[0])
        if found is None or found.region != self.call.region:
            raise not_found(SecurityGroup, id)
        if pair.get("UserId") not in (None, "", found.account):
            raise not_found(SecurityGroup, id or name)
        if name and found.name.lower() != name.lower():
            raise not_found(SecurityGroup, name)
        return found

    def _peering(self, pair: Permission, peer: SecurityGroup) -> Peering:
        """Return the way to another VPC. Without one, what another account has there is not for the caller to know."""
        ends = (self.owner.vpc_id, peer.vpc_id)
        either = tuple_(Peering.requester_vpc_id, Peering.accepter_vpc_id).in_([ends, ends[::-1]])
        found = self.call.db.scalar(select(Peering).where(either, Peering.status == "active"))
        if found is not None:
            return found
        if peer.account != self.call.account:
            raise not_found(SecurityGroup, peer.id)
        if pair.get("VpcPeeringConnectionId"):
            raise not_found(Peering, pair["VpcPeeringConnectionId"])
        raise _apart()


def _apart() -> Ec2Error:
    return Ec2Error("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
