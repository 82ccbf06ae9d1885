"""The wire format of EC2 and STS, both ways, driven by botocore's models: no action is known by name."""

from gateway.parse import WireError, decode, parse
from gateway.render import Mismatch, render, render_error

__all__ = ["Mismatch", "WireError", "decode", "parse", "render", "render_error"]
