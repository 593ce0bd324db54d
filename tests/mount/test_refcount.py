# SPDX-License-Identifier: MIT
"""NAME:P.refcount: the counter, `decr` and `reap`, and garbage in the counter."""

import os

import harness
import shm
from case import all_end_well, equal, errno_of, fails, shells, spawn
from daemon import wait_until

INT_MAX, INT_MIN = (1 << 31) - 1, -(1 << 31)


def test_the_value_in_decimal(m):
    m.key()
    m.make(contents=b'x')
    for value in (0, 1, 7, 10, 123456, INT_MAX, -1, INT_MIN):
        m.set_count(value)
        text = b'%d\n' % value
        equal(m.read('app.key:A.refcount'), text)
        equal(os.stat(m.at('app.key:A.refcount')).st_size, len(text), 'st_size of %d' % value)
        m.run('cat app.key:A.refcount', expected=text.decode())
        m.run('read n < app.key:A.refcount; echo $n', 'dash', text.decode())
    m.set_count(12345)
    fd = os.open(m.at('app.key:A.refcount'), os.O_RDONLY)
    equal([os.pread(fd, 2, 1), os.pread(fd, 100, 4), os.pread(fd, 100, 6), os.pread(fd, 5, 1 << 40)], [b'23', b'5\n', b'', b''])
    os.close(fd)


@harness.reaps
def test_the_session(m):
    m.key()
    m.create('app.key:A', b'hello\n')
    holder = m.hold()
    m.run('cat app.key:A.refcount', expected='1\n')
    m.drop(holder)
    m.run('cat app.key:A.refcount; echo reap > app.key:A.refcount; cat app.key:A.refcount', expected='1\n0\n')
    m.refused('echo decr > app.key:A.refcount', 'ERANGE')
    m.run('cat app.key:A; rm app.key:A', expected='hello\n')


def test_decr(m):
    m.key()
    m.make(contents=b'x', count=3)
    for shell, left in zip(('bash', 'dash', 'busybox'), (2, 1, 0)):
        if shell in shells():
            m.run('echo decr > app.key:A.refcount; cat app.key:A.refcount', shell, '%d\n' % left)
        else:
            m.set_count(left)
    fails('ERANGE', m.refcount, 'decr')
    equal(m.count(), 0)
    equal(m.bytes_of(), b'x', 'nothing is freed')
    equal(len(shm.listing()), 2)


def test_garbage_in_the_counter(m):
    m.key()
    m.make(contents=b'x')
    for value in (0, -1, -5, INT_MIN):
        m.set_count(value)
        fails('ERANGE', m.refcount, 'decr')
        equal(m.count(), value, 'decr leaves it')
    for value in (INT_MAX, 2, 1):
        m.set_count(value)
        m.refcount('decr')
        equal(m.count(), value - 1)


def test_other_words_are_invalid_and_change_nothing(m):
    m.key()
    m.make(contents=b'x', count=5)
    for word in (b'incr\n', b'DECR\n', b'decrement\n', b'dec\n', b'decr decr\n', b'decr\ndecr\n', b'reap now\n', b'4\n', b'-1\n', b'\n',
                 b'\0', b'decr\0', b'decr\n\0', b'decrX', b'd', b'x' * 10, b'x' * 5000, b'decr' * 300, b'\xff\xfe\n', b'reap\ndecr\n'):
        fails('EINVAL', m.write, 'app.key:A.refcount', word)
        equal(m.count(), 5, repr(word[:20]))
    for shell in shells():
        m.refused('echo hello > app.key:A.refcount', 'EINVAL', shell)
    m.run(': > app.key:A.refcount; truncate -s 0 app.key:A.refcount; > app.key:A.refcount')
    equal(m.count(), 5)


@harness.reaps
def test_reap_of_a_live_holder_takes_nothing(m):
    m.key()
    m.create('app.key:A', b'x')
    first, second = m.hold(), m.hold()
    equal(m.count(), 2)
    m.refcount('reap')
    equal(m.count(), 2)
    m.drop(first)
    m.refcount('reap')
    equal(m.count(), 1)
    m.refcount('reap')
    equal(m.count(), 1)
    m.drop(second)
    m.refcount('reap')
    equal(m.count(), 0)
    equal(m.bytes_of(), b'x', 'reap frees nothing')
    object_ = '%s/app.key:A (segment %d)' % (m.keys, m.data().id)
    equal(m.daemon.stderr(), 'smfs: %s: references 2 -> 1, holders died\nsmfs: %s: references 1 -> 0, holders died\n'
          % (object_, object_))
    os.unlink(m.at('app.key:A'))


