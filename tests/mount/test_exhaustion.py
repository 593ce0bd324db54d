# SPDX-License-Identifier: MIT
"""One user who takes all there is leaves the others theirs, and it is all given back."""

import concurrent.futures
import errno
import os
import threading
import time

import harness
import shm
from case import equal, errno_of, fails, spawn
from daemon import mount, patience, umount, wait_until

OWN_DESCRIPTORS = 'valgrind keeps descriptors of its own, beyond the limit'

GREEDY, OTHER = 1000, 1001
SHM_NORESERVE = 0o10000


def as_one(m, uid, call):
    return m.as_uid(uid, uid, [], call)


def open_all(paths, flags=os.O_RDONLY):
    """Descriptors of the paths, and the errno that ended it."""
    fds = []
    for path in paths:
        seen = errno_of(lambda: fds.append(os.open(path, flags)))
        if seen != 'OK':
            return fds, seen
    return fds, 'OK'


def begin_all(paths):
    """Listings of the paths that were begun, each held by its open directory, and the errno that ended it."""
    begun = []

    def begin(path):
        begun.append(os.scandir(path))
        next(begun[-1])
    for path in paths:
        seen = errno_of(begin, path)
        if seen != 'OK':
            begun.pop().close()
            return begun, seen
    return begun, 'OK'


def holding(m, paths, then, take=open_all):
    """A process of the greedy user opens all it can, and THEN runs while it has it."""
    ready, go = os.pipe(), os.pipe()

    def greedy():
        os.setresgid(GREEDY, GREEDY, GREEDY)
        os.setresuid(GREEDY, GREEDY, GREEDY)
        taken, seen = take(paths)
        os.write(ready[1], b'%d %s' % (len(taken), seen.encode()))
        os.read(go[0], 1)
    pid = spawn(greedy)
    try:
        count, seen = os.read(ready[0], 100).split()
        then(int(count), seen.decode())
    finally:
        os.write(go[1], b'x')
        os.waitpid(pid, 0)


@harness.allow_other
@harness.options('-o', 'files=40')
def test_one_user_opens_everything(m):
    m.daemon.may_complain = True        # it says so, once
    m.key(), m.key('new.key')
    m.make(contents=b'contents')

    def then(count, seen):
        equal((count, seen), (40, 'EMFILE'), name)
        for call in (lambda: os.open(m.at('new.key:A'), os.O_WRONLY | os.O_CREAT), lambda: os.listdir(m.mnt)):
            equal(as_one(m, GREEDY, lambda: errno_of(call)), 'EMFILE')
        as_one(m, GREEDY, lambda: os.stat(m.at('app.key:A')))       # only what is open counts
        for uid in OTHER, 0:
            equal(as_one(m, uid, lambda: m.read('app.key:A')), b'contents')
            equal(as_one(m, uid, m.listing), ['app.key:A', 'app.key:A.refcount'])
    for name in ('app.key:A', 'app.key:A.refcount', 'app.key:A.info', '.', '.id'):
        holding(m, [m.at(name)] * 100, then)
        wait_until(lambda: as_one(m, GREEDY, lambda: errno_of(m.read, 'app.key:A')) == 'OK', 'it is given back')
        holding(m, [m.at('app.key:A')] * 39, lambda count, seen: equal((count, seen), (39, 'OK'), 'after ' + name))


def start_with_256(m, options):
    """smfs with no more descriptors than that, which it has to ask for."""
    with open(m.scratch + '/limited', 'w') as script:
        script.write('#!/bin/sh\nulimit -Sn 100\nulimit -Hn 256\nexec "%s" "$@"\n' % os.environ['SMFS'])
    os.chmod(script.name, 0o755)
    os.environ['SMFS'] = script.name
    m.start(options=['-o', options])


