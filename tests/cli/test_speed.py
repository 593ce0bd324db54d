# SPDX-License-Identifier: MIT
"""Listing 4,096 segments is no slower than lsipc -m does it, and at most three times that with their holders.

The programs run in turn, so that what else the machine does hits all of them; medians are compared.
"""

import statistics
import subprocess
import time

import cli
import shm

PAIRS = 2048
ROUNDS = 9


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def test_against_lsipc(c):
    with open('/proc/sys/kernel/shmmni', 'w') as f:
        f.write('5000')
    for i in range(PAIRS):
        shm.get(0x41000000 + i, 4096, shm.IPC_CREAT | 0o666)
        shm.get(0x07000000 + i, 4096, shm.IPC_CREAT | 0o666)
    assert c.ok('ls', '-n').count('\n') == 2 * PAIRS
    assert c.ok('ls', '-n', '--objects').count('\n') == PAIRS
    commands = {'lsipc -m': ['lsipc', '-m'], 'ls': [c.smctl, 'ls'], 'ls --objects': [c.smctl, 'ls', '--objects'],
                'with holders': [c.smctl, 'ls', '-o', '+holders']}
    taken = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(seconds(command))
    median = {name: statistics.median(t) for name, t in taken.items()}
    print('     ' + ', '.join('%s %.0f ms' % (n, 1000 * t) for n, t in median.items()))
    assert median['ls'] <= median['lsipc -m'], median
    assert median['ls --objects'] <= median['lsipc -m'], median
    assert median['with holders'] <= 3 * median['lsipc -m'], median


cli.main(globals())
