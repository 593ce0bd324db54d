#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A struct shared in place: show the position kept in an object, and move it.

    truncate -s 24 /mnt/sm/tmp/app.key:A
    position.py /mnt/sm/tmp/app.key:A [X Y]

The file is mapped, not read: what is written here, every attached process has at once. Mapping needs
native access (see smfs(1)); elsewhere it fails with "No such device".
"""
import mmap
import struct
import sys

layout = struct.Struct('=Qdd')      # how often it was moved, and where to

with open(sys.argv[1], 'r+b') as file, mmap.mmap(file.fileno(), layout.size) as memory:
    moves, x, y = layout.unpack_from(memory)
    if len(sys.argv) == 4:
        moves, x, y = moves + 1, float(sys.argv[2]), float(sys.argv[3])
        layout.pack_into(memory, 0, moves, x, y)
    print('%d moves, at %g %g' % (moves, x, y))