@harness.not_under('valgrind', OWN_DESCRIPTORS)
@harness.unmounted
def test_descriptors_are_short(m):
    """More segments are open than there are descriptors: those beyond are copied, and key paths go on working."""
    start_with_256(m, 'allow_other,files=1000')
    m.daemon.may_complain = True        # that it copies
    names = ['k%d' % i for i in range(300)]
    for name in names:
        m.key(name)
        m.make(name, contents=name.encode())
    m.key(), m.make(contents=b'not open')
    before = m.daemon.descriptors()

    def then(count, seen):
        equal((count, seen), (300, 'OK'))
        equal(errno_of(os.truncate, m.at('app.key:A'), 100), 'OK' if m.copying else 'EMFILE', 'nothing to put it aside with')
        for name in names[::30]:
            equal(as_one(m, OTHER, lambda: m.read(name + ':A')), name.encode())
        equal(as_one(m, OTHER, lambda: len(m.listing())), 602)
        if m.daemon.descriptors() > 200:
            raise AssertionError('%d of 256 descriptors are in use' % m.daemon.descriptors())
    holding(m, [m.at(name + ':A') for name in names], then)
    wait_until(lambda: m.daemon.descriptors() <= before + 8, 'the descriptors are closed')
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached')
    m.remove()


@harness.not_under('valgrind', OWN_DESCRIPTORS)
@harness.unmounted
def test_the_default_share_is_a_quarter(m):
    start_with_256(m, 'allow_other')
    m.daemon.may_complain = True
    m.key()
    m.make(contents=b'x')
    holding(m, [m.at('app.key:A')] * 100, lambda count, seen: equal((count, seen), (64, 'EMFILE')))


@harness.allow_other
@harness.options('-o', 'staged=1M')
def test_a_byte_in_the_making_costs_its_page(m):
    m.daemon.may_complain = True
    m.key()

    def scatter():
        fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT)
        written = 0
        try:
            while written < 1000:
                os.pwrite(fd, b'x', written * 4096)
                written += 1
        except OSError as e:
            equal(e.errno, errno.ENOSPC)
        os.pwrite(fd, b'y' * 4096, 4096)                                # which it has already
        equal(os.fstat(fd).st_blocks * 512, written * 4096)
        os.close(fd)
        return written
    equal(as_one(m, GREEDY, scatter), 256, 'pages in 1 MiB')
    m.run('rm -f *')


@harness.unmounted
def test_the_default_share_is_a_quarter_of_the_mappings(m):
    """Each file that is written through smfs is mapped. The number is the machine's, so this is another one's, bound there."""
    with open(m.scratch + '/max_map_count', 'w') as number:
        number.write('400\n')
    mount(number.name, '/proc/sys/vm/max_map_count', 'none', 4096)      # MS_BIND
    try:
        m.start(options=['-o', 'allow_other'])
        m.daemon.may_complain = True
        m.key()
        m.make(contents=b'x')
        holding(m, [m.at('app.key:A')] * 200, lambda count, seen: equal((count, seen), (100, 'EMFILE')))
    finally:
        umount('/proc/sys/vm/max_map_count')


