# SPDX-License-Identifier: MIT
"""Read-only is read-only: whoever may only read gets no other way to write, whatever he makes of his descriptor."""

import ctypes
import mmap
import os

import harness
import people
import shm
from case import equal, errno_of, fails, in_child
from people import STRANGER, foreign

CONTENTS = b'read but not written'.ljust(8192, b'.')
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
MAP_FAILED = ctypes.c_void_p(-1).value
MADV_REMOVE = 9
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def raises(result):
    if result in (-1, MAP_FAILED):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def readable(m):
    m.key()
    return foreign(m, 'app.key', 0o644, CONTENTS)


def as_stranger(call):
    return in_child(call, people.user(*STRANGER))


def untouched(m):
    equal((m.bytes_of(), m.data().size, m.data().mode), (CONTENTS, len(CONTENTS), 0o644))


@harness.allow_other
def test_mprotect(m):
    """As with an SHM_RDONLY attachment."""
    data, _ = readable(m)

    def through_shmat():
        address = shm.attach(data, readonly=True)
        return errno_of(lambda: raises(_libc.mprotect(address, 8192, mmap.PROT_READ | mmap.PROT_WRITE)))

    def through_the_mount():
        fd = os.open(m.at('app.key:A'), os.O_RDONLY)
        address = raises(_libc.mmap(None, 8192, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0))
        return (errno_of(lambda: raises(_libc.mprotect(address, 8192, mmap.PROT_READ | mmap.PROT_WRITE))),
                errno_of(lambda: raises(_libc.madvise(address, 8192, MADV_REMOVE))),
                errno_of(lambda: raises(_libc.mmap(None, 8192, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0))))
    equal(as_stranger(through_shmat), 'EACCES', 'mprotect of an attachment')
    if m.copying:
        fails('ENODEV', as_stranger, through_the_mount)
    else:
        equal(as_stranger(through_the_mount), ('EACCES',) * 3, 'mprotect, MADV_REMOVE, mmap for writing')
    untouched(m)


@harness.allow_other
def test_truncating_opens(m):
    readable(m)
    for flags in (os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC | os.O_CREAT,
                  os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT):
        fails('EACCES', as_stranger, lambda: os.open(m.at('app.key:A'), flags))
    for size in (0, 1, 8192, 10000):
        fails('EACCES', as_stranger, lambda: os.truncate(m.at('app.key:A'), size))
    untouched(m)


@harness.allow_other
def test_reopening_ones_descriptor(m):
    """/proc/self/fd and /dev/fd are names like any other: judged anew."""
    readable(m)

    def reopen(flags):
        for how in (os.O_RDONLY, os.O_PATH):
            fd = os.open(m.at('app.key:A'), how)
            for place in ('/proc/self/fd/%d', '/proc/thread-self/fd/%d', '/dev/fd/%d'):
                os.close(os.open(place % fd, flags))
            os.close(fd)
    equal(as_stranger(lambda: errno_of(reopen, os.O_RDONLY)), 'OK')
    for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDONLY | os.O_TRUNC):
        fails('EACCES', as_stranger, lambda: reopen(flags))
    untouched(m)


@harness.allow_other
def test_a_descriptor_for_reading(m):
    readable(m)

    def try_all():
        fd = os.open(m.at('app.key:A'), os.O_RDONLY)
        return {name: errno_of(call, *arguments) for name, call, arguments in (
            ('write', os.write, (fd, b'X')), ('pwrite', os.pwrite, (fd, b'X', 0)), ('ftruncate', os.ftruncate, (fd, 0)),
            ('fallocate', os.posix_fallocate, (fd, 0, 10)), ('copy_file_range', os.copy_file_range, (fd, fd, 10, 0, 100)),
            ('fchmod', os.fchmod, (fd, 0o666)), ('fchown', os.fchown, (fd, 1003, -1)))}
    seen = as_stranger(try_all)
    equal({name for name, got in seen.items() if got == 'OK'}, set(), 'what succeeded')
    equal((seen['write'], seen['pwrite'], seen['fchmod'], seen['fchown']), ('EBADF', 'EBADF', 'EPERM', 'EPERM'))
    untouched(m)


@harness.allow_other
def test_a_writers_mapping_beside_it(m):
    """The backing descriptor is shared and may write; a reader's own way through it still may not."""
    readable(m)
    writer = os.open(m.at('app.key:A'), os.O_RDWR)

    def read_beside():
        fd = os.open(m.at('app.key:A'), os.O_RDONLY)
        return os.pread(fd, 4, 0), errno_of(os.pwrite, fd, b'X', 0), errno_of(os.open, '/proc/self/fd/%d' % fd, os.O_RDWR)
    equal(as_stranger(read_beside), (b'read', 'EBADF', 'EACCES'))
    os.close(writer)
    untouched(m)


@harness.options('-o', 'allow_other,ro')
def test_a_mount_that_is_read_only(m):
    readable(m)
    for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDONLY | os.O_TRUNC):
        fails('EROFS', os.open, m.at('app.key:A'), flags)
    fails('EROFS', os.open, m.at('app.key:B'), os.O_CREAT | os.O_WRONLY)
    for call, arguments in ((os.unlink, ()), (os.chmod, (0o666,)), (os.truncate, (0,)), (os.chown, (1, 1))):
        fails('EROFS', call, m.at('app.key:A'), *arguments)
    fails('EROFS', m.refcount, 'decr')
    equal(m.read('app.key:A'), CONTENTS)
    untouched(m)


harness.main(globals())
