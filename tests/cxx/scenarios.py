# SPDX-License-Identifier: MIT
"""Programs of the C++ class, run as their users run them: scenarios.py [TEST...].

PROGRAMS is the folder that they were built in, OLDCLASS the program of tests/interop.
All of it happens in a private IPC namespace, where a segment left over is a failure.
"""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import private

PROGRAMS = os.environ['PROGRAMS']


class Scenario(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(lambda: self.assertEqual(private.segments(), []))
        self.addCleanup(folder.cleanup)
        self.key = os.path.join(folder.name, 'app.key')
        open(self.key, 'w').close()

    def producer(self):
        program = private.Program(self, [os.path.join(PROGRAMS, 'producer'), self.key])
        self.assertEqual(program.answer(), 'ready')
        return program

    def old_program(self):
        program = private.Program(self, [os.environ['OLDCLASS'], self.key, 'P', '80'], 'leave\n')
        self.assertEqual((program.ask('create'), program.ask('access')), ('ok', 'ok'))
        return program

    def run_once(self, name, *arguments):
        return private.run(os.path.join(PROGRAMS, name), *arguments)


class SharedMemory(Scenario):
    def test_consumer_reads_what_the_producer_wrote(self):
        producer = self.producer()
        seen = self.run_once('consumer', os.path.relpath(self.key))
        self.assertEqual((seen.returncode, seen.stdout, seen.stderr), (0, '3500 2.5 from the producer\n', ''))
        self.assertEqual(len(private.segments()), 2)        # the consumer was not the last one
        self.assertEqual(producer.end(), 0)

    def test_consumer_alone_finds_zeroes(self):
        seen = self.run_once('consumer', self.key)
        self.assertEqual((seen.returncode, seen.stdout), (0, '0 0.0 \n'))

    def test_consumer_without_a_key_file_says_so(self):
        os.remove(self.key)
        self.assertEqual(self.run_once('consumer', self.key).returncode, 1)
        seen = self.run_once('producer', self.key)
        self.assertEqual((seen.returncode, seen.stdout, seen.stderr),
                         (1, '', 'producer: no memory to share: No such file or directory\n'))

    def test_refusals_are_printed_and_survived(self):
        seen = self.run_once('refused', self.key)
        custom = ''.join('{0}: key_id out of range.\n{0}: custom: key_id out of range.\n'.format(name)
                         for name in ('low', 'high'))
        unnamed = custom.splitlines(True)[0].replace('low', 'unnamed')
        self.assertEqual(seen.stdout, custom + unnamed + unnamed.replace(': ', ': custom: ') +
                         'key_id out of range.\nstill here\n')
        self.assertEqual(seen.stderr, 'missing: No such file or directory\nnegative: Invalid argument\n'
                         'nothing wrong: Success\nSuccess\n')
        self.assertEqual(seen.returncode, 0)


class BesideTheOldClass(Scenario):
    def test_old_program_first(self):
        old = self.old_program()
        seen = self.run_once('consumer', self.key)
        self.assertEqual(seen.stdout, '0 0.0 \n')
        self.assertEqual(old.ask('count'), '1')
        producer = self.producer()
        self.assertEqual(old.ask('count'), '2')
        self.assertEqual(producer.end(), 0)
        self.assertEqual(old.ask('count'), '1')
        self.assertEqual(old.end(), 0)

    def test_old_program_second(self):
        producer = self.producer()
        old = self.old_program()
        self.assertEqual(old.ask('count'), '2')
        self.assertEqual(producer.end(), 0)
        self.assertEqual(old.ask('count'), '1')
        self.assertEqual(old.end(), 0)

    def test_old_program_leaves_first(self):
        producer = self.producer()
        old = self.old_program()
        self.assertEqual(old.end(), 0)
        again = self.old_program()
        self.assertEqual(again.ask('count'), '2')
        self.assertEqual(again.end(), 0)
        self.assertEqual(producer.end(), 0)

    def test_bytes_go_both_ways(self):
        producer = self.producer()
        old = self.old_program()
        self.assertEqual(old.ask('write \x01'), 'ok')          # an int of 1, and zeroes up to the end
        self.assertEqual(self.run_once('consumer', self.key).stdout, '1 0.0 \n')
        self.assertEqual(old.end(), 0)
        self.assertEqual(producer.end(), 0)

    def test_killed_programs_leak_until_decremented(self):
        self.producer().kill()
        self.old_program().kill()
        old = self.old_program()
        self.assertEqual(old.ask('count'), '3')
        self.assertEqual(self.run_once('forgive', self.key, '2').returncode, 0)
        self.assertEqual(old.ask('count'), '1')
        self.assertEqual(old.end(), 0)


class Promises(Scenario):
    def check(self, standard):
        seen = self.run_once('lifecycle-' + standard, self.key)
        self.assertEqual((seen.returncode, seen.stderr), (0, ''))
        self.assertGreater(seen.stdout.count('ok '), 10)

    def test_promises_as_cxx11(self):
        self.check('c++11')

    def test_promises_as_cxx17(self):
        self.check('c++17')

    def test_promises_as_cxx20(self):
        self.check('c++20')


if __name__ == '__main__':
    private.enter()
    unittest.main(verbosity=2)
