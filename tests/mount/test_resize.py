# SPDX-License-Identifier: MIT
"""truncate -s N of an object that exists: replaced by one of N bytes while nobody uses it."""

import ctypes
import mmap
import os

import harness
import shm
from case import as_uid, equal, fails, in_child, shells


def test_its_own_size_is_nothing(m):
    m.key()
    data, _ = m.make(contents=b'12345')
    address = shm.attach(data)
    m.run('truncate -s 5 app.key:A')
    os.truncate(m.at('app.key:A'), 5)
    equal(m.data().id, data)
    equal(m.bytes_of(), b'12345')
    shm.detach(address)


def test_larger_and_smaller(m):
    m.key()
    m.create('app.key:A', b'0123456789')
    m.set_count(3)
    for shell in shells():
        m.run('truncate -s 5000 app.key:A', shell)
        equal(m.bytes_of(), b'0123456789' + b'\0' * 4990)
        m.run('truncate -s 4 app.key:A', shell)
        equal(m.bytes_of(), b'0123')
        m.run('truncate -s +6 app.key:A', shell)
        equal(m.bytes_of(), b'0123' + b'\0' * 6)
        m.run('printf 0123456789 > app.key:A', shell)
    equal(m.count(), 3, 'the counter is kept')
    equal(os.stat(m.at('app.key:A')).st_size, 10)
    equal(m.listing(), ['app.key:A', 'app.key:A.refcount'])
    m.run('rm app.key:A')


def test_owner_and_mode_are_kept(m):
    m.key()
    m.create('app.key:A', b'x')
    for segment in m.find():
        shm.set(segment.id, 1001, 1002, 0o641)
    os.truncate(m.at('app.key:A'), 100)
    data, counter = m.find()
    equal((data.size, data.uid, data.gid, data.mode), (100, 1001, 1002, 0o641))
    equal((counter.uid, counter.gid, counter.mode), (1001, 1002, 0o641))
    m.run('rm app.key:A')


def test_of_what_others_made(m):
    m.key()
    m.make(contents=b'foreign', mode=0o600, count=1)
    os.truncate(m.at('app.key:A'), 3)
    equal((m.bytes_of(), m.data().mode, m.count()), (b'for', 0o600, 1))
    m.run('rm app.key:A')


def test_busy_while_attached(m):
    m.key()
    data, counter = m.make(contents=b'12345')
    address = shm.attach(data)
    for shell in shells():
        m.refused('truncate -s 10 app.key:A', 'EBUSY', shell)
    fails('EBUSY', os.truncate, m.at('app.key:A'), 1)
    equal((m.data().id, m.data().size, m.bytes_of()), (data, 5, b'12345'))
    shm.detach(address)
    os.truncate(m.at('app.key:A'), 6)
    equal(m.data().size, 6)
    m.run('rm app.key:A')


def test_busy_while_a_holder_counts(m):
    m.key()
    m.create('app.key:A', b'12345')
    holder = m.hold()
    fails('EBUSY', os.truncate, m.at('app.key:A'), 10)
    m.drop(holder)
    os.truncate(m.at('app.key:A'), 10)
    equal(m.bytes_of(), b'12345' + b'\0' * 5)
    m.run('rm app.key:A')


def test_busy_while_open_otherwise(m):
    m.key()
    m.create('app.key:A', b'12345')
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    for shell in shells():
        m.refused('truncate -s 10 app.key:A', 'EBUSY', shell)
    writer = os.open(m.at('app.key:A'), os.O_RDWR)
    fails('EBUSY', os.ftruncate, writer, 10)
    os.close(fd)
    os.ftruncate(writer, 10)
    equal(os.pread(writer, 100, 0), b'12345' + b'\0' * 5, 'through the descriptor that resized it')
    os.pwrite(writer, b'end', 7)
    os.close(writer)
    equal(m.bytes_of(), b'12345\0\0end')
    m.run('rm app.key:A')


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def test_busy_while_mapped(m):
    """Also when the file was closed: no nattch tells, and nothing is open."""
    if m.copying:
        return          # nothing can be mapped
    m.key()
    m.create('app.key:A', b'12345')
    for flags, protection in ((os.O_RDONLY, mmap.PROT_READ), (os.O_RDWR, mmap.PROT_READ | mmap.PROT_WRITE)):
        data = m.data().id
        fd = os.open(m.at('app.key:A'), flags)
        at = _libc.mmap(None, 4096, protection, mmap.MAP_SHARED, fd, 0)     # Python's own keeps a copy of the descriptor
        os.close(fd)
        equal((ctypes.string_at(at, 5), m.data().nattch), (b'12345', 0))
        for size in 10, 3:
            fails('EBUSY', os.truncate, m.at('app.key:A'), size)
        m.write('app.key:A', b'1')
        equal((m.data().id, m.data().size, ctypes.string_at(at, 5)), (data, 5, b'12345'))
        _libc.munmap(at, 4096)
        os.truncate(m.at('app.key:A'), 10)
        os.truncate(m.at('app.key:A'), 5)
    m.run('rm app.key:A')


