"""``make bench``: every figure beside that of a peer or a physical floor of the same run."""

import os
import sys

from benchmarks import api, boot, disks, networks


def main() -> None:
    wanted = sys.argv[1:] or ["api", "size", "networks", "disks", "boot"]
    if "api" in wanted:
        api.against_moto()
    if "size" in wanted:
        api.by_size()
    if "networks" in wanted:
        networks.beside_bare_transactions()
    if "disks" in wanted:
        disks.beside_the_best_by_hand()
    if "boot" in wanted:
        if os.geteuid() != 0:
            print("\ncannot measure a boot: real guests take root; run it with sudo")
        else:
            boot.beside_bare_qemu()


main()
