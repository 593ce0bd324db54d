# SPDX-License-Identifier: MIT
"""Nothing is cached that can go stale: what other programs do is seen at once, and no handle shows another's bytes."""

import errno
import os
import time
import threading

import harness
import shm
from case import equal, errno_of, fails
from daemon import wait_until

GONE = ('ENOENT', 'EIDRM', 'ESTALE')


def test_gone_at_once(m):
    m.key()
    for _ in range(50):
        m.make(contents=b'x')
        equal(m.read('app.key:A'), b'x')
        equal(m.read('app.key:A.refcount'), b'0\n')
        m.remove()
        fails('ENOENT', os.stat, m.at('app.key:A'))
        fails('ENOENT', os.open, m.at('app.key:A'), os.O_RDONLY)
        fails('ENOENT', os.stat, m.at('app.key:A.refcount'))
        equal(m.listing(), [])


def test_ipcrm_by_a_shell(m):
    m.key()
    m.run('echo hi > app.key:A; ls; ipcrm --all=shm; ls; cat app.key:A 2>/dev/null || echo gone',
          expected='app.key:A\napp.key:A.refcount\ngone\n')


def test_there_at_once(m):
    m.key()
    for i in range(50):
        fails('ENOENT', os.stat, m.at('app.key:A'))
        m.make(contents=b'%d' % i)
        equal(m.read('app.key:A'), b'%d' % i)
        m.remove()


def test_another_size_mode_and_owner_at_once(m):
    m.key()
    for size in (1, 5000, 77):
        data, _ = m.make(size=size)
        equal(os.stat(m.at('app.key:A')).st_size, size)
        for mode in (0o600, 0o640):
            shm.set(data, 1000 + size, 7, mode)
            seen = os.stat(m.at('app.key:A'))
            equal((seen.st_mode & 0o777, seen.st_uid, seen.st_gid), (mode, 1000 + size, 7))
        m.remove()


def test_new_bytes_under_the_old_name(m):
    m.key()
    for i in range(50):
        m.make(contents=b'generation %02d' % i)
        equal(m.read('app.key:A'), b'generation %02d' % i)
        m.remove()


def test_removed_under_an_open_file(m):
    m.key()
    m.make(contents=b'x' * 5000)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.pread(fd, 1, 0), b'x')
    m.remove()
    fails('ENOENT', os.stat, m.at('app.key:A'))
    for _ in range(2):
        if m.copying:
            fails('EIDRM', os.pread, fd, 10, 0)
            fails('EIDRM', os.pwrite, fd, b'y', 0)
            fails('EIDRM', os.ftruncate, fd, 0)
        else:
            equal(os.pread(fd, 3, 0)[1:], b'xx')
    if not m.copying:
        os.ftruncate(fd, 0)
        equal(os.pread(fd, 9999, 0), bytes(5000))
    os.close(fd)


def test_modes_of_what_is_gone(m):
    """fchmod and fchown have a descriptor, not a name that may be somebody else's by now; and they bring nothing back."""
    m.key()
    m.create('app.key:A', b'x' * 100)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.pread(fd, 1, 0), b'x')
    os.unlink(m.at('app.key:A'))
    for _ in range(2):      # once right after, when the daemon may still have it attached, and once later
        equal(errno_of(os.fchmod, fd, 0o600) in ('EIDRM', 'OK'), True)
        equal(errno_of(os.pread, fd, 1, 0), 'EIDRM' if m.copying else 'OK')
        wait_until(lambda: not shm.listing(), 'nobody has it attached')
    fails('EIDRM', os.fchmod, fd, 0o600)
    fails('EIDRM', os.fchown, fd, 0, 0)
    os.close(fd)
    fails('ENOENT', os.chmod, m.at('app.key:A'), 0o600)


