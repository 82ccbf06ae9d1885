#!/usr/bin/busybox sh
# Called for every event of the kernel: a network interface that comes is configured, one that goes is forgotten.
[ "$SUBSYSTEM" = net ] || exit 0
case $ACTION:$INTERFACE in
    add:eth*)
        [ -e "/run/udhcpc.$INTERFACE.pid" ] || /usr/lib/demo-init/interface.sh "$INTERFACE"
        /usr/lib/demo-init/addresses.sh "$INTERFACE"
        ;;
    remove:eth*)
        kill "$(cat "/run/udhcpc.$INTERFACE.pid")" 2> /dev/null
        rm -f "/run/udhcpc.$INTERFACE.pid" "/run/demo-init/addresses.$INTERFACE."*
        ip rule del table $((1000 + ${INTERFACE#eth})) 2> /dev/null
        ;;
esac
exit 0
