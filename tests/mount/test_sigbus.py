# SPDX-License-Identifier: MIT
"""Segments whose pages cannot be had: cut off by somebody, or huge pages of an empty pool. EIO, and the daemon lives."""

import errno
import mmap
import os
import select
import signal
import time

import harness
import hugepages
import shm
from case import all_end_well, as_uid, equal, errno_of, fails, in_child, spawn
from daemon import wait_until
from private import NotRunnable, patience

SHM_HUGETLB, SHM_NORESERVE = 0o4000, 0o10000
FULL = 20000


def cut(shmid, size):
    """Take the pages beyond SIZE from under a segment, as only root can, by its descriptor in /proc/self/map_files."""
    address = shm.attach(shmid)
    with open('/proc/self/maps') as maps:
        span = [line.split()[0] for line in maps if line.startswith('%x-' % address)][0]
    fd = os.open('/proc/self/map_files/' + span, os.O_RDWR)
    os.ftruncate(fd, size)
    os.close(fd)
    shm.detach(address)


def alive(m):
    equal(m.daemon.process.poll(), None, 'the daemon is alive')
    os.stat(m.at('app.key:A'))
    m.listing()


def gone(result):
    """EIO, or (read natively by the kernel itself) the end of the file; never bytes."""
    if result not in ('EIO', b''):
        raise AssertionError('expected EIO or nothing, saw %r' % (result,))


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]


@harness.jumps
def test_every_operation_on_an_open_file_whose_pages_went(m):
    m.key()
    for left in (8192, 4096, 0):
        shmid, _ = m.make(contents=b'x' * FULL)
        reader, writer = os.open(m.at('app.key:A'), os.O_RDONLY), os.open(m.at('app.key:A'), os.O_RDWR)
        for fd in reader, writer:
            equal(os.pread(fd, 3, FULL - 3), b'xxx')
        cut(shmid, left)
        gone(outcome(os.pread, reader, 100, FULL - 100))
        gone(outcome(os.pread, reader, 100, 8192))
        for offset in (FULL - 100, 8192, 12288):
            fails('EIO', os.pread, writer, 100, offset)
            fails('EIO', os.pwrite, writer, b'y' * 100, offset)
        seen = outcome(os.sendfile, os.open(m.scratch + '/out', os.O_WRONLY | os.O_CREAT), reader, 8192, 4096)
        if seen not in ('EIO', 'EINVAL', 0):
            raise AssertionError('sendfile: %r' % (seen,))
        if left:
            equal(os.pread(reader, 3, 5), b'xxx', 'what is left')
            equal(os.pwrite(writer, b'yyy', 5), 3)
            equal(os.pread(writer, 3, 5), b'yyy')
        alive(m)
        os.close(reader)
        os.close(writer)
        m.remove()


@harness.jumps
@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
def test_every_operation_on_a_path_whose_pages_went(m):
    m.daemon.may_complain = True        # that it copies what was cut
    m.key()
    for left in (4096, 0):
        for what, call in (
                ('read', lambda: m.read('app.key:A')), ('write', lambda: m.write('app.key:A', b'y' * FULL)),
                ('truncate to 0', lambda: os.truncate(m.at('app.key:A'), 0)),
                ('truncate', lambda: os.truncate(m.at('app.key:A'), 30000)),
                ('truncate to less', lambda: os.truncate(m.at('app.key:A'), 3000)),
                ('.info', lambda: m.read('app.key:A.info')), ('chmod', lambda: os.chmod(m.at('app.key:A'), 0o600)),
                ('.refcount', lambda: m.read('app.key:A.refcount'))):
            shmid, _ = m.make(contents=b'x' * FULL)
            cut(shmid, left)
            seen = outcome(call)
            if isinstance(seen, str) and seen != 'EIO':
                raise AssertionError('%s of a segment with %d bytes left: %s' % (what, left, seen))
            alive(m)
            os.unlink(m.at('app.key:A'))


@harness.jumps
def test_punching_where_there_is_nothing(m):
    m.key()
    shmid, _ = m.make(contents=b'x' * FULL)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    cut(shmid, 4096)
    for offset, length in ((0, FULL), (100, 50), (8192, 4096), (FULL - 10, 10)):
        m.sh('fallocate -p -o %d -l %d app.key:A' % (offset, length))
        alive(m)
    os.close(fd)


