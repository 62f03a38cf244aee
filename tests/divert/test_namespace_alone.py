"""There is one honeypot in a place, and nothing but answers comes out of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest

from darkflow.divert import portrules
from darkflow.divert.namespace import Namespace, entered
from darkflow.divert.nft import NFPROTO_INET, Nft
from darkflow.divert.state import SYSCTL, state_path
from honeypots import CLIENT4, CLIENT6, World, run

ACK = 16
ETH_P_ALL = 3
# IPv6 forwarding has to be switched on for the whole machine.
OLD_KERNEL = """
import sys, time
from darkflow.divert import honeynet, namespace
found = namespace.found_host
namespace.found_host = lambda: honeynet.Host(**{**vars(found()), "force_forwarding": False})
namespace.Namespace(honeynet.Honeynet(("203.0.113.0/24",), name=sys.argv[1])).make()
print("up", flush=True)
time.sleep(600)
"""


def test_without_a_namespace_there_is_only_one_all_the_same(place: World) -> None:
    """As for a third party's sensor; it puts right what a killed one has left."""
    forwards = (SYSCTL / "ipv6/conf/m0/forwarding").read_text()
    argv = [sys.executable, "-c", OLD_KERNEL, place.net.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        second = Namespace(place.net)
        with pytest.raises(BlockingIOError, match=f"runs already .process {process.pid}"):
            second.do_without()
        second.remove()
        assert (SYSCTL / "ipv6/conf/m0/forwarding").read_text() != forwards
        process.send_signal(signal.SIGKILL)
    # Whoever gives up before it has begun takes nothing away.
    second.claim()
    second.remove()
    assert "hp0" in {name for _, name in socket.if_nameindex()}
    second.do_without()
    assert (SYSCTL / "ipv6/conf/m0/forwarding").read_text() == forwards
    assert "hp0" not in {name for _, name in socket.if_nameindex()}
    with pytest.raises(BlockingIOError, match=f"runs already .process {os.getpid()}"):
        Namespace(place.net).make()
    # An interface of that name is nobody's business here.
    run("ip", "link", "add", "hp0", "type", "veth", "peer", "name", "hp9")
    second.remove()
    second.do_without()
    second.remove()
    run("ip", "link", "del", "hp0")
    assert not state_path(place.net.name).exists()


def test_nothing_but_answers_comes_out_without_the_tables_outside(place: World) -> None:
    """As while `nft flush ruleset` has taken them away."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing until it is bound
    namespace = Namespace(place.net)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tap)
        stack.callback(namespace.remove)
        namespace.make(portrules.render(place.net, ()))
        for sock in namespace.listeners(place.net.responder_port):
            stack.enter_context(sock)
        place.divert()
        tap.bind(("hp0", ETH_P_ALL))
        tap.settimeout(0.1)
        with entered(namespace.fd):
            inner = Nft()
            tries = [
                socket.socket(family, kind, proto)
                for family, ping in ((socket.AF_INET, 1), (socket.AF_INET6, 58))
                for kind, proto in (
                    (socket.SOCK_STREAM, 0), (socket.SOCK_DGRAM, 0), (socket.SOCK_RAW, ping),
                    (socket.SOCK_RAW, 132), (socket.SOCK_RAW, 47),
                )
            ]  # fmt: skip
        for sock in tries:
            sock.setblocking(False)
            to = CLIENT4 if sock.family == socket.AF_INET else CLIENT6
            with contextlib.suppress(BlockingIOError, PermissionError):
                if sock.type == socket.SOCK_STREAM:
                    sock.connect((to, 53))
                else:
                    port = 53 if sock.type == socket.SOCK_DGRAM else 0
                    sock.sendto(b"\x80\0\0\0\0\0\0\0", (to, port))
        for address in ("203.0.113.9", "2001:db8:b::9"):
            place.connect(address, 7).close()
        frames = []
        with contextlib.suppress(TimeoutError):
            while True:
                frames.append(tap.recvfrom(2000))
        for sock in tries:
            sock.close()
        assert inner.counters(NFPROTO_INET)["stopped"][0] >= len(tries)
        inner.close()
    out = [data for data, about in frames if about[2] != socket.PACKET_OUTGOING]
    assert len(out) >= 4, "the answers"
    for data in out:
        at = 34 if data[14] >> 4 == 4 else 54
        assert data[23 if at == 34 else 20] == 6
        assert data[at + 13] & ACK
