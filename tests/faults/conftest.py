"""Share disks and surroundings between the tests of faults."""

from tests.support.faulty_libc import faulty_libc

__all__ = ["faulty_libc"]