def huge_segment(m, key, size):
    """One of huge pages, of which none is there. shmget reserves nothing, so it succeeds."""
    try:
        return m.own(shm.get(key, size, shm.IPC_CREAT | SHM_HUGETLB | SHM_NORESERVE | 0o666))
    except OSError as e:
        raise NotRunnable('no segment of huge pages is to be had: %s' % e)


@harness.jumps
@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
def test_huge_pages_of_an_empty_pool(m):
    m.key()
    with hugepages.huge_pages(0):
        on_huge_pages(m)


def on_huge_pages(m):
    m.daemon.may_complain = True        # that it copies
    huge_segment(m, m.keys_of()[0], 4 << 20)
    m.make(size=0)
    for flags in (os.O_RDONLY, os.O_RDWR):
        fd = os.open(m.at('app.key:A'), flags)
        for offset in (0, 5000, (4 << 20) - 1):
            fails('EIO', os.pread, fd, 100, offset)
        if flags == os.O_RDWR:
            fails('EIO', os.pwrite, fd, b'x', 5)
        fails('ENODEV', lambda: mmap.mmap(fd, 4096, prot=mmap.PROT_READ))
        os.close(fd)
    seen = errno_of(os.truncate, m.at('app.key:A'), 0)
    if seen not in ('OK', 'EIO'):
        raise AssertionError('truncate to 0: ' + seen)
    fails('EIO', m.read, '.id/%d' % m.data().id)
    m.read('app.key:A.info')
    alive(m)
    os.unlink(m.at('app.key:A'))


def test_a_counter_of_huge_pages(m):
    m.key()
    m.make(contents=b'x', count=None)
    with hugepages.huge_pages(0):
        huge_segment(m, m.keys_of()[1], 2 << 20)
        fails('EIO', m.read, 'app.key:A.refcount')
        fails('EIO', m.refcount, 'decr')
        fails('EIO', m.refcount, 'reap')
    m.read('app.key:A.info')
    equal(m.read('app.key:A'), b'x')
    alive(m)
    os.unlink(m.at('app.key:A'))


def take_away_and_give_back(shmid):
    """Until it is killed: the pages of a segment, by its inode."""
    address = shm.attach(shmid)
    fd = os.open('/proc/self/map_files/%x-%x' % (address, address + 4096), os.O_RDWR)
    while True:
        os.ftruncate(fd, 0)
        os.ftruncate(fd, 4096)


@harness.jumps
@harness.deadline(60)
def test_a_counter_whose_page_comes_and_goes(m):
    """It goes at any instant, so between faulting it in and looking at it, too."""
    m.key()
    m.create('app.key:A', b'x')
    pid = spawn(lambda: take_away_and_give_back(m.find()[1].id))
    try:
        for _ in range(400):
            for call in (lambda: m.read('app.key:A.refcount'), lambda: m.refcount('reap'), lambda: m.refcount('decr'),
                         lambda: m.read('app.key:A.info'), m.listing):
                seen = outcome(call)
                if isinstance(seen, str) and seen not in ('EIO', 'ERANGE'):     # 0 is what it counts
                    raise AssertionError(seen)
            equal(m.daemon.process.poll(), None, 'the daemon is alive')
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    alive(m)
    os.unlink(m.at('app.key:A'))


def waits_for_a_change(path, has_read):
    """An ordinary user's poll(2) on PATH, until it tells one. What is written to HAS_READ: reading attaches it no more."""
    fd = os.open(path, os.O_RDONLY)
    os.pread(fd, 100, 0)
    os.write(has_read, b'x')
    poller = select.poll()
    poller.register(fd, select.POLLPRI)
    return [events for _, events in poller.poll(patience(15) * 1000)]


