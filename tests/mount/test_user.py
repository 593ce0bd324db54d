# SPDX-License-Identifier: MIT
"""An ordinary user's own mount: everything works without a privilege, by copying."""

import mmap
import os

import harness
import shm
from case import equal, errno_of, fails
from daemon import wait_until


@harness.as_user
@harness.reaps
def test_the_session(m):
    m.key()
    m.run('echo hello > app.key:A; cat app.key:A; ls; cat app.key:A.refcount',
          expected='hello\napp.key:A\napp.key:A.refcount\n0\n')
    data, counter = m.find()
    for segment in (data, counter):
        equal((segment.uid, segment.gid, segment.cuid, segment.cgid, segment.mode), (harness.USER,) * 4 + (0o644,))
    holder = m.hold()
    equal(m.read('app.key:A.refcount'), b'1\n')
    m.drop(holder)
    m.run('echo reap > app.key:A.refcount; cat app.key:A.refcount', expected='0\n')
    m.refused('echo decr > app.key:A.refcount', 'ERANGE')
    m.run('truncate -s 100 app.key:A; chmod 600 app.key:A; stat -c "%s %a" app.key:A', expected='100 600\n')
    m.run('rm app.key:A; ls')
    equal(shm.listing(), [])


@harness.as_user
def test_shared_mappings_are_refused(m):
    m.key()
    m.make(contents=b'x' * 4096)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    fails('ENODEV', mmap.mmap, fd, 4096)
    with mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
        equal(view[:3], b'xxx')
    os.close(fd)


@harness.as_user
def test_an_idle_open_file_is_attached_for_a_second_at_most(m):
    m.key()
    data, _ = m.make(contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.pread(fd, 1, 0)
    wait_until(lambda: shm.stat(data).nattch == 0, 'the daemon lets go', 2)
    os.pwrite(fd, b'y', 0)
    wait_until(lambda: shm.stat(data).nattch == 0, 'the daemon lets go again', 2)
    os.close(fd)
    equal(m.bytes_of(), b'y')


@harness.as_user
def test_other_peoples_directories(m):
    os.mkdir(m.keys + '/closed')
    m.key('closed/app.key')
    os.chmod(m.keys + '/closed', 0)
    for name in ('closed/app.key:A', 'closed/missing:A'):
        fails('EACCES', os.stat, m.at(name))
        fails('EACCES', os.open, m.at(name), os.O_CREAT | os.O_WRONLY)
    fails('EACCES', os.listdir, m.at('closed'))
    os.chmod(m.keys + '/closed', 0o700)


@harness.as_user
def test_modes_bind_their_owner_too(m):
    m.key()
    m.make(contents=b'x', mode=0o666)
    for mode, read, write in ((0o000, 'EACCES', 'EACCES'), (0o400, 'OK', 'EACCES'), (0o600, 'OK', 'OK')):
        os.chmod(m.at('app.key:A'), mode)
        equal(errno_of(lambda: m.read('app.key:A')), read, 'reading %03o' % mode)
        equal(errno_of(lambda: m.write('app.key:A', b'y')), write, 'writing %03o' % mode)
        equal(errno_of(lambda: os.truncate(m.at('app.key:A'), 0)), write, 'truncating %03o' % mode)
        equal([os.access(m.at('app.key:A'), how) for how in (os.R_OK, os.W_OK)], [read == 'OK', write == 'OK'])


@harness.as_user
def test_a_read_only_mode_for_a_new_object(m):
    """The creating descriptor may write what the mode forbids to later ones, as in any directory."""
    m.key()
    for mode in (0o400, 0o000, 0o444):
        m.create('app.key:A', b'hello', mode)
        equal((m.data().mode, m.data().size), (mode, 5))
        os.chmod(m.at('app.key:A'), 0o600)
        equal(m.read('app.key:A'), b'hello')
        os.unlink(m.at('app.key:A'))


harness.main(globals())
