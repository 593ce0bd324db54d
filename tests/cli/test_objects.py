# SPDX-License-Identifier: MIT
"""create, key, stat, cat, write, decr: one object at a time."""

import json
import os
import re
import subprocess

import cli
import shm


def stat_of(c, *args):
    return dict(re.split(r': +', line, maxsplit=1) for line in c.ok('stat', *args).splitlines()
                if not line.startswith(('attached', 'hidden')))


def test_create_makes_both_halves(c):
    path = c.key()
    assert c.ok('create', path, 'A', '10000') == ''
    data, counter = shm.stat(cli.data_of(path, 'A')), shm.stat(cli.counter_of(path, 'A'))
    assert data.size == 10000 and counter.size >= 4
    assert data.mode == counter.mode == 0o644 and data.nattch == counter.nattch == 0
    assert cli.refcount(path, 'A') == 0


def test_create_obeys_umask_and_mode(c):
    path = c.key()
    c.ok('create', path, 'A', '1', umask=0o077)
    c.ok('create', path, 'B', '1', '--mode', '0666', umask=0o077)
    c.ok('create', '--mode=0', path, 'C', '1')
    assert [shm.stat(cli.data_of(path, p)).mode for p in 'ABC'] == [0o600, 0o666, 0]
    assert [shm.stat(cli.counter_of(path, p)).mode for p in 'ABC'] == [0o600, 0o666, 0]


def test_create_understands_units(c):
    path = c.key()
    for proj, size, want in (('A', '3', 3), ('B', '3K', 3072), ('C', '2m', 2 << 20), ('D', '1G', 1 << 30)):
        c.ok('create', path, proj, size)
        assert shm.stat(cli.data_of(path, proj)).size == want


def test_create_changes_nothing_that_exists(c):
    path = c.key()
    c.ok('create', path, 'A', '10')
    for size in ['10', '5', '20']:
        c.bad(1, 'exists already, with 10 bytes', 'create', path, 'A', size)


def test_create_at_the_systems_limit(c):
    path = c.key()
    with open('/proc/sys/kernel/shmmni') as f:
        before = f.read()
    try:
        for limit in '0', '1':
            with open('/proc/sys/kernel/shmmni', 'w') as f:
                f.write(limit)
            c.bad(1, 'limit', 'create', path, 'A', '10')
    finally:
        with open('/proc/sys/kernel/shmmni', 'w') as f:
            f.write(before)


def test_names_with_a_colon_are_the_same(c):
    path = c.key('a:b')
    c.ok('create', path + ':A', '10')
    assert c.ok('key', path, 'A') == c.ok('key', path + ':A')
    assert 'refcount:  0\n' in c.ok('stat', path + ':A')
    c.ok('create', path, 'B', '10')
    assert cli.data_of(path, 'B') is not None


def test_every_proj_id_works(c):
    path = c.key()
    for proj in range(ord('A'), ord('z') + 1):
        c.ok('create', path, chr(proj), '1')
        assert cli.data_of(path, chr(proj)) is not None and cli.counter_of(path, chr(proj)) is not None


def test_key_prints_what_ftok_gives(c):
    path = c.key()
    want = shm.ftok(path, 'A') & 0xffffffff, shm.ftok(path, ord('A') - 58) & 0xffffffff
    assert c.ok('key', path, 'A') == 'data     0x%08x\ncounter  0x%08x\n' % want
    assert json.loads(c.ok('key', '--json', path, 'A')) == {
        'data': '0x%08x' % want[0], 'counter': '0x%08x' % want[1], 'same_keys': []}


def test_key_warns_of_files_with_the_same_keys(c):
    with cli.tmpfs(c.scratch) as folder:
        first, second = cli.twins(folder)
        os.link(first, folder + '/hard')        # other names of the same file are no matter for a warning
        os.symlink(first, folder + '/soft')
        ran = c.run('key', first, 'A')
        assert ran.status == 0 and ran.out == c.run('key', second, 'A').out
        assert ran.err.count('warning') == 1 and "'%s' in the same directory" % os.path.basename(second) in ran.err
        assert json.loads(c.run('key', '--json', second, 'A').out)['same_keys'] == [
            name for name in os.listdir(folder) if name in ('hard', 'soft', os.path.basename(first))]
        os.rename(second, folder + '/a\\b\udcff')
        ran = c.run('key', '--json', first, 'A')
        assert "'a\\\\b\\xff' in the same directory" in ran.err
        assert json.loads(ran.out)['same_keys'] == ['a\\\\b\\xff']


