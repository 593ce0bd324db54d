# SPDX-License-Identifier: MIT
"""truncate -s N of an object that exists: replaced by one of N bytes while nobody uses it."""

import ctypes
import errno
import mmap
import os
import threading
import time

import harness
import shm
from case import all_end_well, as_uid, equal, errno_of, fails, in_child, shells, spawn
from daemon import patience, wait_until


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


class Truncating:
    """CALL in a thread; afterwards, what came of it."""

    def __init__(self, call, *arguments):
        self.errno = None
        self.thread = threading.Thread(target=self.run, args=(call, *arguments))

    def run(self, *call):
        self.errno = errno_of(*call)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()


def copying_takes(m, call, seconds=1.5, times=''):
    """strace has SMFS wait as long at CALL: memfd_create, once it has attached; shmget, once it has removed."""
    if call == 'shmget':
        when = 'enter'
    else:
        when, seconds = 'exit', min(patience(seconds), 4)   # valgrind holds up all of SMFS, which may not be for 5 s
    return m.daemon.traced('-e', 'trace=' + call, '-e', 'inject=%s:delay_%s=%d%s' % (call, when, seconds * 1000000, times))


def until_it_copies(data):
    wait_until(lambda: shm.stat(data).nattch, 'smfs has attached it')


def test_who_attaches_while_it_is_copied_keeps_it(m):
    m.key()
    data, _ = m.make(contents=b'12345')
    with copying_takes(m, 'memfd_create', times=':when=1'):
        with Truncating(os.truncate, m.at('app.key:A'), 10) as truncating:
            until_it_copies(data)
            address = shm.attach(data)
            shm.poke(address, b'N')
    equal(truncating.errno, 'EBUSY')
    equal((m.data().id, m.data().size, m.bytes_of()), (data, 5, b'N2345'))
    shm.detach(address)
    os.truncate(m.at('app.key:A'), 6)
    equal(m.bytes_of(), b'N2345\0')
    m.run('rm app.key:A')


def test_what_is_written_while_it_is_copied_is_kept(m):
    """By somebody who is gone again when the copy is done."""
    m.key()
    data, _ = m.make(contents=b'12345')
    with copying_takes(m, 'memfd_create', times=':when=1'):
        with Truncating(os.truncate, m.at('app.key:A'), 10) as truncating:
            until_it_copies(data)
            in_child(lambda: shm.write(data, b'N'))
    equal(truncating.errno, 'OK')
    equal(m.bytes_of(), b'N2345' + b'\0' * 5)
    m.run('rm app.key:A')


def count_for(m, seconds):
    """Attach by key, count, detach, again and again; how often."""
    key, n, end = m.keys_of()[0], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = shm.find(key)
        try:
            address = None if data is None else shm.attach(data)
        except OSError:     # it has just gone, or is not complete
            address = None
        if address:
            n += 1
            shm.poke(address, (int.from_bytes(shm.peek(address, 8), 'little') + 1).to_bytes(8, 'little'))
            shm.detach(address)
        time.sleep(.0005)
    return n


def test_no_count_is_lost(m):
    m.key()
    m.make(size=4096)
    counted, ready = os.pipe()
    child = spawn(lambda: os.write(ready, b'%d' % as_uid(1001, 1001, [], lambda: count_for(m, 3))))
    truncated = 0
    for size in range(4097, 1 << 20):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        truncated += errno_of(os.truncate, m.at('app.key:A'), size) == 'OK'
    all_end_well([child])
    n = int(os.read(counted, 100))
    os.close(counted)
    os.close(ready)
    equal(int.from_bytes(m.bytes_of()[:8], 'little'), n, 'counts, with %d truncates' % truncated)
    equal(n > 100 and truncated > 20, True, '%d counts, %d truncates' % (n, truncated))
    m.run('rm app.key:A')


def opened(m):
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    try:
        os.pread(fd, 1, 0)
        os.fstat(fd)
    finally:
        os.close(fd)


def may_write(m):
    if not os.access(m.at('app.key:A'), os.W_OK):
        raise PermissionError(errno.EACCES, 'access')


