"""States of images: disabled, deprecated, and protected from being deregistered."""

from datetime import UTC, datetime, timedelta

from engine.state import Image, now, timestamp
from translators.errors import Ec2Error, invalid
from translators.image_attributes import own_image, take_permissions_back
from translators.registry import Call, Result, action

_YEAR = timedelta(days=365.25)
_COOLDOWN = timedelta(hours=24)


@action
def disable_image(call: Call, *, image_id: str) -> Result:
    """Take an image out of use: nobody launches from it, and whom it was shared with has lost it for good."""
    image = _in_state(call, image_id, "available", "disabled")
    image.state = "disabled"
    take_permissions_back(call, image)
    return {"Return": True}


@action
def enable_image(call: Call, *, image_id: str) -> Result:
    """Bring a disabled image back; its permissions stay gone."""
    _in_state(call, image_id, "available", "disabled").state = "available"
    return {"Return": True}


def _in_state(call: Call, image_id: str, *states: str) -> Image:
    image = own_image(call, image_id)
    if image.state not in states:
        raise Ec2Error("IncorrectState", f"The image '{image_id}' is not in the {' or '.join(states)} state.")
    return image


@action
def enable_image_deprecation(call: Call, *, image_id: str, deprecate_at: datetime) -> Result:
    """EC2 rounds to the nearest minute, and looks ten years ahead: of a public image, two years from its creation."""
    image = own_image(call, image_id)
    present = datetime.now(UTC)
    latest = datetime.fromisoformat(image.created) + 2 * _YEAR if image.public else present + 10 * _YEAR
    if not present <= deprecate_at <= latest:
        raise invalid("DeprecateAt", timestamp(deprecate_at), f"It must be a time from now to {timestamp(latest)}.")
    image.deprecation_time = timestamp((deprecate_at + timedelta(seconds=30)).replace(second=0, microsecond=0))
    return {"Return": True}


@action
def disable_image_deprecation(call: Call, *, image_id: str) -> Result:
    own_image(call, image_id).deprecation_time = ""
    return {"Return": True}


@action
def enable_image_deregistration_protection(call: Call, *, image_id: str, with_cooldown: bool = False) -> Result:
    image = own_image(call, image_id)
    image.deregistration_protection = f"enabled-{'with' if with_cooldown else 'without'}-cooldown"
    image.protected_until = ""
    return {"Return": image.deregistration_protection}


@action
def disable_image_deregistration_protection(call: Call, *, image_id: str) -> Result:
    """End the protection; one with a cooldown holds for a day more."""
    image = own_image(call, image_id)
    if image.deregistration_protection == "enabled-with-cooldown":
        image.protected_until = timestamp(datetime.fromisoformat(now()) + _COOLDOWN)
    image.deregistration_protection = "disabled"
    return {"Return": image.deregistration_protection}
