# SPDX-License-Identifier: MIT
"""System V shared memory through the C library, with the kernel's own structures.

A foreign program's view: nothing here knows of libsm or smfs. Functions raise OSError with the errno
that the call left.
"""

import collections
import ctypes
import os

IPC_PRIVATE = 0
IPC_CREAT, IPC_EXCL = 0o1000, 0o2000
SHM_RDONLY = 0o10000
SHM_NORESERVE = 0o10000
IPC_RMID, IPC_SET, IPC_STAT = 0, 1, 2
SHM_STAT_ANY = 15
SHM_DEST = 0o1000


class IpcPerm(ctypes.Structure):
    _fields_ = [('key', ctypes.c_int), ('uid', ctypes.c_uint), ('gid', ctypes.c_uint),
                ('cuid', ctypes.c_uint), ('cgid', ctypes.c_uint), ('mode', ctypes.c_uint),
                ('seq', ctypes.c_ushort), ('pad', ctypes.c_ushort), ('unused', ctypes.c_ulong * 2)]


class ShmidDs(ctypes.Structure):
    _fields_ = [('perm', IpcPerm), ('segsz', ctypes.c_size_t), ('atime', ctypes.c_long),
                ('dtime', ctypes.c_long), ('ctime', ctypes.c_long), ('cpid', ctypes.c_int),
                ('lpid', ctypes.c_int), ('nattch', ctypes.c_ulong), ('unused', ctypes.c_ulong * 2)]


Segment = collections.namedtuple(
    'Segment', 'id key size mode removed uid gid cuid cgid nattch atime dtime ctime cpid lpid')

_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
_libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_libc.shmat.restype = ctypes.c_void_p
_libc.shmdt.argtypes = [ctypes.c_void_p]
_libc.shmctl.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
_libc.ftok.argtypes = [ctypes.c_char_p, ctypes.c_int]
_FAILED = ctypes.c_void_p(-1).value


def _checked(result):
    if result in (-1, _FAILED):
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))
    return result


def ftok(path, proj_id):
    return _checked(_libc.ftok(os.fsencode(path), ord(proj_id) if isinstance(proj_id, str) else proj_id))


def get(key, size=0, flags=0):
    key &= 0xffffffff
    return _checked(_libc.shmget(key - (1 << 32) if key >> 31 else key, size, flags))


def find(key):
    """The shmid of KEY, or None. Size 0 and no mode asked: no right is needed."""
    try:
        return get(key)
    except FileNotFoundError:
        return None


def attach(shmid, readonly=False):
    return _checked(_libc.shmat(shmid, None, SHM_RDONLY if readonly else 0))


def detach(address):
    return _checked(_libc.shmdt(address))


def remove(shmid):
    _checked(_libc.shmctl(shmid, IPC_RMID, None))


def _segment(shmid, ds):
    perm = ds.perm
    return Segment(shmid, perm.key & 0xffffffff, ds.segsz, perm.mode & 0o777, bool(perm.mode & SHM_DEST),
                   perm.uid, perm.gid, perm.cuid, perm.cgid, ds.nattch,
                   ds.atime, ds.dtime, ds.ctime, ds.cpid, ds.lpid)


def stat(shmid):
    """What the kernel shows everyone (SHM_STAT_ANY takes the index that the id holds)."""
    ds = ShmidDs()
    got = _checked(_libc.shmctl(shmid & 0x7fff, SHM_STAT_ANY, ctypes.byref(ds)))
    if got != shmid:
        raise OSError(43, os.strerror(43))
    return _segment(shmid, ds)


def set(shmid, uid=None, gid=None, mode=None):
    now = stat(shmid)
    ds = ShmidDs()
    ds.perm.uid = now.uid if uid is None else uid
    ds.perm.gid = now.gid if gid is None else gid
    ds.perm.mode = now.mode if mode is None else mode
    _checked(_libc.shmctl(shmid, IPC_SET, ctypes.byref(ds)))


def read(shmid, length=None, offset=0):
    """Bytes of the segment, as shmat shows them. The attachment ends before this returns."""
    if length is None:
        length = stat(shmid).size - offset
    address = attach(shmid, readonly=True)
    try:
        return ctypes.string_at(address + offset, length)
    finally:
        detach(address)


def write(shmid, data, offset=0):
    address = attach(shmid)
    try:
        ctypes.memmove(address + offset, data, len(data))
    finally:
        detach(address)


def poke(address, data):
    """Bytes at an address that attach() gave."""
    ctypes.memmove(address, data, len(data))


def peek(address, length):
    return ctypes.string_at(address, length)


def next_id(shmid):
    """The next segment made here gets this shmid (only in a private namespace)."""
    with open('/proc/sys/kernel/shm_next_id', 'w') as following:
        following.write(str(shmid))


def listing():
    """Every segment of the namespace (an independent source: /proc/sysvipc/shm)."""
    with open('/proc/sysvipc/shm') as table:
        rows = [line.split() for line in table][1:]
    return [Segment(int(r[1]), int(r[0]) & 0xffffffff, int(r[3]), int(r[2], 8) & 0o777,
                    bool(int(r[2], 8) & SHM_DEST), int(r[7]), int(r[8]), int(r[9]), int(r[10]), int(r[6]),
                    int(r[11]), int(r[12]), int(r[13]), int(r[4]), int(r[5])) for r in rows]
