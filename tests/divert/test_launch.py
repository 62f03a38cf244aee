"""What a confined program is, sees and may do: asked of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from darkflow.divert import launch
from darkflow.divert.cgroups import hierarchy
from darkflow.divert.namespace import Namespace
from honeypots import PYTHON, World, honeypot, open_folder

# What it prints is what is tested.
ABOUT_ITSELF = """
import errno, json, os, resource, socket, sys
from pathlib import Path
status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines()
              if ":\\t" in line)
def refused(doing):
    try:
        doing()
    except OSError as error:
        return errno.errorcode[error.errno]
def resolve():
    socket.getaddrinfo("example.org", 80)
print(json.dumps({
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
    "caps": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privs": status["NoNewPrivs"],
    "processes": sorted(int(n) for n in os.listdir("/proc") if n.isdigit()),
    "interfaces": sorted(os.listdir("/sys/class/net")) if os.path.exists("/sys/class/net") else [],
    "tmp": [os.listdir("/tmp"), oct(os.stat("/tmp").st_mode)],
    "shm": [os.listdir("/dev/shm"), os.statvfs("/dev/shm").f_blocks]
           if os.path.exists("/dev/shm") else None,
    "run": os.listdir("/run"),
    "directory": [os.getcwd(), os.environ["HOME"]],
    "environment": sorted(os.environ),
    "limits": [resource.getrlimit(one) for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
    "nice": os.nice(0),
    "oom": Path("/proc/self/oom_score_adj").read_text(),
    "memory": [name for name in ("cgroup", "DATA") if name == "cgroup"
               and "darkflow" in Path("/proc/self/cgroup").read_text()
               or name == "DATA" and resource.getrlimit(resource.RLIMIT_DATA)[0] > 0],
    "resolver": Path("/etc/resolv.conf").read_text() if os.path.exists("/etc/resolv.conf") else "",
    "files": sorted(os.listdir("/proc/self/fd"))[:4],
    "refused": [refused(doing) for doing in (
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        lambda: os.setuid(0),
        lambda: open("/proc/sys/net/ipv4/ip_forward", "w"),
        lambda: open("/etc/passwd", "a"),
        lambda: os.nice(-1),
        lambda: socket.socket(40, socket.SOCK_STREAM),  # AF_VSOCK
        lambda: socket.socket(38, socket.SOCK_SEQPACKET),  # AF_ALG
    )],
    "allowed": [refused(doing) for doing in (
        lambda: socket.socket(socket.AF_INET), lambda: socket.socket(socket.AF_INET6),
        lambda: socket.socket(socket.AF_UNIX), lambda: socket.socket(socket.AF_NETLINK, 3, 0),
        lambda: socket.socketpair(),
    )],
}), flush=True)
"""


def about(place: World, path: Path, **table: Any) -> dict[str, Any]:
    """What such a service says of itself."""
    log = path / "log"
    service = {
        "name": "a", "ports": ["22"], "command": [PYTHON, "-c", ABOUT_ITSELF],
        "restart": "never", "log": str(log),
    }  # fmt: skip
    with honeypot(place, [service | table]) as pot:
        pot.wait_for(lambda: log.read_text().endswith("\n"))
    said = log.read_text()
    assert said.startswith("{"), said
    found: dict[str, Any] = json.loads(said)
    return found


def test_it_is_nobody_and_sees_nobody(place: World, tmp_path: Path) -> None:
    me = about(place, tmp_path, open_files=77, environment={"COLOUR": "blue"})
    assert me["ids"][:3] == [65534, 65534, 65534]
    assert set(me["caps"]) == {"0" * 16}
    assert me["no_new_privs"] == "1"
    # Process 1, which reaps, and itself.
    assert len(me["processes"]) == 2
    assert me["processes"][0] == 1
    # Not the number that each run would have: programs mistake themselves for their predecessors.
    if Path("/proc/sys/kernel/ns_last_pid").exists():
        assert me["processes"][1] > launch.FIRST_PID
    assert "hp1" in me["interfaces"]
    assert "m0" not in me["interfaces"]
    assert me["tmp"] == [[], "0o41777"]
    if me["shm"] is not None:
        assert me["shm"] == [[], launch.PRIVATE_BYTES // os.sysconf("SC_PAGE_SIZE")]
    assert me["run"] == []
    assert me["directory"] == ["/tmp", "/tmp"]
    assert {"COLOUR", "PATH", "HOME"} <= set(me["environment"])
    assert not {"PYTHONPATH", "PYTEST_CURRENT_TEST"} & set(me["environment"])
    assert me["limits"] == [[77, 77], [0, 0]]
    assert me["nice"] >= 10
    assert me["oom"] == "500\n"
    assert me["memory"]
    assert me["resolver"] in ("", launch.NO_NAMES)
    assert me["files"][:3] == ["0", "1", "2"]
    assert len(me["files"]) == 4  # the fourth is the folder that is listed
    family = "EAFNOSUPPORT" if os.uname().machine in launch.SOCKET_CALLS else "EPERM"
    assert me["refused"][:6] == [family, "EPERM", "EPERM", "EACCES", "EACCES", "EPERM"]
    if family == "EAFNOSUPPORT":
        assert me["refused"][6:] == [family, family]
    assert me["allowed"] == [None] * 5


def test_a_directory_in_tmp_stays_what_it_is(place: World, tmp_path: Path) -> None:
    with open_folder() as folder:
        me = about(place, tmp_path, directory=str(folder))
        assert me["directory"] == [str(folder), str(folder)]
        if folder.is_relative_to("/tmp"):
            assert folder.name in me["tmp"][0]


def test_memory_has_an_end(place: World) -> None:
    eat = "x = []\nwhile True: x.append(b'x' * 1000000)"
    with honeypot(
        place,
        [{"name": "a", "ports": ["22"], "command": [PYTHON, "-c", eat], "memory": "100MiB",
          "restart": "never"}],
    ) as pot:  # fmt: skip
        pot.wait_for(lambda: pot.keeper.states()[0].state == "ended")
    assert "MemoryError" in "\n".join(place.lines("a")) or pot.keeper.states()[0].exit_status == 137


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"command": "/no/such program"}, "cannot run /no/such as user 65534: No such file"),
        ({"command": "no-such-program"}, "cannot run no-such-program as user 65534: No such"),
        ({"command": "/etc/passwd"}, "cannot run /etc/passwd as user 65534: Permission denied"),
        ({"directory": "/no/such"}, "directory /no/such: No such file or directory"),
    ],
)
def test_why_one_cannot_start_is_in_the_log(place: World, table: dict[str, Any], line: str) -> None:
    service = {"name": "a", "ports": ["22"], "command": "true", "restart": "never"}
    with honeypot(place, [service | table]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].state == "ended")
        pot.wait_for(lambda: any(f"darkflow: {line}" in said for said in place.lines("a")))
        assert pot.keeper.states()[0].exit_status == launch.CANNOT_RUN


OWNER = """
import sys, time
from darkflow.divert.honeynet import Honeynet
from darkflow.divert.keeper import Keeper
from darkflow.divert.namespace import Namespace
from darkflow.divert.services import read_services
namespace = Namespace(Honeynet(("203.0.113.0/24",), name=sys.argv[1]))
namespace.make()
keeper = Keeper(read_services([
    {"name": "plain", "ports": ["22"], "command": ["sleep", sys.argv[2]]},
    {"name": "away", "ports": ["23"],
     "command": ["sh", "-c", "setsid sleep $0 & wait", sys.argv[2]]},
    {"name": "relay", "ports": ["25"], "to": "127.0.0.1:9"},
]), namespace, {"relay": namespace.listeners(2)}, lambda *_, **__: None)
keeper.start()
print("up", flush=True)
time.sleep(600)
"""


def pids(word: str) -> list[int]:
    """Processes with this among their arguments, or with a relay's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words and words[0].endswith(b"sleep"):
            found.append(int(path.parent.name))
    return found


def children(pid: int) -> set[int]:
    """All that came from a process, and live."""
    found: set[int] = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= {int(child)} | children(int(child))
    return found


def test_all_end_with_darkflow_however_it_ends(place: World) -> None:
    """kill -9 of the owner: no service, no child of one that went away, no relay remains."""
    seconds = str(40_000_000 + os.getpid())
    argv = [sys.executable, "-c", OWNER, place.net.name, seconds]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
            until = time.monotonic() + 10
            while len(pids(seconds)) < 2:
                assert time.monotonic() < until
                time.sleep(0.02)
            offspring = children(owner.pid)
            assert len(offspring) >= 7
        finally:
            owner.kill()
    until = time.monotonic() + 5
    while pids(seconds) or any(Path(f"/proc/{pid}").exists() for pid in offspring):
        assert time.monotonic() < until, [pid for pid in offspring if Path(f"/proc/{pid}").exists()]
        time.sleep(0.02)
    # And what it has left of the namespace goes with the next.
    namespace = Namespace(place.net)
    namespace.make()
    namespace.remove()
    root = hierarchy()
    assert root is None or not (root / f"darkflow-{place.net.name}").exists()
