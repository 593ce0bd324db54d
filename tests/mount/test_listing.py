# SPDX-License-Identifier: MIT
"""What a listing shows: recorded objects, matches by reverse ftok, directories that lead to recorded ones, no more."""

import os
import stat

import harness
import shm
from case import as_uid, equal, fails, in_child, shells

BOTH = ['app.key:A', 'app.key:A.refcount']


def ls(m, directory='.'):
    return m.listing(directory)


def test_empty(m):
    for i in range(50):
        m.key('file%d' % i)
    os.mkdir(m.keys + '/sub')
    equal(ls(m), [])
    equal(ls(m, 'sub'), [])
    fails('ENOENT', os.listdir, m.at('missing'))
    m.run('ls')


def test_the_session(m):
    m.key()
    m.run('echo hello > app.key:A; cat app.key:A; ls', expected='hello\napp.key:A\napp.key:A.refcount\n')
    m.run('rm app.key:A; ls')


def test_an_object_recorded_in_a_subdirectory(m):
    m.key('sub/deep/app.key')
    m.key('other/app.key')
    m.create('sub/deep/app.key:A', b'x')
    equal(ls(m), ['sub'])
    equal(ls(m, 'sub'), ['deep'])
    equal(ls(m, 'sub/deep'), BOTH)
    equal(ls(m, 'other'), [])
    m.run('find . -mindepth 1 -path "./.*" -prune -o -print | grep / | sort', expected='./sub\n./sub/deep\n./sub/deep/app.key:A\n./sub/deep/app.key:A.refcount\n')
    os.unlink(m.at('sub/deep/app.key:A'))
    equal(ls(m), [])


