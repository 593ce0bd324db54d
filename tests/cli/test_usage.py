# SPDX-License-Identifier: MIT
"""Help, the manual, and what is refused because it is typed wrong."""

import os
import re
import subprocess

import cli
import private

VERBS = ['ls', 'stat', 'key', 'create', 'cat', 'write', 'decr', 'reap', 'rm', 'hold', 'wait']
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools', 'smctl')


def options_of(c, verb):
    """The options that a verb's --help lists."""
    lines = re.findall(r'^ {2,6}(-.*?)(?:  |$)', c.ok(verb, '--help'), flags=re.M)
    return sorted(set(re.findall(r'--?[a-zA-Z][a-z-]*', ' '.join(lines))))


def test_help_lists_every_verb(c):
    assert re.findall(r'^  ([a-z]+) ', c.ok('--help'), flags=re.M) == VERBS
    assert c.ok('-h') == c.ok('--help')


def test_version(c):
    assert c.ok('--version') == 'smctl %s\n' % private.version()
    assert c.ok('-V') == c.ok('--version')


def test_every_verb_has_help(c):
    for verb in VERBS:
        assert c.ok(verb, '--help').startswith('usage: smctl %s ' % verb)
        assert c.ok(verb, '-h') == c.ok(verb, '--help')


def test_the_manual_has_every_verb_and_option(c):
    with open(os.path.join(SOURCES, 'smctl.1')) as page:
        text = page.read().replace('\\-', '-')
    sections = dict(re.findall(r'^\.Ss (\w+)\n(.*?)(?=^\.S[sh] )', text, flags=re.M | re.S))
    assert list(sections) == VERBS
    for verb in VERBS:
        listed = set(re.findall(r'^\.It (Fl .*)$', sections[verb], flags=re.M))
        in_page = set('-' + o for line in listed for o in re.findall(r'Fl ([\w-]+)', line))
        assert in_page == set(options_of(c, verb)) - {'-h', '--help'}, verb
        usage = c.ok(verb, '--help').splitlines()[0].split(' ', 3)[3]
        shown = set(re.findall(r'[A-Z]{2,}', usage))
        assert shown <= set(re.findall(r'[A-Z]{2,}', sections[verb])), verb


def test_the_manual_has_every_column(c):
    with open(os.path.join(SOURCES, 'smctl.1')) as page:
        section = page.read().split('.Sh COLUMNS')[1].split('.Sh')[0]
    in_page = re.findall(r'\w+', ' '.join(re.findall(r'^\.It (.*)$', section, flags=re.M)))
    shown = c.ok('ls', '--help').split('shown anyway:\n')[1]
    assert in_page == re.findall(r'^  (\w+) ', shown, flags=re.M)


def test_the_manual_is_clean(c):
    if not cli.have('mandoc'):
        return
    seen = subprocess.run(['mandoc', '-Tlint', os.path.join(SOURCES, 'smctl.1')], capture_output=True, text=True)
    said = [line for line in seen.stdout.splitlines() if 'referenced manual not found' not in line]
    assert not said, said


def test_unknown_verbs(c):
    c.bad(2, 'a verb is missing')
    c.bad(2, "unknown verb 'list'", 'list')
    c.bad(2, "unknown verb ''", '')
    c.bad(2, "unknown verb 'stat PATH'", 'stat PATH')
    c.bad(2, "unknown option '--json'", '--json')
    c.bad(2, "unknown verb '\\x1b[2J'", '\x1b[2J')


def test_unknown_options(c):
    for verb in VERBS:
        ran = c.bad(2, "unrecognized option '--nosuch'", verb, '--nosuch')
        assert "'smctl %s --help'" % verb in ran.err


