# SPDX-License-Identifier: MIT
"""stat(2) of everything, chmod, chown, touch: the kernel's facts and none of our own."""

import os
import stat

import harness
import shm
from case import as_uid, equal, fails, shells
from daemon import wait_until


def both(m):
    return [(s.mode, s.uid, s.gid, s.cuid, s.cgid) for s in m.find()]


def test_an_object_is_its_segment(m):
    m.key()
    m.key('other')
    shm.next_id(0)
    m.make('other', contents=b'takes shmid 0')
    key = m.keys_of()[0]
    data = m.own(as_uid(1003, 1004, [], lambda: shm.get(key, 5000, shm.IPC_CREAT | 0o642)))
    shm.set(data, 1001, 1002)
    segment, seen = shm.stat(data), os.stat(m.at('app.key:A'))
    equal((segment.uid, segment.gid, segment.cuid, segment.cgid), (1001, 1002, 1003, 1004), 'every field differs')
    equal(seen.st_ino, data, 'st_ino')
    equal(oct(seen.st_mode), oct(stat.S_IFREG | 0o642))
    equal((seen.st_uid, seen.st_gid, seen.st_size, seen.st_nlink), (1001, 1002, 5000, 1))
    equal(os.stat(m.at('other:A')).st_ino, 0)


def test_times(m):
    m.key()
    data, _ = m.make(contents=b'x')
    shm.read(data)
    segment, seen = shm.stat(data), os.stat(m.at('app.key:A'))
    equal((seen.st_atime, seen.st_ctime, seen.st_mtime), (segment.atime, segment.ctime, max(segment.dtime, segment.ctime)))
    wait_until(lambda: second_is_over(segment.ctime), 'the second is over', 3)
    shm.set(data, mode=0o600)
    segment, seen = shm.stat(data), os.stat(m.at('app.key:A'))
    equal((seen.st_atime, seen.st_ctime, seen.st_mtime), (segment.atime, segment.ctime, segment.ctime), 'ctime is later than dtime')
    equal(segment.ctime > segment.dtime, True)


def second_is_over(second):
    """By the clock that the kernel stamps segments with."""
    shmid = shm.get(shm.IPC_PRIVATE, 1, 0o600)
    try:
        return shm.stat(shmid).ctime > second
    finally:
        shm.remove(shmid)


def test_resident_memory_is_what_du_shows(m):
    m.key()
    data, _ = m.make(size=1 << 20)
    equal(os.stat(m.at('app.key:A')).st_blocks, 0, 'nothing touched')
    shm.write(data, b'x')
    wait_until(lambda: os.stat(m.at('app.key:A')).st_blocks == 8, 'one page is resident', 3)
    shm.write(data, b'x' * (1 << 20))
    wait_until(lambda: os.stat(m.at('app.key:A')).st_blocks == 2048, 'all pages are resident', 3)
    m.run('du -k app.key:A; du -k --apparent-size app.key:A', expected='1024\tapp.key:A\n1024\tapp.key:A\n')
    equal(shm.stat(data).nattch, 0)


def test_inode_numbers_are_disjoint_and_unique(m):
    numbers = {}
    for name in ('a', 'b', 'sub/c'):
        m.key(name)
        m.make(name, contents=b'x')
    for name in ('.', 'sub', 'a:A', 'a:A.refcount', 'b:A', 'b:A.refcount', 'sub/c:A', 'sub/c:A.refcount'):
        ino = os.stat(m.at(name)).st_ino
        if ino in numbers:
            raise AssertionError('%s and %s are both inode %d' % (name, numbers[ino], ino))
        numbers[ino] = name
        equal(ino > 1 << 32 or name == '.', not name.endswith(':A'), 'inode %d of %s is above 2^32' % (ino, name))
    with os.scandir(m.mnt) as entries:
        for entry in entries:
            if entry.name.endswith('.refcount'):
                equal(entry.inode(), os.stat(entry.path).st_ino, 'd_ino of ' + entry.name)


def test_the_same_segment_under_two_names_is_one_inode(m):
    m.key('sub/one')
    os.link(m.keys + '/sub/one', m.keys + '/two')
    os.symlink('sub', m.keys + '/link')
    data, _ = m.make('two', contents=b'x')
    for name in ('two:A', 'sub/one:A', 'link/one:A'):
        equal(os.stat(m.at(name)).st_ino, data, name)
    m.run('[ two:A -ef sub/one:A ] && echo one', expected='one\n')
    m.make('sub', contents=b'y')
    equal(os.stat(m.at('sub:A')).st_ino, os.stat(m.at('sub/.:A')).st_ino)
    equal(os.stat(m.at('sub:A.refcount')).st_ino, os.stat(m.at('sub/.:A.refcount')).st_ino)


