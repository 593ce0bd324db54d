# SPDX-License-Identifier: MIT
"""Shell and tools as people write them, under bash, dash and busybox."""

import os

import harness
import shm
from case import equal, shells
from daemon import wait_until


def in_each(m, command, expected='', left=0):
    for shell in shells():
        m.run(command, shell, expected)
        # in copying mode a removed one stays until smfs hears that it was closed
        wait_until(lambda: len(shm.listing()) == left, '%s: %d segments after %s' % (shell, left, command), 5)
        m.run('rm -f *', shell)


def test_a_message_passed_under_a_lock(m):
    m.key()
    in_each(m, 'truncate -s 32 app.key:A; flock app.key:A sh -c "printf ping > app.key:A"; '
            'flock -s app.key:A head -c 4 app.key:A; rm app.key:A', 'ping')


def test_copying_from_object_to_object(m):
    m.key('a')
    m.key('b')
    in_each(m, 'echo contents > a:A; cp a:A b:B; cat b:B; cmp a:A b:B && echo same; rm a:A b:B', 'contents\nsame\n')


def test_saving_and_restoring_with_tar(m):
    m.key('a')
    m.key('b')
    m.run('echo one > a:A; echo two > b:B; tar cf $K/save.tar ./a:A ./b:B; rm a:A b:B; tar xf $K/save.tar; cat a:A b:B; rm a:A b:B',
          expected='one\ntwo\n')
    m.run('echo out > $K/f; tar cf ./a:A -C $K f; tar tf ./a:A; tar xOf ./a:A; rm a:A', expected='f\nout\n')


def test_compressing_through_a_pipe(m):
    m.key()
    in_each(m, 'seq 1000 | gzip > app.key:A; gzip -dc < app.key:A | tail -n 1; rm app.key:A', '1000\n')


def test_here_documents_and_heredoc_loops(m):
    m.key()
    in_each(m, 'cat > app.key:A <<END\na 1\nb 2\nEND\nwhile read x y; do echo $y$x; done < app.key:A; rm app.key:A', '1a\n2b\n')


def test_conditions(m):
    m.key()
    in_each(m, '[ -e app.key:A ] || echo none; : > app.key:A; [ -f app.key:A ] && echo file; [ -s app.key:A ] && echo size; '
            '[ -r app.key:A ] && [ -w app.key:A ] && echo rw; [ -d . ] && echo dir; rm app.key:A; [ -e app.key:A ] || echo none',
            'none\nfile\nsize\nrw\ndir\nnone\n')


def test_globs(m):
    for name in ('a', 'b', 'c'):
        m.key(name)
    in_each(m, 'for f in a b c; do echo $f > $f:X; done; echo *:X; cat *:X; for f in *.refcount; do cat "$f"; done; rm *:X',
            'a:X b:X c:X\na\nb\nc\n0\n0\n0\n')


def test_a_lock_by_noclobber(m):
    m.key()
    in_each(m, 'set -C; (: > app.key:A) && echo got it; (: > app.key:A) 2>/dev/null || echo taken; rm app.key:A', 'got it\ntaken\n')


def test_read_write_redirection_and_seeking(m):
    m.key()
    in_each(m, 'printf 0123456789 > app.key:A; exec 5<> app.key:A; head -c 0 <&5; printf ab >&5; exec 5>&-; cat app.key:A; rm app.key:A',
            'ab23456789')


def test_stdout_and_stderr_into_one_object(m):
    m.key()
    in_each(m, '(echo out; echo err >&2; echo out) > app.key:A 2>&1; cat app.key:A; rm app.key:A', 'out\nerr\nout\n')


def test_a_background_job_finishes_it(m):
    m.key()
    in_each(m, '(echo one; sleep 0.05; echo two) > app.key:A & wait; cat app.key:A; rm app.key:A', 'one\ntwo\n')


def test_exec_redirection_of_the_whole_shell(m):
    m.key()
    in_each(m, '(exec > app.key:A; echo a; pwd > /dev/null; (echo b); echo c); cat app.key:A; rm app.key:A', 'a\nb\nc\n')


def test_a_pipeline_into_dd(m):
    m.key()
    in_each(m, 'echo hello | dd of=app.key:A 2>/dev/null; echo J | dd of=app.key:A bs=1 count=1 conv=notrunc 2>/dev/null; cat app.key:A; '
            'rm app.key:A', 'Jello\n')


def test_sums_and_comparisons(m):
    m.key()
    in_each(m, 'printf abc > app.key:A; md5sum < app.key:A; rm app.key:A', '900150983cd24fb0d6963f7d28e17f72  -\n')


def test_python_and_perl_as_people_write_them(m):
    m.key()
    m.run('''python3 -c "
open('app.key:A', 'w').write('from python')
with open('app.key:A', 'r+b') as f:
    f.seek(5); f.write(b'PYTHON')
print(open('app.key:A').read())
"''', expected='from PYTHON\n')
    m.run('''perl -we 'open my $f, "+<", "app.key:A" or die $!; seek $f, 0, 0; print $f "FROM"; close $f or die $!;
open $f, "<", "app.key:A"; print <$f>, "\\n"' ''', expected='FROM PYTHON\n')
    m.run('rm app.key:A')


def test_errors_reach_the_shell(m):
    m.key()
    for shell in shells():
        for command in ('echo hi > missing:A', 'cat app.key:A', 'echo decr > app.key:A.refcount', 'echo hi > plain', 'mkdir d'):
            equal(m.sh(command, shell).status != 0, True, '%s: %s' % (shell, command))
        m.run('printf x > app.key:A', shell)
        for command in ('echo too long > app.key:A', 'echo more >> app.key:A', 'echo decr > app.key:A.refcount', 'echo word > app.key:A.refcount',
                        'rm app.key:A.refcount', 'ln app.key:A app.key:B'):
            equal(m.sh(command, shell).status != 0, True, '%s: %s' % (shell, command))
        m.run('rm app.key:A', shell)


harness.main(globals())
