"""Relays: what connects to an interface endpoint is connected to one of the service's servers, outside of the VPC."""
