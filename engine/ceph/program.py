"""A program that asks a Ceph cluster what it reads on its input: `python3 program.py CEPH_CONF USER POOL`.

Ceph's bindings are packages of the distribution, made for the Python that the distribution has, and a call to a cluster
that is away may never return, or end the process. So they are in a process of their own, run by the system's Python,
that is ended when it takes too long. Each line in is ``{"id", "call", "arguments"}``, each line out ``{"id", "value"}``
or ``{"id", "error", "errno"}``, in whatever order calls end. It dies with its input, and what it was doing with it: who
asked is gone, and asks again by another one.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))
    from engine.ceph import blocks, cluster, images, index  # noqa: F401  (each says what can be asked)
    from engine.ceph.pool import Pool

    Pool(*sys.argv[1:4]).serve()
