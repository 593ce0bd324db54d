# SPDX-License-Identifier: MIT
""".id and .key: every segment of the namespace by its numbers, whoever made it."""

import mmap
import os
import stat
import subprocess
import time

import harness
import shm
from case import as_uid, equal, errno_of, fails
from daemon import wait_until

STRANGER = 65534
BAD_IDS = ('-1', '+1', '01', '00', '', ' 1', '1 ', '0x1', '1.', '1.inf', '1.info2', '1.refcount', '1:A', 'x',
           '2147483648', '4294967296', '18446744073709551617', '99999999999999999999999')
BAD_KEYS = ('0x1', '0X0101abcd', '0x0101ABCD', '0x0101abcd0', '0101abcd', '0x0101abc', '0x0101abcg', '0x-101abcd',
            '0x00000000', '0x100000000', '-0x101abcd')


def private(m, size=100, mode=0o600):
    return m.own(shm.get(shm.IPC_PRIVATE, size, shm.IPC_CREAT | mode))


def ids(m):
    return sorted(os.listdir(m.at('.id')), key=int)


def test_the_root_shows_both(m):
    with os.scandir(m.mnt) as entries:
        found = {e.name: e for e in entries}
        equal(sorted(found), ['.id', '.key'])
        for name, entry in found.items():
            equal(entry.is_dir(), True)
            equal(entry.inode(), os.stat(m.at(name)).st_ino)
    m.key('sub/x')
    m.make('sub/x', contents=b'x')
    equal(sorted(os.listdir(m.at('sub'))), ['x:A', 'x:A.refcount'])
    fails('ENOENT', os.stat, m.at('sub/.id'))
    for name in '.id', '.key':
        fails('EEXIST', os.mkdir, m.at(name))
        fails('EPERM', os.rmdir, m.at(name))
        fails('EISDIR', os.open, m.at(name), os.O_WRONLY)
        fails('EISDIR', os.unlink, m.at(name))
        equal(os.access(m.at(name), os.R_OK | os.X_OK), True)


def test_the_times_of_the_directories_stand_still(m):
    """tar says "file changed as we read it", and ends with 1, where they do not."""
    m.key()
    m.create('app.key:A', b'hello')
    before = [os.stat(m.at(name)) for name in ('.id', '.key')]
    m.run('tar cf /dev/null . && tar cf $K/a.tar .')
    after = [os.stat(m.at(name)) for name in ('.id', '.key')]
    equal([(s.st_mtime_ns, s.st_ctime_ns) for s in after], [(s.st_mtime_ns, s.st_ctime_ns) for s in before])
    os.unlink(m.at('app.key:A'))


def test_every_segment_is_listed_once(m):
    shm.next_id(0)
    m.key()
    made = list(m.make(contents=b'hello'))
    made += [private(m, size) for size in (1, 4095, 70000)]
    made += [m.own(shm.get(key, 10, shm.IPC_CREAT | 0o600)) for key in (1, 0x7fffffff, 0x80000000, 0xffffffff)]
    equal(ids(m), sorted(map(str, made), key=int))
    with os.scandir(m.at('.id')) as entries:
        for entry in entries:
            equal((entry.is_file(follow_symlinks=False), entry.stat().st_ino), (True, int(entry.name)))
    equal(made[0], 0, 'shmid 0 is one of them')
    sizes = {i: os.stat(m.at('.id/%d' % i)).st_size for i in made}
    equal(sizes, {i: shm.stat(i).size for i in made})
    m.run('find .id -type f -size +60k; find .id -type f -size 0', expected='.id/%d\n' % made[4])


