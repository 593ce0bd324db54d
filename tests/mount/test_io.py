# SPDX-License-Identifier: MIT
"""Reading and writing objects that exist: in place, never growing, never dropping silently."""

import hashlib
import mmap
import os
import shutil

import harness
import shm
from case import all_end_well, equal, errno_of, fails, in_child, shells, spawn
from daemon import wait_until

SIZES = (1, 2, 4095, 4096, 4097, 5000, 65537, (1 << 20) + 3, (3 << 20) + 5)


def pattern(size):
    block = hashlib.sha512(b'%d' % size).digest()
    return (block * (size // 64 + 1))[:size]


def test_reading_equals_the_segment(m):
    for size in SIZES:
        m.key('k%d' % size)
        m.make('k%d' % size, contents=pattern(size))
    for size in SIZES:
        name = 'k%d:A' % size
        equal(os.stat(m.at(name)).st_size, size)
        equal(m.read(name) == pattern(size), True, 'bytes of ' + name)
        with open(m.at(name), 'rb', buffering=0) as f:
            equal(f.seek(0, 2), size, 'SEEK_END')
            equal(f.read(10), b'', 'at the end')
            equal(os.pread(f.fileno(), 100, size - 1), pattern(size)[-1:])
            equal(os.pread(f.fileno(), 100, size + 5000), b'')
            equal(os.pread(f.fileno(), 7, size // 2), pattern(size)[size // 2:size // 2 + 7])


def test_writing_in_place(m):
    for size in SIZES:
        name = 'k%d' % size
        m.key(name)
        m.make(name, size=size)
        equal(m.write(name + ':A', pattern(size)) == size, True, 'written at %d' % size)
        equal(m.bytes_of(name) == pattern(size), True, 'bytes of %s' % name)
        fd = os.open(m.at(name + ':A'), os.O_RDWR)
        equal(os.pwrite(fd, b'!', size // 2), 1)
        equal(os.pread(fd, 1, size // 2), b'!')
        os.close(fd)
        equal(m.bytes_of(name)[size // 2:size // 2 + 1], b'!')
        equal(m.data(name).size, size)


def test_what_others_write_is_seen_at_once(m):
    m.key()
    data, _ = m.make(contents=b'one')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    for word in (b'two', b'six', b'ten'):
        shm.write(data, word)
        equal(os.pread(fd, 3, 0), word)
        os.pwrite(fd, word[::-1], 0)
        equal(shm.read(data), word[::-1])
    os.close(fd)


def test_tools_that_read(m):
    m.key()
    m.make(contents=b'hello\nworld\n')
    for shell in shells():
        m.run('cat app.key:A', shell, 'hello\nworld\n')
        m.run('head -c 5 app.key:A', shell, 'hello')
        m.run('tail -c 6 app.key:A', shell, 'world\n')
        m.run('wc -c < app.key:A', shell, '12\n')
        m.run('dd if=app.key:A bs=3 skip=1 count=2 2>/dev/null', shell, 'lo\nwor')
        m.run('read x < app.key:A; echo $x', shell, 'hello\n')
        m.run('grep -c world app.key:A', shell, '1\n')
        m.run('sort -r app.key:A', shell, 'world\nhello\n')
        m.run('cmp app.key:A app.key:A && echo same', shell, 'same\n')
    m.run('xxd -p app.key:A', expected=b'hello\nworld\n'.hex() + '\n')


def test_copies_out_of_the_mount(m):
    m.key()
    contents = pattern((2 << 20) + 77)
    m.make(contents=contents)
    for command in ('cp app.key:A $K/out', 'cp -p app.key:A $K/out', 'cp -a app.key:A $K/out', 'cp --sparse=always app.key:A $K/out',
                    'cp --sparse=never app.key:A $K/out', 'cat app.key:A > $K/out', 'dd if=app.key:A of=$K/out bs=64K status=none',
                    'busybox cp app.key:A $K/out'):
        m.run('rm -f $K/out; ' + command)
        with open(m.keys + '/out', 'rb') as out:
            equal(out.read() == contents, True, command)
    shutil.copyfile(m.at('app.key:A'), m.keys + '/out')
    with open(m.at('app.key:A'), 'rb') as source, open(m.keys + '/out2', 'wb') as out:
        sent = 0
        while sent < len(contents):
            try:
                n = os.sendfile(out.fileno(), source.fileno(), sent, len(contents) - sent)
            except OSError as e:        # native access may refuse it, so that programs fall back to read
                equal(e.strerror, os.strerror(22))
                out.write(contents)
                break
            sent += n
    for name in ('out', 'out2'):
        with open(m.keys + '/' + name, 'rb') as out:
            equal(out.read() == contents, True, name)


def test_past_the_end(m):
    m.key()
    m.make(contents=b'0123456789')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    equal(os.pwrite(fd, b'abcdef', 7), 3, 'what fits')
    equal(m.bytes_of(), b'0123456abc')
    for offset in (10, 11, 4095, 4096, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 62, (1 << 63) - 2):
        fails('ENOSPC', os.pwrite, fd, b'x', offset)
        equal(os.pread(fd, 1, offset), b'', 'read at %d' % offset)
    if errno_of(os.pwrite, fd, b'x', (1 << 63) - 1) not in ('ENOSPC', 'EFBIG', 'EINVAL', 'EOVERFLOW'):
        raise AssertionError('written at 2^63-1')
    equal(os.pwrite(fd, b'', 100), 0, 'nothing is always written')
    os.lseek(fd, 8, 0)
    equal(os.writev(fd, [b'X', b'Y', b'Z']), 2)
    fails('ENOSPC', os.write, fd, b'Z')
    os.close(fd)
    equal(m.bytes_of(), b'0123456aXY')
    equal(os.stat(m.at('app.key:A')).st_size, 10)


def test_too_much_from_a_shell(m):
    m.key()
    m.make(size=10)
    for shell in shells():
        m.refused('printf 0123456789abc > app.key:A', 'ENOSPC', shell)
        equal(m.bytes_of(), b'0123456789')
    m.refused('seq 1000 > app.key:A', 'ENOSPC')
    m.refused('cp /bin/true app.key:A', 'ENOSPC')
    m.refused('dd if=/dev/zero of=app.key:A bs=6 count=2 status=none', 'ENOSPC')
    equal(m.bytes_of(), b'\0' * 10)
    equal(m.data().size, 10)


def test_appending_to_a_full_object(m):
    m.key()
    m.make(contents=b'full')
    for shell in shells():
        m.refused('echo more >> app.key:A', 'ENOSPC', shell)
    fd = os.open(m.at('app.key:A'), os.O_WRONLY | os.O_APPEND)
    fails('ENOSPC', os.write, fd, b'x')
    os.close(fd)
    equal(m.bytes_of(), b'full')


def test_appending_after_emptying_has_no_room_either(m):
    """The size stays, so the end is where it was; with O_TRUNC|O_APPEND a write must not land at offset 0."""
    m.key()
    m.make(contents=b'full')
    fd = os.open(m.at('app.key:A'), os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
    fails('ENOSPC', os.write, fd, b'x')
    os.close(fd)
    equal(m.bytes_of(), b'\0\0\0\0')


def test_redirection_zero_fills_and_keeps_the_size(m):
    m.key()
    m.make(contents=b'x' * 5000)
    before = m.data().id
    for shell in shells():
        m.run('printf "%05000d" 0 > app.key:A', shell)
        m.run('printf hi > app.key:A', shell)
        equal(m.bytes_of(), b'hi' + b'\0' * 4998, shell)
    equal((m.data().id, m.data().size), (before, 5000))


def test_emptying_gives_the_pages_back(m):
    m.key()
    size = (1 << 20) + 5000
    data, _ = m.make(contents=pattern(size))
    address = shm.attach(data)
    for command in (': > app.key:A', 'truncate -s 0 app.key:A', 'cp /dev/null app.key:A', '> app.key:A'):
        shm.write(data, pattern(size))
        m.run(command)
        equal(shm.read(data) == b'\0' * size, True, command)
    shm.write(data, pattern(size))
    os.truncate(m.at('app.key:A'), 0)
    with open('/proc/sysvipc/shm') as table:
        rss = [int(line.split()[14]) for line in table if line.split()[1] == str(data)]
    equal(rss, [0], 'resident bytes after truncating to 0')
    shm.detach(address)
    equal(m.data().size, size)
    equal(os.stat(m.at('app.key:A')).st_size, size)


def test_ftruncate_to_0_of_an_open_file(m):
    m.key()
    m.make(contents=b'something')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.ftruncate(fd, 0)
    equal(os.pread(fd, 100, 0), b'\0' * 9)
    os.pwrite(fd, b'again', 2)
    os.close(fd)
    equal(m.bytes_of(), b'\0\0again\0\0')


def test_in_place_from_a_shell(m):
    m.key()
    m.make(contents=b'0123456789')
    for shell in shells():
        m.run('printf hi 1<> app.key:A', shell)
        equal(m.bytes_of(), b'hi23456789')
        m.run('printf XY | dd of=app.key:A bs=1 seek=4 conv=notrunc 2>/dev/null', shell)
        equal(m.bytes_of(), b'hi23XY6789')
        m.run('printf 0123456789 > app.key:A', shell)
    m.run('exec 3<> app.key:A; read -n 4 x <&3; printf __ >&3; exec 3>&-; echo $x', expected='0123\n')
    equal(m.bytes_of(), b'0123__6789')


def test_four_processes_write_their_quarters(m):
    m.key()
    size = 4 << 20
    m.make(size=size)
    quarter = size // 4

    def write(i):
        fd = os.open(m.at('app.key:A'), os.O_RDWR)
        for at in range(i * quarter, (i + 1) * quarter, 65536):
            os.pwrite(fd, bytes([65 + i]) * 65536, at)
        equal(os.pread(fd, quarter, i * quarter) == bytes([65 + i]) * quarter, True)
    all_end_well([spawn(lambda: write(i)) for i in range(4)])
    equal(m.bytes_of() == b''.join(bytes([65 + i]) * quarter for i in range(4)), True)


def test_opening_counts_nothing(m):
    m.key()
    data, counter = m.make(contents=b'x', count=2)
    with open(m.at('app.key:A'), 'rb') as f:
        f.read()
        with open(m.at('app.key:A.refcount')) as c:
            equal(c.read(), '2\n')
        equal(shm.stat(counter).nattch, 0)
        wait_until(lambda: shm.stat(data).nattch == 0, 'an open, idle file has nothing attached', 3)
    equal(m.count(), 2)


def test_shared_mappings_are_the_segment_or_refused(m):
    m.key()
    data, _ = m.make(contents=b'x' * 4096)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    if m.copying:
        fails('ENODEV', mmap.mmap, fd, 4096)
        fails('ENODEV', mmap.mmap, fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
    else:
        with mmap.mmap(fd, 4096) as view:
            view[:5] = b'hello'
            equal(shm.read(data, 5), b'hello')
            shm.write(data, b'world')
            equal(view[:5], b'world')
    os.close(fd)


def test_a_private_mapping_shows_the_bytes(m):
    m.key()
    m.make(contents=b'private' + b'.' * 5000)
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    with mmap.mmap(fd, 5007, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
        equal(view[:7], b'private')
        equal(view[5000:5007], b'.' * 7)
    os.close(fd)


def test_a_read_only_descriptor_does_not_write(m):
    m.key()
    m.make(contents=b'x' * 4096)
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    fails('EBADF', os.write, fd, b'y')
    fails('EINVAL', os.ftruncate, fd, 0)
    os.close(fd)
    fd = os.open(m.at('app.key:A'), os.O_WRONLY)
    fails('EBADF', os.read, fd, 1)
    os.close(fd)
    equal(m.bytes_of(), b'x' * 4096)


def test_extended_attributes_do_not_exist(m):
    m.key()
    m.make(contents=b'x')
    for _ in range(2):
        fails('ENOTSUP', os.getxattr, m.at('app.key:A'), 'user.x')
        fails('ENOTSUP', os.setxattr, m.at('app.key:A'), 'user.x', b'y')


def test_a_process_that_dies_while_writing(m):
    m.key()
    m.make(size=1 << 20)

    def write_and_die():
        fd = os.open(m.at('app.key:A'), os.O_RDWR)
        os.pwrite(fd, b'before', 0)
        os.kill(os.getpid(), 9)
    try:
        in_child(write_and_die)
    except AssertionError:
        pass
    equal(m.bytes_of()[:6], b'before')


harness.main(globals())
