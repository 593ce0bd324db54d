# SPDX-License-Identifier: MIT
"""An ordinary user's own mount: everything works without a privilege, by copying."""

import mmap
import os

import harness
import shm
from case import as_uid, equal, errno_of, fails
from daemon import wait_until
from people import CREATOR, OWNER, STRANGER, attaches, foreign


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


OTHERS = {'another user': STRANGER + ([],), 'root': (0, 0, []), 'an owner': OWNER + ([],), 'a creator': CREATOR + ([],),
          "the user's group": STRANGER[:1] + (harness.USER, [harness.USER])}


def one_of(m, owner, name, mode):
    """An object of the user's, or of others, with a key file of its own."""
    m.key(name)
    if owner == 'foreign':
        foreign(m, name, mode)
    else:
        for shmid in as_uid(harness.USER, harness.USER, [], lambda: [shm.get(key, size, shm.IPC_CREAT | mode)
                                                                     for key, size in zip(m.keys_of(name), (12, 4))]):
            m.own(shmid)


def asked(m, name):
    """What comes of everything that reads or changes an object, by its two names and beside it."""
    seen = {}
    for at in (m.at(name + ':A'), m.at('.id/%d' % m.data(name).id)):
        for what, flags in (('read', os.O_RDONLY), ('write', os.O_WRONLY), ('read and write', os.O_RDWR),
                            ('empty', os.O_WRONLY | os.O_TRUNC), ('create', os.O_WRONLY | os.O_CREAT)):
            seen[at, what] = errno_of(lambda: os.close(os.open(at, flags)))
        for what, call in (('chmod', lambda: os.chmod(at, 0o666)), ('chown', lambda: os.chown(at, *STRANGER)),
                           ('size', lambda: os.truncate(at, 5)), ('unlink', lambda: os.unlink(at))):
            seen[at, what] = errno_of(call)
    counter = m.at(name + ':A.refcount')
    seen[counter, 'read'] = errno_of(lambda: os.close(os.open(counter, os.O_RDONLY)))
    seen[counter, 'write'] = errno_of(m.refcount, 'decr', name + ':A')
    seen[counter, 'unlink'] = errno_of(os.unlink, counter)
    new = m.at(name + ':B')
    seen[new, 'create'] = errno_of(lambda: os.close(os.open(new, os.O_WRONLY | os.O_CREAT, 0o666)))
    return seen


def told(m, shmid):
    """What stat says of a segment, and what comes of reading .info."""
    st = os.stat(m.at('.id/' + shmid))
    return st.st_size, st.st_mode & 0o777, st.st_uid, errno_of(m.read, '.id/%s.info' % shmid)


@harness.unmounted
@harness.allow_other
@harness.not_under('valgrind', harness.USERS_VALGRIND)
def test_others_whom_the_user_lets_in(m):
    """The daemon cannot become them, so it refuses them, root too: nobody gets its user's rights. They see what ipcs shows."""
    objects = [(owner, '%s%03o' % (owner, mode), mode) for owner in ('own', 'foreign') for mode in (0o600, 0o644, 0o666)]
    for each in objects:
        one_of(m, *each)
    os.chown(m.mnt, harness.USER, harness.USER)
    m.start(user=harness.USER)
    before = shm.listing()
    for caller, credentials in OTHERS.items():
        for _, name, _ in objects:
            seen = as_uid(*credentials, lambda: asked(m, name))
            equal({what: answer for what, answer in seen.items() if answer not in ('EACCES', 'EPERM')}, {}, caller)
        equal(as_uid(*credentials, lambda: errno_of(m.listing)), 'EACCES', caller)
        equal(as_uid(*credentials, lambda: {int(name): told(m, name) for name in os.listdir(m.at('.id'))}),
              {s.id: (s.size, s.mode, s.uid, 'EACCES') for s in before}, caller)
    equal(*([s._replace(atime=0, dtime=0, lpid=0) for s in seen] for seen in (shm.listing(), before)), 'nothing was changed')
    for _, name, _ in objects:
        for flags in (os.O_RDONLY, os.O_RDWR):
            data = m.data(name).id
            kernel, mount = as_uid(harness.USER, harness.USER, [], lambda: (
                attaches(data, flags == os.O_RDONLY), errno_of(lambda: os.close(os.open(m.at(name + ':A'), flags)))))
            equal(mount, kernel, 'the user, %s' % name)


harness.main(globals())
