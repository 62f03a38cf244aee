"""An operator's command inside: its terminal, its status, and that nothing of it gets out."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from darkflow.divert.inside import exec_inside
from darkflow.divert.namespace import Namespace
from honeypots import CLIENT4, CLIENT6, CONTAINED, PYTHON, World, honeypot, run

# Everybody whom a shell inside could want to reach, in every way that it could.
ATTEMPTS = """
import socket, sys
def attempt(family, kind, protocol, target):
    try:
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(0.2)
            if kind == socket.SOCK_STREAM:
                sock.connect(target)
            else:
                sock.sendto(b"\\x08\\0\\xf7\\xff\\0\\0\\0\\0", target)
    except OSError as error:
        print(error)
for address in sys.argv[1].split(","):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    icmp = socket.IPPROTO_ICMPV6 if ":" in address else socket.IPPROTO_ICMP
    for port in (22, 80, 9999):
        attempt(family, socket.SOCK_STREAM, 0, (address, port))
    attempt(family, socket.SOCK_DGRAM, 0, (address, 53))
    attempt(family, socket.SOCK_RAW, icmp, (address, 0))
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("hp1", 0))
    # ARP, neighbour discovery, an IPv4 packet in the name of a watched address.
    for frame in ("ffffffffffff 026466000001 0806 0001080006040001",
                  "333300000001 026466000001 86dd 60",
                  "026466000000 026466000001 0800 4500001c00000000400100 00cb007107c633640a"):
        raw.send(bytes.fromhex(frame).ljust(60, b"\\0"))
"""


def test_it_runs_inside_and_says_how_it_ended(
    place: World, capfd: pytest.CaptureFixture[str]
) -> None:
    namespace = Namespace(place.net)
    namespace.make()
    try:
        assert exec_inside(["sh", "-c", "ls /sys/class/net; id -u; exit 7"], place.net.name) == 7
        said = capfd.readouterr().out.split()
        assert "hp1" in said
        assert "m0" not in said
        assert said[-1] == "0"
        assert exec_inside(["sh", "-c", "kill -TERM $$"], place.net.name) == 128 + 15
        assert exec_inside(["no-such-program"], place.net.name) == 127
        assert "cannot run no-such-program as user 0: No such file" in capfd.readouterr().err
    finally:
        namespace.remove()
    with pytest.raises(LookupError, match=r"no honeypot .* runs here"):
        exec_inside(["true"], place.net.name)


def test_a_shell_inside_reaches_nobody(place: World) -> None:
    """IPv4, IPv6, TCP, UDP, ICMP, raw frames, to all sides: not a packet comes out of hp0."""
    caught: list[str] = []
    stopping = threading.Event()
    with honeypot(place, []):
        run("nft", CONTAINED)
        thread = threading.Thread(target=catch, args=(caught, stopping))
        thread.start()
        with socket.create_server(("", 9999)), socket.create_server(("::", 80), family=10):
            everybody = ["198.51.100.1", "2001:db8:a::1", CLIENT4, CLIENT6, "192.0.0.8",
                         "fe80::1%hp1", "203.0.113.7", "8.8.8.8", "2606:4700::1111", "224.0.0.1",
                         "ff02::1%hp1", "255.255.255.255"]  # fmt: skip
            command = [PYTHON, "-c", ATTEMPTS, ",".join(everybody)]
            assert exec_inside(command, place.net.name) == 0
        time.sleep(0.2)
        stopping.set()
        thread.join()
        inner = ("ip", "netns", "exec", place.net.name, "nft", "list", "table", "inet", "darkflow")
        stopped = re.search(r"counter stopped {\s+packets (\d+)", run(*inner))
        assert stopped is not None
        assert int(stopped[1]) > 20
        # Raw frames came as far as hp0, and no further.
        dropped = run("nft", "list", "table", "netdev", "df_contained")
        assert "policy drop" in dropped
        run("nft", "delete", "table", "netdev", "df_contained")
    assert not [frame for frame in caught if not frame.startswith("hp0")]
    assert len(caught) >= 2


def catch(caught: list[str], stopping: threading.Event) -> None:
    """Note the device of each frame that passes the machine."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sock:
        sock.settimeout(0.05)
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                frame, (device, *_) = sock.recvfrom(2000)
                # (A machine reports its own multicast groups: hop-by-hop options, next header 0.)
                if device != "lo" and not (frame[12:14] == b"\x86\xdd" and frame[20] == 0):
                    caught.append(f"{device} {frame.hex()}")


ELSEWHERE = """
import sys, time
from darkflow.divert.honeynet import Honeynet
from darkflow.divert.namespace import Namespace
namespace = Namespace(Honeynet(("203.0.113.0/24",), name=sys.argv[1]))
namespace.make()
print("up", flush=True)
sys.stdin.read()
namespace.remove()
"""


def test_from_another_mount_namespace(place: World) -> None:
    """As `ip netns exec` gives one: there the namespace's name is known to its maker alone."""
    enter = ["ip", "netns", "exec", place.machine, sys.executable, "-c"]
    code = "import sys\nfrom darkflow.divert.inside import exec_inside\n"
    code += f"sys.exit(exec_inside(['ls', '/sys/class/net'], {place.net.name!r}))"
    with subprocess.Popen(
        [*enter, ELSEWHERE, place.net.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        done = subprocess.run([*enter, code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "hp1" in done.stdout.split()
        assert exec_inside(["true"], place.net.name) == 0
        owner.stdin.close()
        assert owner.wait(10) == 0
    assert "hp0" not in run("ip", "link")


def test_ctrl_c_is_for_the_command(place: World) -> None:
    namespace = Namespace(place.net)
    namespace.make()
    code = (
        "import sys\nfrom darkflow.divert.inside import exec_inside\n"
        "sys.exit(exec_inside(['sh', '-c', 'trap \"exit 9\" INT; echo up; sleep 60 & wait'],"
        f" {place.net.name!r}))"
    )
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(10) == 9
    finally:
        namespace.remove()
