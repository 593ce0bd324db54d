# SPDX-License-Identifier: MIT
"""The file is the segment: what the native way promises, with numbers read from the kernel."""

import ctypes
import errno
import itertools
import mmap
import os
import random
import subprocess
import threading

import harness
import hugepages
import shm
from case import equal, errno_of, fails
from daemon import wait_until

SIZES = (1, 4095, 5000, 65537, 1 << 20)
MIB = 1 << 20
SHM_HUGETLB, SHM_NORESERVE = 0o4000, 0o10000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.splice.restype = ctypes.c_ssize_t
SEED = os.environ.get('SEED') or '%d' % random.SystemRandom().randrange(1 << 32)


def opened(m, flags, name='app.key:A'):
    return os.open(m.at(name), flags)


def memory():
    """Bytes of shared memory in this machine (other processes' too)."""
    with open('/proc/meminfo') as info:
        return next(int(line.split()[1]) for line in info if line.startswith('Shmem:')) * 1024


def resident(shmid):
    with open('/proc/sysvipc/shm') as table:
        return next(int(row[14]) for row in map(str.split, table) if row[1] == str(shmid))


def segment_descriptors(m):
    """Of the daemon's descriptors, those on a segment."""
    found = 0
    for fd in os.listdir('/proc/%d/fd' % m.daemon.pid):
        try:
            found += os.readlink('/proc/%d/fd/%s' % (m.daemon.pid, fd)).startswith('/SYSV')
        except FileNotFoundError:
            pass
    return found


def inode_size(shmid):
    """Of the segment's inode, which is what a write past the end would change."""
    at = shm.attach(shmid)
    with open('/proc/self/maps') as maps:
        span = next(line.split()[0] for line in maps if line.startswith('%x-' % at))
    try:
        return os.stat('/proc/self/map_files/' + span).st_size
    finally:
        shm.detach(at)


def test_open_files_attach_nothing(m):
    m.key()
    data, counter = m.make(size=100000)
    at = shm.attach(data)
    fds = [opened(m, flags) for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY)]
    os.read(fds[0], 10), os.read(fds[1], 10), os.write(fds[2], b'x')
    if m.copying:
        wait_until(lambda: shm.stat(data).nattch == 1, 'the daemon has let go', 3)
    else:
        with mmap.mmap(fds[1], 100000) as view:
            view[5:6] = b'y'
            equal(shm.stat(data).nattch, 1)
        equal(shm.stat(data).nattch, 1)
    shm.detach(at)
    equal((shm.stat(data).nattch, shm.stat(counter).nattch), (0, 0))
    for fd in fds:
        os.close(fd)


def test_memory_goes_with_the_last_close(m):
    size = 96 * MIB
    for remove in (lambda: os.unlink(m.at('app.key:A')), m.remove):
        m.key()
        m.create('app.key:A', b'x')
        os.truncate(m.at('app.key:A'), size)
        fd = opened(m, os.O_RDWR)
        for offset in range(0, size, MIB):
            os.pwrite(fd, b'x' * MIB, offset)
        equal(os.fstat(fd).st_blocks * 512, size, 'the memory is in use')
        remove()
        if not m.copying:
            equal(os.pread(fd, 5, size - 5), b'xxxxx', 'removed, and open')
        held = memory()     # of the whole machine
        os.close(fd)
        wait_until(lambda: memory() < held - size + 24 * MIB, 'the memory is given back')


def test_descriptors_come_back(m):
    for n in range(20):
        m.key('k%d' % n)
        m.make('k%d' % n, size=5000)
    m.listing()                         # now it serves, and what it opens for that is open
    before = m.daemon.descriptors()
    for _ in range(20):
        fds = [opened(m, flags, 'k%d:A' % n) for n in range(20) for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY)]
        wait_until(lambda: segment_descriptors(m) == (0 if m.copying else 20), 'each segment has one')
        for fd in fds:
            os.close(fd)
    wait_until(lambda: m.daemon.descriptors() == before, 'they are closed')


# ---- coherence

