"""Router advertisements: how guests learn of their subnet's router, and that DHCPv6 gives them addresses.

All subnets of a VPC share a switch, so what a router sends to everybody would reach guests of other subnets as well:
the network's routers send nothing themselves. In their names each guest is told of its own, alone, as RFC 6085 allows.
"""
