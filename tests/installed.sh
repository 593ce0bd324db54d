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
lists=$(mktemp -d)
trap 'rm -rf "$tree" "$lists"' EXIT
meson install -C "$build" --no-rebuild --quiet --destdir "$tree" >/dev/null

# Nothing but ours, and all of it; the pages of section 3 are looked at below.
prefix=$(meson introspect "$build" --buildoptions | python3 -c '
import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
find "$tree" ! -type d ! -path '*/man3/*' | sed "s,^$tree$prefix/,,; s,^lib/[a-z0-9_]*-linux-[a-z]*/,lib/,; s,\(libsm.so.[0-9]*\)[.0-9]*,\1," |
	sort -u >"$lists/installed"
sort >"$lists/expected" <<'END'
bin/smctl
bin/smfs
include/SMObject.hpp
include/libsm/SMObject.hpp
include/libsm/sm.h
lib/libsm.a
lib/libsm.so
lib/libsm.so.1
lib/pkgconfig/libsm.pc
lib/systemd/system/smfs@.service
share/bash-completion/completions/smctl
share/bash-completion/completions/smfs
share/fish/vendor_completions.d/smctl.fish
share/fish/vendor_completions.d/smfs.fish
share/man/man1/smctl.1
share/man/man1/smfs.1
share/man/man5/smfs.5
share/zsh/site-functions/_smctl
share/zsh/site-functions/_smfs
END
if ! diff "$lists/expected" "$lists/installed"; then
	! grep -q fuse "$lists/installed" || echo "libfuse was unpacked before it was patched: rm -r subprojects/fuse-3.17.2, and build anew"
	die "what is installed (>) is not what should be (<)"
fi
for file in man3/libsm.3 man3/sm_access.3 man3/SMObject.3; do
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
