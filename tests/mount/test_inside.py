# SPDX-License-Identifier: MIT
"""The mount point inside KEYDIR, and KEYDIR in trouble: an answer at once, never a deadlock."""

import os
import shutil

import harness
import shm
from case import equal, errno_of, fails
from daemon import umount


def start_inside(m):
    """KEYDIR is the directory that the mount point is in."""
    os.mkdir(m.keys + '/inside')
    m.mnt = m.keys + '/inside'
    return m.start()


@harness.unmounted
def test_looking_into_itself(m):
    start_inside(m)
    m.key()
    m.create('app.key:A', b'x')
    for name in ('inside', 'inside/inside', 'inside/app.key:A', 'inside/inside/app.key:A', 'inside/.:A', 'inside:A', 'inside:A.refcount'):
        if errno_of(os.stat, m.at(name)) not in ('OK', 'ENOENT', 'ELOOP', 'EXDEV', 'EACCES', 'ENOTDIR'):
            raise AssertionError('%s: %s' % (name, errno_of(os.stat, m.at(name))))
        errno_of(os.listdir, m.at(name))
    for name in ('inside/app.key:B', 'inside/.:B'):
        equal(errno_of(os.open, m.at(name), os.O_CREAT | os.O_WRONLY) != 'OK', True, name + ' created')
    equal(m.listing(), ['app.key:A', 'app.key:A.refcount'])
    m.run('find . -name "*:A" | head -3', expected='./app.key:A\n')
    m.run('rm app.key:A')
    equal(shm.listing(), [])


@harness.unmounted
def test_by_links_into_itself(m):
    start_inside(m)
    m.key('real/app.key')
    os.symlink('inside', m.keys + '/relative')
    os.symlink(m.mnt, m.keys + '/absolute')
    os.symlink(m.mnt + '/real/app.key:A', m.keys + '/object')
    os.symlink('../inside/real', m.keys + '/real/up')
    m.create('real/app.key:A', b'x')
    for name in ('relative', 'absolute', 'object', 'real/up', 'relative/real', 'absolute/real/app.key:A', 'relative:A', 'absolute:A',
                 'object:A', 'real/up:A', 'real/up/app.key:A'):
        seen = errno_of(os.stat, m.at(name))
        if seen not in ('ENOENT', 'ELOOP', 'EXDEV', 'EACCES', 'ENOTDIR'):
            raise AssertionError('%s: %s, it leads into the mount' % (name, seen))
    equal(m.listing('real'), ['app.key:A', 'app.key:A.refcount'])
    m.run('rm real/app.key:A')


@harness.unmounted
def test_a_recorded_path_into_the_mount(m):
    start_inside(m)
    path = m.key()
    m.create('app.key:A', b'x')
    counter = m.find()[1]
    offset = shm.read(counter.id).find(path.encode())
    for text in (m.mnt, m.mnt + '/app.key', m.mnt + '/app.key:A', m.mnt + '/inside/app.key'):
        shm.write(counter.id, text.encode() + b'\0', offset)
        equal(m.listing(), ['app.key:A', 'app.key:A.refcount'], 'recorded ' + text)
    m.run('rm app.key:A')


@harness.unmounted
def test_two_mounts_inside_each_others_keydir(m):
    first, second = m.keys + '/first', m.keys + '/second'
    os.mkdir(first)
    os.mkdir(second)
    m.start(mountpoint=first)
    m.start(mountpoint=second)
    m.key()
    for a, b in ((first, 'second'), (second, 'first')):
        for name in (b, b + '/app.key:A', b + '/first', b + '/second/app.key:A', b + ':A', b + '/.:A'):
            errno_of(os.stat, a + '/' + name)
            errno_of(os.listdir, a + '/' + name)
        equal([n for n in os.listdir(a) if n[0] != '.'], [])
    with open(first + '/app.key:A', 'w') as f:
        f.write('x')
    with open(second + '/app.key:A') as f:
        equal(f.read(), 'x')
    os.unlink(second + '/app.key:A')


@harness.unmounted
def test_the_whole_system_as_keydir(m):
    """KEYDIR is / by default, so the mount point is always inside."""
    m.start(arguments=[m.mnt])
    for name in (m.mnt, m.mnt + '/etc', m.mnt + m.mnt, m.mnt + ':A', os.path.dirname(m.mnt)):
        errno_of(os.stat, m.at(name))
        errno_of(os.listdir, m.at(name))
    equal(os.path.isdir(m.at('etc')), True)
    fails('ENOENT', os.stat, m.at('etc/passwd:A'))
    fails('ENOENT', os.stat, m.at('proc/self/status:A'))
    equal(m.listing(), [])


@harness.unmounted
def test_keydir_disappears(m):
    keydir = m.keys + '/dir'
    os.makedirs(keydir + '/sub')
    m.start(arguments=[keydir, m.mnt])
    m.key('dir/app.key')
    data, counter = m.make('dir/app.key', contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    shutil.rmtree(keydir)
    for name in ('app.key:A', 'app.key:A.refcount', 'sub', 'sub/x:A'):
        fails('ENOENT', os.stat, m.at(name))
    fails('ENOENT', os.open, m.at('app.key:B'), os.O_CREAT | os.O_WRONLY)
    if errno_of(os.listdir, m.mnt) not in ('OK', 'ENOENT'):
        raise AssertionError('listing: ' + errno_of(os.listdir, m.mnt))
    equal(os.pread(fd, 1, 0), b'x', 'an open file goes on')
    os.statvfs(m.mnt)
    os.close(fd)


@harness.unmounted
def test_keydir_is_unmounted(m):
    """The file system that KEYDIR is on goes away under the daemon: it does not keep it busy for ever, or it says so."""
    m.start()
    m.key()
    m.create('app.key:A', b'x')
    seen = errno_of(umount, m.keys)
    if seen not in ('OK', 'EBUSY'):
        raise AssertionError('unmounting KEYDIR: ' + seen)
    errno_of(os.stat, m.at('app.key:A'))
    errno_of(os.listdir, m.mnt)
    for segment in shm.listing():
        shm.remove(segment.id)


def test_a_key_file_of_mode_000_is_a_good_one(m):
    path = m.key()
    os.chmod(path, 0)
    m.create('app.key:A', b'x')
    holder = m.hold()
    m.drop(holder)
    m.run('rm app.key:A')


def test_key_files_of_every_kind(m):
    """Any existing file: a fifo is not opened, a socket or a device neither."""
    os.mkfifo(m.keys + '/fifo')
    os.mknod(m.keys + '/null', 0o020600, os.makedev(1, 3))
    os.mknod(m.keys + '/socket', 0o140600)
    for name in ('fifo', 'null', 'socket'):
        m.create(name + ':A', b'keyed by a ' + name.encode())
        equal(m.bytes_of(name), b'keyed by a ' + name.encode())
        equal(name + ':A' in m.listing(), True, name)
        m.run('rm %s:A' % name)


harness.main(globals())
