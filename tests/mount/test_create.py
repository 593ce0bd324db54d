# SPDX-License-Identifier: MIT
"""New objects: an object of exactly the size written, however it was written ("Creation" in the contract)."""

import mmap
import os
import struct
import threading
import time

import harness
import shm
from case import all_end_well, as_uid, equal, errno_of, fails, in_child, shells, spawn
from daemon import wait_until

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def gone(m, name='app.key', proj='A'):
    os.unlink(m.at('%s:%s' % (name, proj)))
    equal(m.find(name, proj), (None, None), 'after rm')


def check(m, contents, what, name='app.key', proj='A'):
    """An object with just these bytes, a counter of 0; then it is removed."""
    data, counter = m.find(name, proj)
    if data is None or counter is None:
        raise AssertionError('%s: data %s, counter %s' % (what, data, counter))
    equal(data.size, len(contents), what + ': size')
    equal(shm.read(data.id) == contents, True, '%s: bytes %r' % (what, shm.read(data.id)[:40]))
    equal(m.count(name, proj), 0, what + ': counter')
    equal(counter.size >= 4, True, what + ': size of the counter segment')
    equal(m.read(name + ':' + proj) == contents, True, what + ': read back')
    gone(m, name, proj)


def test_redirection_makes_just_what_was_written(m):
    m.key()
    for shell in shells():
        for command, contents in (
                ('printf hi > app.key:A', b'hi'),
                ('echo hello > app.key:A', b'hello\n'),
                ('echo hello >> app.key:A', b'hello\n'),
                ('echo hello >| app.key:A', b'hello\n'),
                ('printf hi 1<> app.key:A', b'hi'),
                ('printf "%05000d" 7 > app.key:A', b'%05000d' % 7),
                ('cat > app.key:A <<END\none\ntwo\nEND', b'one\ntwo\n'),
                ('{ echo a; (cd $K; ls); echo c; } > app.key:A', b'a\napp.key\nc\n'),
                ('(echo a; echo b) > app.key:A', b'a\nb\n'),
                ('for i in 1 2 3; do echo $i; done > app.key:A', b'1\n2\n3\n'),
                ('echo a | tee app.key:A > /dev/null', b'a\n'),
                ('exec 3> app.key:A; echo a >&3; echo b >&3; exec 3>&-', b'a\nb\n'),
                ('exec 3> app.key:A; (echo a >&3); echo b >&3; exec 3>&-', b'a\nb\n'),
                ('{ (echo a); sh -c "echo b"; cat $K/app.key; echo c; } > app.key:A', b'a\nb\nc\n'),
                ('f() { echo a; true; echo b; }; f > app.key:A 2>&1', b'a\nb\n'),
                ('seq 100000 > app.key:A', b''.join(b'%d\n' % i for i in range(1, 100001)))):
            m.run(command, shell)
            check(m, contents, '%s: %s' % (shell, command))


def test_the_default_size(m):
    m.key()
    for shell in shells():
        for command in (': > app.key:A', 'touch app.key:A', '> app.key:A', ': >> app.key:A', 'truncate -s 0 app.key:A',
                        'cp /dev/null app.key:A', 'exec 3> app.key:A; exec 4>&3; exec 3>&-; exec 4>&-'):
            m.run(command, shell)
            # after a single close it is the release that makes it, which the kernel sends when close(2) has returned
            wait_until(lambda: m.find()[0], 'the last close made it')
            check(m, b'\0' * 4096, '%s: %s' % (shell, command))


@harness.options('-o', 'size=64K')
def test_the_default_size_is_an_option(m):
    m.key()
    m.run('touch app.key:A')
    check(m, b'\0' * 65536, 'size=64K')
    m.run('printf hi > app.key:A')
    check(m, b'hi', 'what is written counts more')


@harness.unmounted
def test_sizes_understood_by_the_option(m):
    m.key()
    for text, size in (('1', 1), ('5000', 5000), ('10K', 10240), ('2M', 2 << 20), ('1G', 1 << 30)):
        m.start(options=['-o', 'size=' + text])
        m.run('touch app.key:A')
        equal(m.data().size, size, text)
        gone(m)
        equal(m.daemons.pop().stop(), [])


