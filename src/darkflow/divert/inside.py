"""Runs an operator's command in the honeypot's namespace, on the terminal, as root."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from darkflow.divert import launch
from darkflow.divert.namespace import default_name, running


def exec_inside(command: Sequence[str], name: str = "") -> int:
    """Run it there; its exit status, 128 + n after signal n.

    The files are the machine's, the network is the honeypot's: nothing that it sends gets further
    than hp0, unless it answers a diverted flow. LookupError: no honeypot of this name (default: the
    one that has no name of its own) runs here.
    """
    if os.geteuid() != 0:
        raise PermissionError("only root may enter the honeypot's namespace")
    namespace = running(name or default_name())
    spec: launch.Spec = {
        "netns": namespace,
        "confined": False,
        "command": list(command),
        "directory": "",
        "uid": 0,
        "gid": 0,
        "groups": [],
        "rlimits": {},
        "nice": 0,
        "cgroup": "",
        "parent": os.getpid(),
    }
    # Ctrl-C is for the command; we stay to say how it has ended.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run(launch.command_of(spec), pass_fds=[namespace], check=False)
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(namespace)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
