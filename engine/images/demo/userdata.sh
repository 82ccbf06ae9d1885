#!/usr/bin/busybox sh
# After the log-in is possible: runs the user data, once for each instance; then shows the kernel's log on the console.
. /usr/lib/demo-init/names.sh
. /usr/bin/imds
ANSWER=$STATE/user-data

run_user_data() {
    imds_begin && imds user-data || { say "no user data"; return; }
    # gzip's magic number; gunzip wants the suffix.
    if [ "$(head -c 2 $ANSWER | hexdump -v -e '/1 "%02x"')" = 1f8b ]; then
        mv $ANSWER $ANSWER.gz && gunzip -f $ANSWER.gz
    fi
    if [ "$(head -c 2 $ANSWER)" != '#!' ]; then
        say "user data is not a script that begins with #!: nothing of it is carried out (kept in $ANSWER)"
        return
    fi
    chmod 700 $ANSWER
    say "running the user data"
    cd /
    { $ANSWER 2>&1 < /dev/null; echo $? > /run/demo-init/user-data-status; } |
        tee /var/log/cloud-init-output.log > /dev/console
    say "user data ended with status $(cat /run/demo-init/user-data-status)"
}

[ -e /run/demo-init/first-boot ] && run_user_data
# Printing the kernel's messages while it starts would cost a third of a second; quiet and afterwards costs nobody.
dmesg > /dev/console
read -r uptime _ < /proc/uptime
say "finished after $uptime s"