def test_truncate_and_fallocate(m):
    m.key()
    for size in (1, 5000, 1 << 20):
        m.run('truncate -s %d app.key:A' % size)
        check(m, b'\0' * size, 'truncate -s %d' % size)
        m.run('busybox truncate -s %d app.key:A' % size)
        check(m, b'\0' * size, 'busybox truncate -s %d' % size)
        m.run('fallocate -l %d app.key:A' % size)
        check(m, b'\0' * size, 'fallocate -l %d' % size)
    m.run('truncate -s 1G app.key:A')
    equal(m.data().size, 1 << 30)
    gone(m)


def test_truncate_makes_it_at_once(m):
    m.key()
    for call in (os.ftruncate, lambda fd, n: os.posix_fallocate(fd, 0, n)):
        fd = os.open(m.at('app.key:A'), NEW)
        call(fd, 5000)
        equal(m.data().size, 5000, 'before close')
        os.close(fd)
        check(m, b'\0' * 5000, 'after close')


def test_truncate_then_write(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.ftruncate(fd, 100)
    os.pwrite(fd, b'in the middle', 40)
    os.close(fd)
    check(m, b'\0' * 40 + b'in the middle' + b'\0' * 47, 'write after ftruncate')
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'x' * 100)
    os.ftruncate(fd, 10)
    os.close(fd)
    check(m, b'x' * 10, 'ftruncate after write')
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'x' * 10)
    os.ftruncate(fd, 20)
    os.close(fd)
    check(m, b'x' * 10 + b'\0' * 10, 'ftruncate to more')


def test_cp_and_dd(m):
    m.key()
    for size in (1, 4096, 5000, 131072, (3 << 20) + 17):
        contents = os.urandom(size)
        with open(m.keys + '/source', 'wb') as source:
            source.write(contents)
        for command in ('cp $K/source app.key:A', 'busybox cp $K/source app.key:A', 'cp --sparse=always $K/source app.key:A',
                        'cp -p $K/source app.key:A', 'cp -a $K/source app.key:A', 'cat $K/source > app.key:A',
                        'dd if=$K/source of=app.key:A bs=7777 status=none', 'dd if=$K/source of=app.key:A bs=1M conv=fsync status=none',
                        'busybox dd if=$K/source of=app.key:A bs=4096 2>/dev/null', 'install -m 600 $K/source app.key:A'):
            m.run(command)
            check(m, contents, command + ' of %d' % size)


def test_dd_with_seek(m):
    m.key()
    m.run('printf x | dd of=app.key:A bs=1 seek=9 status=none')
    check(m, b'\0' * 9 + b'x', 'dd seek')
    m.run('printf abc | dd of=app.key:A bs=1 seek=9 conv=notrunc status=none')
    check(m, b'\0' * 9 + b'abc', 'dd seek notrunc')


def test_pieces_in_any_order(m):
    m.key()
    fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.pwrite(fd, b'tail', 10000)
    equal(os.fstat(fd).st_size, 10004)
    os.pwrite(fd, b'Head', 0)
    os.pwrite(fd, b'h', 0)
    equal(os.pread(fd, 4, 0), b'head', 'read back in the making')
    equal(os.pread(fd, 8, 9998), b'\0\0tail')
    equal(os.pread(fd, 8, 10004), b'')
    os.close(fd)
    check(m, b'head' + b'\0' * 9996 + b'tail', 'pieces')


