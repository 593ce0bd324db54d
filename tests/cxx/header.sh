#!/bin/sh
# SPDX-License-Identifier: MIT
# SMObject.hpp compiles without a word under strict warnings, in every standard of every compiler at hand,
# included twice, and in two files of one program. header.sh SOURCE-ROOT
set -eu

root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/one.cpp" <<'END'
#include "SMObject.hpp"
#include <libsm/SMObject.hpp>
int one() { return SMObjectSpace::SMObject().error_handle_; }
END
cat >"$work/two.cpp" <<'END'
#include <SMObject.hpp>
int one();
int main() { SMObjectSpace::SMObject object; return one() + object.shmAccess(); }
END

compile() {
	"$@" -I"$root" -I"$root/libsm" -Wall -Wextra -Wpedantic -Weffc++ -Wshadow -Wconversion -Wold-style-cast -Werror
}

found=
for compiler in g++ clang++; do
	command -v $compiler >/dev/null || continue
	found=${found:-$compiler}
	for standard in c++11 c++14 c++17 c++20; do
		compile $compiler -std=$standard -fsyntax-only "$work/one.cpp"
		echo "ok $compiler $standard"
	done
done
[ -n "$found" ] || { echo "no C++ compiler found"; exit 77; }

compile $found -std=c++17 -c "$work/one.cpp" -o "$work/one.o"
compile $found -std=c++17 -c "$work/two.cpp" -o "$work/two.o"
ld -r "$work/one.o" "$work/two.o" -o "$work/both.o"
