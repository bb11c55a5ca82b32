"""Large blocks of memory go back to the system when they are freed."""

from __future__ import annotations

import ctypes

LARGE_BYTES = 512 * 1024  # blobs and parts of them, but not what a request is made of
_M_MMAP_THRESHOLD = -3  # malloc.h of glibc


def give_large_blocks_back() -> None:
    """Keep glibc from raising its threshold for blocks of their own to 32 MiB when the first of them is freed.

    Above that threshold freed blobs are kept, in the heap of each thread that ever read one: 60 MB more for the
    same load. Other C libraries have no such call, and nothing is done there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
