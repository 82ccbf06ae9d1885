#!/usr/bin/busybox sh
# Everything between the root file system and a log-in by SSH, in the order that gets there soonest.
. /usr/lib/demo-init/names.sh

mount -t tmpfs -o mode=755 run /run
mkdir -p /run/demo-init /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
ip link set lo up
hostname -F /etc/hostname

# The root partition may have become larger than its file system; its size at the last check is remembered.
grow_root() {
    device=/dev/$(sed -n 's/^DEVNAME=//p' "/sys/dev/block/$(mountpoint_device)/uevent")
    read -r sectors < "/sys/class/block/${device##*/}/size"
    [ "$sectors" = "$(cat $STATE/root-sectors 2> /dev/null)" ] && return
    resize2fs "$device" > /run/demo-init/resize.log 2>&1 && echo "$sectors" > $STATE/root-sectors
    say "root file system: $((sectors / 2048)) MiB"
}
mountpoint_device() { sed -n 's/^[0-9]* [0-9]* \([0-9]*:[0-9]*\) \/ \/ .*/\1/p' /proc/self/mountinfo; }
grow_root &
growing=$!

modprobe -a virtio_net button evdev virtio_rng 2> /dev/null
acpid
uevent /usr/lib/demo-init/hotplug.sh > /dev/null 2>&1 &

for link in /sys/class/net/eth*; do
    name=${link##*/}
    [ "$name" = eth0 ] || [ "$name" = 'eth*' ] || /usr/lib/demo-init/interface.sh "$name" &
done
/usr/lib/demo-init/interface.sh eth0
/usr/lib/demo-init/metadata.sh
wait $growing

# Nobody can log in before the key is there: the client would be refused and might not come back.
dropbear -r $HOST_KEY -s -K 60 -P /run/dropbear.pid
read -r uptime _ < /proc/uptime
say "ssh is up after $uptime s"
/usr/lib/demo-init/addresses.sh &

echo '-----BEGIN SSH HOST KEY FINGERPRINTS-----' > /dev/console
dropbearkey -y -f $HOST_KEY | sed -n "s/^Fingerprint: /256 /;s/^256 .*/& root@$(hostname) (ED25519)/p" > /dev/console
echo '-----END SSH HOST KEY FINGERPRINTS-----' > /dev/console
