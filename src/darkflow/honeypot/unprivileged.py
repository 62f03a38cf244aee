"""Starts the responder as root only to become somebody who may do nothing, before it serves.

Everything is imported first: where Darkflow lies below /root, its new user could not read it.
"""

from __future__ import annotations

import argparse
import asyncio.sslproto
import ctypes
import encodings.idna
import os
import sys

from darkflow.honeypot import certificate, encryption, responder
from darkflow.honeypot.protocols.table import plugins

NO_NEW_PRIVILEGES = 38  # linux/prctl.h
NEEDED = (argparse, asyncio.sslproto, encodings.idna, certificate, encryption)


def become(user: int) -> None:
    """Give up root and every way back to it, for a user and a group of this number."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError("prctl refuses PR_SET_NO_NEW_PRIVS")


if __name__ == "__main__":
    plugins()
    become(int(sys.argv[1]))
    sys.exit(responder.main(sys.argv[2:]))
