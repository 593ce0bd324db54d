# SPDX-License-Identifier: MIT
"""Calls beyond read and write: what programs use without their authors knowing."""

import ctypes
import fcntl
import os
import socket
import subprocess

import harness
import shm
from case import equal, errno_of, fails
from daemon import wait_until

FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE = 1, 2
SHM_NORESERVE = 0o10000
_libc = ctypes.CDLL(None, use_errno=True)


def fallocate(fd, mode, offset, length):
    if _libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))


def test_fallocate_of_an_existing_object_never_grows_it(m):
    m.key()
    m.make(contents=b'0123456789')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(errno_of(fallocate, fd, 0, 0, 10), 'OK', 'its own size')
    fails('ENOSPC', fallocate, fd, 0, 0, 11)
    fails('ENOSPC', fallocate, fd, 0, 1 << 40, 1)
    fallocate(fd, FALLOC_KEEP_SIZE, 0, 100)
    os.close(fd)
    equal((m.data().size, m.bytes_of()), (10, b'0123456789'))


def test_a_hole_is_punched_as_zeros(m):
    m.key()
    data, _ = m.make(contents=b'x' * 20000)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 100, 10000)
    os.close(fd)
    equal(m.bytes_of(), b'x' * 100 + b'\0' * 10000 + b'x' * 9900)
    equal(m.data().size, 20000)


def test_sendfile_and_copy_file_range_into_an_object(m):
    m.key()
    m.key('other')
    m.make(size=10000)
    contents = os.urandom(10000)
    with open(m.keys + '/source', 'wb') as f:
        f.write(contents)
    source, target = os.open(m.keys + '/source', os.O_RDONLY), os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.sendfile(target, source, 0, 10000), 10000)
    equal(m.bytes_of() == contents, True, 'sendfile')
    os.ftruncate(target, 0)
    seen = errno_of(os.copy_file_range, source, target, 10000, 0, 0)
    if seen == 'OK':
        equal(m.bytes_of() == contents, True, 'copy_file_range')
    elif seen not in ('EXDEV', 'ENOTSUP', 'EINVAL', 'ENOSYS'):
        raise AssertionError('copy_file_range: ' + seen)
    equal(m.data().size, 10000)
    os.close(source)
    os.close(target)


def test_copying_between_objects_in_the_kernel(m):
    m.key()
    m.key('other')
    contents = os.urandom(300000)
    m.make(contents=contents)
    m.run('cp app.key:A other:A; cat app.key:A > other:B; cp --reflink=auto other:B other:C')
    for p in 'ABC':
        equal(m.bytes_of('other', p) == contents, True, p)
    m.run('rm other:*[A-C]')


def test_copy_file_range_within_the_mount(m):
    """Whatever the descriptors were opened for; a segment never grows."""
    m.key()
    m.key('other')
    contents, size = os.urandom(3000001), 3000001
    m.make(contents=contents)
    m.make('other', size=size)
    rw, ro = (os.open(m.at('app.key:A'), flags) for flags in (os.O_RDWR, os.O_RDONLY))
    for source in rw, ro:
        for flags in os.O_RDWR, os.O_WRONLY:
            target, at = os.open(m.at('other:A'), flags), 0
            os.ftruncate(target, 0)
            while n := os.copy_file_range(source, target, size + 10, at, at):
                at += n
            equal((at, m.bytes_of('other') == contents), (size, True))
            equal(os.copy_file_range(source, target, 100, 0, size - 3), 3, 'what fits')
            equal(m.bytes_of('other')[-5:], contents[-5:-3] + contents[:3])
            fails('ENOSPC', os.copy_file_range, source, target, 100, 0, size)
            os.close(target)
        equal(os.copy_file_range(source, rw, 5000, 1000, 2000001), 5000, 'within one file')
        equal(m.bytes_of() == contents[:2000001] + contents[1000:6000] + contents[2005001:], True)
        os.pwrite(rw, contents[2000001:2005001], 2000001)
        fails('EINVAL', os.copy_file_range, source, rw, 5000, 0, 100)       # they overlap
    new = os.open(m.at('other:B'), os.O_CREAT | os.O_WRONLY)
    equal(os.copy_file_range(rw, new, 5000, 100, 0), 5000)
    os.close(new)
    equal(m.bytes_of('other', 'B') == contents[100:5100], True)
    os.close(rw)
    os.close(ro)
    m.run('cp --reflink=never app.key:A other:C; cmp app.key:A other:C; rm other:*[BC]')


def test_splice_from_a_socket(m):
    m.key()
    m.make(size=1000)
    mine, other = socket.socketpair()
    other.sendall(b's' * 1000)
    inner, outer = os.pipe()
    fd = os.open(m.at('app.key:A'), os.O_WRONLY)
    if hasattr(os, 'splice'):
        equal(os.splice(mine.fileno(), outer, 1000), 1000)
        equal(os.splice(inner, fd, 1000), 1000)
        equal(m.bytes_of(), b's' * 1000)
    for f in (inner, outer, fd):
        os.close(f)
    mine.close()
    other.close()


