"""What tests of faults share."""

from tests.support.faulty_libc import faulty_libc

__all__ = ["faulty_libc"]
