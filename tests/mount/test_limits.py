# SPDX-License-Identifier: MIT
"""The system's limits, lowered in the private namespace: where making an object is refused, and how."""

import os

import harness
import shm
from case import equal, errno_of, fails, shells
from daemon import wait_until

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def limit(name, value):
    with open('/proc/sys/kernel/' + name, 'w') as f:
        f.write('%d\n' % value)


def test_no_segment_left_is_said_at_open(m):
    m.key()
    m.key('other')
    m.make('other', contents=b'x')
    for mni in (2, 3):
        limit('shmmni', mni)
        fails('ENOSPC', os.open, m.at('app.key:A'), NEW)
        for shell in shells():
            m.refused('echo hi > app.key:A', 'ENOSPC', shell)
            m.refused(': > app.key:A', 'ENOSPC', shell)
        m.refused('touch app.key:A', 'ENOSPC')
        m.refused('cp /bin/true app.key:A', 'ENOSPC')
        m.refused('truncate -s 10 app.key:A', 'ENOSPC')
        equal(len(shm.listing()), 2, 'segments with SHMMNI %d' % mni)
    limit('shmmni', 4)
    m.create('app.key:A', b'fits')
    equal(m.bytes_of(), b'fits')
    os.unlink(m.at('app.key:A'))


def write_all(m, size, piece=4096):
    """(where it failed, errno) of making app.key:A of that size."""
    seen = errno_of(os.close, os.open(m.at('app.key:A'), os.O_RDONLY | os.O_CREAT)) if size == 0 else None
    if seen:
        return 'open', seen
    fd = os.open(m.at('app.key:A'), NEW)
    try:
        for _ in range(0, size, piece):
            seen = errno_of(os.write, fd, b'x' * piece)
            if seen != 'OK':
                return 'write', seen
        seen = errno_of(os.fsync, fd)
        return ('fsync', seen) if seen != 'OK' else ('nowhere', 'OK')
    finally:
        errno_of(os.close, fd)


def test_no_memory_left_is_said_at_the_write(m):
    m.key()
    limit('shmall', 20)
    equal(write_all(m, 100 * 4096), ('write', 'ENOSPC'))
    m.run('rm -f *')
    m.refused('head -c 409600 /dev/zero > app.key:A', 'ENOSPC')
    m.run('rm -f *')
    m.refused('truncate -s 409600 app.key:A', 'ENOSPC')
    m.run('rm -f *')
    equal(shm.listing(), [])
    equal(write_all(m, 10 * 4096), ('nowhere', 'OK'))
    m.run('rm app.key:A')


def test_no_segment_left_for_the_data(m):
    """The limit was lowered after open had looked: a counter without data is not left behind."""
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'hello')
    limit('shmmni', 1)
    fails('ENOSPC', os.fsync, fd)
    equal(m.find(), (None, None))
    limit('shmmni', 2)
    os.fsync(fd)
    os.close(fd)
    equal(m.bytes_of(), b'hello')
    m.run('rm app.key:A')


def test_the_counter_takes_a_page_too(m):
    """What write(2) accepted is not refused by close."""
    m.key()
    limit('shmall', 4)
    fd = os.open(m.at('app.key:A'), NEW)
    equal([errno_of(os.write, fd, b'x' * 8192) for _ in range(2)], ['OK', 'ENOSPC'])
    equal(errno_of(os.close, fd), 'OK')
    equal(m.bytes_of(), b'x' * 8192)
    m.run('rm app.key:A')


def test_beyond_the_largest_segment(m):
    m.key()
    limit('shmmax', 8192)
    equal(write_all(m, 16384), ('write', 'EINVAL'))
    m.run('rm -f *')
    m.refused('truncate -s 8193 app.key:A', 'EINVAL')
    m.run('rm -f *')
    m.refused('head -c 10000 /dev/zero > app.key:A', 'EINVAL')
    m.run('rm -f *')
    equal(shm.listing(), [])
    m.create('app.key:A', b'x' * 8192)
    equal(m.data().size, 8192)
    m.run('rm app.key:A')


@harness.options('-o', 'size=64K')
def test_a_default_size_that_is_too_large(m):
    m.daemon.may_complain = True
    m.key()
    limit('shmmax', 65535)
    equal(m.sh('touch app.key:A').status != 0, True, 'touch of a default size beyond SHMMAX must fail')
    equal(m.find()[0], None)
    wait_until(lambda: 'was closed and could not be made: Invalid argument' in m.daemon.stderr(), 'the log says so')
    m.run('rm -f *; printf small > app.key:A')
    equal(m.bytes_of(), b'small')
    m.run('rm app.key:A')


