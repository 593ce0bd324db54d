# SPDX-License-Identifier: MIT
"""Privilege: root's daemon keeps what SECURITY.md lists and nothing else, in every thread; an ordinary user's needs none."""

import os
import threading

import harness
import people
from case import equal, fails, in_child

SETGID, SETUID, SYS_PTRACE, DAC_READ_SEARCH, CHECKPOINT_RESTORE = 6, 7, 19, 2, 40
KEPT = {CHECKPOINT_RESTORE, people.CAP_SYS_ADMIN, people.CAP_IPC_OWNER, SETUID, SETGID, SYS_PTRACE, DAC_READ_SEARCH}


def statuses(pid):
    """{tid: {name: value}} of every thread."""
    found = {}
    for tid in os.listdir('/proc/%d/task' % pid):
        try:
            with open('/proc/%d/task/%s/status' % (pid, tid)) as status:
                found[tid] = dict(line.rstrip('\n').split(':\t', 1) for line in status if ':\t' in line)
        except (FileNotFoundError, ProcessLookupError):
            pass        # a thread that had nothing to do any more
    return found


def capabilities(text):
    bits = int(text, 16)
    return {number for number in range(64) if bits >> number & 1}


def work(m):
    """Requests of several users at once, so that all kinds of threads are there."""
    m.key()
    people.foreign(m, 'app.key', 0o666)

    def ask(uid):
        seen = in_child(lambda: [(m.listing(), m.read('app.key:A'), m.read('app.key:A.info')) for _ in range(20)], people.user(uid, uid, [uid + 5000]))
        done.append(len(seen))
    done = []
    threads = [threading.Thread(target=ask, args=(uid,)) for uid in (0, 1001, 1003, 1004)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(done, [20] * 4)


@harness.options('-o', 'allow_other,reap=1')
def test_roots_daemon_keeps_the_tables_capabilities(m):
    work(m)
    of_all_roots = capabilities(statuses(os.getpid())[str(os.getpid())]['CapPrm'])
    seen = statuses(m.daemon.pid)
    equal(len(seen) > 3, True, 'threads: %s' % list(seen))
    for tid, status in seen.items():
        for name in ('CapEff', 'CapPrm', 'CapBnd'):
            equal(capabilities(status[name]), KEPT & of_all_roots, 'thread %s: %s' % (tid, name))
        for name in ('CapInh', 'CapAmb'):
            equal(capabilities(status[name]), set(), 'thread %s: %s' % (tid, name))
        equal(status['NoNewPrivs'], '1', 'thread ' + tid)
        equal(status['Uid'].split(), ['0'] * 4, 'thread %s is itself again' % tid)


@harness.allow_other
def test_idle_threads_are_nobody_elses(m):
    """Whoever was served last leaves nothing of himself: ids, groups."""
    work(m)
    for tid, status in statuses(m.daemon.pid).items():
        equal((status['Uid'].split(), status['Gid'].split()), (['0'] * 4,) * 2, 'thread ' + tid)
        equal(status['Groups'].split(), statuses(os.getpid())[str(os.getpid())]['Groups'].split(), 'thread ' + tid)


def test_the_mount_has_no_devices_programs_or_set_uid(m):
    with open('/proc/self/mountinfo') as table:
        mine = [line.split() for line in table if line.split()[4] == m.mnt]
    for word in ('nosuid', 'nodev', 'noexec'):
        equal([word in line[5].split(',') for line in mine], [True], word)


@harness.unmounted
def test_options_do_not_lift_that(m):
    for option in ('suid', 'dev', 'exec', 'suid,dev,exec'):
        m.start(options=['-o', option])
        with open('/proc/self/mountinfo') as table:
            flags = next(line.split()[5].split(',') for line in table if line.split()[4] == m.mnt)
        equal({'nosuid', 'nodev', 'noexec'} <= set(flags), True, '-o %s: %s' % (option, flags))
        equal(m.daemon.stop(), [])


def test_a_program_in_a_segment_does_not_run(m):
    m.key()
    with open('/bin/true', 'rb') as program:
        m.make(contents=program.read(), mode=0o777)
    fails('EACCES', os.execv, m.at('app.key:A'), ['true'])


@harness.as_user
def test_an_ordinary_users_daemon_has_nothing(m):
    m.key()
    m.run('echo hi > app.key:A; cat app.key:A; rm app.key:A', expected='hi\n')
    for tid, status in statuses(m.daemon.pid).items():
        for name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'):
            equal(capabilities(status[name]), set(), 'thread %s: %s' % (tid, name))
        equal(status['Uid'].split(), [str(harness.USER)] * 4)


@harness.allow_other
@harness.not_under('valgrind', 'valgrind has a log open')
def test_the_daemon_gives_nobody_its_descriptors(m):
    """What it holds is closed on exec, and /proc/PID/fd is closed to others."""
    work(m)
    for fd in os.listdir('/proc/%d/fdinfo' % m.daemon.pid):
        if int(fd) > 2:
            with open('/proc/%d/fdinfo/%s' % (m.daemon.pid, fd)) as info:
                flags = int(next(line for line in info if line.startswith('flags')).split()[1], 8)
            equal(flags & os.O_CLOEXEC, os.O_CLOEXEC, 'descriptor %s: %s' % (fd, os.readlink('/proc/%d/fd/%s' % (m.daemon.pid, fd))))
    fails('EACCES', in_child, lambda: os.listdir('/proc/%d/fd' % m.daemon.pid), people.user(*people.STRANGER))


harness.main(globals())
