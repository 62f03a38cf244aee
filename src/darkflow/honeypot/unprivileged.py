"""Starts the responder as root only to become somebody who may do nothing, before it serves.

All that it needs of the system is opened, read and imported first: where Darkflow or Python lies
below /root, its new user could not read it.
"""

from __future__ import annotations

import ctypes
import os
import sys

from darkflow.honeypot.responder import prepare, serve

NO_NEW_PRIVILEGES = 38  # linux/prctl.h


def become(user: int) -> None:
    """Give up root and every way back to it, for a user and a group of this number."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError("prctl refuses PR_SET_NO_NEW_PRIVS")


if __name__ == "__main__":
    prepared = prepare(sys.argv[2:])
    become(int(sys.argv[1]))
    sys.exit(serve(prepared))