def resize_while_others_come(m, call):
    """What opens, stats and access say while smfs waits at CALL."""
    m.key()
    m.create('app.key:A', b'12345')
    size = 6
    for what in (opened, may_write, lambda m: os.stat(m.at('app.key:A'))):
        said = set()
        with copying_takes(m, call, .4):
            with Truncating(os.truncate, m.at('app.key:A'), size) as truncating:
                while truncating.thread.is_alive():
                    said.add(errno_of(what, m))
                    time.sleep(.13)     # out of step with what strace delays
        equal(('truncate', truncating.errno, 'others', said), ('truncate', 'OK', 'others', {'OK'}))
        size += 1
    equal(m.bytes_of()[:6], b'12345\0')
    m.run('rm app.key:A')


def test_opens_while_it_is_copied(m):
    resize_while_others_come(m, 'memfd_create')


def test_opens_between_the_two_segments(m):
    resize_while_others_come(m, 'shmget')


@harness.allow_other
def test_who_may_write_and_not_remove_copies_nothing(m):
    """For a copy all others wait, and he could ask for one again and again."""
    m.key()
    data, _ = m.make(contents=b'12345', mode=0o666)
    with m.daemon.traced('-e', 'trace=memfd_create') as log:
        as_uid(1001, 1001, [], lambda: fails('EPERM', os.truncate, m.at('app.key:A'), 10))
    with open(log) as traced:
        equal('memfd_create' in traced.read(), False)
    equal((m.data().id, m.bytes_of()), (data, b'12345'))


def test_somebody_makes_one_between_the_two(m):
    """His is the name then; the contents have lost it, and nothing else."""
    m.daemon.may_complain = True
    m.key()
    m.create('app.key:A', b'12345')
    m.run('chmod 640 app.key:A; chown 1000:1001 app.key:A')
    key, data = m.keys_of()[0], m.data().id
    with copying_takes(m, 'shmget', .4):
        with Truncating(os.truncate, m.at('app.key:A'), 10) as truncating:
            wait_until(lambda: shm.find(key) is None, 'it is removed')
            other = shm.get(key, 3, shm.IPC_CREAT | shm.IPC_EXCL | 0o600)
    kept = next(s for s in shm.listing() if s.key == 0)
    equal((truncating.errno, m.data().id, m.bytes_of()), ('EEXIST', other, bytes(3)))
    equal((kept.size, kept.mode & 0o777, kept.uid, kept.gid), (5, 0o640, 1000, 1001))
    equal(m.read('.id/%d' % kept.id), b'12345')
    equal('segment %d, without a key' % kept.id in m.daemon.stderr(), True, m.daemon.stderr())
    equal(data == kept.id, False)
    m.run('rm .id/%d app.key:A' % kept.id)


@harness.not_under('valgrind', 'valgrind asks shmctl, too, after each shmat, and does not survive what strace answers')
@harness.deadline(120)
def test_from_any_call_on_the_kernel_refuses(m):
    """The Nth and all later calls of a kind fail: the contents are as they were, or of the other size, or the log says that they are lost."""
    m.daemon.may_complain = True
    m.key()
    failed = 0
    for call, most in ('shmctl', 24), ('shmat', 5), ('shmget', 6):
        for nth in range(1, most + 1):
            m.create('app.key:A', b'12345')
            logged = m.daemon.stderr()
            with m.daemon.traced('-e', 'trace=' + call, '-e', 'inject=%s:error=ENOMEM:when=%d+' % (call, nth)):
                answer = errno_of(os.truncate, m.at('app.key:A'), 9)
            failed += answer != 'OK'
            try:
                seen = m.bytes_of()
            except OSError:
                seen = None
            if 'lost' not in m.daemon.stderr()[len(logged):]:
                equal((nth, call, answer, seen in (b'12345', b'12345' + bytes(4))), (nth, call, answer, True), 'contents are whole')
            m.remove()
            for probe in shm.listing():     # of whether there is memory, which strace kept from being removed
                shm.remove(probe.id)
    equal(failed > 10, True, '%d failed' % failed)


