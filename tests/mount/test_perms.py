# SPDX-License-Identifier: MIT
"""Other users on root's mount: exactly what shmat and shmctl give the same caller."""

import os
import socket
import threading

import harness
import shm
from case import as_uid, equal, errno_of, fails
from people import CALLERS, OWNER, STRANGER, attaches, foreign, opens


@harness.allow_other
def test_who_may_read_reads_the_bytes(m):
    m.key()
    foreign(m, 'app.key', 0o640)
    for caller in ('owner', 'creator', 'group', "creator's group", 'supplementary', "supplementary creator's", 'root'):
        equal(as_uid(*CALLERS[caller], lambda: m.read('app.key:A')), b'secret bytes', caller)
    fails('EACCES', as_uid, *STRANGER, [], lambda: m.read('app.key:A'))


@harness.allow_other
def test_who_may_write_without_reading(m):
    """SysV has no write-only attachment: what shmat refuses, the mount refuses."""
    m.key()
    data, _ = foreign(m, 'app.key', 0o602)
    expected = as_uid(*STRANGER, [], lambda: attaches(data, False))
    equal(as_uid(*STRANGER, [], lambda: opens(m.at('app.key:A'), os.O_RDWR)), expected)
    equal(as_uid(*STRANGER, [], lambda: opens(m.at('app.key:A'), os.O_RDONLY)), as_uid(*STRANGER, [], lambda: attaches(data, True)))


@harness.allow_other
def test_chmod_chown_and_rm_are_the_owners_and_creators(m):
    m.key()
    for caller, credentials in CALLERS.items():
        may = caller in ('owner', 'creator', 'root')
        expected = 'OK' if may else 'EPERM'
        foreign(m, 'app.key', 0o666)
        equal(as_uid(*credentials, lambda: errno_of(os.chmod, m.at('app.key:A'), 0o660)), expected, 'chmod by ' + caller)
        equal([s.mode for s in m.find()], [0o660 if may else 0o666] * 2, 'mode after chmod by ' + caller)
        equal(as_uid(*credentials, lambda: errno_of(os.chown, m.at('app.key:A'), 7777, 8888)), expected, 'chown by ' + caller)
        equal([(s.uid, s.gid) for s in m.find()], [(7777, 8888) if may else OWNER] * 2)
        for segment in m.find():
            shm.set(segment.id, *OWNER)
        equal(as_uid(*credentials, lambda: errno_of(os.unlink, m.at('app.key:A'))), expected, 'rm by ' + caller)
        equal(m.find()[0] is None, may)
        m.remove()


@harness.allow_other
def test_a_size_change_is_judged_as_a_write(m):
    m.key()
    foreign(m, 'app.key', 0o644)
    for size in (0, 5, 100):
        equal(as_uid(*STRANGER, [], lambda: errno_of(os.truncate, m.at('app.key:A'), size)), 'EACCES', 'truncate to %d' % size)
    equal((m.bytes_of(), m.data().size), (b'secret bytes', 12))


@harness.allow_other
def test_the_control_file_is_judged_by_the_counter(m):
    m.key()
    _, counter = foreign(m, 'app.key', 0o644)
    m.set_count(5)
    equal(as_uid(*STRANGER, [], lambda: m.read('app.key:A.refcount')), b'5\n')
    for word in ('decr', 'reap', 'nonsense'):
        equal(as_uid(*STRANGER, [], lambda: errno_of(m.refcount, word)), 'EACCES', word)
    shm.set(counter, mode=0o640)
    fails('EACCES', as_uid, *STRANGER, [], lambda: m.read('app.key:A.refcount'))
    equal(m.count(), 5)
    equal(as_uid(*OWNER, [], lambda: errno_of(m.refcount, 'decr')), 'OK')
    equal(m.count(), 4)


@harness.allow_other
def test_stat_does_not_tell_how_long_the_counter_is(m):
    m.key()
    _, counter = foreign(m, 'app.key', 0o644)
    m.set_count(12345)

    def size():
        return os.stat(m.at('app.key:A.refcount')).st_size
    equal(as_uid(*STRANGER, [], size), 6)
    shm.set(counter, mode=0o640)
    for caller, credentials in CALLERS.items():
        equal(as_uid(*credentials, size), 2 if caller == 'other' else 6, caller)


@harness.allow_other
def test_what_a_stranger_makes_is_the_strangers(m):
    m.key()
    as_uid(*STRANGER, [], lambda: (os.umask(0o027), m.create('app.key:A', b'mine'))[1])
    for segment in m.find():
        equal((segment.uid, segment.gid, segment.cuid, segment.cgid, segment.mode), STRANGER * 2 + (0o640,))
    equal(m.bytes_of(), b'mine')
    equal(as_uid(*OWNER, [], lambda: errno_of(os.unlink, m.at('app.key:A'))), 'EPERM')
    as_uid(*STRANGER, [], lambda: os.truncate(m.at('app.key:A'), 10))
    equal([(s.uid, s.cuid, s.mode) for s in m.find()], [(STRANGER[0], STRANGER[0], 0o640)] * 2)
    as_uid(*STRANGER, [], lambda: os.unlink(m.at('app.key:A')))
    equal(shm.listing(), [])