def test_key_of_a_directory_that_cannot_be_read_to_its_end(c):
    """strace fails the first getdents, and the second."""
    path, env = c.key(), dict(os.environ, ASAN_OPTIONS='detect_leaks=0')       # which does not get along with strace
    if not cli.have('strace'):
        return
    for call in '1', '2':
        fault = 'inject=getdents64:error=EIO:when=' + call
        ran = subprocess.run(['strace', '-qq', '-o', c.scratch + '/strace', '-e', 'trace=getdents64', '-e', fault,
                              c.smctl, 'key', '--json', path, 'A'], env=env, capture_output=True, text=True, timeout=cli.SECONDS)
        assert json.loads(ran.stdout)['same_keys'] is None, (call, ran)
        assert 'cannot look for all other files with these keys: Input/output error' in ran.stderr, (call, ran)


def test_stat_of_an_object_made_under_another_name(c):
    with cli.tmpfs(c.scratch) as folder:
        first, second = cli.twins(folder)
        c.ok('create', first, 'A', '10')
        assert c.run('stat', first, 'A').err == ''
        ran = c.run('stat', second, 'A')
        assert ran.status == 0 and 'it was made as %s:A' % first in ran.err


def test_stat_tells_everything(c):
    path = c.key()
    holder = c.holder(path, 'A', 8192)
    shm.set(cli.data_of(path, 'A'), uid=1, gid=2, mode=0o640)
    seen, data = stat_of(c, path, 'A'), shm.stat(cli.data_of(path, 'A'))
    want = {'id': data.id, 'key': '0x%08x' % data.key, 'name': path + ':A', 'path': path, 'proj': 'A',
            'kind': 'object', 'state': 'held', 'size': 8192, 'mode': '0640', 'owner': 'daemon', 'uid': 1,
            'group': 'bin', 'creator': 'root', 'cgroup': 'root', 'nattch': 1, 'refcount': 1, 'leaked': 0,
            'counter': cli.counter_of(path, 'A'), 'cpid': holder.pid, 'lpid': holder.pid, 'flags': '-'}
    for name, value in want.items():
        assert seen[name] == str(value), (name, seen[name], value)
    assert 'attached:  %d holder (root), read-write\n' % holder.pid in c.ok('stat', path, 'A')


def test_stat_in_json(c):
    path = c.key()
    holder = c.holder(path, 'A', 8192)
    seen = json.loads(c.ok('stat', path, 'A', '--json'))
    assert seen['size'] == 8192 and seen['refcount'] == 1 and seen['dtime'] is None
    assert seen['holders'] == [{'pid': holder.pid, 'command': 'holder', 'user': 'root', 'attached': 1,
                                'writable': True}]


def test_stat_by_id(c):
    path = c.key()
    plain = shm.get(shm.IPC_PRIVATE, 100, 0o600)
    c.ok('create', path, 'A', '10')
    assert stat_of(c, '--id', str(plain))['kind'] == 'plain'
    assert stat_of(c, '--id', str(cli.counter_of(path, 'A')))['kind'] == 'counter'
    seen = stat_of(c, '--id', str(cli.data_of(path, 'A')))
    assert seen['kind'] == 'data' and seen['name'] == path + ':A'


def test_stat_of_a_segment_that_is_removed_and_still_attached(c):
    path = c.key()
    c.holder(path, 'A', 10)
    shmid = cli.data_of(path, 'A')
    shm.remove(shmid)
    seen = stat_of(c, '--id', str(shmid))
    assert seen['flags'] == 'removed' and seen['key'] == '0x00000000' and seen['state'] == 'held'


def test_human_form(c):
    path = c.key()
    for proj, size, want in (('A', 1023, '1023B'), ('B', 1024, '1.0K'), ('C', 1048575, '1.0M'), ('D', 1 << 20, '1.0M'),
                             ('E', 1536, '1.5K')):
        c.ok('create', path, proj, str(size))
        assert re.search(r'^size: +%s$' % want, c.ok('stat', '-H', path, proj), flags=re.M), want
    assert re.search(r'^ctime: +[0-9]s$', c.ok('stat', '--human', path, 'A'), flags=re.M)


