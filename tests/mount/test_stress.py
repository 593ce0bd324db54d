# SPDX-License-Identifier: MIT
"""Many processes at once, and segments whose pages are gone: clear errors, nothing left, the daemon alive."""

import errno
import os
import random
import subprocess

import harness
import shm
from case import all_end_well, equal, errno_of, fails, in_child, spawn
from daemon import wait_until

EXPECTED = {errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.EIDRM, errno.ESTALE, errno.ENOSPC, errno.ERANGE, errno.EAGAIN,
            errno.EPERM}


def operations(m, name, random_):
    """One of the things people do, by a name that others use at the same moment."""
    path = m.at(name)
    return random_.choice([
        lambda: m.create(name, b'x' * random_.choice((1, 10, 5000, 70000))),
        lambda: os.unlink(path),
        lambda: m.read(name),
        lambda: m.write(name, b'y' * 100, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        lambda: os.truncate(path, random_.choice((0, 1, 5000, 20000))),
        lambda: os.stat(path),
        lambda: m.read(name + '.refcount'),
        lambda: m.refcount('decr', name),
        lambda: os.unlink(path + '.refcount'),
        lambda: os.chmod(path, 0o660),
        lambda: os.listdir(m.mnt),
        lambda: m.remove(*name.split(':')),
        lambda: os.utime(path),
    ])


def worker(m, seed):
    random_ = random.Random(seed)
    for _ in range(400):
        name = random_.choice(('one:A', 'two:A', 'two:B'))
        try:
            operations(m, name, random_)()
        except OSError as e:
            # shm.remove of what another has removed is EINVAL
            if e.errno not in EXPECTED and not (e.errno == errno.EINVAL and e.filename is None):
                raise


@harness.deadline(60)
def test_everything_at_once(m):
    m.key('one')
    m.key('two')
    before = m.daemon.descriptors()
    all_end_well([spawn(lambda: worker(m, seed)) for seed in range(4)])
    m.run('rm -f *')
    for name, proj in (('one', 'A'), ('two', 'A'), ('two', 'B')):      # a counter whose path nobody recorded is not listed
        m.remove(name, proj)
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached', 3)
    equal(shm.listing(), [])
    # the threads that served the storm may keep a descriptor each
    wait_until(lambda: m.daemon.descriptors() <= before + 20, 'the descriptors are closed', 3)


def change_sizes(m, seed):
    random_ = random.Random(seed)
    for _ in range(600):
        errno_of(os.truncate, m.at('app.key:A'), random_.choice((1, 5000, 20000, 90000)))


def open_and_read(m, seed):
    random_ = random.Random(seed)
    for _ in range(600):
        try:
            with open(m.at('app.key:A'), random_.choice(('rb', 'r+b'))) as f:
                f.read()
                f.seek(0)
                if set(f.read()) - {0, ord('x')}:
                    raise AssertionError('bytes of something else')
        except OSError as e:
            if e.errno not in EXPECTED:
                raise


@harness.deadline(60)
def test_opens_while_the_segment_is_exchanged(m):
    """An attachment of the new one, taken for one of the old, stayed for good, or was let go with the wrong size."""
    m.key()
    m.create('app.key:A', b'x' * 100)
    all_end_well([spawn(lambda: do(m, seed)) for seed in range(2) for do in (change_sizes, open_and_read)])
    m.run('rm -f *')
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached', 3)
    equal(shm.listing(), [])


def try_to_make(m, i):
    try:
        m.create('app.key:A', bytes([65 + i]) * 3000)
    except OSError as e:
        if e.errno not in EXPECTED:
            raise


def test_many_make_the_same_object(m):
    """One wins or all share; in the end there is one object with the bytes of one of them, whole."""
    m.key()
    for _ in range(20):
        all_end_well([spawn(lambda: try_to_make(m, i)) for i in range(4)])
        contents = m.read('app.key:A')
        equal((len(contents), len(set(contents))), (3000, 1), 'bytes of one writer: %r' % set(contents))
        equal(len(shm.listing()), 2, 'segments')
        os.unlink(m.at('app.key:A'))


def test_a_storm_of_opens(m):
    m.key()
    m.make(contents=b'x' * 5000)

    def opens():
        fds = [os.open(m.at('app.key:A'), os.O_RDWR if i % 2 else os.O_RDONLY) for i in range(500)]
        equal({os.pread(fd, 1, 4999) for fd in fds}, {b'x'})
        for fd in fds:
            os.close(fd)
    opens()
    before = wait_until(lambda: not m.find()[0].nattch and m.daemon.descriptors(), 'nothing is attached', 3)
    in_child(opens)
    opens()
    wait_until(lambda: m.daemon.descriptors() <= before, 'only %d descriptors are open' % before, 10)


def cut(shmid, size=0):
    """Take the pages beyond SIZE from under a segment, as only root can, by its descriptor in /proc/self/map_files."""
    address = shm.attach(shmid)
    with open('/proc/self/maps') as maps:
        span = [line.split()[0] for line in maps if line.startswith('%x-' % address)][0]
    fd = os.open('/proc/self/map_files/' + span, os.O_RDWR)
    os.ftruncate(fd, size)
    os.close(fd)
    shm.detach(address)


@harness.jumps
def test_pages_that_go_while_it_is_open_are_eio(m):
    """The daemon has just attached all of it: touching what is gone now is a SIGBUS there."""
    m.key()
    for left in (4096, 0):
        data, _ = m.make(contents=b'x' * 10000)
        fd = os.open(m.at('app.key:A'), os.O_RDWR)
        equal(os.pread(fd, 1, 9000), b'x')
        cut(data, left)
        if m.copying:
            fails('EIO', os.pread, fd, 10, 9000)
            fails('EIO', os.pwrite, fd, b'y', 9000)
        if left:
            equal(os.pread(fd, 1, 5), b'x')
        os.close(fd)
        equal(m.daemon.process.poll(), None, 'the daemon is alive')
        os.stat(m.at('app.key:A'))
        m.listing()
        os.unlink(m.at('app.key:A'))
        m.remove()


@harness.jumps
@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
def test_pages_that_are_gone_before(m):
    """shmat then maps less than the segment's size, or nothing (EINVAL); or more, over whatever lies behind."""
    m.daemon.may_complain = True        # that it copies what was cut
    m.key()
    for left in (4096, 0, 400000):
        data, _ = m.make(contents=b'x' * 10000)
        cut(data, left)
        for call in (lambda: m.read('app.key:A'), lambda: m.write('app.key:A', b'y' * 10000),
                     lambda: os.truncate(m.at('app.key:A'), 0), lambda: os.truncate(m.at('app.key:A'), 20000)):
            seen = errno_of(call)
            if m.copying and seen not in ('EIO', 'EINVAL', 'EIDRM', 'OK'):
                raise AssertionError('%d bytes left: %s' % (left, seen))
            equal(m.daemon.process.poll(), None, 'the daemon is alive')
        m.listing()
        m.remove()


def test_a_counter_whose_page_is_gone(m):
    """The daemon must survive its listing, reading, changing and removing."""
    m.key()
    _, counter = m.make(contents=b'x', count=3, counter_size=8192)
    for left in (4096, 1, 0):
        cut(counter, left)
        m.listing()
        for call in (lambda: m.read('app.key:A.refcount'), lambda: m.refcount('decr'), lambda: m.refcount('nonsense')):
            seen = errno_of(call)
            if seen not in ('OK', 'EIO', 'EFAULT', 'EINVAL', 'EIDRM', 'ESTALE', 'ENOENT'):
                raise AssertionError('%d bytes left: %s' % (left, seen))
        equal(m.daemon.process.poll(), None, 'the daemon is alive')
    equal(m.read('app.key:A'), b'x')
    os.unlink(m.at('app.key:A'))


def test_a_reader_that_is_killed(m):
    m.key()
    m.make(size=4 << 20)
    for _ in range(20):
        reader = subprocess.Popen(['cat', m.at('app.key:A')], stdout=subprocess.PIPE)
        reader.stdout.read(1)
        reader.kill()
        reader.wait()
        reader.stdout.close()
    equal(len(m.read('app.key:A')), 4 << 20)


harness.main(globals())
