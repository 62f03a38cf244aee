"""Starts a program in the honeypot's namespace: unprivileged, in a small world, with limits.

Run as root by a bare interpreter, `python -I -S launch.py SPEC`, so it starts in 10 ms and imports
nothing of Darkflow; SPEC is a JSON object, described at `Spec`. A confined program gets process and
mount namespaces of its own: it sees no process but its own, and whatever it starts ends with it. It
ends when Darkflow ends, however that comes about.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn, TypedDict

# linux/sched.h, linux/mount.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x8000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_SLAVE, MS_SHARED = 4096, 16384, 1 << 19, 1 << 20
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38

# By machine: linux/audit.h's name of it, and the number of socket(2) there.
SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
# The second numbering of x86_64, and a way to make sockets without socket(2).
X32, IO_URING_SETUP = 0x40000000, 425
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK

# Places of its own, of this many bytes at most; in /run are the sockets of the machine's services.
PRIVATE = ("/tmp", "/var/tmp", "/dev/shm")
PRIVATE_BYTES = 64 << 20
HIDDEN = "/run"
RESOLVER = "/etc/resolv.conf"
# Nobody answers names here, and nobody shall be waited for.
NO_NAMES = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
# The kernel's choice when memory is short, rather than Darkflow.
OOM_SCORE = "500"
CANNOT_RUN = 127
FIRST_PID, PIDS = 300, 30_000

_libc = ctypes.CDLL(None, use_errno=True)


class Spec(TypedDict):
    """What to start. netns: the number of an open file. confined: false for an operator's command.

    cgroup: a cgroup.procs to write to, or "". rlimits: by name, as "NOFILE". directory "" stays
    where it is. parent: who must live. The environment is the launcher's own.
    """

    netns: int
    confined: bool
    command: list[str]
    directory: str
    uid: int
    gid: int
    groups: list[int]
    rlimits: dict[str, int]
    nice: int
    cgroup: str
    parent: int


def unshare(flags: int) -> None:
    """unshare(2) for the calling thread."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """setns(2): the calling thread enters a namespace."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    words = [word.encode() for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def umount(target: str) -> None:
    """umount2(2), at once; users that are still there keep it until they end."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def drop(uid: int, gid: int, groups: list[int]) -> None:
    """Become an unprivileged user for good: no capability, and no program gives one back."""
    capability = 0
    while _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def only_networks() -> None:
    """No sockets but local ones, IP and netlink: others, as AF_VSOCK, know no network namespace.

    A filter of system calls, where their numbers are known (seccomp(2)); needs no_new_privs.
    """
    known = SOCKET_CALLS.get(os.uname().machine)
    if known is None:
        return
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
    refuse = 7 + len(FAMILIES)
    allow = refuse + 1
    # (code, where to if so, where to if not, value); the next line where none is said.
    lines = [
        (load, 1, 1, 4),  # the architecture
        (equal, 2, refuse, known[0]),
        (load, 3, 3, 0),  # the system call
        (at_least, refuse, 4, X32),
        (equal, refuse, 5, IO_URING_SETUP),
        (equal, 6, allow, known[1]),
        (load, 7, 7, 16),  # its first argument
        *((equal, allow, 8 + at, family) for at, family in enumerate(FAMILIES)),
        (end, 0, 0, 0x00050000 | errno.EAFNOSUPPORT),  # SECCOMP_RET_ERRNO
        (end, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ]
    code = b"".join(
        struct.pack("HBBI", what, max(yes - at - 1, 0), max(no - at - 1, 0), value)
        for at, (what, yes, no, value) in enumerate(lines)
    )
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(lines), ctypes.addressof(kept))
    _check(_libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0), "seccomp")


def end_with(parent: int) -> None:
    """Be killed when the thread that started this process ends; `drop` would undo it."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")
    # 0: the parent is in another process namespace and cannot be told.
    if os.getppid() not in (parent, 0):
        os._exit(CANNOT_RUN)


