#!/usr/bin/busybox sh
# One HTTP request over standard output, its answer from standard input: ask.sh FILE METHOD PATH [HEADER].
# Status 0: the body is in FILE; 1: the server has no such thing; 2: no answer.
printf '%s %s HTTP/1.0\r\nHost: 169.254.169.254\r\nAccept: */*\r\n' "$2" "$3"
[ "$4" ] && printf '%s\r\n' "$4"
printf '\r\n'
read -r -t 5 _ status _ || exit 2
while read -r -t 5 line && [ ${#line} -gt 1 ]; do :; done
[ "$status" = 200 ] || exit 1
# Only now another program reads: the shell takes single bytes, so nothing of the body is lost.
exec cat > "$1"
