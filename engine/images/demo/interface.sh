#!/usr/bin/busybox sh
# Brings one network interface up by DHCP; the client stays to renew the lease.
ip link set "$1" up
exec udhcpc -i "$1" -s /usr/lib/demo-init/lease.sh -p "/run/udhcpc.$1.pid" -x "hostname:$(hostname)" \
    -O staticroutes -O mtu -O ntpsrv -O search -t 10 -T 1 -A 1 -b > "/run/demo-init/dhcp.$1.log" 2>&1
