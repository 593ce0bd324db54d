# SPDX-License-Identifier: MIT
""".info: everything known of a segment, one `name: value` on each line."""

import mmap
import os
import re
import time

import harness
import shm
from case import as_uid, equal, fails
from daemon import wait_until

STRANGER = 65534
MAN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'smfs', 'smfs.5')
TIME = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d'


def info(m, name):
    """{name: [values]} of the file, whose every line must be one."""
    fields = {}
    text = m.read(name).decode()
    for line in text.splitlines():
        field, value = line.split(': ', 1)
        fields.setdefault(field, []).append(value)
    equal(text[-1:], '\n')
    return fields


def one(m, name, field):
    values = info(m, name)[field]
    equal(len(values), 1, field)
    return values[0]


def of(shmid):
    return '.id/%d.info' % shmid


def private(m, size=100, mode=0o600):
    return m.own(shm.get(shm.IPC_PRIVATE, size, shm.IPC_CREAT | mode))


def manual_fields():
    with open(MAN) as page:
        section = re.search(r'^\.Ss Info files$(.*?)^\.S[sh] ', page.read(), re.M | re.S).group(1)
    return {name for tag in re.findall(r'^\.It Li (.*)$', section, re.M) for name in tag.replace(',', ' ').split()}


def test_every_field_of_an_object(m):
    m.key()
    data, counter = m.make(contents=b'x' * 5000, count=2, mode=0o640)
    for shmid in data, counter:
        shm.set(shmid, 1001, 1002)
    fields, segment = info(m, 'app.key:A.info'), shm.stat(data)
    data_key = m.keys_of()[0]
    expected = {
        'shmid': str(data), 'key': '0x%08x' % data_key, 'kind': 'data', 'path': m.keys + '/app.key', 'proj_id': 'A',
        'size': '5000', 'swapped': '0', 'mode': '0640', 'owner': '1001 -', 'group': '1002 -', 'creator': '0 root',
        'cgroup': '0 root', 'nattch': '0', 'refcount': '2', 'leaked': '2', 'flags': '-',
        'access': 'copy' if m.copying else 'native', 'attached': '-'}
    equal({k: fields[k] for k in expected}, {k: [v] for k, v in expected.items()})
    for field, seconds in ('atime', segment.atime), ('dtime', segment.dtime), ('ctime', segment.ctime):
        equal(bool(re.fullmatch(TIME, fields[field][0])), True, field)
        stamp = fields[field][0]
        equal(time.strptime(stamp[:-3] + stamp[-2:], '%Y-%m-%dT%H:%M:%S%z').tm_min, time.gmtime(seconds).tm_min)
    wait_until(lambda: one(m, 'app.key:A.info', 'resident') == '8192', 'both pages are seen', 3)
    equal({k: v for k, v in info(m, of(data)).items() if k != 'resident'},
          {k: v for k, v in fields.items() if k != 'resident'}, 'the same in .id')
    equal((one(m, of(counter), 'kind'), one(m, of(counter), 'refcount')), ('counter', '2'))
    equal(shm.stat(data), segment, 'nobody sees that it was looked at')


def test_the_manual_has_the_names(m):
    m.key()
    data, _ = m.make(contents=b'x')
    equal(manual_fields() - {'hugepage'}, set(info(m, of(data))))


def test_a_file_that_tools_read(m):
    m.key()
    data, _ = m.make(contents=b'x')
    for name in 'app.key:A.info', of(data):
        seen = os.stat(m.at(name))
        equal((seen.st_size, seen.st_mode & 0o777, seen.st_ino > 1 << 32), (4096, 0o444, True))
        text = m.read(name)
        for command in 'cat %s', 'cp %s $K/copy; cat $K/copy', 'dd if=%s bs=7 2>/dev/null', 'sed "" %s', 'head -c 9999 < %s':
            m.run(command % name, expected=text.decode())
        m.refused('echo x > ' + name, 'EACCES')
        m.refused('rm -f ' + name, 'EPERM')
        for call, arguments in (os.chmod, (0o600,)), (os.truncate, (0,)), (os.utime, ()):
            fails('EPERM', call, m.at(name), *arguments)
        equal([os.access(m.at(name), mode) for mode in (os.R_OK, os.W_OK)], [True, False])
    equal([n for n in os.listdir(m.mnt) + os.listdir(m.at('.id')) if n.endswith('.info')], [])
    equal(os.stat(m.at('app.key:A.info')).st_ino != os.stat(m.at(of(data))).st_ino, True)