def test_reads_writes_and_maps_as_an_object_file(m):
    shmid = private(m, 5000)
    shm.write(shmid, b'foreign')
    path = '.id/%d' % shmid
    equal(m.read(path)[:8], b'foreign\0')
    m.run('printf mine 1<> ' + path)
    equal(shm.read(shmid, 8), b'mineign\0')
    fails('ENOSPC', m.write, path, b'x', os.O_WRONLY | os.O_APPEND)
    with open(m.at(path), 'r+b') as f:
        if m.copying:
            fails('ENODEV', mmap.mmap, f.fileno(), 5000)
        else:
            with mmap.mmap(f.fileno(), 5000) as view:
                view[4999] = 33
                equal(shm.read(shmid, 1, 4999), b'!')
    m.run(': > ' + path)
    equal(shm.read(shmid), bytes(5000))
    equal(shm.stat(shmid).nattch, 0)


def test_one_inode_under_two_names(m):
    m.key()
    data, counter = m.make(contents=b'x' * 5000)
    by_id, by_name = os.stat(m.at('.id/%d' % data)), os.stat(m.at('app.key:A'))
    equal(os.path.samestat(by_id, by_name), True)
    for first, second in (('.id/%d' % data, 'app.key:A'), ('app.key:A', '.id/%d' % data)):
        with open(m.at(first), 'r+b', 0) as a, open(m.at(second), 'r+b', 0) as b, open(m.at(second), 'rb', 0) as c:
            os.pwrite(a.fileno(), b'written', 4000)
            equal(os.pread(b.fileno(), 7, 4000), b'written')
            equal(os.pread(c.fileno(), 7, 4000), b'written')
            if not m.copying:
                with mmap.mmap(a.fileno(), 5000) as one, mmap.mmap(c.fileno(), 5000, prot=mmap.PROT_READ) as two:
                    one[0] = 65
                    equal(two[0], 65)
    equal(os.stat(m.at('.id/%d' % counter)).st_ino, counter)
    equal(m.read('.id/%d' % counter)[:4], b'\0\0\0\0')


def test_chmod_and_chown(m):
    m.key()
    data, counter = m.make(contents=b'x')
    os.chmod(m.at('.id/%d' % data), 0o640)
    equal([s.mode for s in m.find()], [0o640, 0o640], 'an object, both segments')
    os.chown(m.at('.id/%d' % data), 1001, 1002)
    equal([(s.uid, s.gid) for s in m.find()], [(1001, 1002)] * 2)
    alone = private(m)
    os.chmod(m.at('.id/%d' % alone), 0o604)
    os.chown(m.at('.id/%d' % alone), 5, 6)
    equal(shm.stat(alone)[3:7], (0o604, False, 5, 6))
    os.chmod(m.at('.id/%d' % counter), 0o600)
    equal([s.mode for s in m.find()], [0o640, 0o600], 'a counter, itself')
    os.utime(m.at('.id/%d' % alone))
    m.run('find .id -user 1001 -perm 640; find .id -type f -mmin +1', expected='.id/%d\n' % data)


def test_rm_frees_one_segment(m):
    m.key()
    data, counter = m.make(contents=b'x')
    m.run('rm .id/%d' % data)
    equal([bool(s) for s in m.find()], [False, True])
    fails('ENOENT', os.stat, m.at('.id/%d' % data))
    m.run('rm .id/%d' % counter)
    alone = private(m)
    m.run('rm -f .id/*; ls .id; ls .key')
    equal(shm.listing(), [])
    fails('ENOENT', os.unlink, m.at('.id/%d' % alone))


def test_removed_but_attached(m):
    shmid = shm.get(0x12345678, 5000, shm.IPC_CREAT | 0o600)
    address = shm.attach(shmid)
    try:
        shm.write(shmid, b'kept')
        shm.remove(shmid)
        equal(ids(m), [str(shmid)])
        equal(os.listdir(m.at('.key')), [])
        path = m.at('.id/%d' % shmid)
        equal(os.stat(path).st_nlink, 0)
        equal(m.read('.id/%d' % shmid)[:4], b'kept')
        equal(m.write('.id/%d' % shmid, b'KE'), 2)
        os.chmod(path, 0o644)
        equal((shm.stat(shmid).removed, shm.stat(shmid).mode), (True, 0o644))
        equal(shm.read(shmid, 4), b'KEpt')
        pages = 2 if m.copying else 1     # copying touches what it reads
        wait_until(lambda: os.stat(path).st_blocks == 8 * pages, 'its memory is seen', 3)
        m.run('ls -l .id | grep -c " 5000 "', expected='1\n')
        m.run('rm .id/%d' % shmid)
        equal(ids(m), [str(shmid)], 'it goes with its last user')
    finally:
        shm.detach(address)
    equal(ids(m), [])