def splice(fd, offset, length):
    """What splice(2) gives, through a pipe."""
    inner, outer = os.pipe()
    try:
        at = ctypes.c_longlong(offset)
        n = _libc.splice(fd, ctypes.byref(at), outer, None, ctypes.c_size_t(length), 0)
        if n < 0:
            raise OSError(ctypes.get_errno(), 'splice')
        return os.read(inner, n) if n else b''
    finally:
        os.close(inner)
        os.close(outer)


def private_mapping(fd, offset, length):
    """What a MAP_PRIVATE mapping that is made now shows."""
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(fd, offset - start + length, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=start) as view:
        return view[offset - start:offset - start + length]


class Views:
    """Every way to one object's bytes."""

    def __init__(self, m, data, size, random_):
        self.m, self.size, self.data, self.random = m, size, data, random_
        self.ro, self.rw, self.wo = [opened(m, f) for f in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY)]
        self.at = shm.attach(data)
        self.maps = [] if m.copying else [mmap.mmap(self.rw, size),
                                          mmap.mmap(self.ro, size, mmap.MAP_SHARED, mmap.PROT_READ)]
        self.out = os.open(m.keys + '/out', os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        m.key('aside')
        m.make('aside', size=size)
        self.aside = os.open(m.at('aside:A'), os.O_RDWR)
        self.readers = [lambda o, n: os.pread(self.ro, n, o), lambda o, n: os.pread(self.rw, n, o), self.reopen,
                        lambda o, n: ctypes.string_at(self.at + o, n), self.copy_aside, self.send]
        self.writers = [lambda o, b: os.pwrite(self.rw, b, o), lambda o, b: os.pwrite(self.wo, b, o),
                        lambda o, b: ctypes.memmove(self.at + o, b, len(b)), self.copy_back]
        if self.maps:
            self.privates = [mmap.mmap(fd, size, mmap.MAP_PRIVATE) for fd in (self.ro, self.rw)]
            self.readers += [lambda o, n: self.maps[0][o:o + n], lambda o, n: self.maps[1][o:o + n],
                             lambda o, n: splice(self.ro, o, min(n, 60000)), self.refused_splice,
                             lambda o, n: self.privates[0][o:o + n], lambda o, n: self.privates[1][o:o + n]]
            self.writers += [self.store]
        else:
            self.privates = []

    def store(self, offset, data):
        self.maps[0][offset:offset + len(data)] = data

    def reopen(self, offset, n):
        with open(self.m.at('app.key:A'), 'rb', buffering=0) as f:
            return os.pread(f.fileno(), n, offset)

    def copy_aside(self, offset, n):
        """By copy_file_range, to another object: within the mount, which is as far as the kernel lets it go."""
        os.pwrite(self.aside, bytes(n), 0)
        got = os.copy_file_range(self.random.choice((self.ro, self.rw)), self.aside, n, offset, 0)
        equal(got, n, 'copy_file_range')
        seen = os.pread(self.aside, n, 0)
        equal(ctypes.string_at(self.at + offset, n) == seen, True, 'what was copied aside is the segment')
        return seen

    def copy_back(self, offset, data):
        os.pwrite(self.aside, data, 0)
        equal(os.copy_file_range(self.aside, self.random.choice((self.wo, self.rw)), len(data), 0, offset), len(data))

    def send(self, offset, n):
        """sendfile(2) out of the mount, from a descriptor that was opened now: cat and cp do so; none read before."""
        fd = opened(self.m, os.O_RDONLY)
        try:
            n = os.sendfile(self.out, fd, offset, min(n, 60000))
        finally:
            os.close(fd)
        seen = os.pread(self.out, n, os.lseek(self.out, 0, os.SEEK_CUR) - n)
        os.lseek(self.out, 0, os.SEEK_SET)
        return seen

    def refused_splice(self, offset, n):
        """Never stale, because never: the kernel would fill its page cache."""
        for call in (lambda: splice(self.rw, offset, min(n, 60000)), lambda: os.sendfile(self.out, self.rw, offset, n)):
            fails('EINVAL', call)

    def leaves_the_mount(self):
        """copy_file_range between file systems is not the kernel's to do here, either way."""
        for one, two in ((self.ro, self.out), (self.rw, self.out), (self.out, self.rw)):
            fails('EXDEV', os.copy_file_range, one, two, 1, 0, 0)

    def written_privately(self):
        """What is written there stays there, and that page hears of nothing any more; the next one does."""
        for view in self.privates:
            was = view[0]
            view[0] = was ^ 255
            equal(ctypes.string_at(self.at, 1)[0], was, 'a private mapping was written')
            os.pwrite(self.wo, bytes([was]), 0)
            equal(view[0], was ^ 255)
            if self.size > 2 * mmap.PAGESIZE:
                os.pwrite(self.wo, b'seen', mmap.PAGESIZE)
                equal(view[mmap.PAGESIZE:mmap.PAGESIZE + 4], b'seen')

    def close(self):
        for view in self.maps + self.privates:
            view.close()
        shm.detach(self.at)
        for fd in (self.ro, self.rw, self.wo, self.out, self.aside):
            os.close(fd)
        self.m.remove('aside')


@harness.deadline(40)
def test_coherence(m):
    """SEED in the environment has the same operations again."""
    print('     (SEED=%s)' % SEED)
    random_ = random.Random(SEED)
    m.key()
    for size in SIZES:
        data, _ = m.make(size=size)
        views, model = Views(m, data, size, random_), bytearray(size)
        for turn in range(400):
            offset = random_.randrange(size)
            n = random_.randrange(1, min(size - offset, 70000) + 1)
            if turn % 2:
                fresh = random_.randbytes(n)
                random_.choice(views.writers)(offset, fresh)
                model[offset:offset + n] = fresh
            for number, reader in enumerate(views.readers):
                seen = reader(offset, n)
                if seen is not None:
                    equal(seen == bytes(model[offset:offset + len(seen)]) and len(seen) > 0, True,
                          'SEED %s, turn %d, size %d: %d bytes at %d by reader %d' % (SEED, turn, size, n, offset, number))
        views.leaves_the_mount()
        views.written_privately()
        views.close()
        m.remove()


def test_copied_out_as_it_was(m):
    """Copying: splice(2) and MAP_PRIVATE give what was there when the kernel first asked; who reads, or opens anew, sees what is."""
    if not m.copying:
        return
    m.key()
    size = 3 * mmap.PAGESIZE
    data, _ = m.make(contents=b'a' * size)
    for flags in (os.O_RDONLY, os.O_RDWR):
        shm.write(data, b'a' * size)
        fd = opened(m, flags)
        private = mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ)
        equal((splice(fd, 0, size), private[:]), (b'a' * size,) * 2, 'first')
        shm.write(data, b'b' * size)
        equal(os.pread(fd, size, 0), b'b' * size, 'read')
        for seen in (splice(fd, 0, size), private[:]):      # a page is the old one or the new one
            equal(all(seen[i:i + mmap.PAGESIZE] in (b'a' * mmap.PAGESIZE, b'b' * mmap.PAGESIZE) for i in range(0, size, mmap.PAGESIZE)),
                  True, 'a snapshot: %r' % seen[:20])
        private.close()
        os.close(fd)
        again = opened(m, flags)
        equal(os.pread(again, size, 0), b'b' * size)
        os.close(again)


