"""Ceph: a cluster's block images (RBD), asked through the bindings that come with it."""