def test_thousands_of_small_writes(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    for i in range(5000):
        os.write(fd, b'%04d' % i)
    os.close(fd)
    check(m, b''.join(b'%04d' % i for i in range(5000)), 'small writes')


def test_append_mode(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW | os.O_APPEND)
    for word in (b'one ', b'two ', b'three'):
        os.write(fd, word)
    os.close(fd)
    check(m, b'one two three', 'O_APPEND')


def test_duplicated_descriptors(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    copies = [os.dup(fd) for _ in range(3)]
    os.close(fd)
    fails('ENOENT', os.stat, m.at('app.key:B'))
    expected = b''
    for i, copy in enumerate(copies):
        os.write(copy, b'part %d;' % i)
        expected += b'part %d;' % i
        os.close(copy)
        equal(m.data().size, len(expected), 'after closing copy %d' % i)
    check(m, expected, 'dup')


def test_an_empty_first_flush_makes_nothing(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.close(os.dup(fd))
    equal(m.find(), (None, None), 'after one empty flush')
    os.close(os.dup(fd))
    equal(m.data().size, 4096, 'after the second')
    os.write(fd, b'xyz')
    os.close(fd)
    check(m, b'xyz', 'written after all')


def test_fork_while_creating(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'parent ')
    in_child(lambda: os.write(fd, b'child ') and None)
    os.write(fd, b'parent')
    os.close(fd)
    check(m, b'parent child parent', 'fork')


def test_the_child_finishes_it(m):
    m.key()
    go, ready = os.pipe()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'first ')
    pid = spawn(lambda: (os.read(go, 1), os.write(fd, b'second')))
    os.close(fd)
    equal(m.data().size, 6)
    os.write(ready, b'x')
    all_end_well([pid])
    check(m, b'first second', 'child')
    os.close(go)
    os.close(ready)


def test_many_create_the_same_at_once(m):
    """Some have it made, some open what is being made, some what is there: each has a file, which takes what is written."""
    m.key()
    for _ in range(200):
        go, start = os.pipe()
        seen, say = os.pipe()

        def create():
            os.read(go, 1)
            fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT, 0o666)
            os.pwrite(fd, b'x', 0)
            equal(os.pread(fd, 1, 0), b'x')
            os.close(fd)
            os.write(say, b'.')
        pids = [spawn(create) for _ in range(12)]
        os.close(go)
        os.write(start, 12 * b'g')
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(say)
        equal(os.read(seen, 100), 12 * b'.')
        os.close(seen)
        os.close(start)
        os.unlink(m.at('app.key:A'))


def test_idle_descriptors_keep_nobody_from_mapping(m):
    """The creating descriptor, and one that was opened beside it, are asked nothing: who opens it again maps it."""
    m.key()
    idle = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT, 0o666)
    beside = os.open(m.at('app.key:A'), os.O_RDONLY)
    maker = os.open(m.at('app.key:A'), os.O_RDWR)
    os.write(maker, 4096 * b'x')
    os.fsync(maker)
    for _ in range(3):
        fd = os.open(m.at('app.key:A'), os.O_RDWR)
        if os.environ.get('SMFS_ACCESS') != 'copy':
            with mmap.mmap(fd, 0) as shared:
                equal(shared[:1], b'x')
        os.close(fd)
    for fd in idle, beside, maker:
        os.close(fd)
    gone(m)


def test_a_killed_writer_leaves_what_it_wrote(m):
    m.key()
    done, tell = os.pipe()

    def write_and_stop():
        fd = os.open(m.at('app.key:A'), NEW)
        os.write(fd, b'partial')
        os.write(tell, b'x')
        os.kill(os.getpid(), 19)
    pid = spawn(write_and_stop)
    os.read(done, 1)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    check(m, b'partial', 'killed')
    os.close(done)
    os.close(tell)


def test_what_could_not_be_filled_is_taken_back(m):
    """strace refuses the third shmat of the making, the data's: there is no object of zeros, and the next flush makes it."""
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    with m.daemon.traced('-e', 'trace=shmat', '-e', 'inject=shmat:error=ENOMEM:when=3'):
        os.write(fd, b'hello')      # not before: whoever starts strace closes a copy of the descriptor
        fails('ENOMEM', os.fsync, fd)
    equal(m.find(), (None, None))
    os.close(fd)
    check(m, b'hello', 'after close')


def test_fsync_makes_it_and_more_replaces_it(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'one')
    os.fsync(fd)
    equal(m.data().size, 3)
    os.write(fd, b' two')
    os.fdatasync(fd)
    equal(m.data().size, 7)
    os.pwrite(fd, b'ONE', 0)
    os.close(fd)
    check(m, b'ONE two', 'fsync')


def test_once_attached_the_size_stays(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'0123456789')
    os.fsync(fd)
    shmid = m.data().id
    address = shm.attach(shmid)
    os.pwrite(fd, b'abc', 0)
    seen = errno_of(os.pwrite, fd, b'more', 10)
    equal(seen, 'ENOSPC', 'a write past the end of what another has attached')
    os.fsync(fd)
    equal(shm.read(shmid), b'abc3456789')
    os.close(fd)
    equal((m.data().id, m.data().size), (shmid, 10), 'after close')
    shm.detach(address)
    gone(m)