def test_nothing_grows(m):
    m.key()
    for size in (1, 4096, 5000, 65537):
        data, _ = m.make(contents=b'x' * size)
        fd, end = opened(m, os.O_RDWR), opened(m, os.O_WRONLY | os.O_APPEND)
        equal(os.pwrite(fd, b'12345', size - 1), 1)
        fails('ENOSPC', os.pwrite, fd, b'1', size)
        fails('ENOSPC', os.write, end, b'1')
        fails('EBUSY', os.ftruncate, fd, size + 1)
        fails('ENOSPC', os.posix_fallocate, fd, 0, size + 1)
        inner, outer = os.pipe()
        os.write(outer, b'abc')
        n = _libc.splice(inner, None, fd, ctypes.byref(ctypes.c_longlong(size - 1)), ctypes.c_size_t(3), 0)
        equal(n <= 1, True, 'spliced past the end')
        for each in (inner, outer, end, fd):
            os.close(each)
        wait_until(lambda: not shm.stat(data).nattch, 'nothing is attached', 3)
        equal((inode_size(data), shm.stat(data).size, os.stat(m.at('app.key:A')).st_size), (size,) * 3)
        m.remove()


@harness.allow_other
def test_read_only_is_read_only(m):
    m.key()
    data, _ = m.make(contents=b'x' * 8192, mode=0o644)

    def tries():
        path = m.at('app.key:A')
        fails('EACCES', os.open, path, os.O_RDWR)
        fails('EACCES', os.open, path, os.O_RDONLY | os.O_TRUNC)
        fails('EACCES', os.truncate, path, 0)
        fd = os.open(path, os.O_RDONLY)
        fails('EACCES', os.open, '/proc/self/fd/%d' % fd, os.O_RDWR)
        fails('EACCES', mmap.mmap, fd, 8192, mmap.MAP_SHARED, mmap.PROT_WRITE | mmap.PROT_READ)
        if m.copying:
            return
        at = _mapped(fd, 8192)
        equal((_libc.mprotect(ctypes.c_void_p(at), 8192, 3), ctypes.get_errno()), (-1, errno.EACCES))
        equal(ctypes.string_at(at, 3), b'xxx')

    m.as_uid(harness.USER, harness.USER, [], tries)
    equal(shm.read(data), b'x' * 8192)