def test_what_strangers_record_cannot_steer_the_terminal(c):
    path = c.key('a\x1b[2J\nb\udcff')
    c.ok('create', path, 'A', '10')
    for args in (['ls'], ['ls', '--objects'], ['stat', path, 'A']):
        out = c.ok(*args)
        assert 'a\\x1b[2J\\x0ab\\xff:A' in out and '\x1b' not in out, out
    for args in (['ls', '--objects', '--json'], ['stat', path, 'A', '--json']):
        json.loads(c.ok(*args))
    c.bad(1, 'a\\x1b[2J', 'stat', path, 'B')


def unescape(text):
    """A name from its escaped form, as bash's printf %b does it."""
    return re.sub(rb'\\(\\|x[0-9a-f]{2})', lambda m: b'\\' if m[1] == b'\\' else bytes([int(m[1][1:], 16)]), text)


def test_no_two_names_look_alike(c):
    names = [b'a\nb', rb'a\x0ab', rb'a\\x0ab', b'\xff', rb'\xff', b'\xc3\xa4\xc3',
             b'\xed\xa0\x80\xe0\x80\x80\xf0\x80\x80\x80\xf4\x90\x80\x80\xc0\xaf\xc1\xbf\xf5\x80\x80\x80',
             '\ud7ff\ue000\uffff\U00010000\U0010ffff\u0080\u07ff\u0800'.encode()]
    for i, name in enumerate(names):
        c.ok('create', c.key(os.fsdecode(name)), chr(ord('A') + i), '10')
    want = sorted(os.fsencode(c.scratch) + b'/' + name for name in names)
    for env in {}, {'LC_ALL': 'C.UTF-8'}:
        table = c.ok('ls', '--objects', '-n', '-o', 'path', env=env).splitlines()
        assert sorted(unescape(line.strip().encode()) for line in table) == want, table
        rows = json.loads(c.ok('ls', '--objects', '--json', env=env))['objects']
        assert sorted(unescape(r['path'].encode()) for r in rows) == want, rows
    texts = [r['path'] for r in rows]
    assert c.scratch + '/a\nb' in texts and c.scratch + r'/a\\x0ab' in texts and c.scratch + '/ä\\xc3' in texts, texts


def test_users_with_a_backslash(c):
    path, passwd = c.key(), c.scratch + '/passwd'
    with open('/etc/passwd') as old, open(passwd, 'w') as new:
        new.write(old.read() + 'DOM\\user:x:4711:4711::/:/bin/sh\n')
    subprocess.run(['mount', '--bind', passwd, '/etc/passwd'], check=True)
    try:
        c.ok('create', path, 'A', '10', uid=4711)
        assert stat_of(c, path, 'A')['owner'] == 'DOM\\\\user'
        assert json.loads(c.ok('stat', path, 'A', '--json'))['owner'] == 'DOM\\\\user'
    finally:
        subprocess.run(['umount', '/etc/passwd'], check=True)


def test_names_in_other_scripts(c):
    utf8 = {'LC_ALL': 'C.UTF-8'}
    for proj, name in (('A', 'ключ'), ('B', '鍵鍵'), ('C', 'plain')):
        c.ok('create', c.key(name), proj, '10')
    out = c.ok('ls', '-o', 'name,id', env=utf8).splitlines()
    assert any('ключ:A' in line for line in out)
    width = {len(line.replace('鍵鍵', '----')) for line in out}
    assert len(width) == 1, out
    assert any(o['name'].endswith('ключ:A') for o in json.loads(c.ok('ls', '--objects', '--json'))['objects'])
    c.ok('create', c.key('a\u202eb'), 'A', '10')
    assert '\u202e' not in c.ok('ls', env=utf8)