def test_once_opened_the_size_stays(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'0123456789')
    os.fsync(fd)
    reader = os.open(m.at('app.key:A'), os.O_RDONLY)
    equal(errno_of(os.pwrite, fd, b'more', 10), 'ENOSPC')
    os.pwrite(fd, b'abc', 0)
    os.fsync(fd)
    equal(os.pread(reader, 100, 0), b'abc3456789')
    os.close(reader)
    os.close(fd)
    check(m, b'abc3456789', 'opened meanwhile')


def test_once_opened_and_closed_again_the_size_stays(m):
    """Within the second in which it was made, by whose times alone nothing has happened."""
    m.key()
    for _ in range(3):
        fd = os.open(m.at('app.key:A'), NEW)
        os.write(fd, b'0123456789')
        os.fsync(fd)
        made = m.data().id
        os.close(os.open(m.at('app.key:A'), os.O_RDONLY))
        time.sleep(.05)     # the close is not waited for
        equal(errno_of(os.pwrite, fd, b'more', 10), 'ENOSPC')
        os.close(fd)
        equal(m.data().id, made)
        check(m, b'0123456789', 'opened and closed meanwhile')


@harness.allow_other
def test_who_may_not_open_it_settles_nothing(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW, 0o600)
    os.write(fd, b'0123456789')
    os.fsync(fd)
    equal(as_uid(1001, 1001, [], lambda: errno_of(os.open, m.at('app.key:A'), os.O_RDONLY)), 'EACCES')
    os.pwrite(fd, b'more', 10)
    os.close(fd)
    check(m, b'0123456789more', 'refused meanwhile')


def test_the_mode_is_any_new_files(m):
    m.key()
    for umask in (0, 0o022, 0o077, 0o137, 0o777):
        for command in ('printf hi > app.key:A', 'touch app.key:A', 'truncate -s 10 app.key:A'):
            m.run('umask %03o; %s' % (umask, command))
            data, counter = m.find()
            equal((data.mode, counter.mode), (0o666 & ~umask,) * 2, 'umask %03o, %s' % (umask, command))
            equal(os.stat(m.at('app.key:A')).st_mode & 0o7777, 0o666 & ~umask)
            gone(m)
    old = os.umask(0)
    for mode in (0o600, 0o400, 0o200, 0o000, 0o640, 0o777):
        m.create('app.key:A', b'hello', mode)
        equal([s.mode for s in m.find()], [mode] * 2)
        equal(m.bytes_of(), b'hello', 'mode %03o' % mode)
        gone(m)
    os.umask(old)


def test_no_key_file(m):
    os.mkdir(m.keys + '/sub')
    for shell in shells():
        m.refused('echo hi > missing:A', 'ENOENT', shell)
    for name in ('missing:A', 'sub/missing:A', 'missing/app.key:A'):
        fails('ENOENT', os.open, m.at(name), NEW)
        fails('ENOENT', os.open, m.at(name), os.O_RDWR)
    m.refused('touch missing:A', 'ENOENT')
    m.refused('cp /bin/true missing:A', 'ENOENT')
    equal(shm.listing(), [])


def test_existing_names(m):
    m.key()
    m.make(contents=b'here')
    fails('EEXIST', os.open, m.at('app.key:A'), NEW)
    result = m.sh('set -C; echo hi > app.key:A')
    equal(result.status != 0, True, 'noclobber')
    equal(m.bytes_of(), b'here')
    fd = os.open(m.at('app.key:A'), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b'HE')
    os.close(fd)
    equal(m.bytes_of(), b'HEre')


def test_a_key_made_by_someone_else_meanwhile(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'mine')
    m.make(contents=b'theirs')
    fails('EEXIST', os.fsync, fd)
    errno_of(os.close, fd)
    equal(m.bytes_of(), b'theirs')
    equal(m.read('app.key:A'), b'theirs')


def test_what_was_told_that_it_exists_is_not_made_later(m):
    """By the close of another copy, or by the release that follows the last one."""
    m.key()
    for written in (b'mine', b''):
        fd = os.open(m.at('app.key:A'), NEW)
        os.write(fd, written)
        m.make(contents=b'theirs')
        fails('EEXIST', os.fsync if written else os.utime, fd)
        m.remove()
        fails('EEXIST', os.close, os.dup(fd))
        fails('ENOENT', os.stat, m.at('app.key:A'))
        equal((m.find(), os.fstat(fd).st_nlink), ((None, None), 0), 'after a close')
        m.create('app.key:A', b'another')
        fails('EEXIST', os.close, fd)
        check(m, b'another', 'what has the name now')


