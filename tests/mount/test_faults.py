# SPDX-License-Identifier: MIT
"""System calls and allocations of the daemon that fail, every Nth of a kind: the user is told so, or sees no difference.

faults.c, preloaded, makes them fail in the C library; strace does so in the kernel's place, whoever makes the call and however.
"""

import collections
import ctypes
import errno
import mmap
import os
import random
import select
import struct
import time

import harness
import shm
from case import all_end_well, equal, errno_of, fails, short, spawn
from daemon import wait_until

KINDS = ['shmget', 'shmat', 'shmdt', 'shmctl', 'rmid', 'map_files', 'register', 'malloc', 'mmap', 'open_reply',
         'wrong_inode']      # as in faults.c
CONTENTS = bytes(range(256)) * 20
PUNCH_HOLE, KEEP_SIZE = 2, 1
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


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
            m.start(options=['-o', 'reap'] + m.options)
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


def descriptors(m):
    """
    What the daemon's descriptors lead to, and how many to each: memfds, which nothing else tells of, as well as segments and
    key files. Not the pipe that libfuse keeps for each thread, nor the log's socket, made when there is something to say; nor
    what is open for an instant, for the last request.
    """
    def at_once():
        seen = collections.Counter()
        for fd in os.listdir('/proc/%d/fd' % m.daemon.pid):
            try:
                seen[os.readlink('/proc/%d/fd/%s' % (m.daemon.pid, fd))] += 1
            except FileNotFoundError:
                pass
        return seen
    seen = at_once()
    time.sleep(0.05)
    return {path: n for path, n in (seen & at_once()).items() if not path.startswith(('pipe:', 'socket:'))}


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


def look_at_all(m):
    for entry in os.scandir(m.mnt):
        try:
            os.stat(entry)
        except FileNotFoundError:
            if not entry.name.startswith('dead.key'):       # which the monitor frees
                raise


def remove_by_id(m):
    shmid = shm.get(shm.IPC_PRIVATE, 5000, 0o600)
    try:
        os.unlink(m.at('.id/%d' % shmid))
    finally:
        if shmid in [s.id for s in shm.listing()]:
            shm.remove(shmid)


def die(m):
    """Many who held dead.key:D are no more: there are references to take off, and then the object is for the monitor to free."""
    if m.find('dead.key', 'D') == (None, None):
        m.create('dead.key:D', b'left behind')
    counter = m.find('dead.key', 'D')[1]
    try:
        if counter:
            shm.write(counter.id, struct.pack('i', 1000000))
    except OSError:
        pass        # the monitor has come to it


def decrement(m):
    die(m)
    try:
        m.refcount('decr', 'dead.key:D')
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ERANGE, errno.EIDRM):    # the monitor was here first
            raise


def wait_for_news(m):
    fd = os.open(m.at('app.key:A.refcount'), os.O_RDONLY)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        os.read(fd, 100)
        equal([event for _, event in poll.poll(1) if event & (select.POLLNVAL | select.POLLHUP)], [], 'poll')
    finally:
        os.close(fd)


def allocate(m):
    """What is there already, and a hole."""
    fd = os.open(m.at('hole.key:H'), os.O_RDWR)
    try:
        os.posix_fallocate(fd, 100, 3000)
        if _libc.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 4096):
            raise OSError(ctypes.get_errno(), 'fallocate')
    finally:
        os.close(fd)


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
        lambda: look_at_all(m),
        lambda: m.read('app.key:A.refcount'),
        lambda: m.read('app.key:A.info'),
        lambda: os.chmod(m.at('app.key:A'), 0o666),
        lambda: os.chown(m.at('app.key:A'), 0, 0),
        lambda: os.access(m.at('app.key:A'), os.W_OK),
        lambda: os.statvfs(m.mnt),
        lambda: os.truncate(m.at('zero.key:Z'), 0),
        lambda: os.truncate(m.at('zero.key:Z'), random.choice((4000, 9000))),
        lambda: m.refcount('reap', 'app.key:A'),
        lambda: decrement(m),
        lambda: wait_for_news(m),
        lambda: allocate(m),
        lambda: remove_by_id(m),
    ]


