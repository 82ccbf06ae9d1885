#!/usr/bin/busybox sh
# Gives network interfaces the addresses that the metadata service says are theirs: secondary ones of IPv4, and all of
# IPv6; and takes away what is theirs no more. `addresses.sh eth1` does it once; without a name, for all, once a minute.
. /usr/lib/demo-init/names.sh
. /usr/bin/imds
ANSWER=/run/demo-init/addresses.$$
token=

# The words of a list in the metadata; nothing where there is no such list. Status 2: no answer, so nothing is known.
listed() {
    imds "meta-data/network/interfaces/macs/$mac/$1"
    case $? in
        0) cat "$ANSWER" ;;
        1) ;;
        *) return 2 ;;
    esac
}

# own VERSION LENGTH ADDRESS...: the interface has these and, of what it was given here before, no others.
own() {
    version=$1 length=$2
    shift 2
    file=/run/demo-init/addresses.$interface.$version
    for old in $(cat "$file" 2> /dev/null); do
        case " $* " in
            *" ${old%/*} "*) ;;
            *)
                ip "-$version" addr del "$old" dev "$interface" 2> /dev/null
                [ "$table" = main ] || ip "-$version" rule del from "${old%/*}" table "$table" 2> /dev/null
                say "$interface has no longer $old"
                ;;
        esac
    done
    given=
    for address; do
        given="$given $address/$length"
        ip "-$version" addr show dev "$interface" | grep -q "inet6\{0,1\} $address/" && continue
        ip "-$version" addr add "$address/$length" dev "$interface" || continue
        [ "$table" = main ] || ip "-$version" rule add from "$address" table "$table"
        say "$interface has $address/$length"
    done
    echo $given > "$file"
}

# The subnet's router is its first address. A router that makes itself known is preferred: its route's metric is 1024.
way_out6() {
    metric=$((2048 + number))
    ip -6 route replace default via "$1" dev "$interface" metric $metric
    [ "$table" = main ] && return
    ip -6 route replace "$2" dev "$interface" table "$table"
    ip -6 route replace default via "$1" dev "$interface" table "$table"
}

configure() {
    interface=$1 number=${1#eth} table=main
    [ "$number" = 0 ] || table=$((1000 + number))
    read -r mac < "/sys/class/net/$interface/address"
    private=$(listed local-ipv4s) && sixth=$(listed ipv6s) || return
    # Every interface has an address: who is told of none has a token that is good no more.
    [ "$private" ] || { token= && return; }
    set -- $(ip -4 addr show dev "$interface" | sed -n 's/^ *inet [^/]*\/\([0-9]*\) .*/\1/p')
    [ $# -gt 0 ] && own 4 "$1" $(echo "$private" | sed 1d)
    own 6 64 $sixth
    [ "$sixth" ] || return
    range=$(listed subnet-ipv6-cidr-blocks)
    [ "$range" ] && way_out6 "${range%/*}1" "$range"
}

if [ "$1" ]; then
    imds_begin && configure "$1"
    rm -f "$ANSWER"
    exit
fi
while :; do
    [ "$token" ] || imds_begin
    for link in /sys/class/net/eth*; do
        [ -e "$link" ] && configure "${link##*/}"
    done
    sleep 60
done