def test_two_make_the_same_name(m):
    m.key()
    first = os.open(m.at('app.key:A'), os.O_CREAT | os.O_WRONLY)
    seen = errno_of(lambda: os.close(os.open(m.at('app.key:A'), NEW)))
    os.write(first, b'first')
    os.close(first)
    if seen not in ('OK', 'EEXIST'):
        raise AssertionError('the second open: ' + seen)
    if m.data().size not in (5, 4096):
        raise AssertionError('size %d' % m.data().size)
    gone(m)


def test_a_lone_counter_of_others_is_no_obstacle(m):
    m.key()
    m.make(size=0, count=0)
    m.create('app.key:A', b'data')
    equal(m.bytes_of(), b'data')
    gone(m)


STALE = 2      # seconds: a younger counter may be one of an object that is being made
OLD = STALE + 1.1


def is_replaced(m):
    """Is the counter under app.key:A another one when the object has been made? Then it is said, and starts at 0."""
    before = m.find()[1].id
    m.create('app.key:A', b'data')
    equal(m.bytes_of(), b'data')
    data, counter = m.find()
    if counter.id != before:
        equal(m.count(), 0)
    said = '%s/app.key:A: a counter without data that nobody had attached (segment %d) was removed' % (m.keys, before)
    equal(m.daemon.stderr().count(said), int(counter.id != before), said)
    m.remove()
    return counter.id != before


REMOVED = harness.says('was removed for a new object')


@REMOVED
def test_a_stale_counter_is_replaced(m):
    """What a crash left: its count means nothing any more. One line says so."""
    m.key()
    for size in (4, 4096):
        counter = m.make(size=0, count=7, counter_size=size)[1]
        if size == 4096:
            shm.write(counter, b'smSMCTR1', 8)
        time.sleep(OLD)
        equal(is_replaced(m), True, '%d bytes' % size)


def test_a_counter_that_somebody_has_attached_is_kept(m):
    m.key()
    counter = m.make(size=0, count=7)[1]
    address = shm.attach(counter)
    time.sleep(OLD)
    equal(is_replaced(m), False)
    shm.detach(address)


@REMOVED
def test_a_young_counter_is_kept(m):
    """Its object may be in the making: the counter comes first."""
    m.key()
    for _ in range(20):
        begun = time.time()
        m.make(size=0, count=7)
        replaced = is_replaced(m)
        if time.time() < begun + STALE - 0.5:       # else we were kept waiting, and it had time to become old
            equal(replaced, False)
            return
    raise AssertionError('this machine is too slow')


def test_another_programs_segment_under_the_counters_key(m):
    """It is no counter, so its key is not to be had: nothing is made, and it stays as it is."""
    m.key()
    key = m.keys_of()[1]
    for size, mode in ((4096, 0o600), (4096, 0o666), (1, 0o600), (8, 0o666), (100000, 0o666)):
        theirs = m.own(m.as_uid(3000, 3000, [], lambda size=size, mode=mode: shm.get(key, size, shm.IPC_CREAT | shm.IPC_EXCL | mode)))
        shm.write(theirs, (b'balance=1000;' * 10)[:size])
        if (size, mode) == (4096, 0o600):
            time.sleep(OLD)
        seen = shm.stat(theirs)
        for flags in (NEW, os.O_CREAT | os.O_WRONLY, os.O_CREAT | os.O_RDWR | os.O_TRUNC):
            fails('EEXIST', os.open, m.at('app.key:A'), flags)
        for command in ('printf hi > app.key:A', 'touch app.key:A', 'truncate -s 100 app.key:A', 'cp /proc/self/status app.key:A',
                        'fallocate -l 100 app.key:A'):
            m.refused(command, 'EEXIST')
        fails('ENOENT', os.stat, m.at('app.key:A'))
        equal([s.id for s in shm.listing()], [theirs])
        equal(shm.stat(theirs)._replace(atime=0, dtime=0, lpid=0), seen._replace(atime=0, dtime=0, lpid=0))
        equal(shm.read(theirs), (b'balance=1000;' * 10)[:size].ljust(size, b'\0'))
        equal(m.listing(), [])
        shm.remove(theirs)
    m.create('app.key:A', b'data')
    gone(m)