@harness.allow_other
@harness.options('-o', 'staged=1M')
def test_bytes_in_the_making(m):
    m.daemon.may_complain = True
    m.key(), m.key('other')

    def fill(name, size):
        fd = os.open(m.at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            for _ in range(0, size, 65536):
                os.write(fd, b'x' * 65536)
        finally:
            os.close(fd)
    equal(as_one(m, GREEDY, lambda: errno_of(fill, 'app.key:A', 2 << 20)), 'ENOSPC')
    ready = os.open(m.at('app.key:B'), os.O_WRONLY | os.O_CREAT)        # root's share is another
    os.write(ready, b'x' * (1 << 20))
    equal(as_one(m, OTHER, lambda: errno_of(fill, 'other:A', 1 << 20)), 'OK')
    os.close(ready)
    m.run('rm -f *')
    equal(as_one(m, GREEDY, lambda: errno_of(fill, 'app.key:A', 1 << 20)), 'OK', 'after it was given back')
    m.run('rm -f *')


@harness.allow_other
def test_a_listing_that_is_held_is_small(m):
    """200 of 3,000 segments are 14 MiB. It was 81 MiB, and stayed so after they were closed."""
    for _ in range(3000):
        m.own(shm.get(shm.IPC_PRIVATE, 1, 0o666))
    as_one(m, GREEDY, lambda: os.listdir(m.at('.id')))
    before = m.daemon.status('VmRSS')

    def then(count, seen):
        equal((count, seen), (200, 'OK'))
        m.daemon.must_not_grow(before, 28 << 10)
    holding(m, [m.at('.id')] * 200, then, begin_all)
    wait_until(lambda: m.daemon.status('VmRSS') < before + (6 << 10) or os.environ.get('SMFS_SANITIZED'),
               'memory is given back (%d KiB resident before)' % before)


@harness.allow_other
@harness.deadline(60)
def test_one_user_holds_every_listing(m):
    """The longest names make the largest listings: what one user's hold together is bounded."""
    m.daemon.may_complain = True        # it says so, once
    for i in range(1500):
        name = '%0244d' % i
        m.key(name)
        m.make(name, contents=b'x')
    names = as_one(m, OTHER, m.listing)
    equal(len(names), 3000)
    before = m.daemon.status('VmRSS')

    def then(count, seen):
        equal((40 < count < 200, seen), (True, 'ENOMEM'), '%d listings' % count)
        m.daemon.must_not_grow(before, 80 << 10)
        equal(as_one(m, GREEDY, lambda: errno_of(os.listdir, m.mnt)), 'ENOMEM')
        equal(as_one(m, GREEDY, lambda: m.read(names[0])), b'x', 'a file can be read')
        for uid in OTHER, 0:
            equal(as_one(m, uid, m.listing), names)
        equal('user %d: listings' % GREEDY in m.daemon.stderr(), True, m.daemon.stderr())
    holding(m, [m.mnt] * 200, then, begin_all)
    wait_until(lambda: as_one(m, GREEDY, lambda: errno_of(os.listdir, m.mnt)) == 'OK', 'it is given back')
    wait_until(lambda: m.daemon.status('VmRSS') < before + (12 << 10) or os.environ.get('SMFS_SANITIZED'),
               'memory is given back (%d KiB resident before)' % before)


@harness.allow_other
@harness.options('-o', 'listings=20K')
def test_a_smaller_share_of_listings(m):
    """One may be larger than the share, a second one may not, and the line says which option it is."""
    m.daemon.may_complain = True
    for i in range(100):
        m.key('%0200d' % i)
        m.make('%0200d' % i, contents=b'x')

    def list_two():
        first = os.open(m.mnt, os.O_RDONLY | os.O_DIRECTORY)
        seen = [len(os.listdir(first)), errno_of(os.listdir, m.mnt)]
        os.close(first)
        return seen
    equal(as_one(m, GREEDY, list_two), [202, 'ENOMEM'])
    equal('user %d: listings of open directories may hold 20480 bytes, and no more (-o listings=)' % GREEDY in m.daemon.stderr(),
          True, m.daemon.stderr())
    wait_until(lambda: as_one(m, GREEDY, lambda: errno_of(os.listdir, m.mnt)) == 'OK', 'it is given back')


@harness.allow_other
@harness.deadline(60)
def test_names_that_the_kernel_forgets(m):
    """Each name that was looked up costs memory as long as the kernel keeps it, and by links there is no end of names."""
    names = ['%0240d' % i for i in range(75)]
    for name in names:
        os.symlink('.', m.keys + '/' + name)
    before = m.daemon.status('VmRSS')

    def look():
        for first in names:
            fd = os.open(m.at(first), os.O_RDONLY | os.O_DIRECTORY)
            for second in names:
                os.stat(second, dir_fd=fd)
            os.close(fd)
    as_one(m, GREEDY, look)
    held = m.daemon.status('VmRSS') - before
    equal(held > 3 << 10 or 'SMFS_SANITIZED' in os.environ, True, '%d KiB are held' % held)
    m.run('mount -i -o remount,rw $M')      # the kernel lets go of what it caches
    wait_until(lambda: m.daemon.status('VmRSS') - before < held // 2 or os.environ.get('SMFS_SANITIZED'),
               'memory is given back (%d of %d KiB are held)' % (m.daemon.status('VmRSS') - before, held))


@harness.allow_other
def test_a_directory_that_is_read_again_and_again(m):
    """Each rewind takes what is there then, in place of what was."""
    for i in range(100):
        m.own(shm.get(shm.IPC_PRIVATE, 1, 0o666))
    fd = os.open(m.at('.id'), os.O_RDONLY | os.O_DIRECTORY)
    for i in range(20):
        equal(len(os.listdir(fd)), 100 + i)
        m.own(shm.get(shm.IPC_PRIVATE, 1, 0o666))
    os.close(fd)


@harness.allow_other
@harness.options('-o', 'staged=1M')
def test_bytes_of_a_size_change(m):
    """They are put aside in the daemon's memory, and counted with those in the making; holes are not."""
    m.daemon.may_complain = True
    m.key(), m.key('new.key')
    path = m.at('app.key:A')

    def resize(uid, size):
        return as_one(m, uid, lambda: errno_of(os.truncate, path, size))

    def with_a_full_share():
        fd = os.open(m.at('new.key:A'), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.write(fd, b'x' * (1 << 20))
        fails('ENOSPC', os.truncate, path, 100)
        os.unlink(m.at('new.key:A'))
        os.close(fd)

    for size, expected in ((1 << 20, 'OK'), ((1 << 20) + 1, 'ENOSPC'), (4 << 20, 'ENOSPC')):
        contents = os.urandom(size)
        m.make(contents=contents)
        for uid in GREEDY, OTHER, GREEDY:       # each has the whole share, and gets it back
            before = m.data().id
            shm.set(before, uid)
            equal(resize(uid, 5 << 20), expected, '%d bytes' % size)
            equal(shm.read(m.data().id, size) == contents, True, 'what is in it')
            equal((m.data().id == before, m.data().size), (expected != 'OK', 5 << 20 if expected == 'OK' else size))
            if expected == 'OK':
                equal(resize(uid, size), 'OK', 'and back')
        m.remove()
    data, _ = m.make(size=300 << 20)
    for offset in (0, (300 << 20) - 1):
        shm.write(data, b'x', offset)
    shm.set(data, GREEDY)
    equal(resize(GREEDY, 299 << 20), 'OK', 'a sparse one')
    as_one(m, GREEDY, with_a_full_share)
    wait_until(lambda: resize(GREEDY, 100) == 'OK', 'it is given back')
    m.remove()


@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
def test_a_segment_of_2_to_the_62(m):
    m.key(), m.key('small')
    m.make('small', contents=b'small')
    data, _ = m.keys_of()
    shmid = m.own(shm.get(data, 1 << 62, shm.IPC_CREAT | shm.IPC_EXCL | SHM_NORESERVE | 0o666))
    m.make(size=0)
    before = m.daemon.descriptors()
    for name in ('app.key:A', '.id/%d' % shmid):
        equal(os.stat(m.at(name)).st_size, 1 << 62)
        for flags in (os.O_RDONLY, os.O_RDWR):
            fails('ENOMEM', os.open, m.at(name), flags)
        fails('ENOMEM', os.truncate, m.at(name), 0)
        fails('ENOMEM', os.truncate, m.at(name), 100)
        equal(b'size: %d' % (1 << 62) in m.read(name + '.info'), True, 'its .info')
    equal('app.key:A' in m.listing(), True, 'it is listed')
    equal(str(shmid) in m.listing('.id'), True, 'it is listed by shmid')
    os.chmod(m.at('app.key:A'), 0o600)
    os.statvfs(m.mnt)
    equal(m.read('small:A'), b'small')
    os.unlink(m.at('app.key:A'))
    equal(m.find()[0], None)
    wait_until(lambda: m.daemon.descriptors() <= before + 4, 'the descriptors are closed')


@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
@harness.allow_other
@harness.deadline(60)
def test_segments_that_fill_the_address_space(m):
    """One user writes to segments of every size from 2^46 bytes down, and keeps them open: another can open, create and read."""
    m.daemon.may_complain = True        # where addresses are short, so are threads
    for name in ('app.key', 'new.key'):
        m.key(name)
    m.make(contents=b'contents' * 100000, count=3)
    ready, go = os.pipe(), os.pipe()

    def greedy():
        os.setresgid(GREEDY, GREEDY, GREEDY)
        os.setresuid(GREEDY, GREEDY, GREEDY)
        fds, ids = [], []
        for bits in range(46, 11, -1):
            for _ in range(6 if bits > 14 else 100):
                ids.append(shm.get(0, 1 << bits, shm.IPC_CREAT | SHM_NORESERVE | 0o600))
                try:
                    fds.append(os.open(m.at('.id/%d' % ids[-1]), os.O_RDWR))
                    for _ in range(2):      # memory that is there already is what is written by way of a mapping
                        os.pwrite(fds[-1], b'x', 0)
                    if os.pread(fds[-1], 2, 0) != b'x\0' or os.pwrite(fds[-1], b'yz', (1 << bits) - 1) != 1:
                        raise AssertionError('what was written is not there')
                except OSError as e:
                    equal(e.errno, errno.ENOMEM)
                    break
        os.write(ready[1], b'x')
        os.read(go[0], 1)
        for shmid in ids:
            shm.remove(shmid)

    def create():
        m.create('new.key:A', b'x' * 100000)
        os.unlink(m.at('new.key:A'))
    pid = spawn(greedy)
    os.close(ready[1])
    try:
        equal(os.read(ready[0], 1), b'x')
        for call in (lambda: m.read('app.key:A'), create, lambda: m.read('app.key:A.refcount')):
            equal(as_one(m, OTHER, lambda: errno_of(call)), 'OK')
        if not m.copying and 'SMFS_TOOL' not in os.environ and 'SMFS_SANITIZED' not in os.environ:
            equal(m.daemon.status('VmSize') < 1 << 30, True, 'less than a tebibyte of addresses')
    finally:
        os.write(go[1], b'x')
        os.waitpid(pid, 0)


@harness.allow_other
def test_threads_are_bounded(m):
    """Ten serve; eight may work for one user's key paths, and eight more at what holds a directory."""
    m.key()
    m.make(contents=b'x')
    at_rest = m.daemon.status('Threads')

    def storm():
        for _ in range(10):
            os.listdir(m.mnt)
            m.read('app.key:A.info')
    pids = [spawn(storm) for _ in range(30)]
    most = 0
    while pids:
        most = max(most, m.daemon.status('Threads'))
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            equal(os.waitstatus_to_exitcode(status), 0, 'exit status')
            pids.remove(pid)
    if most > at_rest + 10 + 8 + 8 + 2:
        raise AssertionError('%d threads, %d at rest' % (most, at_rest))


@harness.allow_other
@harness.deadline(60)
def test_others_are_served_while_one_user_resizes(m):
    """A hundred objects that are open, so that each change of size waits 50 ms: in vain, and on no thread that others need."""
    names = ['k%d' % i for i in range(100)]
    for name in names + ['app.key']:
        m.key(name)
        data, _ = m.make(name, contents=b'x')
        shm.set(data, GREEDY, GREEDY)       # else it is EPERM, and nobody waits
    stop = m.scratch + '/stop'

    def resize(name):
        fd = os.open(m.at(name), os.O_RDONLY)
        while not os.path.exists(stop):
            fails('EBUSY', os.truncate, m.at(name), 2)
        os.close(fd)

    def greedy():
        os.setresuid(GREEDY, GREEDY, GREEDY)
        with concurrent.futures.ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(resize, [name + ':A' for name in names]))

    def look():
        begun = time.monotonic()
        for _ in range(30):
            os.stat(m.at('app.key:A'))
        return time.monotonic() - begun
    pid = spawn(greedy)
    try:
        time.sleep(1)
        took = as_one(m, OTHER, look)
    finally:
        open(stop, 'w').close()
        equal(os.waitpid(pid, 0)[1], 0, 'exit status of who resizes')
    print('     (30 stats took %.3f s)' % took)
    if took > patience(5):
        raise AssertionError('30 stats took %.1f s' % took)


def count_of(path, words):
    with open(path) as log:
        return log.read().count(words)


def look_by_many(m, size):
    with concurrent.futures.ThreadPoolExecutor(15) as threads:
        seen = set(threads.map(lambda _: (os.stat(m.at('app.key:A')).st_size, os.stat(m.at('app.key:A')).st_mode), range(150)))
    equal(seen, {(size, 0o100644)})
    equal(m.listing(), ['app.key:A', 'app.key:A.refcount'])


@harness.allow_other
@harness.deadline(60)
def test_who_only_looks_waits_for_no_copy(m):
    """strace holds up the copying of an fsync, the first one's and that of a replacement, which is removed meanwhile."""
    m.key()
    sizes = 2 << 20, 3 << 20

    def write():
        fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT, 0o644)
        for size in sizes:
            os.pwrite(fd, b'x', size - 1)
            os.fsync(fd)
        equal((os.fstat(fd).st_nlink, os.fstat(fd).st_size), (0, size))
    with m.daemon.traced('-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=%d' % patience(4e6)) as log:
        writer = spawn(lambda: as_one(m, GREEDY, write))
        for done, size in enumerate(sizes):
            wait_until(lambda: count_of(log, 'pread64(') > done, 'it is being copied')
            look_by_many(m, size)
            if done:
                m.remove()
                wait_until(lambda: errno_of(os.stat, m.at('app.key:A')) == 'ENOENT', 'what the listing gave the kernel is over')
            equal(count_of(log, '(DELAYED)'), done, 'copies that were waited for')
        equal(os.waitpid(writer, 0)[1], 0, 'exit status of the writer')


