# SPDX-License-Identifier: MIT
"""Private namespaces for tests, and what tests/mount/harness.py and tests/cli/cli.py, which need more, have in common."""

import os
import subprocess
import sys
import time

SKIP = 77


def not_runnable(why):
    """A skip, or a failure where the suite must run."""
    print('cannot run: ' + why)
    sys.exit(1 if os.environ.get('SMFS_TESTS_MUST_RUN') else SKIP)


def enter():
    """Start this program again in an IPC namespace without any segment, unless it is there already."""
    if os.environ.get('SMFS_TEST_INSIDE') == str(os.getpid()):
        return
    flags = ['--ipc'] if os.geteuid() == 0 else ['--ipc', '--user', '--map-root-user']
    if subprocess.run(['unshare'] + flags + ['true']).returncode != 0:
        not_runnable('no private IPC namespace is to be had (unshare %s)' % ' '.join(flags))
    os.environ['SMFS_TEST_INSIDE'] = str(os.getpid())       # unshare without --fork keeps the pid
    os.execvp('unshare', ['unshare'] + flags + [sys.executable] + sys.argv)


def enter_all():
    """The same with mounts and processes of our own, too, for root."""
    if os.environ.get('SMFS_TEST_INSIDE') == str(os.getpid()):
        return
    flags = ['--ipc', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private']
    if os.geteuid() != 0 or os.spawnvp(os.P_WAIT, 'unshare', ['unshare'] + flags + ['true']):
        not_runnable('private IPC, mount and process namespaces need root, and unshare(1)')
    os.environ['SMFS_TEST_INSIDE'] = '1'        # the pid that --fork gives us in the new namespace
    sys.stdout.flush()
    os.execvp('unshare', ['unshare'] + flags + [sys.executable] + sys.argv)


def left_processes():
    """Those that still run beside us in our process namespace, as sentences; they are killed."""
    def others():
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        return [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]
    end = time.monotonic() + 1
    while others() and time.monotonic() < end:
        time.sleep(0.005)
    wrong = []
    for pid in others():
        try:
            with open('/proc/%d/comm' % pid) as comm:
                wrong.append('process left over: %d %s' % (pid, comm.read().strip()))
            os.kill(pid, 9)
        except OSError:
            pass
    return wrong


def run_all(names, run_one):
    """The test functions among NAMES, or those that the command line names; RUN_ONE says what was wrong. The number that failed."""
    wanted = sys.argv[1:]
    tests = [t for n, t in names.items() if n.startswith('test_') and (not wanted or n in wanted)
             and not getattr(t, 'left_out', False)]
    failed = 0
    for test in tests:
        start = time.monotonic()
        wrong = run_one(test)
        failed += bool(wrong)
        print('%-4s %s (%.2f s)' % ('FAIL' if wrong else 'ok', test.__name__, time.monotonic() - start))
        for line in wrong:
            print('     ' + line.replace('\n', '\n     '))
        sys.stdout.flush()
    print('%d passed, %d failed' % (len(tests) - failed, failed))
    return failed


def segments():
    """The lines of the kernel's table."""
    with open('/proc/sysvipc/shm') as table:
        return table.read().splitlines()[1:]


class Program:
    """A program that answers lines on its standard input; ended if a test forgets it."""

    def __init__(self, test, command, farewell='\n'):
        self.farewell = farewell
        self.process = subprocess.Popen(command, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        test.addCleanup(self.end)

    def answer(self):
        return self.process.stdout.readline().rstrip('\n')

    def ask(self, line):
        self.process.stdin.write(line + '\n')
        return self.answer()

    def end(self):
        if self.process.poll() is None:
            self.process.communicate(self.farewell, timeout=10)
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.communicate()


def run(*command):
    return subprocess.run(command, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
