#!/usr/bin/busybox sh
# Called by udhcpc with what a DHCP lease says in the environment: makes it true on $interface.
. /usr/lib/demo-init/names.sh

# The first interface owns the main routing table. Every other one answers from its own table what is asked of its
# own address, and offers a default route only where there is no better one.
number=${interface#eth}
table=main
[ "$number" = 0 ] || table=$((1000 + number))

route() {
    [ "$2" = 0.0.0.0 ] && set -- "$1" && ip route replace "$1" dev "$interface" table $table && return
    ip route replace "$1" via "$2" dev "$interface" table $table 2> /dev/null && return
    # A gateway outside the subnet's mask is still on this link.
    ip route replace "$2" dev "$interface" table main
    ip route replace "$1" via "$2" dev "$interface" table $table
}

routes() {
    # RFC 3442: who receives classless static routes ignores the router option.
    set -- $staticroutes
    [ $# -gt 0 ] || set -- 0.0.0.0/0 ${router%% *}
    while [ $# -ge 2 ]; do
        route "$1" "$2"
        if [ $table != main ] && [ "$1" = 0.0.0.0/0 ]; then
            ip route replace default via "$2" dev "$interface" metric $table
        fi
        shift 2
    done
}

bound() {
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    ip -4 addr show dev "$interface" | grep -q "inet $ip/$mask " || ip -4 addr flush dev "$interface"
    ip addr replace "$ip/$mask" broadcast "${broadcast:-+}" dev "$interface"
    if [ $table != main ]; then
        ip rule del table $table 2> /dev/null
        ip rule add from "$ip" table $table
        eval "$(ipcalc -n "$ip/$mask")"
        ip route replace "$NETWORK/$mask" dev "$interface" table $table
    fi
    routes
    [ $table = main ] && [ -n "$dns" ] && {
        [ -n "${search:-$domain}" ] && echo "search ${search:-$domain}"
        for server in $dns; do echo "nameserver $server"; done
    } > /etc/resolv.conf
    read -r uptime _ < /proc/uptime
    say "$interface has $ip/$mask mtu ${mtu:-1500} after $uptime s"
}

case $1 in
    deconfig) ip -4 addr flush dev "$interface" 2> /dev/null ;;
    bound | renew) bound ;;
esac
