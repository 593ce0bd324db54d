# SPDX-License-Identifier: MIT
"""ls: what is listed, chosen and shown."""

import json
import os
import pty
import subprocess
import time

import cli
import shm


def names(c, *args):
    return c.ok('ls', '-n', '-o', 'name', *args).split('\n')[:-1]


def objects(c, *args):
    return json.loads(c.ok('ls', '--objects', '--json', *args))['objects']


def lone_counter(path, proj):
    """What a crash between removing the two halves leaves."""
    shm.remove(cli.data_of(path, proj))


def test_listing_asks_for_each_segment_but_a_few_times(c):
    """And looks through /proc once, however many there are. How long that takes, tools/bench measures."""
    made, opened = 0, []
    for pairs in 20, 200:
        for made in range(made, pairs):
            shm.get(0x41000000 + made, 4096, shm.IPC_CREAT | 0o666)
            shm.get(0x07000000 + made, 4096, shm.IPC_CREAT | 0o666)
        made = pairs
        for args in ['-n'], ['-n', '--objects'], ['-n', '-o', '+holders']:
            ran, calls = c.calls('ls', *args)
            assert ran.status == 0 and ran.out.count('\n') == (pairs if '--objects' in args else 2 * pairs), (args, ran)
            if calls:
                assert calls['shmctl'] <= 3 * pairs + 10 and calls['shmat'] <= pairs, (args, pairs, calls)
        opened.append(calls and calls['openat'])
    assert opened[0] == opened[1], opened


def test_nothing_there(c):
    assert c.ok('ls') == 'ID  KEY  OWNER  MODE  SIZE  NATTCH  KIND  NAME\n'
    assert c.ok('ls', '-n') == ''
    assert json.loads(c.ok('ls', '--json')) == {'segments': [], 'hidden_processes': 0}
    assert json.loads(c.ok('ls', '--orphaned', '--json', '-o', 'id')) == {'objects': []}


def test_every_segment_is_listed_as_the_kernel_has_it(c):
    path = c.key()
    c.ok('create', path, 'A', '5000')
    shm.get(shm.IPC_PRIVATE, 100, 0o600)
    shm.set(shm.get(0xf1234567, 77, shm.IPC_CREAT | 0o123), uid=1)
    seen = json.loads(c.ok('ls', '--json'))['segments']
    want = {s.id: s for s in shm.listing()}
    assert len(seen) == len(want) == 4
    for row in seen:
        s = want[row['id']]
        assert (row['key'], row['size'], row['mode'], row['uid'], row['nattch'], row['cpid']) == (
            '0x%08x' % s.key, s.size, '%04o' % s.mode, s.uid, s.nattch, s.cpid), row
    assert sorted(r['kind'] for r in seen) == ['counter', 'data', 'plain', 'plain']


def test_every_field_of_a_segment_has_its_own_column(c):
    shmid = shm.get(0xf1234567, 77, shm.IPC_CREAT | 0o642)
    shm.set(shmid, uid=1, gid=2)
    assert c.ok('ls', '-n', '-o', 'owner,uid,group,creator,cgroup,mode,size').split() == [
        'daemon', '1', 'bin', 'root', 'root', '0642', '77']
    shm.set(shmid, uid=1234567, gid=7654321)
    assert c.ok('ls', '-n', '-o', 'owner,group').split() == ['1234567', '7654321']


def test_objects_are_one_line_each(c):
    path = c.key()
    for proj in 'AB':
        c.ok('create', path, proj, '5000')
    shm.get(shm.IPC_PRIVATE, 100, 0o600)
    assert names(c, '--objects') == [path + ':A', path + ':B']
    assert [o['counter'] for o in objects(c)] == [cli.counter_of(path, p) for p in 'AB']