def test_removed_before_it_was_ever_read(m):
    m.key()
    m.make(contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    m.remove()
    if m.copying:
        fails('EIDRM', os.pread, fd, 10, 0)
        fails('EIDRM', os.pwrite, fd, b'y', 0)
    errno_of(os.fstat, fd)
    os.close(fd)


def test_marked_for_removal_while_another_has_it(m):
    m.key()
    data, _ = m.make(contents=b'old bytes')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    address = shm.attach(data)
    m.remove()
    m.make(contents=b'new bytes')
    equal(m.read('app.key:A'), b'new bytes')
    try:
        equal(os.pread(fd, 100, 0), b'old bytes', 'the old handle')
    except OSError as e:
        equal(e.errno, 43, 'the old handle: EIDRM')
    shm.detach(address)
    os.close(fd)


def test_a_reused_shmid_never_shows_the_other_segment(m):
    m.key('one')
    m.key('two')
    for read_first in (True, False):
        data, _ = m.make('one', contents=b'first')
        fd = os.open(m.at('one:A'), os.O_RDWR)
        if read_first:
            equal(os.pread(fd, 5, 0), b'first')
        m.remove('one')
        wait_until(lambda: not shm.listing(), 'the daemon lets go, so that the shmid is free', 3)
        shm.next_id(data)
        again, _ = m.make('two', contents=b'other')
        equal(again, data, 'the shmid is used again')
        equal(m.read('two:A'), b'other')
        equal(os.stat(m.at('two:A')).st_ino, data)
        fails('ENOENT', os.stat, m.at('one:A'))
        try:
            seen = os.pread(fd, 5, 0)
        except OSError:
            seen = b''
        equal(seen in (b'', b'first'), True, 'the old handle showed %r' % seen)
        errno_of(os.pwrite, fd, b'XXXXX', 0)
        errno_of(os.ftruncate, fd, 0)
        errno_of(os.fchmod, fd, 0o600)
        equal((m.bytes_of('two'), m.data('two').mode), (b'other', 0o666), 'changed through the old handle')
        os.close(fd)
        m.remove('two')


def opened(fd):
    """What comes of opening what FD (O_PATH) looked up: bytes, or the name of the errno. The kernel does not look it up again."""
    try:
        again = os.open('/proc/self/fd/%d' % fd, os.O_RDWR)
    except OSError as e:
        return errno.errorcode[e.errno]
    try:
        return os.pread(again, 100, 0)
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        os.close(again)


def test_removed_and_made_again_between_lookup_and_open(m):
    """ENOENT or ESTALE, whoever makes it again, with whatever shmid; by name there is the new one."""
    m.key()
    for same_id in (False, True):
        for uid in (0, 1001):
            ids = m.make(contents=b'first', count=7)
            looked_up = [os.open(m.at(name), os.O_PATH) for name in ('app.key:A', 'app.key:A.refcount')]
            m.remove()
            wait_until(lambda: not shm.listing(), 'the daemon lets go, so that the shmid is free', 3)
            for shmid, key, contents in zip(ids, m.keys_of(), (b'other', b'\t\0\0\0')):
                if same_id:
                    shm.next_id(shmid)
                now = m.own(m.as_uid(uid, uid, [], lambda: shm.get(key, len(contents), shm.IPC_CREAT | 0o666)))
                equal(now == shmid, same_id, 'the shmid is used again')
                shm.write(now, contents)
            what = 'same shmid %s, made by uid %d' % (same_id, uid)
            for fd in looked_up:
                equal(opened(fd) in ('ENOENT', 'ESTALE'), True, '%s: %r' % (what, opened(fd)))
                os.close(fd)
            equal((m.read('app.key:A'), m.read('app.key:A.refcount')), (b'other', b'9\n'), what)
            m.remove()
            wait_until(lambda: not shm.listing(), 'all gone', 3)


def test_a_reused_shmid_under_the_same_name(m):
    """The same key, the same shmid, another segment: the new one through the name, nothing of it through the old handle."""
    m.key()
    data, _ = m.make(contents=b'first')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.pread(fd, 5, 0), b'first')
    m.remove()
    wait_until(lambda: not shm.listing(), 'the daemon lets go, so that the shmid is free', 3)
    shm.next_id(data)
    equal(m.make(contents=b'second')[0], data)
    equal(m.read('app.key:A'), b'second')
    equal(os.stat(m.at('app.key:A')).st_size, 6)
    os.close(fd)