def baseline(m):
    """Descriptors, keys of segments and shared memory, once everything that is idle has been let go."""
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached', 3)
    wait_until(lambda: not [path for path in descriptors(m) if path.startswith('/SYSV')], 'no segment is open', 3)
    return descriptors(m), sorted(s.key for s in shm.listing()), shmem(m)


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


def make_objects(m):
    for name in ('app.key', 'new.key', 'zero.key', 'hole.key', 'dead.key'):
        m.key(name)
    shmid, _ = m.make(contents=CONTENTS)
    m.make('zero.key', 'Z', size=8000)
    m.make('hole.key', 'H', size=8000)
    return shmid


def buried(m, gives_up=False):
    """
    The monitor has freed what the dead one left, unless it GIVES_UP: it does where it may not remove, and where the kernel denies
    that there are such segments (which it has no reason to do, so that is not asked again and again).
    """
    if m.find('new.key', 'N') != (None, None):
        m.remove('new.key', 'N')        # making it succeeded and removing it did not
    if gives_up:
        errno_of(m.remove, 'dead.key', 'D')     # which it may be about to do all the same
        for segment in shm.listing():
            if not segment.key:         # made to try whether it can be made, or in another's place
                shm.remove(segment.id)
    wait_until(lambda: m.find('dead.key', 'D') == (None, None), 'the monitor has freed dead.key:D', 15)


# EEXIST, everywhere: of what the operation before could not remove
def try_kind(m, kind, code, every, allowed):
    shmid = make_objects(m)
    faults = Faults(m)
    storm(m, shmid, set(), 0.1)
    buried(m)
    before = baseline(m)
    seen = set()
    for n in every:
        faults.set(kind, n, getattr(errno, code))
        seen |= storm(m, shmid, allowed, 0.4)
    faults.set(kind, 0)
    print('     (%d of %s failed; seen: %s)' % (faults.failed(kind), kind, ' '.join(sorted(seen)) or 'nothing'))
    if not faults.failed(kind) and not (m.copying and kind in ('map_files', 'register', 'mmap')):
        raise AssertionError('no %s failed' % kind)
    equal(m.daemon.process.poll(), None, 'the daemon is alive')
    buried(m, kind in ('rmid', 'shmctl', 'shmget'))
    all_back(m, shmid, before)


def all_back(m, shmid, before):
    equal(storm(m, shmid, set(), 0.1), set(), 'after the faults')
    buried(m)
    is_back(m, before)
    for segment in shm.listing():       # what the size was changed to; what could not be removed
        m.own(segment.id)


def is_back(m, before):
    descriptors_before, keys, shared = before
    try:
        wait_until(lambda: baseline(m)[0] == descriptors_before, 'the descriptors are back', 5)
    except AssertionError:
        equal(descriptors(m), descriptors_before, 'descriptors')
    equal(baseline(m)[1], keys, 'segments')
    if baseline(m)[2] > shared + 64:
        raise AssertionError('shared memory: %d KiB before, %d after' % (shared, baseline(m)[2]))


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
    """
    EIDRM as well, to who has it open: a segment of which the kernel says nothing is taken for gone, and the kernel has no other
    reason to say nothing (SHM_STAT_ANY asks for no right and no memory).
    """
    try_kind(m, 'shmctl', 'ENOMEM', (2, 3, 7), {'ENOMEM', 'EIDRM', 'EEXIST'})


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
    before = baseline(m)[0]
    fds = [os.open(m.at('app.key:A'), os.O_RDWR) for _ in range(5)]
    faults.set('malloc', 1, errno.ENOMEM)
    for fd in fds:
        errno_of(os.close, fd)
    wait_until(lambda: faults.failed('malloc'), 'the release comes')
    faults.set('malloc', 0)
    m.run('cat app.key:A > /dev/null')
    wait_until(lambda: baseline(m)[0] == before, 'the descriptors are back', 5)