def test_huge_sizes_are_refused_cleanly(m):
    m.key()
    limit('shmmax', 1 << 30)
    for size in (1 << 40, 1 << 62, (1 << 63) - 1):
        fd = os.open(m.at('app.key:A'), NEW)
        seen = errno_of(os.ftruncate, fd, size)
        errno_of(os.close, fd)
        if seen not in ('EINVAL', 'EFBIG', 'ENOSPC'):
            raise AssertionError('ftruncate to %d: %s' % (size, seen))
        m.run('rm -f *')
    for offset in (1 << 40, 1 << 62, (1 << 63) - 2):
        fd = os.open(m.at('app.key:A'), NEW)
        seen = errno_of(os.pwrite, fd, b'x', offset)
        errno_of(os.close, fd)
        if seen not in ('EINVAL', 'EFBIG', 'ENOSPC'):
            raise AssertionError('pwrite at %d: %s' % (offset, seen))
        m.run('rm -f *')
    equal(shm.listing(), [])


def test_a_resize_checks_the_limits_first(m):
    m.key()
    m.create('app.key:A', b'contents')
    before = m.find()
    limit('shmmax', 8192)
    fails('EINVAL', os.truncate, m.at('app.key:A'), 8193)
    limit('shmmax', 1 << 40)
    limit('shmall', 10)
    fails('ENOSPC', os.truncate, m.at('app.key:A'), 20 * 4096)
    after = m.find()
    equal([(s.id, s.size, s.mode, s.uid) for s in after], [(s.id, s.size, s.mode, s.uid) for s in before])
    equal(m.bytes_of(), b'contents')
    m.run('rm app.key:A')


def test_more_than_there_is_memory(m):
    """As on any file system that is full; an object that is there is not touched."""
    with open('/proc/sys/vm/overcommit_memory') as mode:
        if mode.read() == '1\n':
            print('     not tried: this machine promises any amount of memory')
            return
    size = 1 << 46
    for name in ('app.key', 'new'):
        m.key(name)
    m.create('app.key:A', b'contents')
    before = m.find()
    fails('ENOSPC', os.truncate, m.at('app.key:A'), size)
    equal([(s.id, s.size, s.mode, s.ctime) for s in m.find()], [(s.id, s.size, s.mode, s.ctime) for s in before])
    equal(m.bytes_of(), b'contents')
    fd = os.open(m.at('new:A'), NEW)
    for call in ((os.ftruncate, fd, size), (os.posix_fallocate, fd, 0, size), (os.pwrite, fd, b'x', size)):
        fails('ENOSPC', *call)
    os.close(fd)
    m.run('truncate -s 100 app.key:A; rm -f *')


def test_a_resize_of_a_full_table(m):
    """SHMMNI reached: replacing needs no more segments than there are, or says ENOSPC and keeps the old one."""
    m.key()
    m.create('app.key:A', b'contents')
    limit('shmmni', 2)
    seen = errno_of(os.truncate, m.at('app.key:A'), 100)
    if seen not in ('OK', 'ENOSPC'):
        raise AssertionError('truncate: ' + seen)
    equal(m.bytes_of(), b'contents' + b'\0' * 92 if seen == 'OK' else b'contents')
    m.run('rm app.key:A')


def test_df_shows_the_limits(m):
    m.key()
    limit('shmall', 1000)
    limit('shmmni', 50)
    m.make(contents=b'x' * 40960)
    s = os.statvfs(m.mnt)
    equal(s.f_blocks * s.f_frsize, 1000 * 4096, 'size')
    equal((s.f_blocks - s.f_bfree) * s.f_frsize, 11 * 4096, 'used')
    equal(s.f_bavail, s.f_bfree)
    equal((s.f_files, s.f_ffree, s.f_favail), (50, 48, 48), 'inodes')
    m.run('df --output=size,used,avail . | tail -1 | xargs; df --output=itotal,iused,iavail . | tail -1 | xargs',
          expected='4000 44 3956\n50 2 48\n')


def test_df_without_limits_shows_memory_and_swap(m):
    with open('/proc/meminfo') as f:
        info = {line.split(':')[0]: int(line.split()[1]) * 1024 for line in f}
    s = os.statvfs(m.mnt)
    equal(s.f_blocks * s.f_frsize, info['MemTotal'] + info['SwapTotal'])
    equal(s.f_files, 4096)
    m.run('df . > /dev/null && df -i . > /dev/null && df -h . > /dev/null')


harness.main(globals())
