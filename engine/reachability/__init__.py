"""Whether packets get from one place to another, and why not: what drivers say of a packet, in EC2's words."""

from engine.reachability.atlas import Atlas, Waypoint
from engine.reachability.journeys import Journey, travel

__all__ = ["Atlas", "Journey", "Waypoint", "travel"]