def test_objects_of_old_programs_have_no_path(c):
    path = c.key()
    shm.get(shm.ftok(path, 'A'), 100, shm.IPC_CREAT | 0o666)
    shm.get(shm.ftok(path, ord('A') - 58), 4, shm.IPC_CREAT | 0o666)
    assert names(c, '--objects') == ['?:A']
    row, = objects(c)
    assert row['path'] is None and row['refcount'] == 0 and row['state'] == 'new'


def test_leaked(c):
    path = c.key()
    first = c.holder(path, 'A', 100)
    c.holder(path, 'A')
    c.holder(path, 'B', 100)
    assert names(c, '--leaked') == []
    cli.kill(first)
    assert names(c, '--leaked') == [path + ':A']
    row, = objects(c, '--leaked')
    assert (row['refcount'], row['leaked'], row['nattch'], row['state']) == (2, 1, 1, 'leaked')
    assert names(c, '--orphaned') == []


def test_orphaned(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))                  # all holders died
    c.holder(path, 'B', 100)                            # held
    c.ok('create', path, 'C', '100')                    # new: has had no holder
    c.ok('create', path, 'D', '100')
    lone_counter(path, 'D')                             # half an object
    cli.kill(c.holder(path, 'E', 100))
    cli.set_refcount(path, 'E', 0)                      # counted down for the dead
    assert names(c, '--orphaned') == [path + ':A', path + ':D', path + ':E']
    assert [(o['name'][-1], o['state']) for o in objects(c)] == [
        ('A', 'leaked,orphaned'), ('B', 'held'), ('C', 'new'), ('D', 'orphaned'), ('E', 'orphaned')]


def test_an_object_is_not_orphaned_while_either_half_is_attached(c):
    path = c.key()
    for half in cli.data_of, cli.counter_of:
        cli.kill(c.holder(path, 'A', 100))
        assert names(c, '--orphaned') == [path + ':A']
        address = shm.attach(half(path, 'A'))
        assert names(c, '--orphaned') == []
        shm.detach(address)


def test_other_programs_segments_are_never_orphaned(c):
    path = c.key()
    shm.get(shm.ftok(path, 'A'), 100, shm.IPC_CREAT | 0o666)                    # might be a data half
    shm.get(shm.ftok(path, 30), 4096, shm.IPC_CREAT | 0o666)                    # might be a counter
    shm.get(shm.ftok(path, 31), 4, shm.IPC_CREAT | 0o666)                       # an old program's
    assert names(c, '--orphaned') == []
    assert {r['kind'] for r in json.loads(c.ok('ls', '--json'))['segments']} == {'plain'}


