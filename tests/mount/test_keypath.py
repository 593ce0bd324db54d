# SPDX-License-Identifier: MIT
"""Key paths: nobody learns of a file, or gets at an object, by a way that he could not walk himself; no file system that hangs
stops anybody but its caller."""

import ctypes
import errno
import fcntl
import os
import struct
import threading
import time

import harness
import people
import shm
from case import equal, errno_of, fails, in_child, spawn
from daemon import is_mounted, mount, patience, umount, wait_until
from people import CREATOR, STRANGER, foreign

NAMES = ('{}', '{}:A', '{}:B', '{}:A.refcount', '{}:A.info', '{}/x', '{}/x:A', '{}/.:A')
RENAME_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def operations(m, name, other):
    """Every operation that takes a name, with errno."""
    at = m.at(name)

    def opened(flags):
        return lambda: os.close(os.open(at, flags, 0o600))
    return {'stat': lambda: os.stat(at), 'access': lambda: os.close(os.open(at, os.O_PATH)),
            'read': opened(os.O_RDONLY), 'write': opened(os.O_WRONLY), 'truncate': opened(os.O_WRONLY | os.O_TRUNC),
            'create': opened(os.O_CREAT | os.O_WRONLY), 'create anew': opened(os.O_CREAT | os.O_EXCL | os.O_WRONLY),
            'unlink': lambda: os.unlink(at), 'list': lambda: os.listdir(at), 'chmod': lambda: os.chmod(at, 0o600),
            'chown': lambda: os.chown(at, STRANGER[0], -1), 'size': lambda: os.truncate(at, 1),
            'utimes': lambda: os.utime(at), 'mkdir': lambda: os.mkdir(at), 'rmdir': lambda: os.rmdir(at),
            'rename': lambda: os.rename(at, m.at(other)), 'rename onto': lambda: os.rename(m.at(other), at),
            'link': lambda: os.link(at, m.at(other + '2')), 'symlink': lambda: os.symlink('x', at),
            'readlink': lambda: os.readlink(at), 'statfs': lambda: os.statvfs(at), 'getxattr': lambda: os.getxattr(at, 'user.x')}


@harness.allow_other
@harness.deadline(60)
def test_every_operation_under_a_closed_directory(m):
    """An existing file with an object, one without, and a missing one: one and the same errno, directly and through links."""
    m.key('closed/there')
    m.key('closed/bare')
    os.mkdir(m.keys + '/closed/dir')
    m.make('closed/there', contents=b'x', mode=0o666)
    m.key('open')
    os.chmod(m.keys + '/closed', 0o700)
    for name in ('there', 'bare', 'missing', 'dir'):
        os.symlink('closed/' + name, m.keys + '/to_' + name)
        os.symlink(m.keys + '/closed/' + name, m.keys + '/abs_' + name)

    def ask():
        seen = {}
        for way in ('closed/', 'to_', 'abs_'):
            for form in NAMES:
                for what in operations(m, '', 'open:A'):
                    answers = {name: errno_of(operations(m, form.format(way + name), 'open:A')[what])
                               for name in ('there', 'bare', 'missing', 'dir')}
                    seen[way + form + ' ' + what] = answers
        return seen
    seen = in_child(ask, people.user(*STRANGER))
    telling = {what: answers for what, answers in seen.items() if len(set(answers.values())) > 1}
    equal(len(telling), 0, 'of %d, answers that tell files apart: %s' % (len(seen), dict(list(telling.items())[:4])))
    succeeded = [what for what, answers in seen.items() if 'OK' in answers.values()]
    equal(succeeded, [])
    equal(m.bytes_of('closed/there'), b'x')


@harness.allow_other
def test_a_listing_tells_nothing_of_closed_directories(m):
    m.key('closed/sub/app.key')
    m.create('closed/sub/app.key:A', b'x')         # recorded with its path
    m.run('ls', expected='closed\n')
    os.chmod(m.keys + '/closed', 0o711)
    os.chmod(m.keys + '/closed/sub', 0o700)
    equal(in_child(lambda: m.listing(), people.user(*STRANGER)), [])
    equal(in_child(lambda: errno_of(m.listing, 'closed'), people.user(*STRANGER)), 'EACCES')
    os.unlink(m.at('closed/sub/app.key:A'))


