# SPDX-License-Identifier: MIT
"""hold and wait: a reference for as long as a command runs, whoever dies; and waiting for a counter."""

import os
import random
import signal
import subprocess
import time

import cli
import shm


def held(path, proj='A'):
    """Whether exactly one reference is there, and the counter attached by one process."""
    counter = cli.counter_of(path, proj)
    return counter is not None and cli.refcount(path, proj) == 1 and shm.stat(counter).nattch == 1


def children_of(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def comm(pid):
    with open('/proc/%d/comm' % pid) as f:
        return f.read().strip()


def started(c, *args, **more):
    """hold with a sleep as its command: (front, keeper, command)."""
    front = c.spawn('hold', *args, '--', 'sleep', '60', **more)
    cli.wait_for(lambda: sorted(comm(p) for p in children_of(front.pid)) == ['sleep', 'smctl'], 'the command runs')
    by_name = {comm(p): p for p in children_of(front.pid)}
    return front, by_name['smctl'], by_name['sleep']


def state(pid):
    """As ps shows it; Z also where it is no more."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0]
    except FileNotFoundError:
        return 'Z'


def tracer_of(pid):
    with open('/proc/%d/status' % pid) as status:
        return int(status.read().split('TracerPid:')[1].split()[0])


def gone(pid):
    return state(pid) == 'Z'


def stop(process):
    process.send_signal(signal.SIGSTOP)
    cli.wait_for(lambda: state(process.pid) == 'T', 'it stops')


def test_the_reference_is_there_while_the_command_runs(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    cli.set_refcount(path, 'A', 1)                      # somebody else's, so that the object stays
    assert c.ok('hold', path, 'A', '--', c.smctl, 'ls', '--objects', '-n', '-o', 'refcount,nattch').split() == ['2', '1']
    assert cli.refcount(path, 'A') == 1 and shm.stat(cli.counter_of(path, 'A')).nattch == 0


def test_the_object_is_made_and_freed(c):
    path = c.key()
    assert c.ok('hold', path, 'A', '5000', '--', c.smctl, 'ls', '--objects', '-n', '-o', 'size').split() == ['5000']
    assert shm.listing() == []
    c.ok('hold', path + ':A', '5000', '--', 'true')
    assert shm.listing() == []


def test_what_is_made_obeys_the_umask(c):
    path = c.key()
    for umask, mode in (0o077, '0600'), (0o027, '0640'), (0, '0666'):
        seen = c.ok('hold', path, 'A', '10', '--', 'sh', '-c', '"$0" ls -n -o mode; umask', c.smctl, umask=umask).split()
        assert seen == [mode, mode, '%04o' % umask], (umask, seen)
    c.ok('create', path, 'A', '10', '--mode', '0644')
    assert c.ok('hold', path, 'A', '10', '--', c.smctl, 'ls', '-n', '-o', 'mode', umask=0o077).split() == ['0644', '0644']


def test_an_object_too_small(c):
    path = c.key()
    c.ok('create', path, 'A', '100')
    c.bad(1, 'fewer than the 200 asked for', 'hold', path, 'A', '200', '--', 'true')


def test_the_commands_status_is_reported(c):
    path = c.key()
    for status in 0, 1, 7, 255:
        assert c.run('hold', path, 'A', '1', '--', 'sh', '-c', 'exit %d' % status).status == status
    for sig in signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV:
        assert c.run('hold', path, 'A', '1', '--', 'sh', '-c', 'kill -%d $$' % sig).status == 128 + sig
    assert shm.listing() == []


def test_commands_that_cannot_be_run(c):
    path = c.key()
    ran = c.run('hold', path, 'A', '1', '--', 'no-such-command')
    assert ran.status == 127 and "cannot run 'no-such-command'" in ran.err
    assert c.run('hold', path, 'A', '1', '--', c.scratch).status == 126
    assert shm.listing() == []


def test_a_command_never_runs_without_its_reference(c):
    path, trace = c.key(), c.scratch + '/ran'
    c.ok('create', path, 'A', '100', '--mode', '0600')
    ran = c.run('hold', path, 'A', '--', 'touch', trace, uid=cli.NOBODY)
    assert ran.status == 1 and 'permission denied' in ran.err and not os.path.exists(trace), ran


def test_arguments_and_streams_are_the_commands(c):
    path = c.key()
    ran = c.run('hold', path, 'A', '1', '--', 'sh', '-c', 'cat; echo "$@" >&2', '--', '--help', '-x', stdin='in')
    assert (ran.status, ran.out, ran.err) == (0, 'in', '--help -x\n')


def test_signals_are_passed_on(c):
    path = c.key()
    for sig in signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2:
        signal.signal(sig, signal.SIG_DFL)              # a shell's job in the background begins with some ignored
        front, _, _ = started(c, path, 'A', '100')
        front.send_signal(sig)
        assert front.wait(5) == 128 + sig
        assert shm.listing() == []


def test_the_command_is_killed(c):
    path = c.key()
    front, _, command = started(c, path, 'A', '100')
    assert held(path)
    os.kill(command, signal.SIGKILL)
    assert front.wait(5) == 137 and shm.listing() == []


def test_smctl_is_killed(c):
    path = c.key()
    front, keeper, command = started(c, path, 'A', '100')
    cli.kill(front)
    time.sleep(0.1)
    assert held(path) and not gone(command)
    assert c.ok('reap', path, 'A') == ''                # nothing is leaked
    os.kill(command, signal.SIGTERM)
    cli.wait_for(lambda: shm.listing() == [] and gone(keeper), 'the reference is taken off')


def test_the_keeper_is_killed(c):
    path = c.key()
    front, keeper, command = started(c, path, 'A', '100')
    os.kill(keeper, signal.SIGKILL)
    cli.wait_for(lambda: held(path), 'smctl takes the reference over')
    time.sleep(0.1)
    assert held(path) and c.ok('reap', path, 'A') == ''
    os.kill(command, signal.SIGTERM)
    assert front.wait(5) == 143 and shm.listing() == []


def test_the_keeper_is_killed_and_was_reaped_already(c):
    path = c.key()
    c.holder(path, 'A', 100)
    front, keeper, command = started(c, path, 'A')
    stop(front)
    os.kill(keeper, signal.SIGKILL)
    cli.wait_for(lambda: shm.stat(cli.counter_of(path, 'A')).nattch == 1, 'the kernel has detached it')
    assert c.ok('reap', path, 'A') == '%s:A: 2 -> 1\n' % path
    front.send_signal(signal.SIGCONT)
    cli.wait_for(lambda: cli.refcount(path, 'A') == 2, 'smctl takes a new reference')
    os.kill(command, signal.SIGTERM)
    assert front.wait(5) == 143 and cli.refcount(path, 'A') == 1


def test_the_keeper_is_killed_and_is_reaped_meanwhile(c):
    """strace makes each attach slow: what the keeper left is taken off while the front one joins, and not twice."""
    if not cli.have('strace'):
        return
    path = c.key()
    front, keeper, command = started(c, path, 'A', '100', env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0'))
    tracer = subprocess.Popen(['strace', '-q', '-o', '/dev/null', '-e', 'trace=shmat',
                               '-e', 'inject=shmat:delay_enter=300000', '-p', str(front.pid)], stderr=subprocess.DEVNULL)
    c.children.append(tracer)
    cli.wait_for(lambda: tracer_of(front.pid) == tracer.pid, 'strace has it')
    os.kill(keeper, signal.SIGKILL)
    time.sleep(0.45)        # it has looked, and is about to join
    c.run('reap', path, 'A')
    cli.wait_for(lambda: held(path), 'smctl takes a new reference')
    time.sleep(1)
    assert held(path)
    os.kill(command, signal.SIGTERM)
    assert front.wait(20) == 143 and shm.listing() == []


def test_both_are_killed(c):
    path = c.key()
    front, keeper, command = started(c, path, 'A', '100')
    stop(front)
    os.kill(keeper, signal.SIGKILL)
    cli.kill(front)
    cli.wait_for(lambda: shm.stat(cli.counter_of(path, 'A')).nattch == 0, 'the kernel has detached it')
    assert not gone(command)
    assert c.ok('ls', '--leaked', '-n', '-o', 'refcount,leaked').split() == ['1', '1']
    assert c.ok('reap', path, 'A') == '%s:A: 1 -> 0\n' % path
    os.kill(command, signal.SIGKILL)


def test_the_whole_process_group_is_killed(c):
    path = c.key()
    front, _, _ = started(c, path, 'A', '100', start_new_session=True)
    os.killpg(front.pid, signal.SIGKILL)
    front.wait()
    cli.wait_for(lambda: shm.listing() == [], 'the keeper has left')


def test_nothing_of_the_users_is_kept_open(c):
    path = c.key()
    begun = time.monotonic()
    done = subprocess.run(['sh', '-c', '"$0" hold "$1" A 100 -- sh -c "exec >&- 2>&-; sleep 0.5" | cat', c.smctl, path],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and time.monotonic() - begun >= 0.5
    read, write = os.pipe()
    front = c.spawn('hold', path, 'A', '100', '--', 'sh', '-c', 'exec sleep 60 %d>&-' % write, pass_fds=[write])
    os.close(write)
    cli.wait_for(lambda: held(path), 'held')
    keeper = next(p for p in children_of(front.pid) if comm(p) == 'smctl')
    cli.wait_for(lambda: str(write) not in os.listdir('/proc/%d/fd' % keeper), 'the keeper drops it')
    os.close(read)
    front.terminate()
    front.wait()


def test_many_at_once_on_one_object(c):
    path = c.key()
    for _ in range(3):
        fronts = [c.spawn('hold', path, 'A', '100', '--', 'true') for _ in range(12)]
        assert [f.wait(20) for f in fronts] == 12 * [0]
        assert shm.listing() == []


def test_random_deaths_lose_no_count(c):
    """Whoever of the three is killed, and when: what lives is never taken for dead, and no count is lost."""
    chance = random.Random(6)
    path = c.key()
    base = c.holder(path, 'A', 100)
    fronts = []
    end = time.monotonic() + 5
    while time.monotonic() < end:
        fronts.append(c.spawn('hold', path, 'A', '--', 'sleep', chance.choice(['0', '0.01', '0.05', '1'])))
        if len(fronts) < 12:
            continue
        front = fronts.pop(chance.randrange(len(fronts)))
        victims = [front.pid] + (children_of(front.pid) if front.poll() is None else [])
        for victim in chance.sample(victims, chance.randint(0, len(victims))):
            try:
                os.kill(victim, chance.choice([signal.SIGKILL, signal.SIGTERM]))
            except ProcessLookupError:
                pass
            time.sleep(chance.choice([0, 0, 0.001]))
    counter = cli.counter_of(path, 'A')
    cli.wait_for(lambda: shm.stat(counter).nattch == 1, 'all have left but one', 10)
    leaked = cli.refcount(path, 'A') - 1
    assert c.ok('reap', path, 'A') == ('%s:A: %d -> 1\n' % (path, leaked + 1) if leaked else '')
    cli.kill(base, signal.SIGTERM)
    assert shm.listing() == []


def test_wait_returns_at_once(c):
    path = c.key()
    assert c.ok('wait', path, 'A') == ''                # there is none
    c.ok('create', path, 'A', '100')
    c.ok('wait', path, 'A', '--refcount', '0')
    c.holder(path, 'A')
    c.ok('wait', path, 'A', '--refcount', '1')
    cli.set_refcount(path, 'A', -3)                     # garbage below 0 counts as none
    c.ok('wait', path, 'A')


def test_wait_for_the_last_to_leave(c):
    path = c.key()
    one, two = c.holder(path, 'A', 100), c.holder(path, 'A')
    waiting = c.spawn('wait', path, 'A', '--refcount', '0')
    for holder in one, two:
        time.sleep(0.3)
        assert waiting.poll() is None
        cli.kill(holder, signal.SIGTERM)
    assert waiting.wait(cli.SECONDS) == 0


def test_wait_for_a_number(c):
    path = c.key()
    waiting = c.spawn('wait', path, 'A', '--refcount', '2')
    c.holder(path, 'A', 100)
    time.sleep(0.3)
    assert waiting.poll() is None
    c.holder(path, 'A')
    assert waiting.wait(cli.SECONDS) == 0


def test_wait_sees_a_count_without_an_attach(c):
    path = c.key()
    c.holder(path, 'A', 100)
    address = shm.attach(cli.counter_of(path, 'A'))
    waiting = c.spawn('wait', path, 'A')
    time.sleep(1)
    shm.ctypes.memset(address, 0, 4)
    assert waiting.wait(cli.SECONDS) == 0
    shm.detach(address)


def test_wait_gives_up(c):
    path = c.key()
    c.holder(path, 'A', 100)
    begun = time.monotonic()
    c.bad(1, 'is 1 still, not 0', 'wait', path, 'A', '--timeout', '1s')
    assert time.monotonic() - begun >= 1        # which no load makes shorter
    c.bad(1, 'is 1 still', 'wait', path, 'A', '--timeout', '0')


def test_waiters_do_not_keep_references_from_being_reaped(c):
    path = c.key()
    cli.kill(c.holder(path, 'A', 100))
    waiting = [c.spawn('wait', path, 'A') for _ in range(3)]
    time.sleep(0.5)
    assert c.ok('reap', path, 'A') == '%s:A: 1 -> 0\n' % path
    assert [w.wait(cli.SECONDS) for w in waiting] == 3 * [0]


def test_wait_costs_nothing(c):
    path = c.key()
    c.holder(path, 'A', 100)
    ran, calls = c.calls('wait', path, 'A', '--timeout', '2')
    assert ran.status == 1 and 'is 1 still' in ran.err, ran
    if calls:
        looks = calls['clock_nanosleep']
        assert looks <= 20 and calls['shmat'] <= 2 and calls['shmget'] + calls['shmctl'] <= 2 * looks + 10, calls


cli.main(globals())
