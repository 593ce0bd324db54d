# SPDX-License-Identifier: MIT
"""The grammar of names: NAME:P, split at the last colon; everything else is a directory or is not there."""

import os

import harness
import shm
from case import equal, errno_of, fails

LEGAL = [chr(c) for c in range(65, 123)]


def test_every_proj_id_is_its_own_object(m):
    m.key()
    for p in LEGAL:
        m.make(proj=p, contents=b'I am ' + p.encode())
    for p in LEGAL:
        equal(m.read('app.key:' + p), b'I am ' + p.encode(), p)
        equal(m.read('app.key:%s.refcount' % p), b'0\n', p)
    equal(m.listing(), sorted('app.key:' + p + s for p in LEGAL for s in ('', '.refcount')))


def test_every_other_byte_after_the_colon_does_not_exist(m):
    m.key()
    for byte in set(range(1, 256)) - set(range(65, 123)) - {ord('/')}:
        try:
            m.own(shm.get(shm.ftok(m.keys + '/app.key', byte), 8, shm.IPC_CREAT | 0o666))
        except FileExistsError:
            pass
    for byte in set(range(1, 256)) - set(range(65, 123)) - {ord('/')}:
        name = os.fsencode(m.mnt) + b'/app.key:' + bytes([byte])
        fails('ENOENT', os.stat, name)
        fails('EINVAL', os.open, name, os.O_CREAT | os.O_WRONLY)


def test_every_byte_in_the_name_of_a_key_file(m):
    names = [b'k' + bytes([b]) + b'e' for b in range(1, 256) if b != ord('/')]
    for name in names:
        with open(os.fsencode(m.keys) + b'/' + name, 'w'):
            pass
    mount = os.fsencode(m.mnt)
    for name in names:
        fd = os.open(mount + b'/' + name + b':Q', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, b'<' + name + b'>')
        os.close(fd)
    for name in names:
        shmid = shm.find(shm.ftok(os.fsencode(m.keys) + b'/' + name, 'Q'))
        equal(shm.read(shmid), b'<' + name + b'>')
    equal(sorted(n for n in os.listdir(mount) if not n.startswith(b'.')), sorted(n + s for n in names for s in (b':Q', b':Q.refcount')))
    for name in names:
        os.unlink(mount + b'/' + name + b':Q')
    equal(m.listing(), [])


def test_almost_right_names_do_not_exist_and_looking_creates_nothing(m):
    m.key()
    for name in ('app.key', 'app.key:', 'app.key:AA', 'app.key:A.', 'app.key:A.refcoun', 'app.key:A.refcounts',
                 'app.key:A.REFCOUNT', 'app.key:A.refcount.refcount', 'app.key:A.refcount.info', 'app.key:A.information',
                 'app.key:A:A', 'app.key:A:', 'app.key::', 'app.key: A', 'app.key :A', ' app.key:A', 'app.key:65', 'app.key:A ',
                 'app.key:A\n', 'App.key:A', ':A', ':', '::A', 'A', 'app.key:A.refcount ', 'app.key:.refcount',
                 'app.key:A', 'app.key:A.refcount', 'app.key:z'):
        fails('ENOENT', os.stat, m.at(name))
        fails('ENOENT', os.open, m.at(name), os.O_RDONLY)
    fails('ENOTDIR' if errno_of(os.stat, m.at('app.key')) == 'OK' else 'ENOENT', os.stat, m.at('app.key/app.key:A'))
    equal(shm.listing(), [])


def test_almost_right_names_exist_no_more_beside_the_right_one(m):
    m.key()
    m.make(contents=b'here')
    equal(m.read('app.key:A'), b'here')
    for name in ('app.key', 'app.key:', 'app.key:AA', 'app.key:A.', 'app.key:A.refcounts', 'app.key:A:A', 'app.key:A ',
                 'app.key:a', 'app.key:B', 'app.key:B.refcount', 'app.key:A.refcount.refcount'):
        fails('ENOENT', os.stat, m.at(name))
    fails('ENOTDIR', os.stat, m.at('app.key:A/x'))


def test_new_names_that_are_not_an_objects_are_invalid(m):
    m.key()
    os.mkdir(m.keys + '/sub')
    for name in ('plain', 'app.key', 'app.key:', 'app.key:1', 'app.key:AA', 'app.key:{', 'app.key:@', 'app.key:A.txt',
                 'app.key:A.refcounts', 'sub/plain', '.hidden', 'app.key:A~'):
        fails('EINVAL', os.open, m.at(name), os.O_CREAT | os.O_WRONLY)
        m.refused('echo hi > "%s"' % name, 'EINVAL')
    equal(shm.listing(), [])


