#!/bin/busybox sh
# First program of the guest: finds the root partition, lets it fill the disk, hands over to it.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev

for module in /modules/*; do
    $b insmod "$module"
done

# Which of several disks is the root is told by its label, 16 bytes at 1024 + 120 of an ext4 file system. The first
# disk with it wins: a second one may be a copy of the first.
find_root() {
    for disk in /sys/block/vd* /sys/block/sd*; do
        name=${disk##*/}
        [ -e "$disk/${name}2" ] || continue
        [ "$($b dd if="/dev/${name}2" bs=1 skip=1144 count=9 2> /dev/null)" = demo-root ] && return 0
    done
    return 1
}
tries=0
until find_root; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then
        echo "demo-init: cannot find a partition labelled demo-root"
        exec $b sh
    fi
    $b usleep 20000
done

# A larger disk than the image's: the second partition is made to end with the disk. Its length is the last field of
# the second entry of the partition table, 32 bits, little-endian, at 446 + 16 + 12. Nothing is mounted yet, so the
# kernel can simply read the table again.
read -r disk_sectors < "$disk/size"
read -r start < "$disk/${name}2/start"
read -r length < "$disk/${name}2/size"
wanted=$((disk_sectors - start))
[ $wanted -gt 4294967295 ] && wanted=4294967295
if [ $wanted -gt "$length" ]; then
    for shift in 0 8 16 24; do
        $b printf "\\x$($b printf %02x $((wanted >> shift & 255)))"
    done | $b dd of="/dev/$name" bs=1 seek=474 conv=notrunc 2> /dev/null
    $b blockdev --rereadpt "/dev/$name"
fi

# noinit_itable: zeroing inode tables in the background would fill a thin disk for nothing.
$b mount -t ext4 -o noatime,noinit_itable "/dev/${name}2" /root || exec $b sh
for place in proc sys dev; do
    $b mount -o move /$place /root/$place
done
exec $b switch_root /root /sbin/init