@harness.jumps
@harness.unmounted
@harness.not_under('valgrind', harness.USERS_VALGRIND)
def test_a_counter_that_goes_while_somebody_waits_for_it(m):
    """An ordinary user's daemon keeps it attached meanwhile."""
    m.key()
    _, counter = m.make(contents=b'x', count=3, counter_size=4096)
    os.chown(m.mnt, harness.USER, harness.USER)
    m.start(user=harness.USER)

    has_read, reads = os.pipe()

    def waits():
        seen = as_uid(harness.USER, harness.USER, [], lambda: waits_for_a_change(m.at('app.key:A.refcount'), reads))
        equal(seen, [select.POLLPRI | select.POLLERR])
    pid = spawn(waits)
    os.read(has_read, 1)
    wait_until(lambda: shm.stat(counter).nattch == 1, 'the daemon keeps the counter attached')
    cut(counter, 0)
    all_end_well([pid])
    equal(m.daemon.process.poll(), None, 'the daemon is alive')


def backing(shmid):
    """A descriptor of a segment's inode, the pages of which it can take away."""
    address = shm.attach(shmid)
    fd = os.open('/proc/self/map_files/%x-%x' % (address, address + 4096), os.O_RDWR)
    shm.detach(address)
    return fd


def take_away_and_give_back_all(fds):
    """Until it is killed, and slowly: as long as those who look at a counter are held up."""
    while True:
        for size in 0, 4096:
            for fd in fds:
                os.ftruncate(fd, size)
            time.sleep(0.01)


@harness.jumps
@harness.deadline(60)
@harness.options('-o', 'reap=1')
def test_counters_whose_pages_come_and_go_while_they_are_reaped(m):
    """strace holds the monitor up between faulting one in and looking at it."""
    names = ['app%d' % n for n in range(20)]
    for name in names:
        m.key(name)
        m.create(name + ':A', b'x')
    counters = [m.find(name)[1].id for name in names]
    fds = [backing(shmid) for shmid in counters]

    def come_and_go():
        """Which the monitor looks after. What is away just now cannot be attached."""
        for shmid in counters:
            if errno_of(lambda: shm.detach(shm.attach(shmid))) not in ('OK', 'EINVAL'):
                raise AssertionError('no attaching %d' % shmid)

    with m.daemon.traced('-e', 'trace=madvise', '-e', 'inject=madvise:delay_exit=15000') as log:
        def went_under_the_monitor():
            in_child(come_and_go)
            equal(m.daemon.process.poll(), None, 'the daemon is alive')
            with open(log) as lines:
                return lines.read().count('SIGBUS') >= 3
        pid = spawn(lambda: take_away_and_give_back_all(fds))
        try:
            wait_until(went_under_the_monitor, 'a page went under the monitor three times', 30)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    for fd in fds:
        os.ftruncate(fd, 4096)
    m.listing()
    for name in names:
        os.unlink(m.at(name + ':A'))


def blocked(pid):
    """What each thread of a process blocks, as sets of signals."""
    masks = {}
    for task in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/status' % (pid, task)) as status:
            mask = [int(line.split()[1], 16) for line in status if line.startswith('SigBlk:')][0]
        masks[task] = {n for n in range(1, 65) if mask >> n - 1 & 1}
    return masks


@harness.options('-o', 'reap', '-o', 'access=copy')
@harness.not_under('tsan', 'a thread of ThreadSanitizer blocks all signals')
@harness.not_under('valgrind', 'valgrind blocks signals itself, and hands them on')
def test_no_thread_blocks_what_a_lost_page_raises(m):
    """A signal that is blocked as the fault raises it kills, whatever its handler. Copying, all threads there are run."""
    m.key()
    m.make(contents=b'x')       # with nothing to take off
    m.read('app.key:A')
    fd = os.open(m.at('app.key:A.refcount'), os.O_RDONLY)
    os.pread(fd, 100, 0)
    poller = select.poll()
    poller.register(fd, select.POLLPRI)
    equal(poller.poll(300), [])
    os.close(fd)
    masks = blocked(m.daemon.pid)
    equal({task: mask & {signal.SIGBUS, signal.SIGSEGV} for task, mask in masks.items()}, {task: set() for task in masks})
    equal([task for task, mask in masks.items() if task != str(m.daemon.pid) and signal.SIGTERM not in mask], [],
          'who may get what ends it')


harness.main(globals())