def test_descriptors_with_unusual_flags(m):
    m.key()
    m.make(contents=b'x' * 8192)
    for flags in (os.O_SYNC, os.O_DSYNC, os.O_NONBLOCK, os.O_NOATIME, os.O_CLOEXEC, os.O_NOFOLLOW):
        fd = os.open(m.at('app.key:A'), os.O_RDWR | flags)
        equal(os.pwrite(fd, b'y', 5000), 1)
        equal(os.pread(fd, 2, 5000), b'yx')
        os.close(fd)
    fails('ENOTDIR', os.open, m.at('app.key:A'), os.O_RDONLY | os.O_DIRECTORY)
    fd = os.open(m.at('app.key:A'), os.O_PATH)
    equal(os.fstat(fd).st_size, 8192)
    os.close(fd)
    fails('EISDIR', os.open, m.mnt, os.O_RDWR)


def test_no_temporary_files(m):
    if errno_of(os.open, m.mnt, os.O_TMPFILE | os.O_RDWR) not in ('ENOTSUP', 'EISDIR', 'ENOENT', 'EPERM', 'EINVAL'):
        raise AssertionError('O_TMPFILE: ' + errno_of(os.open, m.mnt, os.O_TMPFILE | os.O_RDWR))


def test_reopening_by_proc(m):
    m.key()
    m.make(contents=b'12345')
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    again = os.open('/proc/self/fd/%d' % fd, os.O_RDWR)
    os.pwrite(again, b'X', 0)
    equal(os.pread(fd, 5, 0), b'X2345')
    os.close(again)
    os.close(fd)


def test_openat_and_chdir(m):
    m.key('sub/app.key')
    m.create('sub/app.key:A', b'x')
    directory = os.open(m.at('sub'), os.O_RDONLY | os.O_DIRECTORY)
    equal(os.stat('app.key:A', dir_fd=directory).st_size, 1)
    fd = os.open('app.key:A', os.O_RDONLY, dir_fd=directory)
    equal(os.read(fd, 10), b'x')
    os.close(fd)
    os.fchdir(directory)
    equal(os.getcwd(), m.at('sub'))
    os.chdir('/')
    os.unlink('app.key:A', dir_fd=directory)
    os.close(directory)


@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
@harness.small
def test_a_segment_of_a_tebibyte(m):
    """Looked at, read and written in places: nobody walks over it."""
    m.key()
    key, size = m.keys_of()[0], 1 << 40
    data = m.own(shm.get(key, size, shm.IPC_CREAT | SHM_NORESERVE | 0o600))
    seen = os.stat(m.at('app.key:A'))
    equal((seen.st_size, seen.st_blocks), (size, 0))
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.pwrite(fd, b'end', size - 3), 3)
    fails('ENOSPC', os.pwrite, fd, b'x', size)
    equal(os.pread(fd, 10, size - 5), b'\0\0end')
    equal(os.pread(fd, 3, 1 << 39), b'\0\0\0')
    os.ftruncate(fd, 0)
    equal(os.pread(fd, 10, size - 5), b'\0' * 5)
    os.close(fd)
    m.run('ls -l app.key:A > /dev/null; stat -c %s app.key:A', expected='%d\n' % size)
    equal(shm.stat(data).size, size)


def test_closing_on_exec_and_inherited_descriptors(m):
    m.key()
    m.make(contents=b'inherited')
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    os.set_inheritable(fd, True)
    equal(subprocess.run(['head', '-c', '4'], stdin=fd, stdout=subprocess.PIPE).stdout, b'inhe')
    os.close(fd)


def test_a_lease_or_a_watch_harms_nothing(m):
    """inotify sees what happens through the mount."""
    m.key()
    m.make(contents=b'x')
    watch = _libc.inotify_init()
    if _libc.inotify_add_watch(watch, os.fsencode(m.at('app.key:A')), 0xfff) >= 0:
        m.write('app.key:A', b'y')
        equal(bool(os.read(watch, 4096)), True)
    os.close(watch)
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    errno_of(fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    os.close(fd)


def test_a_listing_inside_the_group_that_makes_it(m):
    """`{ echo a; ls; echo c; } > new`: ls neither settles the size nor loses a byte."""
    m.key()
    for shell in ('bash', 'dash'):
        m.run('{ echo a; ls; ls -l > /dev/null; stat app.key:A > /dev/null; echo c; } > app.key:A', shell)
        lines = m.bytes_of().decode().split('\n')
        equal((lines[0], lines[-2], lines[-1]), ('a', 'c', ''), shell)
        equal(set(lines[1:-2]) <= {'app.key:A', 'app.key:A.refcount'}, True, '%s: %s' % (shell, lines))
        m.run('rm app.key:A')


def test_the_daemon_lets_go_after_all_this(m):
    m.key()
    m.make(contents=b'x')
    with open(m.at('app.key:A'), 'r+b') as f:
        f.write(b'y')
        f.flush()
        os.fsync(f.fileno())
    wait_until(lambda: not m.data().nattch, 'nothing is attached', 3)


harness.main(globals())