def test_the_split_is_at_the_last_colon(m):
    m.key('a:b')
    m.key('a:B')
    m.create('a:b:C', b'one')
    equal(m.bytes_of('a:b', 'C'), b'one')
    m.create('a:B:C', b'two')
    equal(m.bytes_of('a:B', 'C'), b'two')
    equal(m.read('a:b:C'), b'one')
    fails('ENOENT', m.create, 'a:D', b'no key file a')
    os.unlink(m.at('a:b:C'))
    os.unlink(m.at('a:B:C'))


def test_a_directory_whose_name_looks_like_an_objects(m):
    m.key('a:b/app.key')
    m.create('a:b/app.key:A', b'inside')
    equal(m.listing(), ['a:b'])
    equal(m.listing('a:b'), ['app.key:A', 'app.key:A.refcount'])
    equal(m.read('a:b/app.key:A'), b'inside')
    os.unlink(m.at('a:b/app.key:A'))
    m.key('a')
    m.create('a:b', b'now a is a key file')
    equal(m.read('a:b'), b'now a is a key file')
    os.unlink(m.at('a:b'))


def test_a_directory_that_a_key_file_hides_is_not_listed(m):
    """What is listed can be found, once."""
    m.key('a:b/app.key')
    m.create('a:b/app.key:A', b'inside')
    data, counter = m.find('a:b/app.key')
    m.key('a')
    equal(m.listing(), [])
    m.create('a:b', b'an object')
    equal(m.listing(), ['a:b', 'a:b.refcount'])
    os.unlink(m.at('a:b'))
    os.unlink(m.keys + '/a')
    equal(m.listing(), ['a:b'])
    os.unlink(m.at('a:b/app.key:A'))


def test_a_directory_is_a_key_file(m):
    os.makedirs(m.keys + '/sub')
    m.create('sub:A', b'of sub')
    equal(m.bytes_of('sub', 'A'), b'of sub')
    equal(m.read('sub/.:A'), b'of sub')
    equal(os.stat(m.at('sub/.:A')).st_ino, os.stat(m.at('sub:A')).st_ino)
    os.unlink(m.at('sub/.:A'))
    equal(m.find('sub', 'A'), (None, None))
    m.create('.:A', b'of KEYDIR')
    equal(m.bytes_of('.', 'A'), b'of KEYDIR')
    equal(m.read('.:A.refcount'), b'0\n')
    os.unlink(m.at('.:A'))
    m.create('sub/.:Z', b'by its inner name')
    equal(m.read('sub:Z'), b'by its inner name')
    if 'sub:Z' not in m.listing() and '.:Z' not in os.listdir(m.at('sub')):
        raise AssertionError('sub/.:Z is listed neither in its directory nor in the one above')
    os.unlink(m.at('sub:Z'))


def test_dot_dot_is_no_key_file(m):
    os.makedirs(m.keys + '/sub')
    m.make('.', 'A', contents=b'of KEYDIR')
    for name in ('..:A', 'sub/..:A', '..:A.refcount', 'sub/..:A.refcount', '..:B', 'sub/..:B'):
        fails('ENOENT', os.stat, m.at(name))
        if errno_of(os.open, m.at(name), os.O_CREAT | os.O_WRONLY) not in ('ENOENT', 'EINVAL'):
            raise AssertionError(name + ' could be created')
    equal(len(shm.listing()), 2)


def test_the_longest_names(m):
    """What would be longer than 255 bytes is not there, and not listed."""
    for length in (242, 244, 245, 253, 254, 255):
        name = 'n' * length
        m.key(name)
        if length > 253:
            for call, *more in ((os.stat,), (os.unlink,), (os.open, os.O_CREAT | os.O_WRONLY)):
                fails('ENAMETOOLONG', call, m.at(name + ':A'), *more)
            m.make(name, contents=b'long')
            equal(m.listing(), [])
            m.remove(name)
            continue
        m.create(name + ':A', b'long')
        equal((m.bytes_of(name), m.read(name + ':A')), (b'long', b'long'))
        counter = name + ':A.refcount'
        equal(m.listing(), [name + ':A'] + ([counter] if length <= 244 else []))
        if length <= 244:
            equal(m.read(counter), b'0\n')
        else:
            fails('ENAMETOOLONG', os.stat, m.at(counter))
        os.unlink(m.at(name + ':A'))
        equal(shm.listing(), [])
    for length in (256, 300, 1023, 1024, 1025, 4000):
        for name in ('n' * length, 'n' * (length - 2) + ':A', ':' * length, '.id/' + '1' * length, '.key/' + '1' * length):
            for call, *more in ((os.stat,), (os.unlink,), (os.open, os.O_RDONLY), (os.open, os.O_CREAT | os.O_WRONLY)):
                fails('ENAMETOOLONG', call, m.at(name), *more)


