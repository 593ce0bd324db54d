# SPDX-License-Identifier: MIT
"""Those of tools/examples that work through the mount, run as their own first lines say."""

import os
import subprocess

import harness
from case import equal

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../tools/examples/')


def mailbox(m, *arguments):
    return subprocess.Popen([EXAMPLES + 'mailbox.sh', *arguments], text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process):
    out, err = process.communicate(timeout=15)
    return process.returncode, out, err


def test_mailbox_passes_messages_through_a_segment(m):
    m.key()
    box = m.at('app.key:A')
    equal(ended(mailbox(m, 'send', box, 'one')), (0, '', ''))
    equal(m.bytes_of()[:4], b'one\n')
    second = mailbox(m, 'send', box, 'two')            # waits until the first is taken
    equal(ended(mailbox(m, 'take', box)), (0, 'one\n', ''))
    equal(ended(second), (0, '', ''))
    equal(ended(mailbox(m, 'take', box)), (0, 'two\n', ''))
    equal(m.bytes_of().strip(b'\0'), b'')
    m.remove()


def test_mailbox_loses_nothing_when_many_send_and_take(m):
    m.key()
    box = m.at('app.key:A')
    open(box, 'w').close()
    sent = ['message %d' % n for n in range(6)]
    senders = [mailbox(m, 'send', box, text) for text in sent]
    takers = [mailbox(m, 'take', box) for _ in sent]
    equal([ended(p)[0] for p in senders], [0] * len(sent))
    equal(sorted(ended(p)[1] for p in takers), [text + '\n' for text in sent])
    m.remove()


def position(m, *arguments):
    return m.sh(' '.join(['/usr/bin/env', 'python3', EXAMPLES + 'position.py', 'app.key:A', *arguments]))


def test_position_maps_the_segment_itself(m):
    m.key()
    m.run('truncate -s 24 app.key:A')
    seen = position(m, '1.5', '-2')
    if m.copying:
        equal((seen.status != 0, seen.err.splitlines()[-1]), (True, 'OSError: [Errno 19] No such device'))
    else:
        equal(seen, (0, '1 moves, at 1.5 -2\n', ''))
        equal(position(m).out, '1 moves, at 1.5 -2\n')
        equal(m.bytes_of()[:8], b'\1' + bytes(7))
    m.remove()


if __name__ == '__main__':
    harness.main(globals())
