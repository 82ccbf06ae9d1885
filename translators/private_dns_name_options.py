"""An instance's options for its private names: which one it goes by, and whether its own resolves."""

from engine.state import Instance
from translators.errors import refuse
from translators.find import find
from translators.registry import Call, Result, action


@action
def modify_private_dns_name_options(
    call: Call,
    *,
    instance_id: str,
    private_dns_hostname_type: str | None = None,
    enable_resource_name_dns_a_record: bool | None = None,
    enable_resource_name_dns_aaaa_record: bool | None = None,
) -> Result:
    """Change the options; a guest learns the name that it goes by when it boots, so that one only while it is off."""
    instance = find(call, Instance, instance_id)
    if instance.state in ("shutting-down", "terminated"):
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in a state in which it can be modified.")
    if private_dns_hostname_type not in (None, instance.hostname_type) and instance.state != "stopped":
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in the 'stopped' state.")
    given = {
        "hostname_type": private_dns_hostname_type,
        "dns_a_record": enable_resource_name_dns_a_record,
        "dns_aaaa_record": enable_resource_name_dns_aaaa_record,
    }
    for column, value in given.items():
        if value is not None:
            setattr(instance, column, value)
    return {"Return": True}
