"""The resolver of every VPC: what a guest asks at the VPC's base plus two, answered by one process on every host."""