def _mapped(fd, size):
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    return _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)


# ---- huge and sparse

@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
@harness.small
def test_dumping_a_sparse_segment_allocates_nothing(m):
    m.key()
    size = 1 << 40
    data = m.own(shm.get(m.keys_of()[0], size, shm.IPC_CREAT | SHM_NORESERVE | 0o600))
    spots = (0, 1 << 30, size - 4096)
    for spot in spots:
        fd = opened(m, os.O_RDWR)
        os.pwrite(fd, b'here', spot)
        os.close(fd)
    before = resident(data)
    if m.copying:
        return
    equal(before, 3 * 4096)
    for flags in (os.O_RDONLY, os.O_RDWR):
        fd = opened(m, flags)
        found, at = [], 0
        while errno_of(os.lseek, fd, at, os.SEEK_DATA) == 'OK':
            found.append(os.lseek(fd, at, os.SEEK_DATA))
            at = os.lseek(fd, found[-1], os.SEEK_HOLE)
        equal(tuple(found), spots)
        for offset in (4096, 5 << 30, (1 << 30) - MIB, size - 4 * MIB):
            os.pread(fd, 3 * MIB, offset)
        os.close(fd)
    m.run('dd if=app.key:A of=/dev/null bs=1M skip=1000 count=100 status=none')
    m.run('cp --sparse=always app.key:A $K/out && du -k --apparent-size $K/out | cut -f1', expected='%d\n' % (size >> 10))
    m.run('cmp -n 4 -i %d app.key:A $K/out && cmp -n 4 app.key:A $K/out' % (size - 4096))
    equal(resident(data), before)
    equal(os.stat(m.at('app.key:A')).st_blocks * 512, before)


@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
def test_hugetlb_segments_are_copied(m):
    m.key()
    with hugepages.huge_pages(2):
        data = m.own(shm.get(m.keys_of()[0], 3 * MIB, shm.IPC_CREAT | SHM_HUGETLB | 0o600))
        equal(m.write('app.key:A', b'huge'), 4)
        equal(shm.read(data, 4), b'huge')
        equal(os.stat(m.at('app.key:A')).st_size, 3 * MIB)
        fd = opened(m, os.O_RDWR)
        fails('ENODEV', mmap.mmap, fd, 4096)
        equal(os.pread(fd, 10, 3 * MIB - 5), b'\0' * 5)
        equal(os.pwrite(fd, b'1234567', 3 * MIB - 5), 5)
        os.close(fd)
        m.run('cmp -n 4 app.key:A <(printf huge) && rm app.key:A')
    m.daemon.may_complain = True
    equal(m.daemon.stderr(), '' if m.copying else
          'smfs: segment %d: no native access (Operation not supported), copying instead\n' % data, 'said, and once')


# ---- falling back