def test_write_and_cat(c):
    path = c.key()
    c.ok('create', path, 'A', '10')
    c.ok('write', path, 'A', stdin='hello')
    assert c.ok('cat', path, 'A') == 'hello' + 5 * '\0'
    c.ok('write', path, 'A', stdin='J')
    assert c.ok('cat', path, 'A') == 'Jello' + 5 * '\0'
    c.ok('write', '--id', str(cli.data_of(path, 'A')), stdin='0123456789')
    assert c.ok('cat', '--id', str(cli.data_of(path, 'A'))) == '0123456789'
    c.ok('write', path, 'A')
    assert c.ok('cat', path, 'A') == '0123456789'
    assert cli.refcount(path, 'A') == 0 and shm.stat(cli.data_of(path, 'A')).nattch == 0


def test_write_of_too_much(c):
    path = c.key()
    c.ok('create', path, 'A', '10')
    c.bad(1, 'longer than', 'write', path, 'A', stdin='0123456789a')
    assert c.ok('cat', path, 'A') == '0123456789'


def test_large_objects_go_through_whole(c):
    path, text = c.key(), ''.join(chr(33 + i * i % 89) for i in range(3 << 20)) + 'end'
    c.ok('create', path, 'A', str(len(text)))
    c.ok('write', path, 'A', stdin=text)
    assert c.ok('cat', path, 'A') == text


def cut(shmid, size):
    """The inode behind a segment gets another size, as root can give it by way of /proc/PID/map_files."""
    address = shm.attach(shmid)
    with open('/proc/self/maps') as maps:
        where = [line.split()[0] for line in maps if line.startswith('%x-' % address)][0]
    os.truncate('/proc/self/map_files/' + where, size)
    shm.detach(address)


def test_what_is_missing_of_a_truncated_segment(c):
    """Attached without a reservation, what lies behind is smctl's own memory."""
    path, out = c.key(), c.scratch + '/out'
    c.ok('create', path, 'A', '20000')
    c.ok('write', path, 'A', stdin='x' * 20000)
    shmid = cli.data_of(path, 'A')
    cut(shmid, 4096)
    for name, args in ('%s:A' % path, [path, 'A']), ('segment %d' % shmid, ['--id', str(shmid)]):
        ran = c.run('cat', *args)
        assert (ran.status, len(ran.out)) == (1, 4096) and ran.out == 'x' * 4096, (ran.status, len(ran.out))
        assert 'at byte 4096 of %s: its memory cannot be had' % name in ran.err and 'remove it' in ran.err, ran
        with open(out, 'wb') as f:
            assert subprocess.run([c.smctl, 'cat'] + args, stdout=f, stderr=subprocess.DEVNULL).returncode == 1
        assert os.path.getsize(out) == 4096
        ran = c.run('write', *args, stdin='y' * 20000)
        assert ran.status == 1 and 'at byte 4096 of %s: its memory cannot be had' % name in ran.err, ran
        c.ok('write', *args, stdin='x' * 4096)
    for size in 1 << 20, 0:
        cut(shmid, size)
        c.bad(1, 'cannot read %s:A: its memory cannot be had' % path, 'cat', path, 'A')
        c.bad(1, 'cannot write %s:A: its memory cannot be had' % path, 'write', path, 'A', stdin='x')
    assert shm.stat(shmid).nattch == 0


def test_cat_and_write_are_judged_by_the_mode(c):
    path = c.key()
    c.ok('create', path, 'A', '10', '--mode', '0600')
    c.ok('create', path, 'B', '10', '--mode', '0644')
    for verb in ['cat', 'write', 'decr', 'reap']:
        c.bad(1, 'permission denied', verb, path, 'A', uid=cli.NOBODY, stdin='x')
    c.bad(1, 'permission denied', 'write', path, 'B', uid=cli.NOBODY, stdin='x')
    assert c.ok('cat', path, 'B', uid=cli.NOBODY) == 10 * '\0'


def test_decr(c):
    path = c.key()
    c.ok('create', path, 'A', '10')
    cli.set_refcount(path, 'A', 2)
    assert c.ok('decr', path, 'A') == '1\n' and cli.refcount(path, 'A') == 1
    assert c.ok('decr', path, 'A') == '0\n'
    c.bad(1, 'is 0 already', 'decr', path, 'A')
    cli.set_refcount(path, 'A', -5)
    c.bad(1, 'is 0 already', 'decr', path, 'A')
    assert cli.refcount(path, 'A') == -5


cli.main(globals())