@harness.allow_other
@harness.options('-o', 'waiting=1')
@harness.deadline(60)
def test_what_holds_a_directory_waits_for_no_copy_of_its_user(m):
    """The kernel keeps everybody out of the directory meanwhile. A link has to be read, so all of it takes a thread."""
    m.key()
    m.key('other')
    os.symlink('other', m.keys + '/link')
    entries = os.scandir(m.mnt)         # opens it, and begins to read later

    def use():
        os.close(os.open(m.at('link:A'), os.O_RDWR | os.O_CREAT))
        equal({'app.key:A', 'other:A'} - {entry.name for entry in entries}, set())
        os.unlink(m.at('link:A'))
    with m.daemon.traced('-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=%d' % patience(4e6)) as log:
        writer = spawn(lambda: as_one(m, GREEDY, lambda: m.create('app.key:A', bytes(2 << 20))))
        wait_until(lambda: count_of(log, 'pread64('), 'it is being copied')
        as_one(m, GREEDY, use)
        equal(count_of(log, '(DELAYED)'), 0, 'copies that were waited for')
    equal(os.waitpid(writer, 0)[1], 0, 'exit status of the writer')
    entries.close()
    m.remove()


CALLS = 12      # of a kind, and more than there are threads that serve


def begin(threads, call):
    for _ in range(CALLS):
        thread = threading.Thread(target=call)
        thread.start()
        threads.append(thread)