def test_read_again_from_the_start(m):
    shmid = private(m)
    with open(m.at(of(shmid)), 'rb', 0) as f:
        equal(b'mode: 0600\n' in f.read(), True)
        shm.set(shmid, mode=0o644)
        f.seek(0)
        equal(b'mode: 0644\n' in f.read(), True)
        shm.remove(shmid)
        fails('EIDRM', os.pread, f.fileno(), 100, 0)
    fails('ENOENT', os.stat, m.at(of(shmid)))


def test_two_key_files_of_one_key(m):
    """Found by trying: files whose inode numbers end alike have one key."""
    m.key('first')
    inode = os.stat(m.keys + '/first').st_ino
    os.mkdir(m.keys + '/many')
    for i in range(70000):
        path = '%s/many/%d' % (m.keys, i)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        if (os.stat(path).st_ino - inode) & 0xffff == 0:
            break
        os.unlink(path)
    os.rename(path, m.keys + '/second')
    os.link(m.keys + '/first', m.keys + '/a-hard-link')
    os.symlink('first', m.keys + '/a-link')
    equal(m.keys_of('first'), m.keys_of('second'))
    data, _ = m.make('first', contents=b'x')
    for name in 'first:A.info', of(data):
        paths = info(m, name)['path']
        equal(len(paths), 2, 'names of one file are one: %s' % paths)
        equal(m.keys + '/second' in paths, True)
    equal(info(m, 'second:A.info')['path'][0], m.keys + '/second', 'the one that was asked for')


def test_where_a_record_leads_beyond_the_directory(m):
    m.key('deep/down/app.key')
    m.create('deep/down/app.key:B', b'x')
    data, counter = m.find('deep/down/app.key', 'B')
    for shmid in data.id, counter.id:
        m.own(shmid)
        equal((one(m, of(shmid), 'path'), one(m, of(shmid), 'proj_id')), (m.keys + '/deep/down/app.key', 'B'))
    os.rename(m.keys + '/deep', m.keys + '/moved')
    equal(one(m, of(data.id), 'path'), '-')


def test_a_name_that_would_forge_lines(m):
    m.key('evil\nrefcount: 99')
    m.make('evil\nrefcount: 99', contents=b'x')
    equal(one(m, 'evil\nrefcount: 99:A.info', 'path'), m.keys + '/evil\\x0arefcount: 99')


def test_no_two_names_look_alike(m):
    names = ['a\nb', 'a\\x0ab', 'a\\\\x0ab']
    for name in names:
        m.key(name)
        m.make(name, contents=b'x')
    equal([one(m, name + ':A.info', 'path') for name in names],
          [m.keys + '/' + seen for seen in ('a\\x0ab', 'a\\\\x0ab', 'a\\\\\\\\x0ab')])


def test_plain_removed_and_lone(m):
    alone = private(m, 70000)
    fields = info(m, of(alone))
    equal([fields[k] for k in ('kind', 'key', 'path', 'proj_id', 'refcount', 'leaked', 'lpid', 'atime', 'dtime')],
          [['plain'], ['0x00000000']] + [['-']] * 7)
    shmid = shm.get(0xfedcba98, 10, shm.IPC_CREAT | 0o600)
    equal(one(m, of(shmid), 'key'), '0xfedcba98')
    address = shm.attach(shmid)
    shm.remove(shmid)
    equal([one(m, of(shmid), k) for k in ('flags', 'nattch', 'key')], ['removed', '1', '0x00000000'])
    shm.detach(address)
    m.key()
    m.make(size=0, count=5)
    equal([one(m, 'app.key:A.info', k) for k in ('kind', 'refcount', 'size')], ['counter', '5', '4'])