def test_another_programs_segment_comes_while_it_is_being_made(m):
    """After open(2), so that the close has to say it."""
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'data')
    theirs = m.own(shm.get(m.keys_of()[1], 4096, shm.IPC_CREAT | shm.IPC_EXCL | 0o600))
    fails('EEXIST', os.fsync, fd)
    errno_of(os.close, fd)
    equal([s.id for s in shm.listing()], [theirs])


@harness.allow_other
def test_a_counter_that_its_maker_alone_may_read(m):
    """Of libsm's size, it could be anything: another user does not get the key."""
    m.key()
    os.chmod(m.keys, 0o755)
    theirs = m.own(m.as_uid(3000, 3000, [], lambda: shm.get(m.keys_of()[1], 4096, shm.IPC_CREAT | shm.IPC_EXCL | 0o600)))
    shm.write(theirs, b'smSMCTR1', 8)
    m.as_uid(3001, 3001, [], lambda: fails('EEXIST', os.open, m.at('app.key:A'), NEW))
    equal([s.id for s in shm.listing()], [theirs])


def test_a_lone_data_segment_is_written_like_any(m):
    m.key()
    m.make(contents=b'12345', count=None)
    m.run('printf ab > app.key:A; cat app.key:A | xxd -p', expected='6162000000\n')
    fails('ENOENT', os.stat, m.at('app.key:A.refcount'))
    gone(m)


def test_unlinked_while_being_made(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW)
    os.write(fd, b'one')
    os.fsync(fd)
    os.write(fd, b'two')
    os.unlink(m.at('app.key:A'))
    equal(m.find(), (None, None))
    os.close(os.dup(fd))
    os.close(fd)
    equal(m.find(), (None, None), 'after close')
    fails('ENOENT', os.unlink, m.at('app.key:A'))


def test_what_is_written_goes_with_what_was_removed(m):
    """As with any unlinked file: by rm or ipcrm, made before or not; and another object may have the name."""
    m.key()
    for made, remove in ((False, lambda: m.run('rm app.key:A')), (True, lambda: m.run('rm app.key:A')), (True, m.remove)):
        fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.write(fd, b'one')
        if made:
            os.fsync(fd)
        remove()
        os.write(fd, b'two')
        os.fsync(fd)
        equal((os.pread(fd, 10, 0), os.fstat(fd).st_size, os.fstat(fd).st_nlink), (b'onetwo', 6, 0))
        os.fchmod(fd, 0o640)
        os.utime(fd)
        os.ftruncate(fd, 4)
        equal(os.pread(fd, 10, 0), b'onet')
        equal(m.find(), (None, None), 'before close')
        m.create('app.key:A', b'another')
        os.close(fd)
        check(m, b'another', 'what has the name now')


