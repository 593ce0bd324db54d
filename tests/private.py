# SPDX-License-Identifier: MIT
"""A private IPC namespace for tests that need no mount (those have tests/mount/harness.py)."""

import os
import subprocess
import sys

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