@harness.allow_other
@harness.deadline(60)
def test_a_link_that_is_swapped_all_the_time(m):
    """Between a file of one's own and one in a closed directory: never an object of the closed one."""
    m.key('closed/secret')
    foreign(m, 'closed/secret', 0o666, b'closed')
    os.chmod(m.keys + '/closed', 0o700)
    os.mkdir(m.keys + '/mine')
    m.key('mine/own')
    foreign(m, 'mine/own', 0o666, b'mine')
    for name, target in (('a', 'own'), ('b', '../closed/secret')):
        os.symlink(target, m.keys + '/mine/' + name)
    os.mkdir(m.keys + '/mine/dir')
    m.key('mine/dir/secret')
    foreign(m, 'mine/dir/secret', 0o666, b'mine')
    os.symlink('../closed', m.keys + '/mine/dirlink')
    for path in ('', '/own', '/dir', '/dir/secret'):
        os.chown(m.keys + '/mine' + path, *STRANGER)
    stop = m.scratch + '/stop'

    def swap():
        here = os.open(m.keys + '/mine', os.O_RDONLY)
        while not os.path.exists(stop):
            for one, two in ((b'a', b'b'), (b'dir', b'dirlink')):
                if _libc.renameat2(here, one, here, two, RENAME_EXCHANGE):
                    raise OSError(ctypes.get_errno(), 'renameat2')
    swapper = spawn(lambda: (people.user(*STRANGER)(), swap()))

    def look():
        seen = {}
        end = time.monotonic() + 8
        while time.monotonic() < end:
            for name in ('mine/a:A', 'mine/dir/secret:A'):
                try:
                    answer = m.read(name)
                except OSError as e:
                    answer = e.errno
                seen[answer] = seen.get(answer, 0) + 1
        return seen
    try:
        seen = in_child(look, people.user(*STRANGER))
    finally:
        open(stop, 'w').close()
        equal(os.waitpid(swapper, 0)[1], 0)
    print('     (%s)' % seen)
    equal(b'closed' in seen, False, 'the closed object was read')
    equal(b'mine' in seen and 13 in seen, True, 'both sides were met')