def test_a_second_shell_that_opens_a_new_name_says_no_size(m):
    """`>` of both at once: neither has written, so nothing is made of the default size that a third would settle."""
    m.key()
    fds = [os.open(m.at('app.key:A'), os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for _ in range(3)]
    equal(m.find(), (None, None), 'before the first write')
    for fd in fds:
        os.pwrite(fd, b'hi', 0)
        os.close(fd)
    check(m, b'hi', 'written three times')


def owner_and_mode(m):
    return {(s.uid, s.gid, s.mode) for s in m.find()}


def test_owner_and_mode_given_while_it_is_being_made_stay(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW, 0o644)
    os.write(fd, b'one')
    os.fchown(fd, 7777, 8888)
    equal(owner_and_mode(m), {(7777, 8888, 0o644)}, 'before the first flush')
    os.write(fd, b'two')
    os.fsync(fd)
    os.fchmod(fd, 0o640)
    os.fchown(fd, 7778, -1)
    os.write(fd, b'three')
    os.close(fd)
    equal(owner_and_mode(m), {(7778, 8888, 0o640)})
    check(m, b'onetwothree', 'chown and chmod between writes')
    m.run('echo hi > $K/app.key:A; chown 7777:8888 $K/app.key:A; cp --preserve=ownership $K/app.key:A .')
    equal({s[:2] for s in owner_and_mode(m)}, {(7777, 8888)}, 'cp --preserve=ownership')
    gone(m)


def test_ones_own_chmod_is_no_notice_taken_by_others(m):
    """Its time stamp is of another second than that of the segment which it is about."""
    m.key()
    for mode in (0o600, 0o644):
        fd = os.open(m.at('app.key:A'), NEW, 0o644)
        os.write(fd, b'one')
        os.fsync(fd)
        made = m.data().ctime
        wait_until(lambda: int(time.time()) > made + 1, 'the next second')
        os.fchmod(fd, mode)
        os.write(fd, b'two')
        os.close(fd)
        equal(m.data().mode & 0o777, mode)
        check(m, b'onetwo', 'chmod %o' % mode)


@harness.allow_other
def test_a_refused_chmod_changes_nothing(m):
    m.key()
    fd = os.open(m.at('app.key:A'), NEW, 0o600)
    os.write(fd, b'one')
    os.fsync(fd)
    fails('EPERM', as_uid, 1001, 1001, [], lambda: os.chmod(m.at('app.key:A'), 0o666))
    fails('EPERM', as_uid, 1001, 1001, [], lambda: os.chown(m.at('app.key:A'), 1001, 1001))
    os.write(fd, b'two')
    os.close(fd)
    equal(owner_and_mode(m), {(0, 0, 0o600)})
    check(m, b'onetwo', 'after the refused ones')


def test_the_object_is_found_when_cp_has_returned(m):
    """From C, by shmget, with no wait; a hundred times."""
    for i in range(100):
        m.key('k%d' % i)
        m.create('k%d:A' % i, struct.pack('i', i))
        equal(m.bytes_of('k%d' % i), struct.pack('i', i))
    m.run('rm -f *')


def test_bytes_in_the_making_are_given_back(m):
    m.key()
    before = m.daemon.status('VmRSS')
    for _ in range(8):
        m.create('app.key:A', b'x' * (4 << 20))
        gone(m)
    m.daemon.must_not_grow(before, 21 << 10)     # a request buffer of 2 MiB for each thread; all bytes are 32 MiB


def test_removed_while_it_is_filled(m):
    """By rm, by ipcrm: as any unlinked file, and it does not come back when it is closed."""
    m.key()
    for remove in (lambda: os.unlink(m.at('app.key:A')), m.remove):
        with m.daemon.traced('-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=1000000'):
            fd = os.open(m.at('app.key:A'), NEW)
            equal(os.pwrite(fd, b'x', (2 << 20) - 1), 1)
            said = []
            thread = threading.Thread(target=lambda: said.append((errno_of(os.fsync, fd), errno_of(os.close, fd))))
            thread.start()
            wait_until(lambda: m.find()[0] is not None, 'it is being filled')
            remove()
            thread.join()
        equal(said, [('OK', 'OK')])
        time.sleep(0.2)     # no sign of what must not happen: smfs hears of the close after it
        equal(m.find()[0], None)
        m.run('rm -f app.key:A.refcount')


def test_removed_while_its_last_close_makes_it(m):
    m.key()
    with m.daemon.traced('-e', 'trace=shmget', '-e', 'inject=shmget:delay_enter=200000'):
        os.close(os.open(m.at('app.key:A'), NEW))
        os.unlink(m.at('app.key:A'))
    equal(m.find(), (None, None))


@harness.options('-o', 'staged=1M')
def test_bytes_in_the_making_are_bounded(m):
    m.key()
    m.run('head -c 500000 /dev/zero > app.key:A')
    gone(m)
    fd = os.open(m.at('app.key:A'), NEW)
    seen = 'OK'
    for _ in range(32):
        seen = errno_of(os.write, fd, b'x' * 65536)
        if seen != 'OK':
            break
    os.close(fd)
    equal(seen, 'ENOSPC', '2 MiB where 1 MiB is allowed')
    equal('staged' in m.daemon.stderr(), True, 'the limit is told to the operator, once')
    m.daemon.may_complain = True
    m.run('rm -f *; truncate -s 16M app.key:A')
    equal(m.data().size, 16 << 20)
    gone(m)


harness.main(globals())
