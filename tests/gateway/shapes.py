"""A small service with the shapes that EC2's and STS's models have too rarely to test them there."""

from botocore.model import ServiceModel


def service(protocol, members, **shapes):
    """Return a service whose one action, Probe, has a structure of `members` as input and as output."""
    return ServiceModel(
        {
            "metadata": {"protocol": protocol, "apiVersion": "1", "xmlNamespace": "urn:probe"},
            "operations": {
                "Probe": {
                    "name": "Probe",
                    "http": {"method": "POST", "requestUri": "/"},
                    "input": {"shape": "Root"},
                    "output": {"shape": "Root"} | ({"resultWrapper": "ProbeResult"} if protocol == "query" else {}),
                }
            },
            "shapes": {
                "Root": {"type": "structure", "members": members},
                "String": {"type": "string"},
                "Strings": {"type": "list", "member": {"shape": "String", "locationName": "item"}},
                "Integer": {"type": "integer"},
                "Long": {"type": "long"},
                "Double": {"type": "double"},
                "Boolean": {"type": "boolean"},
                "Blob": {"type": "blob"},
                "Timestamp": {"type": "timestamp"},
                **shapes,
            },
        },
        "probe",
    )


def probe(protocol="ec2", members=None, **shapes):
    """Return the operation Probe; without `members`, with one member for each kind of scalar."""
    scalars = {kind: {"shape": kind} for kind in ("String", "Integer", "Long", "Double", "Boolean", "Blob", "Strings")}
    # Not "Timestamp", which is the name of a protocol field.
    given = members if members is not None else scalars | {"Moment": {"shape": "Timestamp"}}
    return service(protocol, given, **shapes).operation_model("Probe")


NESTED = {
    "members": {
        "Name": {"shape": "String", "locationName": "name"},
        "Child": {"shape": "Node", "locationName": "child"},
        "Children": {"shape": "Nodes", "locationName": "childSet"},
    },
    "Node": {
        "type": "structure",
        "required": ["Name"],
        "members": {
            "Name": {"shape": "String", "locationName": "name"},
            "Children": {"shape": "Nodes", "locationName": "childSet"},
        },
    },
    "Nodes": {"type": "list", "member": {"shape": "Node", "locationName": "item"}},
}
