# SPDX-License-Identifier: MIT
"""System calls and allocations of the daemon that fail, every Nth of a kind: the user is told so, or sees no difference.

faults.c, preloaded, makes them fail; strace does so for the registration, where the kernel's own answer counts.
"""

import errno
import mmap
import os
import random
import struct
import time

import harness
import shm
from case import all_end_well, equal, errno_of, short, spawn
from daemon import wait_until

KINDS = ['shmget', 'shmat', 'shmdt', 'shmctl', 'rmid', 'map_files', 'register', 'malloc', 'mmap']      # as in faults.c
CONTENTS = bytes(range(256)) * 20


class Faults:
    """smfs with faults.c in it, and the table that both share."""

    def __init__(self, m):
        path = m.scratch + '/faults'
        with open(path, 'wb') as f:
            f.write(b'\0' * 16 * len(KINDS))
        with open(path, 'r+b') as f:
            self.table = mmap.mmap(f.fileno(), 0)
        os.environ.update(LD_PRELOAD=os.environ['FAULTS'], SMFS_FAULTS=path)
        try:
            m.start()
        finally:
            del os.environ['LD_PRELOAD'], os.environ['SMFS_FAULTS']
        m.daemon.may_complain = True        # that it copies, that memory is short

    def set(self, kind, every, err=0):
        struct.pack_into('=Ii', self.table, 16 * KINDS.index(kind), every, err)

    def failed(self, kind):
        return struct.unpack_from('=I', self.table, 16 * KINDS.index(kind) + 12)[0]


def shmem(m):
    """KiB of shared memory here: all segments', and what the daemon has mapped. Other programs make Shmem of meminfo jump."""
    with open('/proc/sysvipc/shm') as table:
        resident = sum(int(line.split()[14]) for line in list(table)[1:])
    return resident // 1024 + m.daemon.status('RssShmem')


def read_all(m, name):
    seen = m.read(name)
    equal(seen, CONTENTS, name)


def write_and_read(m, name):
    fd = os.open(m.at(name), os.O_RDWR)
    try:
        os.pwrite(fd, CONTENTS[100:200], 100)
        seen = os.pread(fd, 100, 100)
    finally:
        os.close(fd)
    equal(seen, CONTENTS[100:200], name)


def make_and_remove(m, name):
    try:
        m.create(name, b'new' * 2000)
        equal(m.read(name), b'new' * 2000, name)
    finally:
        for path in (name, name + '.refcount'):
            try:
                os.unlink(m.at(path))
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.EPERM):
                    raise


def operations(m, shmid):
    return [
        lambda: os.stat(m.at('app.key:A')),
        lambda: read_all(m, 'app.key:A'),
        lambda: read_all(m, '.id/%d' % shmid),
        lambda: write_and_read(m, 'app.key:A'),
        lambda: make_and_remove(m, 'new.key:N'),
        lambda: os.listdir(m.mnt),
        lambda: os.listdir(m.at('.id')),
        lambda: os.listdir(m.at('.key')),
        lambda: [os.stat(entry) for entry in os.scandir(m.mnt)],
        lambda: m.read('app.key:A.refcount'),
        lambda: m.read('app.key:A.info'),
        lambda: os.chmod(m.at('app.key:A'), 0o666),
        lambda: os.access(m.at('app.key:A'), os.W_OK),
        lambda: os.statvfs(m.mnt),
        lambda: os.truncate(m.at('zero.key:Z'), 0),
        lambda: os.truncate(m.at('zero.key:Z'), random.choice((4000, 9000))),
    ]


def baseline(m):
    """Descriptors, segments and shared memory, once everything that is idle has been let go."""
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached', 3)
    return m.daemon.descriptors(), len(shm.listing()), shmem(m)


def storm(m, shmid, allowed, seconds):
    """Every operation again and again; what it raised, {errno name}."""
    seen = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number, operation in enumerate(operations(m, shmid)):
            try:
                operation()
            except OSError as e:
                name = errno.errorcode[e.errno]
                if name not in allowed:
                    raise AssertionError('operation %d: %s, expected %s only; smfs (%s) said %s'
                                         % (number, e, ' or '.join(sorted(allowed)) or 'no error', m.daemon.process.poll(),
                                            short(m.daemon.stderr())))
                seen.add(name)
    return seen


# EEXIST, everywhere: of what the operation before could not remove
def try_kind(m, kind, code, every, allowed):
    m.key(), m.key('new.key'), m.key('zero.key')
    shmid, _ = m.make(contents=CONTENTS, count=1)
    m.make('zero.key', 'Z', size=8000)
    faults = Faults(m)
    storm(m, shmid, set(), 0.1)         # threads and their descriptors are made by now
    descriptors, segments, shared = baseline(m)
    for n in every:
        faults.set(kind, n, getattr(errno, code))
        storm(m, shmid, allowed, 0.4)
    faults.set(kind, 0)
    m.remove('new.key', 'N')            # where making it succeeded and removing it did not
    if not faults.failed(kind) and not (m.copying and kind in ('map_files', 'register', 'mmap')):
        raise AssertionError('no %s failed' % kind)
    equal(m.daemon.process.poll(), None, 'the daemon is alive')
    equal(storm(m, shmid, set(), 0.1), set(), 'after the faults')
    # a thread of the pool or of the loop may have been made since
    wait_until(lambda: baseline(m)[0] <= descriptors + 4, 'the descriptors are back at %d' % descriptors, 5)
    if kind != 'rmid':
        equal(baseline(m)[1], segments, 'segments')
    if baseline(m)[2] > shared + 64:
        raise AssertionError('shared memory: %d KiB before, %d after' % (shared, baseline(m)[2]))
    for segment in shm.listing():       # what the size was changed to; what could not be removed
        m.own(segment.id)


