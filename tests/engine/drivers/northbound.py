"""A northbound database for tests alone."""

from benchmarks.northbound import NorthboundServer, missing, serving

__all__ = ["NorthboundServer", "missing", "serving"]
