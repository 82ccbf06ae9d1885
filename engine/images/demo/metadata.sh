#!/usr/bin/busybox sh
# Makes this guest the instance that the metadata service describes: its name, its key, its own SSH identity.
. /usr/lib/demo-init/names.sh
. /usr/bin/imds
ANSWER=/run/demo-init/answer

# Asks again where there is no answer: on a busy host one may be lost. Status as of imds.
fetch() {
    left=10
    until imds "$1"; do
        [ $? = 1 ] && return 1
        left=$((left - 1))
        [ $left = 0 ] && return 2
        usleep 200000
    done
}

# Every fifth of a second for about half a minute; connecting itself may take a second of each try.
tries=0
until imds_begin && imds meta-data/instance-id; do
    tries=$((tries + 1))
    read -r now _ < /proc/uptime
    if [ $tries -gt 150 ] || [ "${now%.*}" -gt 40 ]; then
        say "cannot reach the metadata service: going on without it"
        break
    fi
    usleep 200000
done
instance=$(cat $ANSWER 2> /dev/null)
case $instance in i-*) ;; *) instance= ;; esac
known=$(cat $STATE/instance-id 2> /dev/null)
if [ "$instance" ] && [ "$instance" != "$known" ]; then
    # Another instance made from this one's disk must not pretend to be it.
    rm -f $HOST_KEY /root/.ssh/authorized_keys /home/ec2-user/.ssh/authorized_keys
    echo "$instance" > $STATE/instance-id
    touch /run/demo-init/first-boot
fi

name=
key=
if [ "$instance" ]; then
    fetch meta-data/local-hostname && read -r name < $ANSWER
    fetch meta-data/public-keys/0/openssh-key && read -r key < $ANSWER
fi
if [ "$name" ] && [ "$name" != "$(cat /etc/hostname)" ]; then
    echo "$name" > /etc/hostname
    hostname "$name"
    printf '127.0.0.1 localhost\n127.0.1.1 %s %s\n::1 localhost\n' "$name" "${name%%.*}" > /etc/hosts
fi
for home in /root /home/ec2-user; do
    if [ "$key" ] && ! grep -qxF "$key" $home/.ssh/authorized_keys 2> /dev/null; then
        echo "$key" >> $home/.ssh/authorized_keys
    fi
done
chown -R 1000:1000 /home/ec2-user
[ -s $HOST_KEY ] || dropbearkey -t ed25519 -f $HOST_KEY > /dev/null 2>&1
has=without
[ "$key" ] && has=with
say "instance ${instance:-unknown}, host name ${name:-$(hostname)}, $has a key"