@harness.allow_other
@harness.deadline(60)
def test_who_waits_for_a_copy_waits_on_no_thread_of_others(m):
    """strace holds up the copying of a close, and more calls for that object than there are threads that serve wait for it."""
    m.key()
    m.key('other')
    m.make('other', contents=b'other')
    size = 2 << 20

    def write():
        fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT, 0o644)
        source = os.open(m.at('other:A'), os.O_RDONLY)
        os.pwrite(fd, b'x', size - 1)
        threads, done = [], []
        begin(threads, lambda: done.append(os.close(os.dup(fd))))     # fsync(2) would keep others out in the kernel
        wait_until(lambda: os.path.exists(m.scratch + '/held'), 'it is being copied')
        begin(threads, lambda: done.append(os.pwrite(fd, b'y' * 5000, 5000)))
        begin(threads, lambda: done.append(os.pread(fd, 1, size)))
        begin(threads, lambda: done.append(os.access(m.at('app.key:A'), os.W_OK)))
        begin(threads, lambda: done.append(os.lseek(fd, 1, os.SEEK_HOLE)))
        begin(threads, lambda: done.append(os.copy_file_range(source, fd, 5, 0, 10)))
        for thread in threads:
            thread.join()
        equal(sorted(map(str, done)), sorted(map(str, CALLS * [None, 5000, b'', True, size, 5])))
        equal(os.pread(fd, 5001, 0), bytes(10) + b'other' + bytes(4985) + b'y')
    with m.daemon.traced('-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=%d' % patience(4e6)) as log:
        writer = spawn(lambda: as_one(m, GREEDY, write))
        wait_until(lambda: count_of(log, 'pread64('), 'it is being copied')
        open(m.scratch + '/held', 'w').close()
        time.sleep(patience(1))
        equal(as_one(m, OTHER, lambda: {os.stat(m.at('other:A')).st_size for _ in range(30)}), {5})
        equal(count_of(log, '(DELAYED)'), 0, 'copies that were waited for')
    equal(os.waitpid(writer, 0)[1], 0, 'exit status of the writer')
    equal(m.read('app.key:A')[10:15], b'other')
    m.remove()
    m.remove('other')


