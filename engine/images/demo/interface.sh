#!/usr/bin/busybox sh
# Brings one network interface up by DHCP; the client stays to renew the lease. Of IPv6, a router's word on the way out
# counts; addresses are only what the metadata says (addresses.sh), and nobody else can have them, so none is probed for.
for setting in accept_ra=1 autoconf=0 accept_dad=0; do
    echo "${setting#*=}" > "/proc/sys/net/ipv6/conf/$1/${setting%=*}"
done 2> /dev/null
ip link set "$1" up
exec udhcpc -i "$1" -s /usr/lib/demo-init/lease.sh -p "/run/udhcpc.$1.pid" -x "hostname:$(hostname)" \
    -O staticroutes -O mtu -O ntpsrv -O search -t 10 -T 1 -A 1 -b > "/run/demo-init/dhcp.$1.log" 2>&1