def test_made_and_removed_all_the_time(m):
    """A reader by name sees one generation whole, or nothing."""
    m.key()
    stop = threading.Event()
    generations = [bytes([65 + i % 26]) * (1 + i % 5) * 1000 for i in range(130)]

    def churn():
        i = 0
        while not stop.is_set():
            contents = generations[i % len(generations)]
            shmid = shm.get(m.keys_of()[0], len(contents), shm.IPC_CREAT | shm.IPC_EXCL | 0o666)
            shm.write(shmid, contents)
            shm.remove(shmid)
            i += 1
    thread = threading.Thread(target=churn)
    thread.start()
    seen = 0
    try:
        for _ in range(1500):
            try:
                contents = m.read('app.key:A')
            except OSError as e:
                if errno_of(lambda: (_ for _ in ()).throw(e)) not in GONE:
                    raise
                continue
            seen += 1
            if len(set(contents) - {0}) > 1:
                raise AssertionError('bytes of two generations: %r' % set(contents))
    finally:
        stop.set()
        thread.join()
    print('     (%d reads met a segment)' % seen)


def test_the_key_file_is_replaced_under_an_open_file(m):
    m.key()
    m.create('app.key:A', b'old')
    old = m.find()
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.unlink(m.keys + '/app.key')
    m.key()
    equal(os.pread(fd, 10, 0), b'old')
    os.pwrite(fd, b'OLD', 0)
    fails('ENOENT', os.stat, m.at('app.key:A'))
    m.create('app.key:A', b'new')
    equal((m.bytes_of(), shm.read(old[0].id)), (b'new', b'OLD'))
    equal(os.pread(fd, 10, 0), b'OLD')
    os.close(fd)
    os.unlink(m.at('app.key:A'))
    for segment in old:
        shm.remove(segment.id)


def test_a_directory_is_replaced(m):
    m.key('sub/app.key')
    m.create('sub/app.key:A', b'x')
    m.run('ls sub', expected='app.key:A\napp.key:A.refcount\n')
    os.rename(m.keys + '/sub', m.keys + '/moved')
    fails('ENOENT', os.stat, m.at('sub/app.key:A'))
    fails('ENOENT', os.listdir, m.at('sub'))
    equal(m.read('moved/app.key:A'), b'x')
    equal(m.listing('moved'), ['app.key:A', 'app.key:A.refcount'])
    os.unlink(m.at('moved/app.key:A'))


def test_an_open_file_outlives_a_mode_that_is_set_again(m):
    """IPC_SET moves ctime, by which another segment with the same shmid would be known."""
    m.key()
    shmid, _ = m.make(contents=b'x' * 5000)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    for pause in 0.2, 1.2:      # copying: attached, and let go
        time.sleep(1.1)
        equal(os.pread(fd, 1, 4999), b'x')
        time.sleep(pause)
        os.chmod(m.at('app.key:A'), 0o666)
        equal(os.pread(fd, 1, 4999), b'x', 'after chmod through the mount, %g s idle' % pause)
    time.sleep(1.1)
    equal(os.pread(fd, 1, 4999), b'x')
    for pause in 0.2, 1.5:
        time.sleep(pause)
        shm.set(shmid, mode=0o666)
        equal(os.pread(fd, 1, 4999), b'x', 'after IPC_SET by another program, %g s idle' % pause)
    os.close(fd)


def test_a_reused_shmid_that_our_own_daemon_has_attached(m):
    """As alike as it can be made, by the same process, with our pid as the last one: still another segment."""
    m.key()
    data, _ = m.make(contents=b'first')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.pread(fd, 5, 0), b'first')
    wait_until(lambda: shm.stat(data).nattch == 0, 'the daemon lets go', 3)
    if not m.copying:
        time.sleep(1.1)     # two that one process makes in one second are told apart by nothing
    m.remove()
    shm.next_id(data)
    equal(m.make(contents=b'other')[0], data)
    equal(m.read('app.key:A'), b'other')
    wait_until(lambda: shm.stat(data).nattch == 0, 'the daemon lets go', 3)
    if m.copying:
        fails('EIDRM', os.pread, fd, 5, 0)
        fails('EIDRM', os.pwrite, fd, b'XXXXX', 0)
    else:
        equal(os.pread(fd, 5, 0), b'first')
        os.pwrite(fd, b'XXXXX', 0)
    equal(m.bytes_of(), b'other')
    os.close(fd)
    m.remove()