def test_what_is_being_made(m):
    m.key('a.key')
    m.key('sub/deep/app.key')
    os.symlink('deep/app.key', m.keys + '/sub/link')
    m.create('a.key:A', b'x')
    for shell in shells():
        for command, expected in (('ls', 'a.key:A\na.key:A.refcount\nsub\n'), ('ls sub', 'deep\n'), ('ls sub/deep', 'app.key:B\n')):
            m.run('{ echo a; %s; echo c; } > sub/deep/app.key:B; cat sub/deep/app.key:B; rm sub/deep/app.key:B' % command, shell,
                  expected='a\n%sc\n' % expected)
    fd = os.open(m.at('sub/link:B'), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    equal((ls(m, 'sub'), ls(m, 'sub/deep')), (['deep'], ['app.key:B']), 'by the path that will be recorded')
    os.write(fd, b'bytes')
    entry, = os.scandir(m.at('sub/deep'))       # no shell: a forked child that ends would make it
    st = os.stat(entry.path)
    equal((entry.is_file(), entry.inode(), st.st_size), (True, st.st_ino, 5), 'd_type, d_ino, and what stat shows')
    m.make('sub/deep/app.key', 'B', size=0)         # a lone counter is listed with its data
    equal(ls(m, 'sub/deep'), ['app.key:B'])
    shm.remove(m.find('sub/deep/app.key', 'B')[1].id)
    os.fsync(fd)
    equal(ls(m, 'sub/deep'), ['app.key:B', 'app.key:B.refcount'], 'made')
    m.run('rm -f sub/deep/*')
    equal((ls(m), ls(m, 'sub/deep')), (['a.key:A', 'a.key:A.refcount'], []), 'removed while it is open')
    os.close(fd)
    fd = os.open(m.at('sub/deep/app.key:B'), os.O_WRONLY | os.O_CREAT)
    os.unlink(m.at('sub/deep/app.key:B'))
    equal(ls(m), ['a.key:A', 'a.key:A.refcount'], 'removed before it was made')
    os.close(fd)
    m.run('rm -f *')


@harness.allow_other
def test_what_is_being_made_is_shown_to_whoever_could_look_it_up(m):
    m.key('open/app.key')
    m.key('closed/app.key')
    fds = [os.open(m.at(d + '/app.key:A'), os.O_WRONLY | os.O_CREAT) for d in ('open', 'closed')]
    os.chmod(m.keys + '/closed', 0o700)
    equal(ls(m), ['closed', 'open'])
    equal(as_uid(1001, 1001, [], lambda: [ls(m), ls(m, 'open')]), [['open'], ['app.key:A']])
    fails('EACCES', as_uid, 1001, 1001, [], lambda: ls(m, 'closed'))
    os.unlink(m.keys + '/open/app.key')
    equal(ls(m), ['closed'], 'no key file, no name')
    for d, fd in zip(('open', 'closed'), fds):
        os.close(fd)
    for s in shm.listing():
        shm.remove(s.id)


def test_an_object_of_the_directory_and_one_below_it(m):
    m.key('sub/app.key')
    m.create('sub/app.key:A', b'x')
    m.create('sub:B', b'y')
    names = ls(m)
    if 'sub' not in names or 'sub:B' not in names and '.:B' not in ls(m, 'sub'):
        raise AssertionError('saw %s and in sub %s' % (names, ls(m, 'sub')))
    os.unlink(m.at('sub/app.key:A'))
    os.unlink(m.at('sub:B'))


def test_reverse_ftok_finds_what_others_made(m):
    m.key()
    m.key('sub/app.key')
    m.key('bystander')
    m.make(contents=b'x')
    m.make('sub/app.key', 'z', contents=b'y')
    equal(ls(m), BOTH)
    equal(ls(m, 'sub'), ['app.key:z', 'app.key:z.refcount'])


def test_reverse_ftok_finds_what_perl_made(m):
    m.key('perl.key')
    script = ('use IPC::SysV qw(ftok IPC_CREAT); foreach (["f", 100], [",", 4]) '
              '{ defined shmget(ftok("$ENV{K}/perl.key", ord $$_[0]), $$_[1], IPC_CREAT | 0600) or die "$!" }')
    m.run("perl -e '%s'" % script)
    equal(ls(m), ['perl.key:f', 'perl.key:f.refcount'])
    m.run('rm -f *')


def test_half_an_object_of_others_is_not_listed_but_there(m):
    m.key('data')
    m.key('counter')
    m.make('data', contents=b'lone data', count=None)
    m.make('counter', count=7, size=0)
    equal(m.read('data:A'), b'lone data')
    fails('ENOENT', os.stat, m.at('data:A.refcount'))
    equal(m.read('counter:A.refcount'), b'7\n')
    fails('ENOENT', os.stat, m.at('counter:A'))
    equal(ls(m), [])


def test_no_entry_has_inode_number_0(m):
    """The first shmid of a namespace is 0, and the C library drops entries with d_ino 0."""
    m.key()
    shm.next_id(0)
    data, _ = m.make(contents=b'x')
    equal(data, 0, 'shmid of the first segment')
    equal(ls(m), BOTH)
    with os.scandir(m.mnt) as entries:
        for entry in entries:
            if entry.inode() == 0:
                raise AssertionError('d_ino of %s is 0' % entry.name)
    equal(os.stat(m.at('app.key:A')).st_ino, 0)
    m.run('ls', expected='app.key:A\napp.key:A.refcount\n')
    m.run('ls', shell='busybox', expected='app.key:A\napp.key:A.refcount\n')


def test_entries_say_what_they_are(m):
    m.key('sub/app.key')
    m.key()
    m.create('sub/app.key:A', b'x')
    m.create('app.key:A', b'x')
    with os.scandir(m.mnt) as entries:
        seen = {e.name: e.is_dir(follow_symlinks=False) for e in entries if not e.name.startswith('.')}
    equal(seen, {'sub': True, 'app.key:A': False, 'app.key:A.refcount': False})
    for name in seen:
        equal(stat.S_ISDIR(os.stat(m.at(name)).st_mode), seen[name], name)
    m.run('rm app.key:A sub/app.key:A')


def test_data_comes_before_its_counter(m):
    for name in ('b', 'a', 'c'):
        m.key(name)
        m.create(name + ':A', b'x')
    with os.scandir(m.mnt) as entries:
        order = [e.name for e in entries]
    for name in ('a:A', 'b:A', 'c:A'):
        if order.index(name) > order.index(name + '.refcount'):
            raise AssertionError('%s after its .refcount: %s' % (name, order))
    m.run('rm -f *')
    equal(shm.listing(), [])


def test_a_recorded_path_wins_over_reverse_ftok(m):
    m.key('named')
    os.link(m.keys + '/named', m.keys + '/also')
    m.create('named:A', b'x')
    equal(ls(m), ['named:A', 'named:A.refcount'])
    equal(os.stat(m.at('also:A')).st_ino, os.stat(m.at('named:A')).st_ino)
    os.unlink(m.keys + '/named')
    equal(ls(m), ['also:A', 'also:A.refcount'], 'the recorded path no longer yields the key')
    os.unlink(m.at('also:A'))


def test_no_key_file_no_name(m):
    m.key()
    m.create('app.key:A', b'x')
    ids = [s.id for s in shm.listing()]
    os.unlink(m.keys + '/app.key')
    equal(ls(m), [])
    fails('ENOENT', os.stat, m.at('app.key:A'))
    m.key()
    equal(ls(m), [], 'a new key file has another key')
    fails('ENOENT', os.stat, m.at('app.key:A'))
    for shmid in ids:
        shm.remove(shmid)


def recorded_at(m, path):
    """Where in its counter segment an object keeps its path."""
    counter = m.find()[1]
    contents = shm.read(counter.id)
    offset = contents.find(path.encode())
    if offset < 0:
        raise AssertionError('the counter segment does not record %s' % path)
    return counter, offset


def test_hostile_recorded_paths(m):
    """Strangers write them: bounded, checked, or ignored."""
    path = m.key()
    m.key('other.key')
    m.key('sub/x')
    m.create('app.key:A', b'x')
    counter, offset = recorded_at(m, path)
    room = counter.size - offset
    for text in (m.keys + '/other.key', m.keys + '/sub/x', m.keys, m.keys + '/', m.keys + '/../keys/app.key', '/', '',
                 '/etc/passwd', 'app.key', '../app.key', m.keys + '//app.key', m.keys + '/./app.key', m.keys + '/missing/app.key',
                 m.keys + '/' + 'x' * 300 + '/app.key', m.keys + '/app.key/', m.keys + 'other', m.mnt + '/app.key:A',
                 m.keys + '/sub/../app.key', m.keys + '/a\nb', m.keys + '/\xff', '/' * 500, 'x' * (room - 1)):
        shm.write(counter.id, text.encode() + b'\0', offset)
        equal(ls(m), BOTH, 'recorded %r' % text[:80])
        equal(ls(m, 'sub'), [], 'recorded %r' % text[:80])
    for fill in (b'/', b'\xff', b'\0', b'\x01', path.encode() + b'/'):
        shm.write(counter.id, (fill * room)[:room], offset)
        equal(ls(m), BOTH, 'filled with %r' % fill)
    shm.write(counter.id, b'\xff' * counter.size)
    equal(ls(m), BOTH, 'all bytes 255')
    os.unlink(m.at('app.key:A'))


def test_a_recorded_path_outside_keydir_is_not_shown(m):
    path = m.key()
    outside = m.scratch + '/outside'
    os.mkdir(outside)
    os.link(path, m.keys + '/twin')
    m.create('app.key:A', b'x')
    counter, offset = recorded_at(m, path)
    shm.write(counter.id, (outside + '/app.key').encode() + b'\0', offset)
    equal([n for n in ls(m) if not n.startswith(('app.key', 'twin'))], [])
    os.unlink(m.at('app.key:A'))


def test_a_large_directory(m):
    for i in range(1200):
        m.key('k%04d' % i)
        if i % 2:
            m.make('k%04d' % i, contents=b'x')
    expected = sorted('k%04d:A%s' % (i, s) for i in range(1, 1200, 2) for s in ('', '.refcount'))
    equal(ls(m), expected)
    equal(ls(m), expected, 'again')
    with os.scandir(m.mnt) as entries:
        names = [e.name for e in entries]
    equal(len(names), len(set(names)), 'no name twice')
    m.run('ls -l | tail -n +2 | wc -l', expected='1200\n')
    m.run('ls -f | grep -c refcount; ls -f | grep -c refcount', expected='600\n600\n')


def test_many_recorded_objects_lead_to_one_directory_entry(m):
    for i in range(300):
        m.key('sub/k%03d' % i)
        m.create('sub/k%03d:A' % i, b'x')
    equal(ls(m), ['sub'])
    equal(len(ls(m, 'sub')), 600)
    m.run('rm -f sub/*')
    equal(ls(m, 'sub'), [])
    equal(shm.listing(), [])


def test_removing_while_listing(m):
    for i in range(400):
        m.key('k%03d' % i)
        m.make('k%03d' % i, contents=b'x')
    with os.scandir(m.mnt) as entries:
        for entry in entries:
            if not entry.name.endswith('.refcount') and not entry.is_dir():
                os.unlink(entry.path)
    equal(ls(m), [])
    equal(shm.listing(), [])


def test_a_linked_directory_lists_its_target(m):
    m.key('real/app.key')
    os.symlink('real', m.keys + '/link')
    m.make('real/app.key', contents=b'x')
    equal(ls(m, 'link'), BOTH)
    equal(ls(m, 'real'), BOTH)


def test_listing_opens_nothing(m):
    """A listing attaches no data segment and leaves no attachment anywhere."""
    m.key()
    data, counter = m.make(contents=b'x')
    before = shm.stat(data)
    ls(m)
    m.run('ls -l >/dev/null')
    os.stat(m.at('app.key:A'))
    equal(shm.stat(data), before, 'the data segment')
    equal(shm.stat(counter).nattch, 0)


def test_listing_leaves_alone_what_is_no_counter(m):
    """A segment under a counter key without data, of a size that libsm makes none of, may be anybody's."""
    lone = {}
    for number, size in enumerate((1, 4, 5, 64, 4095, 4097, 8192)):
        lone[m.own(shm.get(0x12345678 + number, size, shm.IPC_CREAT | 0o666))] = size
    before = [shm.stat(shmid) for shmid in lone]
    for _ in range(3):
        m.listing()
    equal([shm.stat(shmid) for shmid in lone], before)


def test_two_readers_at_once(m):
    for i in range(100):
        m.key('k%02d' % i)
        m.make('k%02d' % i, contents=b'x')
    equal(in_child(lambda: [len(ls(m)) for _ in range(20)]), [200] * 20)
    first, second = os.open(m.mnt, os.O_RDONLY), os.open(m.mnt, os.O_RDONLY)
    equal(sorted(os.listdir(first)), sorted(os.listdir(second)))
    os.close(first)
    os.close(second)


harness.main(globals())
