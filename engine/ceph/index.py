"""What can be asked of an index: an object with keys and values."""

import errno

from engine.ceph.pool import Pool, call, rados

PAGE = 1000
"""Keys of an index that are read at once: OSDs give no more than 1024."""


@call
def entries(pool: Pool, index: str, prefix: str) -> dict[str, str]:
    """Return the keys of an index that begin with ``prefix``, and their values."""
    found: dict[str, str] = {}
    while more := page(pool, index, prefix, max(found, default="")):
        found.update(more)
    return found


@call
def page(pool: Pool, index: str, prefix: str, after: str) -> dict[str, str]:
    """Return the next keys that begin with ``prefix``, in order; none at the end."""
    with rados.ReadOpCtx() as read:
        values, _ = pool.io.get_omap_vals(read, after, prefix, PAGE)
        try:
            pool.io.operate_read_op(read, index)
        except rados.ObjectNotFound:  # nobody has written to it yet
            return {}
        return {key: value.decode() for key, value in values}


@call
def change(pool: Pool, index: str, expected: dict[str, str], put: dict[str, str], removed: list[str]) -> bool:
    """Change an index at one moment, unless an ``expected`` key has another value; say whether it was changed.

    A key that is not there counts as one with the value "".
    """
    with rados.WriteOpCtx() as write:
        write.new(0)
        for key, value in expected.items():
            write.omap_cmp(key, value, rados.LIBRADOS_CMPXATTR_OP_EQ)
        if put:
            pool.io.set_omap(write, tuple(put), tuple(value.encode() for value in put.values()))
        if removed:
            pool.io.remove_omap_keys(write, tuple(removed))
        try:
            pool.io.operate_write_op(write, index)
        except rados.Error as error:
            if abs(error.errno or 0) == errno.ECANCELED:
                return False
            raise
    return True
