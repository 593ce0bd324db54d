# SPDX-License-Identifier: MIT
"""Other users, and callers that differ from them in what they may: who they are, and what the kernel says to them."""

import ctypes
import os
import struct

import shm
from case import errno_of, in_child

OWNER, CREATOR, STRANGER = (1001, 2001), (1002, 2002), (1003, 2003)
CALLERS = {'owner': OWNER + ([],), 'creator': CREATOR + ([],), 'group': (1004, OWNER[1], []),
           "creator's group": (1005, CREATOR[1], []), 'supplementary': (1006, 2006, [OWNER[1]]),
           "supplementary creator's": (1007, 2007, [CREATOR[1]]), 'other': STRANGER + ([],), 'root': (0, 0, [])}

CAP_SYS_ADMIN, CAP_IPC_OWNER = 21, 15
CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT = 4, 8, 47
_libc = ctypes.CDLL(None, use_errno=True)


def foreign(m, name, mode, contents=b'secret bytes'):
    """Made by one user, owned by another: each of uid, gid, cuid, cgid differs."""
    keys = m.keys_of(name)
    ids = m.as_uid(CREATOR[0], CREATOR[1], [], lambda: [shm.get(key, size, shm.IPC_CREAT | 0o600)
                                                        for key, size in zip(keys, (len(contents), 4))])
    shm.write(ids[0], contents)
    for shmid in ids:
        m.own(shmid)
        shm.set(shmid, OWNER[0], OWNER[1], mode)
    return ids


def attaches(shmid, readonly):
    def call():
        shm.detach(shm.attach(shmid, readonly))
    return errno_of(call)


def opens(path, flags):
    return errno_of(lambda: os.close(os.open(path, flags)))


def spread(bits):
    """Six bits to rw-rw-rw-."""
    return (bits & 0o3) << 1 | (bits >> 2 & 0o3) << 4 | (bits >> 4 & 0o3) << 7


# ---- becoming somebody, in a child process (Case.in_child's FIRST)

def user(uid, gid, groups=()):
    def become():
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    return become


def _checked(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _capabilities(call, sets):
    header = struct.pack('Ii', 0x20080522, 0)
    words = [half for shift in (0, 32) for half in [value >> shift & 0xffffffff for value in sets]]
    _checked(call(header, struct.pack('6I', *words)))


def _all_capabilities():
    with open('/proc/self/status') as status:
        return int(next(line for line in status if line.startswith('CapPrm')).split()[1], 16)


def root_without(*capabilities):
    """Root with less of root's power."""
    def become():
        left = _all_capabilities()
        for capability in capabilities:
            left &= ~(1 << capability)
        _capabilities(_libc.capset, (left, left, 0))
    return become


def ambient(uid, gid, capability):
    """An ordinary user with one capability, as a unit file's AmbientCapabilities= gives it."""
    def become():
        _checked(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
        user(uid, gid)()
        _capabilities(_libc.capset, (1 << capability,) * 3)
        _checked(_libc.prctl(_PR_CAP_AMBIENT, 2, capability, 0, 0))
    return become


def in_user_namespace(first):
    """Root there, with every capability there, who is somebody ordinary here."""
    def become():
        first()
        outside = os.geteuid(), os.getegid()
        _checked(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))
        _checked(_libc.unshare(CLONE_NEWUSER))
        for name, text in (('uid_map', '0 %d 1' % outside[0]), ('setgroups', 'deny'), ('gid_map', '0 %d 1' % outside[1])):
            with open('/proc/self/' + name, 'w') as table:
                table.write(text)
    return become


def in_pid_namespace(first, call):
    """CALL there, as FIRST makes it."""
    def middle():
        _checked(_libc.unshare(CLONE_NEWPID))
        return in_child(call, first)
    return in_child(middle)