def limit(rlimits: dict[str, int]) -> None:
    """Set resource limits, soft and hard; root may raise them too."""
    for name, value in rlimits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def confined(spec: Spec) -> NoReturn:
    """Start the program in namespaces of its own, wait for it and end as it did."""
    if spec["cgroup"]:
        Path(spec["cgroup"]).write_text("0")
    Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    os.nice(spec["nice"])
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)
    child = os.fork()
    if child == 0:
        _or_say_why(_first_process, spec)
    drop(spec["uid"], spec["gid"], spec["groups"])
    end_with(spec["parent"])
    signal.signal(signal.SIGTERM, lambda *_: _signal(child, signal.SIGTERM))
    os.chdir("/")
    _, status = os.waitpid(child, 0)
    os._exit(_exit_status(status))


def _first_process(spec: Spec) -> NoReturn:
    """Process 1 of the new namespace: reaps, passes SIGTERM on to all; its end ends them."""
    furnish(spec)
    _begin_anywhere()
    limit(spec["rlimits"])
    drop(spec["uid"], spec["gid"], spec["groups"])
    only_networks()
    end_with(0)
    ending: list[int] = []

    def end(number: int, _frame: object) -> None:
        ending.append(number)
        _signal(-1, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    program = os.fork()
    if program == 0:
        _or_say_why(_program, spec)
    if ending:
        _signal(program, signal.SIGTERM)
    while True:
        pid, status = os.wait()
        if pid == program:
            os._exit(_exit_status(status))


def _begin_anywhere() -> None:
    """Let the next process have any number, as on a machine that has run for a while.

    Otherwise each run has the same, and a program that finds a PID file of its killed predecessor
    takes itself for that one and gives up.
    """
    with contextlib.suppress(OSError):
        number = FIRST_PID + int.from_bytes(os.urandom(2), "big") % PIDS
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(number))


def _program(spec: Spec) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    _run(spec)


def _run(spec: Spec) -> NoReturn:
    try:
        os.chdir(spec["directory"] or ".")
    except OSError as error:
        raise OSError(f"directory {spec['directory']}: {error.strerror}") from None
    command = spec["command"]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise OSError(f"cannot run {command[0]} as user {os.getuid()}: {error.strerror}") from None


def furnish(spec: Spec) -> None:
    """The program's own view: its processes, its network, a /tmp of its own, no services' sockets.

    Places that hold the program or its directory stay the machine's.
    """
    mount("none", "/", "none", MS_REC | MS_SLAVE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _own_sys()
    _without_names()
    needed = [spec["directory"], spec["command"][0], os.path.realpath(spec["command"][0])]
    for place in PRIVATE:
        if Path(place).is_dir() and not any(_below(path, place) for path in needed):
            tmpfs = f"size={PRIVATE_BYTES},mode=1777"
            mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, tmpfs)
    if not any(_below(path, HIDDEN) for path in needed):
        mount("tmpfs", HIDDEN, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4096,mode=755")


def _below(path: str, place: str) -> bool:
    return path.startswith(place + "/")


def _own_sys() -> None:
    """/sys with the namespace's interfaces, as `ip netns exec` gives it; a container may refuse."""
    with contextlib.suppress(OSError):
        mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)


def _without_names() -> None:
    """Names have no answer in the namespace: say so at once rather than after seconds."""
    if not Path(RESOLVER).is_file():
        return  # No resolver at all is as good.
    path = Path(HIDDEN, f"darkflow-{os.urandom(8).hex()}")
    path.write_text(NO_NAMES)
    path.chmod(0o444)
    mount(str(path), RESOLVER, "none", MS_BIND)
    path.unlink()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        # It is not yet what it will be; as it goes with us, we go.
        os._exit(128 + number)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _or_say_why(function: Any, spec: Spec) -> NoReturn:
    try:
        function(spec)
    except OSError as error:
        sys.stderr.write(f"darkflow: {error.strerror or error}\n")
        sys.stderr.flush()
    os._exit(CANNOT_RUN)


def command_of(spec: Spec) -> list[str]:
    """The command that starts a program as a spec says."""
    return [sys.executable, "-I", "-S", __file__, json.dumps(spec)]


def _start(spec: Spec) -> NoReturn:
    setns(spec["netns"])
    os.close(spec["netns"])
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if spec["confined"]:
        confined(spec)
    unshare(CLONE_NEWNS)
    mount("none", "/", "none", MS_REC | MS_SLAVE)
    _own_sys()
    _run(spec)


if __name__ == "__main__":
    _or_say_why(_start, json.loads(sys.argv[1]))