class Hung:
    """A FUSE file system under KEYDIR that nobody serves: whoever looks into it waits."""

    def __init__(self, m, name='hung'):
        self.path = m.keys + '/' + name
        os.mkdir(self.path)
        self.device = os.open('/dev/fuse', os.O_RDWR)
        mount('nobody', self.path, 'fuse', data='fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % self.device)
        # INIT is answered, or the kernel itself would hold everything up before it asks
        request = os.read(self.device, 1 << 17)
        unique = request[8:16]
        body = (7).to_bytes(4, 'little') + (31).to_bytes(4, 'little') + (65536).to_bytes(4, 'little') + bytes(52)
        os.write(self.device, (16 + len(body)).to_bytes(4, 'little') + bytes(4) + unique + body)

    def close(self):
        """Whoever still waits in it gets an error."""
        os.close(self.device)
        umount(self.path, harness.MNT_DETACH)


class Refusing(Hung):
    """Served in a thread of ours: it has a file or a directory of any name, but only for the first who asks; then ENOSYS."""

    LOOKUP, FORGET, GETATTR, INTERRUPT, BATCH_FORGET = 1, 2, 3, 36, 42

    def __init__(self, m, name='refusing'):
        super().__init__(m, name)
        self.seen = set()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                request = os.read(self.device, 1 << 17)
                opcode = int.from_bytes(request[4:8], 'little')
                if opcode in (self.FORGET, self.INTERRUPT, self.BATCH_FORGET):
                    continue
                error, body = self.answer(opcode, request[16:24], request[40:])
                os.write(self.device, struct.pack('<Ii', 16 + len(body), -error) + request[8:16] + body)
        except OSError:
            pass        # unmounted

    def answer(self, opcode, node, rest):
        def attributes(ino, mode):
            return struct.pack('<6Q10I', ino, 0, 0, 0, 0, 0, 0, 0, 0, mode, 2, 0, 0, 0, 4096, 0)
        name = rest.rstrip(b'\0')
        if opcode == self.LOOKUP and name not in self.seen:
            self.seen.add(name)
            mode = 0o40755 if name.startswith(b'd') else 0o100644
            return 0, struct.pack('<4Q2I', len(self.seen) + 1, 0, 0, 0, 0, 0) + attributes(len(self.seen) + 1, mode)
        if opcode == self.GETATTR and node == (1).to_bytes(8, 'little'):
            return 0, bytes(16) + attributes(1, 0o40755)
        return errno.ENOSYS, b''


class Unanswered:
    """The same, but no FUSE file system: an automount point whose daemon reads no request."""

    CATATONIC = 0x9362      # ioctl: whoever waits gets an error

    def __init__(self, m, name='unanswered'):
        self.path = m.keys + '/' + name
        os.mkdir(self.path)
        self.pipe = os.pipe()
        mount('nobody', self.path, 'autofs', data='fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect' % (self.pipe[1], os.getpid()))
        self.root = os.open(self.path, os.O_RDONLY)

    def close(self):
        fcntl.ioctl(self.root, self.CATATONIC, 0)
        for fd in (self.root,) + self.pipe:
            os.close(fd)
        umount(self.path, harness.MNT_DETACH)


@harness.allow_other
def test_a_key_path_that_knows_no_operation(m):
    """ENOSYS from us would tell the kernel to answer for us from then on: no file could be made, and access(2) be yes."""
    m.key()
    m.make(contents=b'x', mode=0o600)
    refusing = Refusing(m)
    other = people.user(*STRANGER)
    try:
        for call in (lambda: os.open(m.at('refusing/f:A'), os.O_CREAT | os.O_WRONLY), lambda: os.listdir(m.at('refusing/d1')),
                     lambda: os.stat(m.at('refusing/d2')), lambda: os.access(m.at('refusing/d3'), os.R_OK),
                     lambda: os.chmod(m.at('refusing/d4'), 0o700), lambda: os.truncate(m.at('refusing/g:A'), 5)):
            for _ in range(3):
                try:
                    call()
                except OSError:
                    pass
        equal(in_child(lambda: os.access(m.at('app.key:A'), os.R_OK), other), False, "a stranger is told that he may read root's")
    finally:
        refusing.close()
    m.run('echo new > app.key:B; cat app.key:B; ls; rm app.key:B',
          expected='new\napp.key:A\napp.key:A.refcount\napp.key:B\napp.key:B.refcount\n')


def timed(call):
    begun = time.monotonic()
    return errno_of(call), time.monotonic() - begun


def in_background(call):
    """A thread that will have (errno, seconds) of CALL in the list that comes with it."""
    answer = []
    thread = threading.Thread(target=lambda: answer.append(call()), daemon=True)
    thread.start()
    return thread, answer


def served_meanwhile(m):
    """Two others read, list and stat again and again; the seconds that the slowest time took."""
    slowest = 0
    for _ in range(100):
        for who in (people.user(0, 0), people.user(*CREATOR)):
            answer, seconds = in_child(lambda: timed(lambda: (m.read('app.key:A'), m.listing(), os.stat(m.at('app.key:A')))), who)
            equal(answer, 'OK')
            slowest = max(slowest, seconds)
    return slowest


@harness.allow_other
@harness.deadline(60)
def test_a_hung_file_system_blocks_only_its_caller(m):
    """ETIMEDOUT after 5 s for whoever asks; meanwhile others, and the same user elsewhere, are served as ever."""
    m.daemon.may_complain = True        # it says which path hangs
    m.key()
    foreign(m, 'app.key', 0o666)
    hung = Hung(m)
    try:
        waiting = [in_background(lambda name=name: in_child(lambda: timed(lambda: os.stat(m.at(name))), people.user(*STRANGER)))
                   for name in ['hung/a:A', 'hung/b:A.refcount'] + ['hung/%d:A' % i for i in range(30)]]
        waiting.append(in_background(lambda: in_child(lambda: timed(lambda: os.close(
            os.open(m.at('hung/c:A'), os.O_CREAT | os.O_WRONLY))), people.user(*STRANGER))))
        time.sleep(0.5)
        slowest = served_meanwhile(m)
        for thread, _ in waiting:
            thread.join(15)
        answers = [answer for _, got in waiting for answer, _ in got]
        equal(set(answers), {'ETIMEDOUT', 'EAGAIN'}, 'who looks into it')      # the latter while eight others of his wait
        equal(len(answers), 33)
        times = [seconds for _, got in waiting for _, seconds in got]
        print('     (answers after %.1f to %.1f s; the slowest of the others took %.3f s)' % (min(times), max(times), slowest))
        # the kernel asks again when revalidating fails, and once more to create: three times 5 s at the most
        equal([t for t in times if t < 4.5 or t > patience(17)], [], 'seconds until ETIMEDOUT')
        if slowest > 1:
            raise AssertionError('another user waited %.2f s' % slowest)
        equal('did not answer in time' in m.daemon.stderr(), True, 'the log: %r' % m.daemon.stderr())
        # one of each kind in ten seconds, and this takes up to fifteen; and how many were left out
        equal(2 <= m.daemon.stderr().count('\n') <= patience(6), True, 'lines: ' + m.daemon.stderr())
    finally:
        hung.close()
    fails('ENOENT', os.stat, m.at('hung/a:A'))


@harness.allow_other
@harness.deadline(60)
def test_every_operation_on_a_hung_file_system_blocks_only_its_caller(m):
    """Each user has one operation, each operation a file system: nothing else is in its way, neither limits nor locks."""
    m.daemon.may_complain = True
    m.key()
    foreign(m, 'app.key', 0o666)
    calls = {'list it': lambda d: os.listdir(d), 'list below': lambda d: os.listdir(d + '/sub'),
             'unlink': lambda d: os.unlink(d + '/a:A'), 'chmod': lambda d: os.chmod(d + '/a:A', 0o600),
             'read .info': lambda d: open(d + '/a:A.info').close(), 'truncate': lambda d: os.truncate(d + '/a:A', 1),
             'open': lambda d: os.close(os.open(d + '/a:A', os.O_RDWR)),
             'create': lambda d: os.close(os.open(d + '/a:A', os.O_CREAT | os.O_WRONLY))}
    hung = [Hung(m, 'hung%d' % number) for number in range(len(calls))]
    try:
        waiting = {what: in_background(lambda number=number, call=call: in_child(
            lambda: timed(lambda: call(m.at('hung%d' % number))), people.user(3000 + number, 3000 + number)))
            for number, (what, call) in enumerate(calls.items())}
        time.sleep(0.5)
        slowest = served_meanwhile(m)
        for thread, _ in waiting.values():
            thread.join(patience(20))
        equal({what: [answer for answer, _ in got] for what, (_, got) in waiting.items()},
              {what: ['ETIMEDOUT'] for what in calls})
        times = {what: got[0][1] for what, (_, got) in waiting.items()}
        print('     (%s; the slowest of the others took %.3f s)'
              % (', '.join('%s %.1f s' % pair for pair in times.items()), slowest))
        equal({what: t for what, t in times.items() if t < 4.5 or t > patience(17)}, {}, 'seconds until ETIMEDOUT')
        if slowest > 1:
            raise AssertionError('another user waited %.2f s' % slowest)
    finally:
        for one in hung:
            one.close()


def stats_of(m, uid, count):
    """A process of that user in which COUNT threads look into what hangs; each for another name, or the kernel asks once."""
    def look():
        people.user(uid, uid)()
        threads = [in_background(lambda name='hung/%d.%d:A' % (uid, i): errno_of(os.stat, m.at(name)))[0]
                   for i in range(count)]
        for thread in threads:
            thread.join()
    return spawn(look)


def listed_at_once(m, who):
    """ls by WHO; what he is refused is refused after 5 s."""
    answer, seconds = in_child(lambda: timed(lambda: m.run('ls', expected='app.key:A\napp.key:A.refcount\n')), who)
    equal(answer, 'OK')
    if seconds > patience(4):
        raise AssertionError('ls took %.2f s' % seconds)


@harness.allow_other
@harness.not_under('tsan', 'so many threads take it minutes')
@harness.deadline(60)
def test_many_users_whose_key_paths_hang(m):
    """Twenty users let nine requests each hang: everybody else is served as ever, before these have timed out and afterwards."""
    m.daemon.may_complain = True
    m.key()
    foreign(m, 'app.key', 0o666)
    hung = Hung(m)
    at_rest = m.daemon.status('Threads')
    try:
        pids = [stats_of(m, 3000 + i, 9) for i in range(20)]
        try:
            wait_until(lambda: m.daemon.status('Threads') > at_rest + 120, 'they hang')
            for _ in range(2):
                for who in (people.user(3999, 3999), people.user(0, 0)):
                    listed_at_once(m, who)
                wait_until(lambda: 'did not answer in time' in m.daemon.stderr(), 'they have timed out', 15)
            equal('user 3999' in m.daemon.stderr() or 'user 0' in m.daemon.stderr(), False, m.daemon.stderr())
        finally:
            hung.close()
    finally:
        for pid in pids:
            os.waitpid(pid, 0)


@harness.allow_other
@harness.options('-o', 'waiting=1')
def test_a_new_file_waits_for_nothing_that_hangs(m):
    """What the kernel has in its caches needs no thread: neither looking it up nor making it."""
    m.daemon.may_complain = True
    m.key()
    hung = Hung(m)
    pid = stats_of(m, 3000, 1)
    try:
        os.read(hung.device, 1 << 17)       # it hangs
        for _ in range(5):
            answer, seconds = in_child(lambda: timed(lambda: (m.create('app.key:A', b'x'), os.unlink(m.at('app.key:A')))),
                                       people.user(3000, 3000))
            if answer != 'EAGAIN':      # the kernel's, where another test mounts something at that instant
                break
        equal(answer, 'OK')
        if seconds > patience(4):
            raise AssertionError('it took %.2f s' % seconds)
    finally:
        hung.close()
        os.waitpid(pid, 0)


@harness.allow_other
@harness.options('-o', 'waiting=2,max_waiting=8')
@harness.deadline(60)
def test_requests_that_find_no_thread(m):
    """EAGAIN, and the log says whose limit was met: that of a user's own, or that of all."""
    m.daemon.may_complain = True
    m.key()
    foreign(m, 'app.key', 0o666)
    hung = Hung(m)
    ls = lambda: m.listing()    # noqa: E731
    pids = [stats_of(m, 3000, 2)]
    try:
        try:
            wait_until(lambda: m.daemon.status('Threads') > 2, 'two hang')
            time.sleep(0.5)
            equal(in_child(lambda: errno_of(ls), people.user(3000, 3000)), 'EAGAIN', 'the third of one user')
            equal('user 3000: a request waited in vain' in m.daemon.stderr(), True, m.daemon.stderr())
            equal('-o waiting=2' in m.daemon.stderr(), True, m.daemon.stderr())
            equal('max_waiting' in m.daemon.stderr(), False, m.daemon.stderr())
            for uid in range(3001, 3007):       # two of the eight for whoever comes, and one for each user
                pids.append(stats_of(m, uid, 1))
            time.sleep(0.5)
            result = m.sh('ls "$M"', cwd=m.keys, user=3999)
            equal((result.status, 'Resource temporarily unavailable' in result.err), (2, True), str(result))
            equal('user 3999: a request waited in vain' in m.daemon.stderr(), True, m.daemon.stderr())
            equal('-o max_waiting=8' in m.daemon.stderr(), True, m.daemon.stderr())
        finally:
            hung.close()
    finally:
        for pid in pids:
            os.waitpid(pid, 0)
    equal(in_child(lambda: errno_of(ls), people.user(3999, 3999)), 'OK', 'afterwards')


@harness.allow_other
@harness.not_under('valgrind', 'at its end valgrind waits for every thread, and one hangs')
@harness.deadline(60)
def test_unmounting_while_a_caller_hangs(m):
    """The daemon ends, with 0, although a thread of it hangs beyond kill -9."""
    m.daemon.may_complain = True
    hung = Hung(m)
    try:
        thread, answer = in_background(lambda: in_child(lambda: timed(lambda: os.stat(m.at('hung/a:A'))), people.user(*STRANGER)))
        time.sleep(0.5)
        begun = time.monotonic()
        umount(m.mnt, harness.MNT_DETACH)
        m.daemon.signal(15)
        thread.join(10)
        equal(answer[0][0] in ('ETIMEDOUT', 'ENOTCONN', 'ECONNABORTED', 'EIO'), True, str(answer))
        equal(is_mounted(m.mnt), False)
        equal(m.daemon.wait(8), 0)
        took = time.monotonic() - begun
        if took > patience(8):
            raise AssertionError('took %.1f s' % took)
    finally:
        hung.close()


def long_way(m):
    """39 links of 1,637 components each in one path, made by a stranger: half a second for whoever walks it."""
    os.mkdir(m.keys + '/e')
    os.mkdir(m.keys + '/e/d')
    os.symlink('d/../' * 818 + '.', m.keys + '/e/l')
    return 'e' + '/l' * 39


@harness.allow_other
@harness.deadline(60)
def test_links_that_lead_too_far(m):
    """In a directory for all, a stranger's are left out. Nobody who lists it waits for them, and others' are shown."""
    m.daemon.may_complain = True
    m.key('pub/app.key')
    os.chmod(m.keys + '/pub', 0o1777)
    foreign(m, 'pub/app.key', 0o666)
    way = long_way(m)
    for number in range(40):
        os.symlink('../' + way, m.keys + '/pub/a%d' % number)
        os.lchown(m.keys + '/pub/a%d' % number, *STRANGER)
    os.symlink('app.key', m.keys + '/pub/link')
    os.lchown(m.keys + '/pub/link', *CREATOR)
    expected = ['app.key:A', 'app.key:A.refcount', 'link:A', 'link:A.refcount']
    for who in (people.user(0, 0), people.user(*CREATOR)):
        in_child(lambda: equal(m.listing('pub'), expected), who)
        equal(in_child(lambda: b'path: ' in m.read('pub/app.key:A.info'), who), True)
    equal('lead too far' in m.daemon.stderr(), True, 'the log: %r' % m.daemon.stderr())
    os.symlink('e/l/l/l/../pub/app.key', m.keys + '/named')
    equal(os.stat(m.at('named:A')).st_ino, m.find('pub/app.key')[0].id, 'by its own name it is found')


@harness.allow_other
@harness.deadline(60)
def test_recorded_paths_that_lead_too_far(m):
    """A stranger's counters record what takes half a second each: who lists sees the others' objects, recorded ones too."""
    m.daemon.may_complain = True
    m.key('app.key')
    m.key('sub/deeper/app.key')
    for name in ('app.key:A', 'sub/deeper/app.key:A'):
        m.create(name, b'x')
    way = os.fsencode(m.keys + '/' + long_way(m))

    def record(number):
        counter = shm.get(0x07000111 + number, 4096, shm.IPC_CREAT | 0o666)
        shm.write(counter, b'\0' * 8 + b'smSMCTR1' + (1).to_bytes(8, 'little') + way)
        return counter
    for counter in in_child(lambda: [record(number) for number in range(100)], people.user(*STRANGER)):
        m.own(counter)
    for who in (people.user(0, 0), people.user(*CREATOR)):
        in_child(lambda: equal(m.listing(), ['app.key:A', 'app.key:A.refcount', 'sub']), who)
        in_child(lambda: equal(m.listing('sub'), ['deeper']), who)
    m.run('rm app.key:A sub/deeper/app.key:A')


@harness.allow_other
@harness.deadline(60)
def test_a_recorded_path_that_hangs(m):
    """A stranger's counter and a stranger's link name files of a file system that hangs: nobody who lists waits for it."""
    m.key()
    foreign(m, 'app.key', 0o666)
    hung = Hung(m)
    try:
        for number, path in enumerate((hung.path + '/x', m.keys + '/link/x')):
            counter = in_child(lambda: shm.get(0x070a0b0c + number, 4096, shm.IPC_CREAT | 0o666), people.user(*STRANGER))
            m.own(counter)
            shm.write(counter, b'\0' * 8 + b'smSMCTR1' + (1).to_bytes(8, 'little') + os.fsencode(path))
        os.symlink('hung', m.keys + '/link')
        os.symlink('hung/y', m.keys + '/file')
        for what in (lambda: equal(m.listing(), ['app.key:A', 'app.key:A.refcount']), lambda: m.read('app.key:A.info')):
            thread, answer = in_background(lambda: timed(what))
            thread.join(12)
            equal((answer[0][0], answer[0][1] < 2), ('OK', True), str(answer))
    finally:
        hung.close()


@harness.allow_other
@harness.deadline(60)
def test_links_that_hang_are_left_out(m):
    """However many there are, whoever lists waits once, sees the rest, and the next one does not wait at all."""
    m.daemon.may_complain = True
    for name in ('app.key', 'elsewhere/real'):
        m.key(name)
        foreign(m, name, 0o666)
    hung = Unanswered(m)
    try:
        for number, target in enumerate(('unanswered/a', 'elsewhere/real', 'unanswered/b', 'unanswered/c', 'unanswered/d')):
            os.symlink(target, m.keys + '/link%d' % number)
        for number, path in enumerate((hung.path + '/x', m.keys + '/link0:A/x')):
            counter = m.own(shm.get(0x070a0b0c + number, 4096, shm.IPC_CREAT | 0o666))
            shm.write(counter, b'\0' * 8 + b'smSMCTR1' + (1).to_bytes(8, 'little') + os.fsencode(path))
        expected = ['app.key:A', 'app.key:A.refcount', 'link1:A', 'link1:A.refcount']
        for what, longest in ((lambda: equal(m.listing(), expected), 9), (lambda: equal(m.listing(), expected), 2),
                              (lambda: m.read('app.key:A.info'), 2), (lambda: m.read('.id/%d.info' % counter), 2)):
            thread, answer = in_background(lambda: in_child(lambda: timed(what), people.user(*STRANGER)))
            thread.join(20)
            equal((answer[0][0], answer[0][1] < longest), ('OK', True), str(answer))
        fails('ETIMEDOUT', os.stat, m.at('link0:A'))
    finally:
        hung.close()
    equal(m.listing(), expected, 'afterwards')


@harness.allow_other
@harness.deadline(60)
def test_a_recorded_path_that_hangs_elsewhere(m):
    """As the links: .info goes without it."""
    m.daemon.may_complain = True
    m.key()
    foreign(m, 'app.key', 0o666)
    hung = Unanswered(m)
    try:
        counter = m.find()[1].id
        shm.remove(counter)
        counter = m.own(shm.get(m.keys_of()[1], 4096, shm.IPC_CREAT | 0o666))
        shm.write(counter, b'\0' * 8 + b'smSMCTR1' + (1).to_bytes(8, 'little') + os.fsencode(hung.path + '/x'))
        for longest in (9, 2):
            thread, answer = in_background(lambda: timed(lambda: equal(b'path: %s\n' % os.fsencode(m.keys + '/app.key') in
                                                                       m.read('app.key:A.info'), True)))
            thread.join(20)
            equal((answer[0][0], answer[0][1] < longest), ('OK', True), str(answer))
    finally:
        hung.close()


harness.main(globals())