def test_an_open_waits_and_writes_to_the_new_one(m):
    m.key()
    m.create('app.key:A', b'12345')
    opener = os.open(m.at('app.key:A'), os.O_RDWR)
    for truncate, size in ((lambda: os.truncate(m.at('app.key:A'), 7), 7), (lambda: os.ftruncate(opener, 9), 9)):
        if size == 7:
            os.close(opener)
        else:
            opener = os.open(m.at('app.key:A'), os.O_RDWR)
        time.sleep(patience(0.5))       # smfs hears of a close after it, and strace will hold it up
        data = m.data().id
        wait_until(lambda: not shm.stat(data).nattch, 'it is let go', 3)        # what is waited for below is the copy's
        with copying_takes(m, 'memfd_create', times=':when=1'):
            with Truncating(truncate) as truncating:
                until_it_copies(data)
                fd = os.open(m.at('app.key:A'), os.O_RDWR)
        equal(truncating.errno, 'OK')
        equal(os.pwrite(fd, b'N', size - 1), 1)
        equal((os.fstat(fd).st_size, m.bytes_of()[size - 1:]), (size, b'N'))
        if not m.copying:
            with mmap.mmap(fd, 0) as shared:
                equal(shared[size - 1:], b'N')
        os.close(fd)
    os.close(opener)
    m.run('rm app.key:A')


def test_reads_of_the_descriptor_meanwhile(m):
    """They wait; nothing of them is the end of the file."""
    m.key()
    m.create('app.key:A', b'12345')
    m.create('app.key:B', b'abcde')
    fd, other = os.open(m.at('app.key:A'), os.O_RDWR), os.open(m.at('app.key:B'), os.O_RDWR)
    data = m.data().id
    with copying_takes(m, 'memfd_create', times=':when=1'):
        with Truncating(os.ftruncate, fd, 6) as truncating:
            until_it_copies(data)
            equal((os.pread(fd, 5, 0), os.copy_file_range(fd, other, 3, 1, 0)), (b'12345', 3))
    equal((truncating.errno, m.bytes_of('app.key', 'B')), ('OK', b'234de'))
    os.close(fd)
    os.close(other)
    m.run('rm app.key:A app.key:B')


def test_reads_while_it_is_refused(m):
    m.key()
    data, _ = m.make(contents=b'12345')
    address = shm.attach(data)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    with Truncating(lambda: [fails('EBUSY', os.ftruncate, fd, 6) for _ in range(5)]) as truncating:
        said = {os.pread(fd, 5, 0) for _ in range(20)}
        while truncating.thread.is_alive():
            said.add(os.pread(fd, 5, 0))
    equal((truncating.errno, said), ('OK', {b'12345'}))
    shm.detach(address)
    os.close(fd)
    m.run('rm app.key:A')


SPARSE = 1 << 41    # half a minute to look through


def make_sparse(m, places):
    data = shm.get(m.keys_of()[0], SPARSE, shm.IPC_CREAT | shm.SHM_NORESERVE | 0o600)
    for place in places:
        shm.write(data, b'x', place)
    return data


@harness.as_user
@harness.small
@harness.deadline(20)
def test_a_huge_one_of_an_ordinary_user(m):
    m.key()
    for places in ([], [0, 1 << 20], [50, SPARSE - 1]):
        m.own(make_sparse(m, places))
        os.truncate(m.at('app.key:A'), 100)
        equal(m.bytes_of(), bytes(120 if place in places else 0 for place in range(100)))
        os.unlink(m.at('app.key:A'))


@harness.unmounted
@harness.deadline(60)
@harness.small
@harness.not_under('valgrind', harness.USERS_VALGRIND)
def test_where_the_data_of_a_huge_one_is_not_found(m):
    """It would take too long: refused, and it says so."""
    os.chown(m.mnt, harness.USER, harness.USER)
    m.start(user=harness.USER, options=['-o', 'allow_other'])
    m.daemon.may_complain = True

    def as_user(call):
        return as_uid(harness.USER, harness.USER, [], call)
    m.key()
    data = m.own(as_user(lambda: make_sparse(m, [SPARSE - 1])))
    as_user(lambda: fails('EFBIG', os.truncate, m.at('app.key:A'), SPARSE - 4096))
    equal('its size stays' in m.daemon.stderr(), True)
    equal((m.data().id, m.data().size), (data, SPARSE))
    as_user(lambda: os.unlink(m.at('app.key:A')))


harness.main(globals())