@harness.reaps
def test_reap_of_garbage(m):
    m.key()
    m.make(contents=b'x')
    for value, after in ((INT_MAX, 0), (3, 0), (0, 0), (-3, -3), (INT_MIN, INT_MIN)):
        m.set_count(value)
        m.refcount('reap')
        equal(m.count(), after, 'reap of %d' % value)


@harness.reaps
def test_reap_keeps_what_is_attached(m):
    m.key()
    _, counter = m.make(contents=b'x', count=5)
    addresses = [shm.attach(counter) for _ in range(2)]
    m.refcount('reap')
    equal(m.count(), 2)
    for address in addresses:
        shm.detach(address)


def test_a_counter_of_the_old_size_and_a_page(m):
    for i, size in enumerate((4, 5, 8, 100, 4096, 5000, 100000)):
        name = 'k%d' % i
        m.key(name)
        m.make(name, contents=b'x', count=9, counter_size=size)
        equal(m.read(name + ':A.refcount'), b'9\n')
        m.refcount('decr', name + ':A')
        equal(m.count(name), 8, 'counter segment of %d bytes' % size)
    equal(len(m.listing()), 14)


def test_a_counter_too_small_to_be_one(m):
    m.key()
    m.make(contents=b'x', counter_size=2)
    for call in (lambda: m.read('app.key:A.refcount'), lambda: m.refcount('decr')):
        if errno_of(call) not in ('EINVAL', 'EIO', 'ENOENT'):
            raise AssertionError('a counter of 2 bytes: ' + errno_of(call))
    os.listdir(m.mnt)
    equal(m.read('app.key:A'), b'x')


def test_it_exists_where_the_segment_does(m):
    m.key()
    fails('ENOENT', os.open, m.at('app.key:A.refcount'), os.O_RDONLY)
    fails('ENOENT', os.open, m.at('app.key:A.refcount'), os.O_WRONLY)
    if errno_of(os.open, m.at('app.key:A.refcount'), os.O_WRONLY | os.O_CREAT) not in ('ENOENT', 'EINVAL'):
        raise AssertionError('a counter was created by its name')
    equal(shm.listing(), [])
    m.make(contents=b'x', count=None)
    fails('ENOENT', os.stat, m.at('app.key:A.refcount'))
    m.make(size=0, count=1)
    equal(m.read('app.key:A.refcount'), b'1\n')


def test_mode_and_owner_are_the_counters(m):
    m.key()
    _, counter = m.make(contents=b'x')
    shm.set(counter, 1001, 1002, 0o640)
    seen = os.stat(m.at('app.key:A.refcount'))
    equal((seen.st_mode & 0o7777, seen.st_uid, seen.st_gid, seen.st_nlink), (0o640, 1001, 1002, 1))


def test_always_the_present_value(m):
    m.key()
    m.make(contents=b'x')
    fd = os.open(m.at('app.key:A.refcount'), os.O_RDONLY)
    for value in (1, 22, 333, 0):
        m.set_count(value)
        equal(m.read('app.key:A.refcount'), b'%d\n' % value, 'a new open')
        equal(os.stat(m.at('app.key:A.refcount')).st_size, len(str(value)) + 1)
    os.close(fd)


def test_the_counter_segment_is_let_go(m):
    m.key()
    _, counter = m.make(contents=b'x', count=1)
    for _ in range(20):
        m.read('app.key:A.refcount')
        os.listdir(m.mnt)
    m.refcount('decr')
    wait_until(lambda: shm.stat(counter).nattch == 0, 'the counter is detached', 3)


def test_decr_by_twenty_at_once(m):
    m.key()
    m.make(contents=b'x', count=400)
    all_end_well([spawn(lambda: [m.refcount('decr') for _ in range(10)]) for _ in range(20)])
    equal(m.count(), 200, 'none lost')


harness.main(globals())