def test_a_shmid_that_is_reused_in_the_same_second(m):
    """As far as the daemon, which is attached, can prevent it: the old handle does not show the other segment."""
    m.key()
    for look in (lambda: None, lambda: os.listdir(m.at('.id'))):
        data, _ = m.make(contents=b'first')
        fd = os.open(m.at('app.key:A'), os.O_RDWR)
        equal(os.pread(fd, 5, 0), b'first')
        m.remove()
        look()
        wait_until(lambda: not shm.listing(), 'the daemon lets go, so that the shmid is free', 3)
        shm.next_id(data)
        equal(m.make(contents=b'other')[0], data)
        if m.copying:
            fails('EIDRM', os.pread, fd, 5, 0)
        else:
            equal(os.pread(fd, 5, 0), b'first')
        os.close(fd)
        m.remove()
        wait_until(lambda: not shm.listing(), 'all gone', 3)


def test_a_shmid_that_is_reused_as_it_is_being_attached(m):
    """Between the look at a segment and shmat, which strace holds up, the shmid becomes another's."""
    m.key()
    data, _ = m.make(contents=b'first')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    wait_until(lambda: shm.stat(data).nattch == 0, 'the daemon lets go', 3)
    seen = []
    with m.daemon.traced('-e', 'trace=shmat', '-e', 'inject=shmat:delay_enter=400000') as log:
        reader = threading.Thread(target=lambda: seen.append(errno_of(lambda: seen.append(os.pread(fd, 5, 0)))))
        reader.start()
        if m.copying:
            wait_until(lambda: os.path.getsize(log), 'the daemon is about to attach')
        m.remove()
        shm.next_id(data)
        equal(m.make(contents=b'other')[0], data)
        reader.join()
    equal(seen, ['EIDRM'] if m.copying else [b'first', 'OK'])
    os.close(fd)
    m.remove()


def test_a_shmid_that_is_reused_as_it_is_being_opened(m):
    """The same for open(2), by a descriptor that stands for the first segment: a name would stand for the other one by then."""
    m.key()
    for flags in os.O_RDONLY, os.O_RDWR:
        data, _ = m.make(contents=b'first')
        handle = os.open(m.at('app.key:A'), os.O_PATH)
        wait_until(lambda: time.time() >= shm.stat(data).ctime + 1, 'the other one is of another second', 3)
        seen = []

        def read():
            fd = os.open('/proc/self/fd/%d' % handle, flags)
            seen.append(os.pread(fd, 5, 0))
            os.close(fd)
        with m.daemon.traced('-e', 'trace=shmat', '-e', 'inject=shmat:delay_enter=400000') as log:
            reader = threading.Thread(target=lambda: seen.append(errno_of(read)))
            reader.start()
            wait_until(lambda: os.path.getsize(log), 'the daemon is about to attach')
            m.remove()
            shm.next_id(data)
            equal(m.make(contents=b'other')[0], data)
            reader.join()
        equal(seen, ['ESTALE'])
        os.close(handle)
        m.remove()


def test_removed_is_gone_from_id_although_it_was_just_read(m):
    """In copying mode smfs itself is attached for a while; it is nobody that keeps a removed segment."""
    m.key()
    data, _ = m.make(contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    for look in (lambda: str(data) in os.listdir(m.at('.id')), lambda: os.path.exists(m.at('.id/%d' % data))):
        equal(os.pread(fd, 1, 0), b'x')
        equal(look(), True)
        made = shm.stat(data).ctime
        wait_until(lambda: time.time() > made + 1.1, 'the second in which it was made is over')
        m.remove()
        if m.copying:
            equal(look(), False, 'in .id')
            fails('EIDRM', os.pread, fd, 1, 0)
        os.close(fd)
        equal(shm.listing(), [])
        data, _ = m.make(contents=b'x')
        fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.close(fd)


harness.main(globals())