def test_only_counters_are_attached(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    plain = shm.get(shm.ftok(path, 33), 100, shm.IPC_CREAT | 0o666)
    c.ok('ls', '--json')
    assert shm.stat(plain).atime == 0 and shm.stat(cli.data_of(path, 'A')).atime == 0


def test_owner(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    c.ok('create', path, 'B', '100', uid=cli.NOBODY)
    assert names(c, '--objects', '--owner', 'nobody') == [path + ':B']
    assert names(c, '--owner', '0') == 2 * [path + ':A']
    assert names(c, '--owner', '4711') == []


def aged(shmid, seconds):
    """Wait until the segment was made so long ago, as the kernel's clock counts seconds."""
    cli.wait_for(lambda: time.time() >= shm.stat(shmid).ctime + seconds + 0.1, 'it is that old', seconds + 5)


def test_older_than(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    assert names(c, '--objects', '--older-than', '0s') == [path + ':A']
    aged(cli.data_of(path, 'A'), 4)
    c.ok('create', path, 'B', '100')
    assert names(c, '--objects', '--older-than', '4s') == [path + ':A']
    assert names(c, '--objects', '--older-than', '1m30s') == []
    shm.read(cli.data_of(path, 'A'))                    # used: not that old any more
    assert names(c, '--objects', '--older-than', '4') == []
    assert names(c, '--objects', '--older-than', '0s') == [path + ':A', path + ':B']


def test_choices_must_all_match(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    assert names(c, '--orphaned', '--leaked', '--owner', 'root') == [path + ':A']
    assert names(c, '--orphaned', '--leaked', '--owner', 'nobody') == []


def test_garbage_in_counters(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    for value, leaked in ((-1, 0), (-2 ** 31, 0), (2 ** 31 - 1, 2 ** 31 - 1)):
        cli.set_refcount(path, 'A', value)
        row, = objects(c)
        assert (row['refcount'], row['leaked']) == (value, leaked)


def test_hostile_paths(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    counter = cli.counter_of(path, 'A')
    for filling in (b'/' + 4071 * b'x', 4072 * b'\xff', b'/\n\r\x1b]0;x\x07\0'):
        shm.write(counter, filling[:4000], 24)
        out = c.ok('ls', '--objects')
        assert out.count('\n') == 2 and '\x1b' not in out
        objects(c)


def test_a_long_path_leaves_the_other_rows_alone(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    c.ok('create', path, 'B', '100')
    shm.write(cli.counter_of(path, 'A'), b'/' + 3000 * b'x', 24)
    long, short = c.ok('ls', '--objects', '-n', '-o', 'name,id').splitlines()
    assert len(long) > 3000 and len(short) < 120


def test_a_lone_counter_that_records_nothing(c):
    path = c.key()
    shmid = shm.get(shm.ftok(path, ord('A') - 58), 4, shm.IPC_CREAT | 0o666)
    assert json.loads(c.ok('stat', path, 'A', '--json'))['state'] == 'unheld'
    c.ok('rm', '--yes', path, 'A')
    assert shmid not in [s.id for s in shm.listing()]


def test_columns(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    assert c.ok('ls', '--objects', '-o', 'proj,SIZE,path') == 'PROJ  SIZE  PATH\nA      100  %s\n' % path
    plain = c.ok('ls').splitlines()[0].split()
    assert c.ok('ls', '-o', '+cpid,id').splitlines()[0].split() == plain + ['CPID']
    assert list(objects(c, '-o', 'size,id')[0]) == ['size', 'id']


def test_holders(c):
    path = c.key()
    one, two = c.holder(path, 'A', 100), c.holder(path, 'A')
    row, = objects(c)
    assert [(h['pid'], h['command'], h['user']) for h in row['holders']] == [
        (p, 'holder', 'root') for p in sorted((one.pid, two.pid))]
    assert '%d holder, %d holder' % (one.pid, two.pid) in c.ok('ls', '--objects', '-o', 'holders')


def test_what_a_user_cannot_see_is_said(c):
    path = c.key()
    c.ok('create', path, 'A', '100', '--mode', '0600')
    holder = c.holder(path, 'A')
    ran = c.run('ls', '--objects', uid=cli.NOBODY)
    assert ran.status == 0 and '1 counter may not be read' in ran.err and '?:A' in ran.out
    ran = c.run('ls', '-o', '+holders', uid=cli.NOBODY)
    assert 'may not be looked into' in ran.err and str(holder.pid) not in ran.out
    assert 'hidden' in c.run('stat', '--id', '%d' % cli.data_of(path, 'A'), uid=cli.NOBODY).out


def on_terminal(c, *args, **env):
    main, end = pty.openpty()
    done = subprocess.run([c.smctl] + list(args), stdout=end, env=dict(os.environ, TERM='xterm', **env))
    os.close(end)
    assert done.returncode == 0
    out = b''
    try:
        while chunk := os.read(main, 65536):
            out += chunk
    except OSError:
        pass
    os.close(main)
    return out.decode()


def test_colour_only_on_a_terminal(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    assert '\x1b[31m' in on_terminal(c, 'ls', '--objects')
    assert '\x1b' not in on_terminal(c, 'ls', '--objects', NO_COLOR='1')
    assert '\x1b' not in on_terminal(c, 'ls', '--objects', '--json')
    assert '\x1b' not in c.ok('ls', '--objects', env={'TERM': 'xterm'})


cli.main(globals())
