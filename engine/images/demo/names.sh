# Names that the scripts of demo-init share; to be sourced.
STATE=/var/lib/demo-init
HOST_KEY=/etc/dropbear/ed25519
say() { echo "demo-init: $*" > /dev/console; }
