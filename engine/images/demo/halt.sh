#!/usr/bin/busybox sh
# poweroff, reboot, halt and shutdown: ends all programs, writes everything to the disks, then does it. Also what the
# power button calls. busybox's own would sleep for two seconds.
case ${0##*/}:$1 in
    reboot:* | shutdown:-r*) action=reboot ;;
    *) action=poweroff ;;
esac
[ "$(id -u)" = 0 ] || { echo "${0##*/}: only root may do that" >&2; exit 1; }
# The shell that called this is among those that end, and its terminal with it.
[ "$DEMO_HALT" ] || { DEMO_HALT=1 setsid "$0" "$@" > /dev/null 2>&1 & exit 0; }
trap '' HUP TERM INT
echo "demo-init: $action" > /dev/console
# Who asked for it over SSH gets an answer before the connection ends.
usleep 100000
kill -TERM -1
tries=0
# What has an executable is no kernel thread; init and this script remain.
others() {
    count=0
    for program in /proc/[0-9]*/exe; do [ -e "$program" ] && count=$((count + 1)); done
    [ $count -gt 2 ]
}
while others && [ $tries -lt 8 ]; do
    usleep 50000
    tries=$((tries + 1))
done
kill -KILL -1
sync
umount -a -r -t noproc,nosysfs,nodevtmpfs,notmpfs,nodevpts 2> /dev/null
mount -o remount,ro / 2> /dev/null
exec /usr/bin/busybox $action -f