def test_directories(m):
    os.mkdir(m.keys + '/sub')
    for name in ('.', 'sub'):
        seen = os.stat(m.at(name))
        equal(stat.S_ISDIR(seen.st_mode), True)
        equal(seen.st_nlink >= 1, True)
    m.run('cd sub && cd .. && pwd', expected=m.mnt + '\n')


def test_chmod_sets_both_segments(m):
    m.key()
    m.make(contents=b'x')
    for mode in (0o600, 0o640, 0o777, 0o000, 0o421):
        os.chmod(m.at('app.key:A'), mode)
        equal(both(m), [(mode, 0, 0, 0, 0)] * 2)
        equal(os.stat(m.at('app.key:A')).st_mode & 0o7777, mode)
    for shell in shells():
        m.run('chmod 644 app.key:A; chmod g+w,o-r app.key:A', shell)
        equal([s.mode for s in m.find()], [0o660] * 2)


def test_more_than_nine_bits_are_invalid(m):
    m.key()
    m.make(contents=b'x', mode=0o640)
    for mode in (0o1640, 0o2640, 0o4640, 0o7777):
        fails('EINVAL', os.chmod, m.at('app.key:A'), mode)
    m.refused('chmod u+s app.key:A', 'EINVAL')
    m.refused('chmod +t app.key:A', 'EINVAL')
    equal([s.mode for s in m.find()], [0o640] * 2)


def test_chown_sets_both_segments(m):
    m.key()
    m.make(contents=b'x', mode=0o640)
    os.chown(m.at('app.key:A'), 1001, 1002)
    equal(both(m), [(0o640, 1001, 1002, 0, 0)] * 2)
    os.chown(m.at('app.key:A'), 1005, -1)
    equal(both(m), [(0o640, 1005, 1002, 0, 0)] * 2)
    os.chown(m.at('app.key:A'), -1, 1006)
    equal(both(m), [(0o640, 1005, 1006, 0, 0)] * 2)
    m.run('chown 7:8 app.key:A; chgrp 9 app.key:A')
    equal(both(m), [(0o640, 7, 9, 0, 0)] * 2)


def test_chmod_of_half_an_object(m):
    m.key()
    m.make(contents=b'x', count=None)
    os.chmod(m.at('app.key:A'), 0o600)
    equal(m.data().mode, 0o600)


def test_fchmod_of_an_open_file(m):
    m.key()
    m.make(contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.fchmod(fd, 0o604)
    os.fchown(fd, 3, 4)
    os.close(fd)
    equal(both(m), [(0o604, 3, 4, 0, 0)] * 2)


def test_touch_succeeds_and_sysv_keeps_its_times(m):
    m.key()
    data, _ = m.make(contents=b'x')
    before = shm.stat(data)
    for shell in shells():
        m.run('touch app.key:A; touch -d "2001-02-03 04:05:06" app.key:A', shell)
    os.utime(m.at('app.key:A'), (1, 2))
    seen = os.stat(m.at('app.key:A'))
    equal((seen.st_atime, seen.st_ctime), (shm.stat(data).atime, before.ctime))     # touch opens, which attaches
    equal(seen.st_atime >= before.atime, True, 'it is still the time of the last attaching')
    equal(m.bytes_of(), b'x')


def test_copies_keep_mode_and_owner(m):
    m.key()
    m.make(contents=b'x', mode=0o640)
    os.chown(m.at('app.key:A'), 1001, 1002)
    m.key('copy')
    m.run('cp -p app.key:A copy:A && cp -a app.key:A $K/plain && stat -c "%a %u %g" copy:A $K/plain',
          expected='640 1001 1002\n' * 2)
    equal([(s.mode, s.uid, s.gid) for s in m.find('copy')], [(0o640, 1001, 1002)] * 2)
    m.run('rm copy:A')


def test_find_by_attributes(m):
    m.key()
    m.make(contents=b'x' * 5000, mode=0o640)
    m.run('find * -type f -size -6000c -size +4000c -perm 640 -mmin -1 -uid 0', expected='app.key:A\n')


def test_access_as_root(m):
    m.key()
    m.make(contents=b'x', mode=0)
    equal([os.access(m.at('app.key:A'), mode) for mode in (os.F_OK, os.R_OK, os.W_OK)], [True] * 3)


harness.main(globals())