def test_just_after_use_it_is_not_busy(m):
    """What the daemon itself still has attached is nobody's use."""
    m.key()
    m.create('app.key:A', b'12345')
    for size in (10, 20, 30, 7):
        m.read('app.key:A')
        m.run('dd if=app.key:A of=/dev/null status=none; truncate -s %d app.key:A' % size)
        equal(m.data().size, size)
    m.run('rm app.key:A')


def test_the_descriptor_of_a_forked_child_is_the_same(m):
    m.key()
    m.create('app.key:A', b'12345')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    in_child(lambda: os.ftruncate(fd, 8))
    os.close(fd)
    equal(m.bytes_of(), b'12345\0\0\0')
    m.run('rm app.key:A')


def test_one_that_vanished(m):
    m.key()
    m.create('app.key:A', b'12345')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    m.remove()
    fails('EIDRM', os.ftruncate, fd, 8)
    os.close(fd)


def test_large_contents_are_kept(m):
    m.key()
    contents = os.urandom((5 << 20) + 3)
    m.create('app.key:A', contents)
    os.truncate(m.at('app.key:A'), 8 << 20)
    equal(m.bytes_of() == contents + b'\0' * ((8 << 20) - len(contents)), True)
    os.truncate(m.at('app.key:A'), 3 << 20)
    equal(m.bytes_of() == contents[:3 << 20], True)
    m.run('rm app.key:A')


def test_contents_that_cannot_be_told_from_holes(m):
    """strace refuses SEEK_DATA, in the kernel's place: then nothing is changed."""
    m.key()
    m.create('app.key:A', b'contents')
    with m.daemon.traced('-e', 'trace=lseek', '-e', 'inject=lseek:error=EIO'):
        fails('EIO', os.truncate, m.at('app.key:A'), 100)
    equal(m.bytes_of(), b'contents')
    m.run('rm app.key:A')


def faults(m):
    """Pages that the daemon has touched so far."""
    with open('/proc/%d/stat' % m.daemon.pid) as stat:
        return int(stat.read().rsplit(')', 1)[1].split()[7])


def resize_a_sparse_one(m):
    """1 GiB of holes costs nothing, neither while it is copied nor afterwards."""
    m.key()
    m.run('truncate -s 1G app.key:A')
    with open(m.at('app.key:A'), 'r+b', 0) as f:
        for place in (5000, (1 << 30) - 3):
            f.seek(place)
            f.write(b'xyz')
    before = faults(m)
    for size in ((1 << 30) + 1, 1 << 30):
        os.truncate(m.at('app.key:A'), size)
        with open(m.at('app.key:A'), 'rb', 0) as f:
            equal((os.pread(f.fileno(), 5, 4999), os.pread(f.fileno(), 5, (1 << 30) - 4)),
                  (b'\0xyz\0', b'\0xyz' + b'\0' * (size > 1 << 30)))
            equal(os.fstat(f.fileno()).st_blocks <= 4 * 8, True, 'blocks')
    equal(faults(m) - before < 10000, True, '%d pages touched' % (faults(m) - before))
    m.run('rm app.key:A')


def test_a_sparse_one(m):
    resize_a_sparse_one(m)


@harness.as_user
def test_a_sparse_one_of_an_ordinary_user(m):
    """Who may open nothing in map_files asks mincore(2)."""
    resize_a_sparse_one(m)


@harness.unmounted
@harness.not_under('valgrind', harness.USERS_VALGRIND)
def test_pages_that_mincore_does_not_see(m):
    """As if they were swapped out: strace, which is root's, lets the call see nothing. All of them are there afterwards."""
    m.key()
    os.chown(m.mnt, harness.USER, harness.USER)
    m.start(user=harness.USER, options=['-o', 'allow_other'])
    contents = os.urandom(100000)

    def as_user(call):
        return as_uid(harness.USER, harness.USER, [], call)
    as_user(lambda: m.create('app.key:A', contents))
    with m.daemon.traced('-e', 'trace=mincore', '-e', 'inject=mincore:retval=0') as log:
        as_user(lambda: os.truncate(m.at('app.key:A'), 200000))
        with open(log) as calls:
            equal('(INJECTED)' in calls.read(), True, 'it was asked')
    equal(m.bytes_of() == contents + b'\0' * 100000, True)
    as_user(lambda: os.unlink(m.at('app.key:A')))


harness.main(globals())