@harness.options('-o', 'files=50')
@harness.unmounted
def test_an_open_that_the_kernel_is_not_told_of(m):
    """The caller has no descriptor, and no release will come: what was opened for him is closed."""
    m.key(), m.key('new.key')
    m.make(contents=CONTENTS)
    faults = Faults(m)
    faults.set('open_reply', 1, errno.ENOMEM)
    for name in ('app.key:A', 'app.key:A.refcount', 'app.key:A.info', '.', '.id'):
        for _ in range(60):
            fails('EIO', os.open, m.at(name), os.O_RDONLY)
    fails('EIO', os.open, m.at('new.key:A'), os.O_WRONLY | os.O_CREAT, 0o640)
    equal(faults.failed('open_reply'), 301)
    faults.set('open_reply', 0)
    wait_until(lambda: m.find('new.key')[0], 'closing made it', 3)
    baseline(m)
    equal([s.mode for s in m.find('new.key')], [0o640] * 2)
    os.truncate(m.at('app.key:A'), 10)      # EBUSY if it were open
    os.truncate(m.at('new.key:A'), 10)
    m.run('rm app.key:A new.key:A')


@harness.unmounted
def test_a_descriptor_on_something_else(m):
    """Whatever /proc opens: only the inode with the segment's number is the segment."""
    m.key()
    m.make(contents=b'segment' + b'.' * 8185)
    faults = Faults(m)
    faults.set('wrong_inode', 1)
    seen = errno_of(m.read, 'app.key:A')
    equal(seen, 'OK' if m.copying else 'ESTALE')
    faults.set('wrong_inode', 0)
    equal(m.read('app.key:A')[:7], b'segment')


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
    is_back(m, before)


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
    is_back(m, before)


# ---- in the kernel's place

def inject(m, shmid, call, code, allowed):
    """Every second CALL of each thread fails, and every third; how many did."""
    seen, failed = set(), 0
    for n in (2, 3):
        with m.daemon.traced('-e', 'trace=' + call, '-e', 'inject=%s:error=%s:when=%d+%d' % (call, code, n, n)) as log:
            seen |= storm(m, shmid, allowed, 0.6)
        with open(log) as trace:
            failed += trace.read().count('(INJECTED)')
    print('     (%d of %s failed; seen: %s)' % (failed, call, ' '.join(sorted(seen)) or 'nothing'))
    equal(failed > 0, True, 'some failed')
    equal(m.daemon.process.poll(), None, 'the daemon is alive')
    return failed


def try_call(m, call, code, allowed, gives_up=False):
    m.daemon.may_complain = True
    shmid = make_objects(m)
    storm(m, shmid, set(), 0.1)
    buried(m)
    before = baseline(m)
    inject(m, shmid, call, code, allowed)
    buried(m, gives_up)
    all_back(m, shmid, before)


@harness.options('-o', 'reap')
def test_the_kernel_makes_and_finds_no_segment(m):
    try_call(m, 'shmget', 'ENOMEM', {'ENOMEM', 'ENOSPC', 'EEXIST'}, gives_up=True)


@harness.options('-o', 'reap')
def test_the_kernel_attaches_nothing(m):
    try_call(m, 'shmat', 'ENOMEM', {'ENOMEM', 'EEXIST'})


@harness.options('-o', 'reap')
def test_the_kernel_tells_and_removes_nothing(m):
    """IPC_RMID as well as the rest of shmctl."""
    try_call(m, 'shmctl', 'ENOMEM', {'ENOMEM', 'EIDRM', 'EEXIST'}, gives_up=True)


@harness.options('-o', 'reap')
def test_the_kernel_opens_nothing(m):
    """map_files, which is fallen back from, and key paths, /proc and all else that is opened by name."""
    try_call(m, 'openat', 'EMFILE', {'EMFILE', 'EEXIST'})


@harness.options('-o', 'reap')
def test_the_kernel_detaches_nothing(m):
    """It does not here, so each failure leaves one attachment, and so the size of what has one may not be changed; no more is left."""
    m.daemon.may_complain = True
    shmid = make_objects(m)
    storm(m, shmid, set(), 0.1)
    buried(m)
    before = baseline(m)
    failed = inject(m, shmid, 'shmdt', 'EINVAL', {'EBUSY'})
    equal(storm(m, shmid, {'EBUSY'}, 0.1) <= {'EBUSY'}, True, 'after the faults')
    wait_until(lambda: sum(s.nattch for s in shm.listing()) <= failed, 'no more is attached than was not detached', 5)
    wait_until(lambda: descriptors(m) == before[0], 'the descriptors are back', 5)
    for segment in shm.listing():
        m.own(segment.id)


harness.main(globals())
