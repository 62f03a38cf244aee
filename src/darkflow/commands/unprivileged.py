"""Starts the responder as root only to lose everything before it serves.

It enters the network namespace that its sockets listen in, becomes a user who may do nothing, makes
no sockets but local ones, IP and netlink, and ends when Darkflow ends. All that it needs of the
system is opened, read and imported first: where Darkflow or Python lies below /root, its new user
could not read it.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import TYPE_CHECKING

from darkflow.divert import launch
from darkflow.honeypot.responder import fail, prepare, serve

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

SIOCGSKNS = 0x894C  # linux/sockios.h: a file of the namespace that a socket is in


def enter(listeners: Sequence[socket.socket]) -> None:
    """Into the network namespace of these sockets, for good; OSError says what is wrong."""
    spaces = [fcntl.ioctl(listener, SIOCGSKNS) for listener in listeners]
    try:
        if len({os.fstat(space).st_ino for space in spaces}) != 1:
            raise OSError("the listening sockets are not all in one network namespace")
        launch.setns(spaces[0])
    finally:
        for space in spaces:
            os.close(space)


def become(user: int, parent: int) -> None:
    """Give up root and every way back to it, for a user and a group of this number.

    parent: the process that started this one; both end together.
    """
    launch.drop(user, user, [])
    launch.only_networks()
    launch.end_with(parent)


if __name__ == "__main__":
    user, parent = int(sys.argv[1]), int(sys.argv[2])
    prepared = prepare(sys.argv[3:])
    try:
        enter(prepared.listeners)
        become(user, parent)
    except OSError as error:
        fail(str(error))
    sys.exit(serve(prepared))