@harness.allow_other
@harness.deadline(60)
def test_who_makes_anew_what_is_copied_waits_on_no_thread_of_others(m):
    """strace holds up the copying of what was removed; in more directories than there are threads that serve it is made anew."""
    m.daemon.may_complain = True    # of what waits for longer than 5 s, under a tool
    m.key()
    m.key('other')
    m.make('other', contents=b'other')
    for i in range(CALLS):
        os.mkdir('%s/d%d' % (m.keys, i))
        os.link(m.keys + '/app.key', '%s/d%d/app.key' % (m.keys, i))

    def write():
        fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT, 0o644)
        for size in (2 << 20, 3 << 20):
            os.pwrite(fd, b'x', size - 1)
            os.fsync(fd)

    def make_anew():
        with concurrent.futures.ThreadPoolExecutor(CALLS) as threads:   # which is first when the copy is done is all the same
            list(threads.map(lambda i: errno_of(m.create, 'd%d/app.key:A' % i, b''), range(CALLS)))
    with m.daemon.traced('-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=%d' % patience(4e6)) as log:
        pids = [spawn(lambda: as_one(m, GREEDY, write))]
        wait_until(lambda: count_of(log, 'pread64(') > 1, 'its replacement is being copied', 10)
        m.remove()
        pids.append(spawn(lambda: as_one(m, GREEDY, make_anew)))
        time.sleep(patience(1))
        equal(as_one(m, OTHER, lambda: {os.stat(m.at('other:A')).st_size for _ in range(30)}), {5})
        equal(count_of(log, '(DELAYED)'), 1, 'copies that were waited for')
    for pid in pids:
        equal(os.waitpid(pid, 0)[1], 0, 'exit status')
    m.remove()
    m.remove('other')


def test_a_share_that_is_none(m):
    for option in ('files', 'waiting', 'max_waiting'):
        for value in ('0', '-1', 'x', '', '1.5', '99999999999'):
            result = m.sh('"$SMFS" -o %s=%s "$K" "$M"' % (option, value))
            equal((result.status, '%s=%s' % (option, value) in result.err), (2, True), value)


harness.main(globals())