def test_kinds_of_opens_mix(m):
    """Whatever is open already, in whatever order: no EIO."""
    m.key()
    m.make(contents=b'x' * 5000)

    def private(fd):
        with mmap.mmap(fd, 5000, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
            return view[4999:5000]

    uses = ((os.O_RDONLY, lambda fd: os.pread(fd, 1, 0)), (os.O_RDWR, lambda fd: os.pread(fd, 1, 0)),
            (os.O_WRONLY, lambda fd: os.pwrite(fd, b'x', 0) and b'x'), (os.O_RDONLY, private), (os.O_RDWR, private))
    for order in itertools.permutations(uses):
        fds = []
        for flags, use in order:
            fds.append(opened(m, flags))
            equal(use(fds[-1]), b'x')
        for fd in fds:
            os.close(fd)


def storm(m, wrong):
    for n in range(60):
        name = 'k%d' % (n % 4)
        try:
            fd = opened(m, (os.O_RDONLY, os.O_RDWR)[n % 2], name + ':A')
            if os.pread(fd, 100, 0) != name.encode() * 50:
                wrong.append('bytes of ' + name)
            if n % 2 and os.pwrite(fd, name.encode(), 0) != 2:
                wrong.append('written to ' + name)
            os.close(fd)
        except OSError as e:
            wrong.append('%s: %s' % (name, e))


@harness.deadline(90)
def test_a_refused_registration_is_no_error(m):
    m.daemon.may_complain = True        # that it copies instead
    for n in range(4):
        m.key('k%d' % n)
        m.make('k%d' % n, contents=b'k%d' % n * 50)
    m.listing()                         # now it serves, and what it opens for that is open
    before = m.daemon.descriptors()
    for what in ('ioctl:error=EPERM', 'ioctl:error=ELOOP', 'ioctl:error=EMFILE:when=1+2', 'ioctl:error=ENOMEM:when=2+3'):
        wrong = []
        threads = [threading.Thread(target=storm, args=(m, wrong)) for _ in range(4)]
        with m.daemon.traced('-e', 'trace=ioctl,openat', '-e', 'inject=' + what):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        equal(wrong, [], what)
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached', 3)
    wait_until(lambda: m.daemon.descriptors() <= before, 'the descriptors are closed')


@harness.as_user
@harness.unmounted
def test_native_refuses_to_start_where_it_cannot_be_had(m):
    done = subprocess.run([os.environ['SMFS'], '-f', '-o', 'access=native', m.keys, m.mnt], capture_output=True,
                          text=True, timeout=15)
    equal((done.returncode != 0, done.stdout, done.stderr.count('\n')), (True, '', 1), done.stderr)
    equal('native access cannot be had (Operation not permitted)' in done.stderr, True, done.stderr)
    equal(os.listdir(m.mnt), [])


def test_open_through_another_mount(m):
    """Whoever has it open there keeps the bytes: the size is not changed under them."""
    if m.copying:
        return
    second = m.keys + '/second'
    os.mkdir(second)
    m.key()
    m.make(contents=b'x' * 5000)
    m.start(mountpoint=second)
    fd = os.open(second + '/app.key:A', os.O_RDONLY)
    fails('EBUSY', os.truncate, m.at('app.key:A'), 100)
    writer = os.open(m.at('app.key:A'), os.O_RDWR)
    fails('EBUSY', os.ftruncate, writer, 100)
    equal(os.pread(fd, 5, 4995), b'xxxxx')
    os.close(fd)
    wait_until(lambda: errno_of(os.ftruncate, writer, 100) == 'OK', 'it can be changed once it is closed there')
    os.close(writer)
    equal(os.stat(second + '/app.key:A').st_size, 100)
    m.remove()


# ---- in any language

def test_python_and_c_share_an_object_through_the_file(m):
    if m.copying or 'POSITION' not in os.environ:
        return
    m.key()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../tools/examples/position.py')
    m.run('truncate -s 24 app.key:A')
    m.run('python3 %s app.key:A 1.5 -2' % script, expected='1 moves, at 1.5 -2\n')
    m.run('$POSITION app.key:A', expected='1 moves, at 1.5 -2\n')
    m.run('$POSITION app.key:A 3 0.25', expected='2 moves, at 3 0.25\n')
    m.run('python3 %s app.key:A' % script, expected='2 moves, at 3 0.25\n')
    equal(shm.stat(m.data().id).nattch, 0)
    m.remove()


harness.main(globals())