def test_size_changes_where_there_is_a_key_only(m):
    alone, keyed = private(m, 100), m.own(shm.get(0x6b000001, 100, shm.IPC_CREAT | 0o600))
    shm.write(keyed, b'kept')
    os.truncate(m.at('.id/%d' % alone), 100)
    fails('EPERM', os.truncate, m.at('.id/%d' % alone), 200)
    equal(shm.stat(alone).size, 100)
    os.truncate(m.at('.id/%d' % keyed), 200)
    now = m.own(shm.find(0x6b000001))
    equal((shm.stat(now).size, shm.read(now, 5)), (200, b'kept\0'))
    fails('ENOENT', os.stat, m.at('.id/%d' % keyed))


def test_keys_are_links(m):
    made = {}
    for key in (1, 0x0101abcd, 0x7fffffff, 0x80000000, 0xfedcba98, 0xffffffff):
        made[key] = m.own(shm.get(key, 10, shm.IPC_CREAT | 0o600))
        shm.write(made[key], b'%08x' % key)
    private(m)
    equal(sorted(os.listdir(m.at('.key'))), sorted('0x%08x' % k for k in made))
    inodes = set()
    for key, shmid in made.items():
        path = m.at('.key/0x%08x' % key)
        target = '../.id/%d' % shmid
        seen = os.lstat(path)
        equal((os.readlink(path), seen.st_size, stat.S_ISLNK(seen.st_mode)), (target, len(target), True))
        equal(os.stat(path).st_ino, shmid)
        equal(m.read('.key/0x%08x' % key)[:8], b'%08x' % key)
        inodes.add(seen.st_ino)
        fails('EPERM', os.unlink, path)
    equal((len(inodes), min(inodes) > 1 << 32), (len(made), True))
    shm.remove(made[1])
    fails('ENOENT', os.lstat, m.at('.key/0x00000001'))
    again = m.own(shm.get(1, 10, shm.IPC_CREAT | 0o600))
    equal(os.readlink(m.at('.key/0x00000001')), '../.id/%d' % again)


def test_what_is_no_number_does_not_exist(m):
    for _ in range(3):
        private(m)
    m.own(shm.get(0x0101abcd, 10, shm.IPC_CREAT | 0o600))
    count = len(shm.listing())
    for name in BAD_IDS:
        if name:
            fails('ENOENT', os.lstat, m.at('.id/' + name))
    for name in BAD_KEYS:
        fails('ENOENT', os.lstat, m.at('.key/' + name))
    equal(len(shm.listing()), count, 'no lookup makes a segment')
    for name in ('.id/99', '.id/x', '.key/0x00000009'):
        fails('EPERM', os.open, m.at(name), os.O_WRONLY | os.O_CREAT, 0o600)
        fails('EPERM', os.mkdir, m.at(name))
        fails('EPERM', os.symlink, 'x', m.at(name))
    fails('EPERM', os.link, m.at('.id/%d' % shm.find(0x0101abcd)), m.at('.id/77'))


@harness.allow_other
def test_a_stranger_may_do_what_shmat_and_shmctl_let_him(m):
    cases = {mode: private(m, mode=mode) for mode in (0o600, 0o644, 0o666)}
    theirs = m.own(as_uid(STRANGER, STRANGER, [], lambda: shm.get(0x6b000002, 10, shm.IPC_CREAT | 0o600)))

    def look():
        seen = {}
        for mode, shmid in list(cases.items()) + [(0, theirs)]:
            path = m.at('.id/%d' % shmid)
            seen[mode] = ([errno_of(lambda f=f: os.close(os.open(path, f))) for f in (os.O_RDONLY, os.O_RDWR)],
                          os.stat(path).st_mode & 0o777, errno_of(os.chmod, path, 0o600), errno_of(os.unlink, path))
        return seen
    equal(as_uid(STRANGER, STRANGER, [], look), {
        0o600: (['EACCES', 'EACCES'], 0o600, 'EPERM', 'EPERM'), 0o644: (['OK', 'EACCES'], 0o644, 'EPERM', 'EPERM'),
        0o666: (['OK', 'OK'], 0o666, 'EPERM', 'EPERM'), 0: (['OK', 'OK'], 0o600, 'OK', 'OK')})