def test_who_has_it_attached(m):
    m.key()
    data, counter = m.make(contents=b'x')
    holder = m.hold()
    equal(info(m, 'app.key:A.info')['attached'], ['%d holder 0 root rw' % holder.pid])
    equal(one(m, of(counter), 'attached'), '%d holder 0 root rw' % holder.pid)
    equal(one(m, 'app.key:A.info', 'lpid'), '%d holder' % holder.pid)
    address = shm.attach(data, readonly=True)
    equal(sorted(info(m, of(data))['attached']), sorted(
        ['%d holder 0 root rw' % holder.pid, '%d %s 0 root ro' % (os.getpid(), comm())]))
    equal([one(m, of(data), k) for k in ('nattch', 'leaked')], ['2', '0'])
    shm.detach(address)
    m.drop(holder)
    equal([one(m, 'app.key:A.info', k) for k in ('attached', 'refcount', 'leaked', 'nattch')], ['-', '1', '1', '0'])
    equal(one(m, 'app.key:A.info', 'lpid').split()[1] in ('-', comm()), True, 'the dead have no name')


def test_who_has_mapped_it_through_the_file(m):
    """Such a mapping counts in no nattch, and holds the memory all the same."""
    if m.copying:
        return
    m.key()
    m.make(contents=b'x' * 5000)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    with mmap.mmap(fd, 5000) as mapped:
        os.close(fd)
        mapped[0:1] = b'y'
        equal(one(m, 'app.key:A.info', 'attached'), '%d %s 0 root rw' % (os.getpid(), comm()))
        equal(one(m, 'app.key:A.info', 'nattch'), '0')
    equal(one(m, 'app.key:A.info', 'attached'), '-')


def comm():
    with open('/proc/self/comm') as name:
        return name.read().strip()


def test_our_own_attachments_are_not_counted(m):
    shmid = private(m, 5000)
    with open(m.at('.id/%d' % shmid), 'r+b', 0) as f:
        f.write(b'x')
        equal([one(m, of(shmid), k) for k in ('nattch', 'attached')], ['0', '-'])
        equal(one(m, of(shmid), 'access'), 'copy' if m.copying else 'native')


@harness.not_under('valgrind', harness.VALGRIND_SHMAT)
@harness.allow_other
def test_what_a_stranger_may_not_see_is_said(m):
    m.key()
    data, counter = m.make(contents=b'x', count=1, mode=0o600)
    holder = m.hold()
    fields = as_uid(STRANGER, STRANGER, [], lambda: info(m, 'app.key:A.info'))
    equal([fields[k] for k in ('refcount', 'leaked', 'mode', 'size')],
          [['not permitted'], ['not permitted'], ['0600'], ['1']])
    equal(bool(re.fullmatch(r'not permitted \(\d+ process(es)?\)', fields['attached'][0])), True, str(fields))
    os.chmod(m.keys, 0o700)
    equal(as_uid(STRANGER, STRANGER, [], lambda: one(m, of(data), 'path')), '-', 'no key file he cannot see')
    equal(one(m, of(data), 'path'), m.keys + '/app.key')
    m.drop(holder)
    equal(as_uid(STRANGER, STRANGER, [], lambda: one(m, of(data), 'attached')), '-', 'nothing is hidden of nothing')


def test_a_pid_that_came_round_again(m):
    """The creator is dead, and its number has been given to another process."""
    pid = os.fork()
    if pid == 0:
        shm.get(0x77777777, 10, shm.IPC_CREAT | 0o600)
        os._exit(0)
    os.waitpid(pid, 0)
    shmid = m.own(shm.find(0x77777777))
    equal(one(m, of(shmid), 'cpid'), '%d -' % pid)
    time.sleep(2.5)     # starts are told to the second only
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
        last.write(str(pid - 1))
    again = os.fork()
    if again == 0:
        time.sleep(60)
        os._exit(0)
    equal(again, pid)
    equal(one(m, of(shmid), 'cpid'), '%d -' % pid)
    os.kill(again, 9)
    os.waitpid(again, 0)


@harness.options('-o', 'access=copy')
def test_a_mount_that_copies_says_so(m):
    equal(one(m, of(private(m)), 'access'), 'copy')


harness.main(globals())