def test_deep_paths(m):
    deep = '/'.join('directory-%02d-%s' % (i, 'd' * 50) for i in range(40))
    m.key(deep + '/app.key')
    m.create(deep + '/app.key:A', b'deep')
    equal(m.bytes_of(deep + '/app.key'), b'deep')
    equal(m.listing(deep), ['app.key:A', 'app.key:A.refcount'])
    equal(m.listing(), [deep.split('/')[0]])
    os.unlink(m.at(deep + '/app.key:A'))


def test_deeper_than_any_path(m):
    """Longer than PATH_MAX, reached step by step: an object or a clear error, and nothing comes of it."""
    keys, mount = os.open(m.keys, os.O_PATH), os.open(m.mnt, os.O_RDONLY)
    for i in range(60):
        name = '%03d' % i + 'x' * 97
        os.mkdir(name, dir_fd=keys)
        keys, old = os.open(name, os.O_PATH, dir_fd=keys), keys
        os.close(old)
        try:
            mount, old = os.open(name, os.O_RDONLY, dir_fd=mount), mount
        except OSError as e:
            equal(e.strerror, os.strerror(36), 'entering depth %d' % i)
            break
        os.close(old)
    else:
        os.close(os.open('app.key', os.O_CREAT | os.O_WRONLY, dir_fd=keys))
        seen = errno_of(lambda: os.close(os.open('app.key:A', os.O_CREAT | os.O_WRONLY, dir_fd=mount)))
        if seen not in ('OK', 'ENAMETOOLONG'):
            raise AssertionError('creating at 6000 bytes depth: ' + seen)
        os.listdir(mount)
        if seen == 'OK':
            os.unlink('app.key:A', dir_fd=mount)
    os.close(keys)
    os.close(mount)


def test_symbolic_links_are_followed(m):
    m.key('real/app.key')
    os.symlink('real', m.keys + '/link')
    os.symlink('real/app.key', m.keys + '/alias')
    os.symlink(m.keys + '/real', m.keys + '/absolute')
    os.symlink('nowhere', m.keys + '/dangling')
    os.symlink('round', m.keys + '/round')
    m.create('alias:A', b'through a link')
    equal(m.bytes_of('real/app.key'), b'through a link')
    inodes = set()
    for name in ('alias:A', 'link/app.key:A', 'absolute/app.key:A', 'real/app.key:A'):
        equal(m.read(name), b'through a link', name)
        inodes.add(os.stat(m.at(name)).st_ino)
    equal(inodes, {m.data('real/app.key').id}, 'one inode')
    fails('ENOENT', os.open, m.at('dangling:A'), os.O_CREAT | os.O_WRONLY)
    for name in ('round:A', 'round/app.key:A'):
        if errno_of(os.open, m.at(name), os.O_CREAT | os.O_WRONLY) not in ('ELOOP', 'ENOENT'):
            raise AssertionError(name + ' led somewhere')
    os.unlink(m.at('link/app.key:A'))


def test_a_link_out_of_keydir_is_followed_as_the_caller_would(m):
    outside = m.scratch + '/outside'
    os.mkdir(outside)
    with open(outside + '/far.key', 'w'):
        pass
    os.symlink(outside, m.keys + '/out')
    m.create('out/far.key:A', b'far')
    equal(shm.read(shm.find(shm.ftok(outside + '/far.key', 'A'))), b'far')
    os.unlink(m.at('out/far.key:A'))


def test_numbers_that_are_none_and_nothing_is_made(m):
    """Signs, blanks, overflows, other bases, leading zeros; and key 0, which shmget takes for "make me one"."""
    shmid, _ = m.make('.', contents=b'x')
    here = len(shm.listing())
    for form in ('-%d', '+%d', ' %d', '%d ', '0%d', '%d.', '%d.inf', '%d.info.info', '%d.0', '%dx', '%d\n', '0x%x', '%d:A'):
        fails('ENOENT', os.stat, m.at('.id/' + form % shmid))
    for number in ('4294967296', '2147483648', '-1', '-0', '00', '18446744073709551616', '9' * 200, '', '.', '..x', 'A'):
        if number not in ('', '.'):
            fails('ENOENT', os.stat, m.at('.id/' + number))
    for number in (shmid + (1 << 32), shmid + (1 << 64)):       # the same when cut to 32 bits
        fails('ENOENT', os.stat, m.at('.id/%d' % number))
    key = shm.stat(shmid).key
    for name in ('0x00000000', '0x%x' % (key | 1 << 32), '%08x' % key, '0X%08x' % key, '0x%09x' % key, '0x%08x ' % key,
                 '-0x%07x' % (key >> 4), '0x%08x' % (key ^ 0xffffffff), '0x', '0x0000000g', str(key)):
        fails('ENOENT', os.stat, m.at('.key/' + name))
        fails('ENOENT', os.readlink, m.at('.key/' + name))
    equal(len(shm.listing()), here, 'segments')


harness.main(globals())