def test_never_stale(m):
    """What others do is there at the next call, also when an id comes back at once."""
    for i in range(50):
        shm.next_id(7)
        size, mode = 10 + i, (0o600, 0o644)[i % 2]
        shmid = shm.get(0x6b000003 + i, size, shm.IPC_CREAT | mode)
        path = m.at('.id/%d' % shmid)
        seen = os.stat(path)
        equal((shmid, seen.st_size, seen.st_mode & 0o777, seen.st_uid), (7, size, mode, 0))
        shm.write(shmid, b'%06d' % i)
        equal(m.read('.id/7')[:6], b'%06d' % i)
        shm.set(shmid, uid=1000 + i)
        equal(os.stat(path).st_uid, 1000 + i)
        equal(os.readlink(m.at('.key/0x%08x' % (0x6b000003 + i))), '../.id/7')
        shm.remove(shmid)
        fails('ENOENT', os.stat, path)
        fails('ENOENT', os.lstat, m.at('.key/0x%08x' % (0x6b000003 + i)))
        equal((ids(m), os.listdir(m.at('.key'))), ([], []))


def test_df_counts_segments_and_pages(m):
    before = os.statvfs(m.mnt)
    with open('/proc/sys/kernel/shmmni') as limit:
        equal(before.f_files, int(limit.read()))
    made = [private(m, size) for size in (1, 4096, 4097)]
    after = os.statvfs(m.at('.id/%d' % made[0]))
    equal((before.f_ffree - after.f_ffree, before.f_bfree - after.f_bfree), (3, 4))


def processor_time(pid):
    """Seconds that PID's threads, the ended ones too, have used: clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)


def cost(m, *command):
    """Processor seconds of a command and of the daemon for it: what it takes on a machine that has nothing else to do."""
    def used():
        children = os.times()
        return processor_time(m.daemon.pid) + children.children_user + children.children_system
    start = used()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return used() - start


@harness.deadline(120)
@harness.not_under('valgrind', 'it compares times')
def test_a_long_listing_is_linear(m):
    """`ls -l .id` within 5 times of `ipcs -m` for 4,096 segments; 8 times as many take some 8 times as long."""
    with open('/proc/sys/kernel/shmmni', 'w') as limit:
        limit.write('32768')
    took = {}
    made = []

    def measure(few):
        """ls, ipcs; more than once where others take the processor, while what READDIRPLUS told runs out of its millisecond."""
        best = [float('inf')] * 2
        for _ in range(12):
            best = [min(b, cost(m, *c)) for b, c in zip(best, (('ls', '-l', m.at('.id')), ('ipcs', '-m')))]
            if best[0] <= 3 * best[1] and best[0] <= 15 * few:
                break
        return best
    for count in (4096, 32768):
        made += [shm.get(shm.IPC_PRIVATE, 1, 0o600) for _ in range(count - len(made))]
        took[count] = measure(took[4096][0] if took else float('inf'))
    equal(len(os.listdir(m.at('.id'))), 32768)
    for shmid in made:
        shm.remove(shmid)
    for count, (ls, ipcs) in took.items():
        print('     %d segments: ls -l %.3f s, ipcs -m %.3f s of processor time' % (count, ls, ipcs))
        if ls > 5 * ipcs:
            raise AssertionError('%d segments: ls -l took %.3f s, ipcs -m %.3f s' % (count, ls, ipcs))
    if took[32768][0] > 20 * took[4096][0]:
        raise AssertionError('not linear: %s' % took)


harness.main(globals())
