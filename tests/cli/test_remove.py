# SPDX-License-Identifier: MIT
"""reap and rm: what is repaired, what goes, and what never does."""

import os
import signal
import subprocess
import time

import cli
import shm


def exists(path, proj):
    return cli.data_of(path, proj) is not None, cli.counter_of(path, proj) is not None


BOTH, NEITHER = (True, True), (False, False)


class Asked:
    """An rm that has printed its list and waits for the answer."""

    def __init__(self, c, *args):
        self.process = subprocess.Popen([c.smctl, 'rm'] + list(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        c.children.append(self.process)
        self.err = b''
        while not self.err.endswith(b'[y/N] '):
            byte = self.process.stderr.read(1)
            assert byte, self.err
            self.err += byte

    def answer(self, text):
        out, err = self.process.communicate(text)
        return cli.Ran(self.process.returncode, out.decode(), (self.err + err).decode())


def test_reap_takes_off_the_dead_only(c):
    path = c.key()
    dead, alive = c.holder(path, 'A', 100), c.holder(path, 'A')
    assert c.ok('reap', path, 'A') == ''
    cli.kill(dead)
    assert c.ok('reap', path, 'A') == '%s:A: 2 -> 1\n' % path
    cli.kill(alive)
    assert c.ok('reap', path, 'A') == '%s:A: 1 -> 0\n' % path
    assert exists(path, 'A') == BOTH and cli.refcount(path, 'A') == 0


def test_reap_all_at_once(c):
    path = c.key()
    for proj in 'ABCDEFGHIJ':
        holders = [c.holder(path, proj, 100), c.holder(path, proj)]
        cli.kill(holders[0])
    c.holder(path, 'K', 100)
    c.ok('create', path, 'L', '100')
    ran, calls = c.calls('reap')
    assert ran.status == 0 and ran.out == ''.join('%s:%c: 2 -> 1\n' % (path, p) for p in 'ABCDEFGHIJ'), ran
    assert not calls or calls['clock_nanosleep'] < 10, calls     # all wait together
    assert c.ok('reap', '--all') == ''
    assert [cli.refcount(path, p) for p in 'AJKL'] == [1, 1, 1, 0]


def test_other_programs_segments_are_left_alone(c):
    """What has an object's keys, and a counter of no counter's size, or of libsm's size without its mark, was not named."""
    path, made = c.key(), {}
    for proj, size in zip('ABCDEF', (5, 8, 64, 4095, 4096, 8192)):
        for key, bytes_ in ((shm.ftok(path, proj), 100), (shm.ftok(path, ord(proj) - 58), size)):
            shmid = shm.get(key, bytes_, shm.IPC_CREAT | 0o600)
            made[shmid] = (7).to_bytes(4, 'little') + b'x' * (bytes_ - 4)
            shm.write(shmid, made[shmid])
    assert c.ok('reap') == '' and c.ok('reap', '--all') == ''
    for option in ('--leaked', '--orphaned'):
        assert 'nothing to remove' in c.run('rm', option, '-y').err
    assert '?:' not in c.ok('ls', '--leaked')
    assert {shmid: shm.read(shmid) for shmid in made} == made
    assert c.ok('reap', path, 'A') == '?:A: 7 -> 0\n'     # by name it is another thing


def test_reap_of_many_takes_no_longer(c):
    paths = [c.key('key%d' % i) for i in range(5)]
    for path in paths:
        for proj in range(ord('A'), ord('z') + 1):
            shm.get(shm.ftok(path, proj), 10, shm.IPC_CREAT | 0o666)
            shm.write(shm.get(shm.ftok(path, proj - 58), 4, shm.IPC_CREAT | 0o666), b'\5\0\0\0')
    ran, calls = c.calls('reap')
    assert ran.status == 0 and ran.out.count(' 5 -> 0\n') == 5 * 58, ran
    assert not calls or calls['clock_nanosleep'] < 10, calls


def test_reap_of_what_does_not_hold_still(c):
    """To be sure that it does not, another process always seems to have been there last."""
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    frozen = {'LD_PRELOAD': os.environ['FROZEN'], 'ASAN_OPTIONS': 'verify_asan_link_order=0'}
    for args in [path, 'A'], []:
        c.bad(1, 'did not hold still', 'reap', *args, env=frozen)
        assert cli.refcount(path, 'A') == 1


def test_reap_that_cannot_tell(c):
    """Nobody died, but someone might be hidden by those who seem to come and go."""
    path = c.key()
    c.holder(path, 'A', 100)
    frozen = {'LD_PRELOAD': os.environ['FROZEN'], 'ASAN_OPTIONS': 'verify_asan_link_order=0'}
    for args in [path, 'A'], []:
        c.bad(1, 'did not hold still', 'reap', *args, env=frozen)
        assert c.ok('reap', *args) == '' and cli.refcount(path, 'A') == 1


def test_reap_while_somebody_passes_by(c):
    """One who reads the counter is attached like the holder that died; he leaves when reap has looked."""
    path = c.key()
    c.holder(path, 'A', 100)
    cli.kill(c.holder(path, 'A'))
    counter = cli.counter_of(path, 'A')
    for args in [path, 'A'], []:
        for _ in range(20):         # reap believes one who stays; under load we may be late
            cli.set_refcount(path, 'A', 2)
            passing = shm.attach(counter)
            reap = c.spawn('reap', *args, stdout=subprocess.PIPE, text=True)
            cli.wait_for(lambda: shm.stat(counter).lpid == reap.pid, 'it looks')
            time.sleep(0.01)
            shm.detach(passing)
            out = reap.communicate()[0]
            assert reap.returncode == 0
            if out:
                break
        assert out == '%s:A: 2 -> 1\n' % path and cli.refcount(path, 'A') == 1


def test_reap_of_what_one_may_only_read(c):
    path = c.key()
    c.ok('create', path, 'A', '100', '--mode', '0644')
    holder = c.holder(path, 'A')
    assert c.ok('reap', uid=cli.NOBODY) == ''
    cli.kill(holder)
    c.bad(1, 'permission denied', 'reap', uid=cli.NOBODY)


def test_reap_says_what_it_may_not_read(c):
    path = c.key()
    c.ok('create', path, 'A', '100', '--mode', '0600')
    ran = c.run('reap', uid=cli.NOBODY)
    assert ran.status == 0 and '1 counter may not be read' in ran.err


def test_rm_of_one_object(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    c.ok('create', path, 'B', '100')
    out = c.ok('rm', '--yes', path, 'A')
    assert path + ':A' in out and exists(path, 'A') == NEITHER and exists(path, 'B') == BOTH


def test_rm_asks(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    for answer in ['', '\n', 'n\n', 'no\n', 'x']:
        ran = c.run('rm', path, 'A', stdin=answer)
        assert ran.status == 1 and 'Remove it? [y/N]' in ran.err and 'nothing removed' in ran.err
        assert exists(path, 'A') == BOTH
    ran = c.run('rm', path, 'A', stdin='y\n')
    assert ran.status == 0 and path + ':A' in ran.out and exists(path, 'A') == NEITHER


def test_rm_dry_run(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    for more in [], ['--yes']:
        assert path + ':A' in c.ok('rm', '--dry-run', *more, path, 'A')
        assert exists(path, 'A') == BOTH


def test_rm_by_id_takes_that_segment_only(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    c.ok('rm', '-y', '--id', str(cli.data_of(path, 'A')))
    assert exists(path, 'A') == (False, True)
    c.ok('rm', '-y', path, 'A')
    assert exists(path, 'A') == NEITHER


def test_rm_of_an_object_in_use_leaves_the_memory_to_its_users(c):
    path = c.key()
    c.holder(path, 'A', 100)
    shmid = cli.data_of(path, 'A')
    c.ok('rm', '-y', path, 'A')
    assert exists(path, 'A') == NEITHER and shm.stat(shmid).removed


def test_rm_of_orphans(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    c.holder(path, 'B', 100)
    c.ok('create', path, 'C', '100')
    c.ok('create', path, 'D', '100')
    shm.remove(cli.data_of(path, 'D'))
    plain = shm.get(shm.ftok(path, 'E'), 100, shm.IPC_CREAT | 0o666)
    c.ok('rm', '--orphaned', '--yes')
    assert [exists(path, p) for p in 'ABCD'] == [NEITHER, BOTH, BOTH, NEITHER] and shm.stat(plain)
    ran = c.run('rm', '--orphaned')
    assert ran.status == 0 and 'nothing to remove' in ran.err and not ran.out


def test_rm_of_leaked_objects_spares_living_holders(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    half = c.holder(path, 'B', 100)
    c.holder(path, 'B')
    cli.kill(half)
    ran = c.run('rm', '--leaked', '--yes')
    assert ran.status == 0 and '1 more matches but is attached, and stays' in ran.err, ran
    assert exists(path, 'A') == NEITHER and exists(path, 'B') == BOTH and cli.refcount(path, 'B') == 2


def test_rm_by_owner_and_age(c):
    path = c.key()
    c.ok('create', path, 'A', '100', uid=cli.NOBODY)
    c.ok('create', path, 'B', '100')
    mine = shm.get(shm.IPC_PRIVATE, 100, 0o600)
    shm.set(mine, uid=cli.NOBODY)
    c.ok('create', path, 'C', '100', uid=cli.NOBODY)
    address = shm.attach(cli.data_of(path, 'C'))
    assert c.run('rm', '--owner', 'nobody', '--older-than', '1h', '--yes').out == ''
    ran = c.run('rm', '--owner', 'nobody', '--yes')
    assert ran.status == 0 and '1 more matches' in ran.err, ran
    assert [exists(path, p) for p in 'ABC'] == [NEITHER, BOTH, BOTH]
    assert mine not in [s.id for s in shm.listing()]
    shm.detach(address)


def test_rm_is_the_owners(c):
    path = c.key()
    c.ok('create', path, 'A', '100', '--mode', '0666')
    ran = c.run('rm', '--yes', path, 'A', uid=cli.NOBODY)
    assert ran.status == 1 and 'not permitted' in ran.err and exists(path, 'A') == BOTH


def test_a_segment_that_vanishes_while_rm_asks(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    cli.kill(c.holder(path, 'B', 100))
    asked = Asked(c, '--orphaned')
    shm.remove(cli.data_of(path, 'A'))
    ran = asked.answer(b'y\n')
    assert ran.status == 1 and 'somebody removed it meanwhile' in ran.err, ran
    assert exists(path, 'A') == (False, True) and exists(path, 'B') == NEITHER


def test_an_id_that_is_used_again_while_rm_asks(c):
    path = c.key()
    for args in (['--id'], [path]):
        c.ok('create', path, 'A', '100')
        shmid = cli.data_of(path, 'A')
        asked = Asked(c, *(['--id', str(shmid)] if args == ['--id'] else [path, 'A']))
        shm.remove(shmid)
        with open('/proc/sys/kernel/shm_next_id', 'w') as f:
            f.write(str(shmid))
        other = shm.get(shm.ftok(path, 'A') if args != ['--id'] else 0x1234, 100, shm.IPC_CREAT | 0o666)
        assert other == shmid
        ran = asked.answer(b'y\n')
        assert ran.status == 1 and 'is another one now' in ran.err and shm.stat(other).size == 100, ran
        assert cli.counter_of(path, 'A') is not None
        for seg in shm.listing():
            shm.remove(seg.id)


def test_an_object_that_is_joined_while_rm_asks(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    asked = Asked(c, '--orphaned')
    c.holder(path, 'A')
    ran = asked.answer(b'y\n')
    assert ran.status == 1 and 'was attached since it was listed' in ran.err and exists(path, 'A') == BOTH, ran


def test_who_comes_while_rm_is_at_work_has_both_halves(c):
    """strace makes its steps slow. A program that finds no data makes it, and must not do so beside the old counter."""
    if not cli.have('strace'):
        return
    path, env = c.key(), dict(os.environ, ASAN_OPTIONS='detect_leaks=0')
    for args in ([path, 'A'], ['--leaked']):
        cli.kill(c.holder(path, 'A', 100))
        slow = subprocess.Popen(['strace', '-qq', '-o', '/dev/null', '-e', 'trace=shmctl',
                                 '-e', 'inject=shmctl:delay_exit=50000', c.smctl, 'rm', '-y'] + args, env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        c.children.append(slow)
        cli.wait_for(lambda: cli.data_of(path, 'A') is None, 'the data is gone', 30)
        holder = c.holder(path, 'A', 100)
        assert slow.wait(cli.SECONDS) == 0
        found = [half is not None and shm.stat(half).nattch for half in (cli.data_of(path, 'A'), cli.counter_of(path, 'A'))]
        assert found == [1, 1], (args, found)
        cli.kill(holder, signal.SIGTERM)
        assert exists(path, 'A') == NEITHER


def test_an_object_that_is_repaired_while_rm_asks(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    asked = Asked(c, '--leaked')
    c.ok('reap', path, 'A')
    ran = asked.answer(b'y\n')
    assert ran.status == 1 and 'not leaked any more' in ran.err and exists(path, 'A') == BOTH, ran


def test_rm_of_another_files_object_shows_its_name(c):
    with cli.tmpfs(c.scratch) as folder:
        first, second = cli.twins(folder)
        c.ok('create', first, 'A', '100')
        ran = c.run('rm', second, 'A')
        assert first + ':A' in ran.out and os.path.basename(second) + ':A' not in ran.out
        assert 'it was made as' in ran.err and exists(first, 'A') == BOTH


cli.main(globals())