@harness.allow_other
def test_a_closed_directory_tells_nothing(m):
    """Existing and missing files below it give the same answer."""
    m.key('closed/app.key')
    os.chmod(m.keys + '/closed', 0o700)
    m.make('closed/app.key', contents=b'x', mode=0o666)
    os.symlink('closed/app.key', m.keys + '/there')
    os.symlink('closed/missing', m.keys + '/nowhere')

    def look():
        seen = {}
        for name in ('closed/app.key:A', 'closed/missing:A', 'closed/app.key:A.refcount', 'closed/missing:A.refcount', 'closed/sub',
                     'there:A', 'nowhere:A', 'closed/app.key:B', 'there:B', 'nowhere:B'):
            seen[name] = (errno_of(os.stat, m.at(name)), opens(m.at(name), os.O_RDONLY),
                          opens(m.at(name), os.O_CREAT | os.O_WRONLY))
        return seen, errno_of(os.listdir, m.at('closed'))
    seen, listed = as_uid(*STRANGER, [], look)
    equal(seen, {name: ('EACCES',) * 3 for name in seen})
    equal(listed, 'EACCES')
    equal(m.read('there:A'), b'x')
    equal(as_uid(*STRANGER, [], lambda: [n for n in m.listing() if 'closed' in n]), [], 'leads nowhere for the stranger')


@harness.allow_other
def test_a_directory_is_looked_at_as_the_caller(m):
    """With a descriptor that somebody else opened, too: its path is closed to the stranger."""
    m.key('closed/sub/app.key')
    os.chmod(m.keys + '/closed', 0o700)
    fd = os.open(m.at('closed/sub'), os.O_PATH)
    equal(errno_of(os.fstat, fd), 'OK')
    equal(as_uid(*STRANGER, [], lambda: errno_of(os.fstat, fd)), 'EACCES')
    os.close(fd)


@harness.allow_other
def test_a_later_chmod_stops_new_opens_at_once(m):
    m.key()
    data, _ = foreign(m, 'app.key', 0o644)

    def stranger():
        fd = os.open(m.at('app.key:A'), os.O_RDONLY)
        tell.send(b'x')
        tell.recv(1)
        return os.pread(fd, 100, 0), opens(m.at('app.key:A'), os.O_RDONLY)
    mine, tell = socket.socketpair()
    answer = []
    thread = threading.Thread(target=lambda: answer.append(as_uid(*STRANGER, [], stranger)))
    thread.start()
    mine.recv(1)
    shm.set(data, mode=0o600)
    mine.send(b'x')
    thread.join()
    equal(answer, [(b'secret bytes', 'EACCES')], 'what is open stays open, nothing new opens')
    mine.close()
    tell.close()


@harness.allow_other
def test_a_sticky_directory(m):
    """KEYDIR like /tmp: fs.protected_regular must not refuse what shmat allows; links are followed as there."""
    os.chmod(m.keys, 0o1777)
    m.key()
    foreign(m, 'app.key', 0o666)
    for caller in ('root', 'other', 'group'):
        def write():
            fd = os.open(m.at('app.key:A'), os.O_WRONLY | os.O_CREAT, 0o666)
            os.write(fd, b'SECRET')
            os.close(fd)
        equal(as_uid(*CALLERS[caller], lambda: errno_of(write)), 'OK', 'opening with O_CREAT by ' + caller)
    equal(m.bytes_of(), b'SECRET bytes')
    as_uid(*STRANGER, [], lambda: os.symlink('app.key', m.keys + '/link'))
    for caller in ('owner', 'other', 'root'):
        expected = as_uid(*CALLERS[caller], lambda: errno_of(os.stat, m.keys + '/link'))
        equal(as_uid(*CALLERS[caller], lambda: errno_of(os.stat, m.at('link:A'))), expected, 'a stranger\'s link, by ' + caller)


@harness.allow_other
def test_a_directory_that_may_be_searched_but_not_read(m):
    m.key('dark/app.key')
    os.chmod(m.keys + '/dark', 0o711)
    as_uid(*STRANGER, [], lambda: m.create('dark/app.key:A', b'x'))
    equal(as_uid(*STRANGER, [], lambda: m.read('dark/app.key:A')), b'x')
    fails('EACCES', as_uid, *STRANGER, [], lambda: os.listdir(m.at('dark')))
    as_uid(*STRANGER, [], lambda: os.unlink(m.at('dark/app.key:A')))
    equal(shm.listing(), [])


def test_without_allow_other_nobody_else_gets_in(m):
    m.key()
    m.make(contents=b'x')
    fails('EACCES', as_uid, *STRANGER, [], lambda: os.listdir(m.mnt))
    fails('EACCES', as_uid, *STRANGER, [], lambda: m.read('app.key:A'))


harness.main(globals())
