#!/bin/sh
# SPDX-License-Identifier: MIT
# A mailbox for one message. Each waits for the other, and flock keeps any number of them apart:
#     mailbox.sh send /mnt/sm/tmp/app.key:A 'a message'
#     mailbox.sh take /mnt/sm/tmp/app.key:A
set -eu

what=$1 box=$2
[ -e "$box" ] || truncate -s 4096 "$box"
exec 9<"$box"
while flock 9; do
	text=$(tr -d '\0' <"$box")
	case $what in
	send) [ -n "$text" ] || { printf '%s\n' "$3" >"$box"; exit; } ;;
	take) [ -z "$text" ] || { printf '%s\n' "$text"; : >"$box"; exit; } ;;
	*) echo "usage: mailbox.sh send BOX TEXT | take BOX" >&2; exit 2 ;;
	esac
	flock -u 9
	sleep 0.1
done