def test_missing_operands(c):
    path = c.key()
    for verb in ['stat', 'key', 'create', 'cat', 'write', 'decr', 'rm', 'wait']:
        c.bad(2, 'operand missing: the path', verb)
        c.bad(2, 'operand missing: the proj_id', verb, path)
    c.bad(2, 'operand missing: the proj_id', 'reap', path)
    c.bad(2, 'operand missing: the size', 'create', path, 'A')
    c.bad(2, "operand missing: '--'", 'hold', path, 'A')
    c.bad(2, "operand missing: '--'", 'hold', path, 'A', '--')
    c.bad(2, 'requires an argument', 'stat', '--id')


def test_operands_too_many(c):
    path = c.key()
    for verb in ['stat', 'key', 'cat', 'write', 'decr', 'reap', 'rm', 'wait']:
        c.bad(2, "'more' is one operand too many", verb, path, 'A', 'more')
    c.bad(2, "'more' is one operand too many", 'create', path, 'A', '10', 'more')
    c.bad(2, "'more' is one operand too many", 'hold', path, 'A', '10', 'more', '--', 'true')
    c.bad(2, "'more' is one operand too many", 'ls', 'more')
    c.bad(2, 'one operand too many', 'stat', '--id', '0', path, 'A')
    c.bad(2, 'not both', 'rm', '--orphaned', path, 'A')
    c.bad(2, 'not both', 'rm', '--orphaned', '--id', '0')


def test_paths_that_do_not_exist(c):
    gone = c.scratch + '/gone'
    for args in (['stat'], ['key'], ['cat'], ['write'], ['decr'], ['reap'], ['rm'], ['wait']):
        c.bad(1, 'the key file does not exist', *args, gone, 'A')
    c.bad(1, 'the key file does not exist', 'create', gone, 'A', '10')
    c.bad(1, 'the key file does not exist', 'hold', gone, 'A', '10', '--', 'true')
    c.bad(1, 'Not a directory', 'key', c.key() + '/below', 'A')
    c.bad(1, 'does not exist', 'key', '', 'A')


def test_proj_ids_out_of_range(c):
    path = c.key()
    for proj in ['@', '{', '5', '', 'AB', '\xe4', '-', ' ', '65', '\udcc1']:
        for verb in ['stat', 'key', 'cat', 'write', 'decr', 'reap', 'wait']:
            c.bad(2, 'is out of range', verb, '--', path, proj)
        c.bad(2, 'is out of range', 'create', '--', path, proj, '10')
        c.bad(2, 'is out of range', 'rm', '--yes', '--', path, proj)
        c.bad(2, 'is out of range', 'hold', path, proj, '10', '--', 'true')


def test_sizes(c):
    path = c.key()
    for size in ['0', '0K', '00']:
        c.bad(2, 'too small', 'create', path, 'A', size)
        c.bad(2, 'too small', 'hold', path, 'A', size, '--', 'true')
    for size in ['18446744073709551616', '99999999999999999999999', '18014398509481984K', '16777216T']:
        c.bad(2, 'too large', 'create', path, 'A', size)
        c.bad(2, 'too large', 'hold', path, 'A', size, '--', 'true')
    for size in ['', 'x', '-1', '+1', ' 1', '1 ', '1.5', '0x10', '4KB', '4KK', 'K', '1e3', '١']:
        c.bad(2, 'is not a number of bytes', 'create', '--', path, 'A', size)
    with open('/proc/sys/kernel/shmmax') as f:
        most = int(f.read())
    for size, saying in (2 ** 64 - 1, 'may have %d at most (SHMMAX)' % most), (2 ** 63, 'can have %d at most' % (2 ** 63 - 1)):
        c.bad(1, saying, 'create', path, 'A', str(size))
        c.bad(1, saying, 'hold', path, 'A', str(size), '--', 'true')