@harness.unmounted
def test_no_segment_can_be_made_or_found(m):
    try_kind(m, 'shmget', 'ENOMEM', (2, 3, 7), {'ENOMEM', 'ENOSPC', 'EEXIST'})


@harness.unmounted
def test_attaching_fails(m):
    try_kind(m, 'shmat', 'ENOMEM', (2, 3, 7), {'ENOMEM', 'EEXIST'})


@harness.unmounted
def test_detaching_fails(m):
    try_kind(m, 'shmdt', 'EINVAL', (2, 3), set())


@harness.unmounted
def test_shmctl_fails(m):
    """The errno of a kernel without memory; what is gone is EINVAL or EIDRM, which is another matter."""
    try_kind(m, 'shmctl', 'ENOMEM', (2, 3, 7), {'ENOMEM', 'ESTALE', 'EIDRM', 'EPERM', 'EEXIST'})


@harness.unmounted
def test_removing_fails(m):
    try_kind(m, 'rmid', 'EPERM', (1, 2, 3), {'EPERM', 'EEXIST', 'EBUSY'})


@harness.unmounted
def test_no_descriptor_from_map_files(m):
    """A fallback: the user sees nothing at all."""
    try_kind(m, 'map_files', 'EPERM', (1, 2, 3), set())


@harness.unmounted
def test_no_registration(m):
    try_kind(m, 'register', 'ENOMEM', (1, 2, 3), set())


@harness.unmounted
def test_no_memory(m):
    try_kind(m, 'malloc', 'ENOMEM', (3, 7, 20, 61), {'ENOMEM', 'EEXIST'})


@harness.unmounted
def test_a_close_without_memory_gives_back_all_the_same(m):
    """The kernel sends RELEASE once, and nobody reads what is answered."""
    m.key()
    m.make(contents=CONTENTS)
    faults = Faults(m)
    m.read('app.key:A')
    descriptors = baseline(m)[0]
    fds = [os.open(m.at('app.key:A'), os.O_RDWR) for _ in range(5)]
    faults.set('malloc', 1, errno.ENOMEM)
    for fd in fds:
        errno_of(os.close, fd)
    wait_until(lambda: faults.failed('malloc'), 'the release comes')
    faults.set('malloc', 0)
    m.run('cat app.key:A > /dev/null')

    def held():
        fds = '/proc/%d/fd/' % m.daemon.pid
        return [fd for fd in os.listdir(fds) if 'SYSV' in os.readlink(fds + fd)]
    wait_until(lambda: not held(), 'no segment is held', 5)
    wait_until(lambda: baseline(m)[0] <= descriptors + 4, 'the descriptors are back at %d' % descriptors, 5)


@harness.unmounted
def test_no_mapping(m):
    try_kind(m, 'mmap', 'ENOMEM', (1, 2, 3), {'ENOMEM', 'EEXIST'})


def opens(m, rounds):
    for i in range(rounds):
        fd = os.open(m.at('app.key:A'), os.O_RDWR if i % 3 == 0 else os.O_RDONLY)
        equal(os.pread(fd, 100, 256), CONTENTS[:100])
        if i % 3 == 0:
            equal(os.pwrite(fd, CONTENTS[:50], 256), 50)
        os.close(fd)


@harness.unmounted
def test_a_storm_of_opens_with_registration_failing(m):
    """Natively and copying in turn, on one inode, by four processes: 0 EIO."""
    m.key()
    m.make(contents=CONTENTS)
    faults = Faults(m)
    opens(m, 10)
    before = baseline(m)
    for every in (1, 2, 3):
        faults.set('register', every, errno.ENOMEM)
        faults.set('map_files', every + 1, errno.EMFILE)
        all_end_well([spawn(lambda: opens(m, 250)) for _ in range(4)])
    equal(bool(faults.failed('register')) or m.copying, True, 'a registration failed')
    faults.set('register', 0)
    faults.set('map_files', 0)
    opens(m, 10)
    wait_until(lambda: baseline(m)[0] <= before[0] + 4, 'the descriptors are back', 5)
    equal(baseline(m)[1], before[1], 'segments')


def test_the_kernel_refuses_the_registration(m):
    """strace answers in the kernel's place; what is open natively stays so, and the rest is copied."""
    m.daemon.may_complain = True
    m.key()
    m.make(contents=CONTENTS)
    opens(m, 10)
    before = baseline(m)
    with m.daemon.traced('-e', 'trace=ioctl', '-e', 'inject=ioctl:error=EPERM:when=1+2') as log:
        opens(m, 200)
    with open(log) as trace:
        equal('INJECTED' in trace.read(), not m.copying, 'a registration failed')
    opens(m, 10)
    wait_until(lambda: baseline(m)[0] <= before[0] + 4, 'the descriptors are back', 5)


harness.main(globals())
