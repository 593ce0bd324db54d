#!/bin/sh
# SPDX-License-Identifier: MIT
# What `meson install` leaves is enough to build on: installed.sh SOURCE-ROOT BUILD-ROOT
# The examples, and a program of the C++ class, are compiled as a user would, by pkg-config against an installed
# tree alone, with the shared library and with the static one, and run.
set -eu

source=$1 build=$2
die() { echo "$*" >&2; exit 1; }

private="unshare --ipc"
[ "$(id -u)" = 0 ] || private="unshare --ipc --user --map-root-user"
if ! $private true; then
	echo "cannot run: no private IPC namespace is to be had"
	[ -z "${SMFS_TESTS_MUST_RUN-}" ] && exit 77 || exit 1
fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
meson install -C "$build" --no-rebuild --skip-subprojects --quiet --destdir "$tree" >/dev/null

for file in include/SMObject.hpp include/libsm/SMObject.hpp include/libsm/sm.h man3/libsm.3 man3/sm_access.3 man3/SMObject.3 man1/smfs.1 man5/smfs.5; do
	[ -n "$(find "$tree" -path "*/$file*")" ] || die "$file is not installed"
done

pc=$(find "$tree" -name libsm.pc)
library=$(dirname "${pc%/*}")
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$tree" LD_LIBRARY_PATH="$library"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1

symbols=$(objdump -T "$library/libsm.so")
objdump -p "$library/libsm.so" | grep -q 'SONAME *libsm.so.1$' || die "the soname is not libsm.so.1"
echo "$symbols" | awk '$4 == ".text" && $6 != "LIBSM_1"' | grep . && die "exported without a version"
case $symbols in
*__asan_*) sanitize=-fsanitize=address,undefined ;;
*__tsan_*) sanitize=-fsanitize=thread ;;
*) sanitize= ;;
esac

cflags="$sanitize $(pkg-config --cflags libsm)"
libs=$(pkg-config --libs libsm)
cc $cflags "$source/tools/examples/hello.c" -o "$tree/hello" $libs
cc $cflags "$source/tools/examples/hello.c" -o "$tree/hello-static" "$library/libsm.a" -pthread
c++ $cflags "$source/tools/examples/hello.cpp" -o "$tree/hello-cpp" $libs
c++ $cflags "$source/tests/cxx/producer.cpp" -o "$tree/producer" $libs

: >"$tree/key"
for program in hello hello-static hello-cpp; do
	$private "$tree/$program" "$tree/key" A hi </dev/null | grep -q 'last said: *$' || die "$program does not run"
done
echo | $private "$tree/producer" "$tree/key" | grep -qx ready || die "producer does not run"
echo "ok: what is installed compiles, links and runs"
