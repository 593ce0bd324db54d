# SPDX-License-Identifier: MIT
"""Huge pages for a test, or the absence of them. The machine has one pool, so whoever needs it waits for the others."""

import contextlib
import errno
import fcntl

from private import NotRunnable

POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB/'


def number(name):
    with open(POOL + name) as f:
        return int(f.read())


def resize(pool, pages):
    pool.seek(0)
    pool.write('%d\n' % pages)
    pool.flush()


@contextlib.contextmanager
def huge_pages(free):
    """As many free huge pages of 2 MiB as that, as long as the block runs; then the pool is as large as it was."""
    try:
        pool = open(POOL + 'nr_hugepages', 'r+')
    except OSError as e:
        raise NotRunnable('no huge pages here: %s' % e)
    with pool:
        fcntl.flock(pool, fcntl.LOCK_EX)
        had, lying = number('nr_hugepages'), number('free_hugepages')
        if not free and lying:
            raise NotRunnable('somebody keeps %d free huge pages on this machine' % lying)
        try:
            if free:
                reserve(pool, had, free)
            yield
        finally:
            if free:
                resize(pool, had)


def reserve(pool, had, free):
    try:
        resize(pool, had + free)
    except OSError as e:
        if e.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        raise NotRunnable('huge pages cannot be reserved here: %s' % e)
    if number('nr_hugepages') < had + free:
        raise NotRunnable('no memory in one piece for %d huge pages' % free)