def test_other_arguments(c):
    path = c.key()
    for mode in ['', '8', '1000', '07777', 'rw', '-1', '0x1ff', '99999999999999999999']:
        c.bad(2, 'is not an octal number up to 0777', 'create', '--mode', mode, path, 'A', '10')
    for t in ['', 'x', '-1', '2x', '1.5h', 'h']:
        c.bad(2, 'is not a duration', 'ls', '--older-than', t)
    for t in ['99999999999999999999s', '9999999999w']:
        c.bad(2, 'is too long', 'rm', '--older-than', t)
    for number in ['', 'x', '-1', '2147483648', '99999999999999999999']:
        c.bad(2, "is no segment's id", 'stat', '--id', number)
        c.bad(2, 'takes a number', 'wait', '--refcount', number, path, 'A')
    c.bad(2, 'is not known here', 'ls', '--owner', 'no-such-user')
    c.bad(2, 'is not known here', 'rm', '--owner', '4294967295')
    c.bad(2, "no column 'nosuch'", 'ls', '-o', 'id,nosuch')
    c.bad(2, "no column ''", 'ls', '-o', '')
    c.bad(2, "no column ''", 'ls', '-o', '+')


def test_objects_that_do_not_exist(c):
    path = c.key()
    for verb in ['stat', 'cat', 'write', 'decr', 'reap', 'rm']:
        c.bad(1, 'there is no object %s:A' % path, verb, path, 'A')
    for verb in ['stat', 'cat', 'write', 'rm']:
        c.bad(1, 'there is no segment 7', verb, '--id', '7')
    c.bad(1, 'give a SIZE', 'hold', path, 'A', '--', 'true')


def test_output_that_cannot_be_written(c):
    path = c.key()
    c.ok('create', path, 'A', '10')
    for args in (['ls'], ['ls', '--json'], ['--help'], ['stat', path, 'A'], ['key', path, 'A'], ['cat', path, 'A'],
                 ['ls', '--help']):
        with open('/dev/full', 'w') as full:
            ran = subprocess.run([c.smctl] + args, stdout=full, stderr=subprocess.PIPE, text=True)
        assert ran.returncode == 1 and 'No space left' in ran.stderr, (args, ran)


def test_closed_standard_streams(c):
    path = c.key()
    for close in ['<&-', '>&-', '<&- >&- 2>&-']:
        ran = subprocess.run(['/bin/sh', '-c', '"$0" hold "$1" A 10 -- true ' + close, c.smctl, path])
        assert ran.returncode == 0, (close, ran)
        assert cli.data_of(path, 'A') is None


def test_what_a_closed_stream_loses_is_told(c):
    path = c.key()
    c.ok('create', path, 'A', '10')
    c.ok('write', path, 'A', stdin='0123456789')
    for args in (['ls'], ['ls', '--json'], ['--help'], ['--version'], ['ls', '--help'], ['stat', path, 'A'], ['key', path, 'A'],
                 ['cat', path, 'A'], ['hold', '--help']):
        ran = subprocess.run(['/bin/sh', '-c', '"$@" >&-', 'sh', c.smctl] + args, stderr=subprocess.PIPE, text=True)
        assert ran.returncode == 1 and 'cannot write the output: Bad file descriptor' in ran.stderr, (args, ran)
    ran = subprocess.run(['/bin/sh', '-c', '"$@" <&-', 'sh', c.smctl, 'write', path, 'A'], stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 1 and 'cannot read the input: Bad file descriptor' in ran.stderr, ran
    ran = subprocess.run(['/bin/sh', '-c', '"$@" <&-', 'sh', c.smctl, 'rm', path, 'A'], stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 1 and 'nothing removed' in ran.stderr, ran
    assert c.ok('cat', path, 'A') == '0123456789'
    # what says nothing loses nothing; and with nowhere to tell it, the status still does
    for args, status in (['write', path, 'A', '</dev/null'], 0), (['cat', path, 'A'], 1), (['stat', path, 'B'], 1):
        line = '"$0" %s >&- 2>&-' % ' '.join(args)
        assert subprocess.run(['/bin/sh', '-c', line, c.smctl]).returncode == status, line


cli.main(globals())
