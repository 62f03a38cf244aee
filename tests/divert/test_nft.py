"""The table in the kernel: there at once, gone at once, exact about what it holds."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from darkflow.divert import nft
from darkflow.divert.dispatcher import Flow
from darkflow.divert.nft import Nft
from darkflow.divert.ruleset import COUNTERS
from darkflow.lab.planes import ACK, HP1_MAC, SYN, Stand, flow_of, tcp_packet, turned, until

LEFT_BEHIND = """
import os, signal
from darkflow.divert.nft import Nft
from darkflow.divert.plan import Plan
made = Nft()
made.apply(Plan(mode="mirror", outside="outside", hp1_mac="%s"))
made.add([(bytes((10, 0, 0, n)), 5, bytes(4), 80) for n in range(200)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def flows(count: int, version: int = 4, first: int = 0) -> list[Flow]:
    """Flows that differ in everything."""
    size, net = (4, b"\x0a") if version == 4 else (16, bytes.fromhex("20010db8"))
    return [
        (
            net + (first + n).to_bytes(size - len(net), "big"),
            1024 + n % 60_000,
            bytes(size - 2) + (n % 500).to_bytes(2, "big"),
            1 + n % 65_535,
        )
        for n in range(count)
    ]


@pytest.fixture
def table(router: Stand) -> Iterator[Nft]:
    """An empty table for 1000 flows of each family; the test stands where it is."""
    made = router.nft(flows=1000)
    with router.at("gw"):
        yield made
        made.close()


def listed(name: str) -> set[str]:
    """The elements of a set, as nft reads them."""
    text = subprocess.run(
        ["nft", "list", "set", "netdev", "darkflow", name],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    elements = text.partition("elements = {")[2].partition("}")[0]
    return {part.partition(" expires")[0].strip() for part in elements.split(",") if part.strip()}


def in_words(told: Sequence[Flow]) -> set[str]:
    """Flows as nft writes them."""
    import ipaddress

    return {
        f"{ipaddress.ip_address(a)} . {port} . {ipaddress.ip_address(b)} . {to}"
        for a, port, b, to in told
    }


def test_elements_are_what_nft_reads(table: Nft, version: int) -> None:
    some = flows(300, version)
    assert table.add(some) == []
    assert listed(f"flows{version}") == in_words(some)
    assert listed(f"flows{10 - version}") == set()
    table.delete(some[100:])
    assert listed(f"flows{version}") == in_words(some[:100])
    # What was on its way finds the flow cut.
    assert listed(f"cut{version}") == in_words(some[100:])


def test_twice_is_no_error(table: Nft) -> None:
    both = flows(400) + flows(400, 6)
    assert table.add(both) == []
    assert table.add(both + both[:10]) == []
    table.delete(both)
    table.delete(both)
    table.delete(flows(5, 4, 9999))
    assert listed("flows4") == listed("flows6") == set()
    assert table.add([]) == []
    table.delete([])


def test_a_full_set_takes_what_it_can(table: Nft) -> None:
    some, others = flows(1100), flows(700, 6)
    left_out = table.add([flow for pair in zip(some[:700], others, strict=True) for flow in pair])
    assert left_out == []
    left_out = table.add(some[600:])
    assert len(left_out) == 100
    assert set(left_out) < set(some[1000 - 1 :])
    assert listed("flows4") == in_words(some) - in_words(left_out)
    # A full set of one family is no matter of the other.
    more = flows(100, 6, 5000)
    assert set(table.add([*left_out, *more])) == set(left_out)
    assert listed("flows6") == in_words(others + more)
    assert table.no_room == 200
    # What is full can be emptied, also of what is not there.
    table.delete([*some, *others, *more])
    assert listed("flows4") == listed("flows6") == set()


def test_a_million_flows(router: Stand) -> None:
    """They are taken in seconds, the late answer cuts as ever, and a new start is at once."""
    router.listening("hp", b"hp:")
    table = router.nft()
    for first in range(0, 1_000_000, 100_000):
        assert table.add(flows(100_000, 4, first)) == []
    flow = flow_of(4, 4600)
    assert table.add([flow]) == []
    client = router.client(flow)
    client.sendall(b"hello")
    assert client.recv(9) == b"hp:hello"
    at_client = router.seen("out", "o0")
    router.answer(tcp_packet(turned(flow), SYN | ACK, 0xFFFF0000, 7))
    until(lambda: table.stats()["cut_syn_ack"] == 1)
    client.sendall(b"still there?")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(9)
    assert len(at_client.of(flow[2])) == 1
    with router.at("gw"):
        began_s = time.monotonic()
        table.apply(router.plan())
        assert time.monotonic() - began_s < 1
    assert table.stats()["answered"] == 0


def test_counters_and_sizes(table: Nft) -> None:
    stats = table.stats()
    known = {*COUNTERS, "diverted_bytes", "answered_bytes"}
    assert known <= set(stats) <= known | {"flows4", "flows6"}
    # The honeypot's kernel may have tried to find its neighbours.
    assert set({**stats, "dropped": 0}.values()) == {0}
    table.add(flows(20) + flows(10, 6))
    if "flows4" in stats:
        assert (table.stats()["flows4"], table.stats()["flows6"]) == (20, 10)


def test_apply_replaces_and_remove_can_be_repeated(router: Stand, table: Nft) -> None:
    table.add(flows(50))
    table.apply(router.plan(flows=5))
    assert listed("flows4") == set()
    assert len(table.add(flows(50))) == 45
    table.remove()
    table.remove()
    assert subprocess.run(["nft", "list", "tables"], capture_output=True).stdout == b""
    table.delete(flows(1))
    for call in (lambda: table.add(flows(1)), table.stats):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ENOENT


def test_what_a_killed_run_has_left_is_replaced(router: Stand, table: Nft) -> None:
    table.remove()
    left = subprocess.run([sys.executable, "-c", LEFT_BEHIND % HP1_MAC], check=False)
    assert left.returncode == -signal.SIGKILL
    assert len(listed("flows4")) == 200
    table.apply(router.plan())
    assert listed("flows4") == set()
    assert table.add(flows(10)) == []


def test_an_interface_that_was_made_anew_is_found(router: Stand, table: Nft) -> None:
    """Its number is another one; the library must not remember the old."""
    for _ in range(2):
        router.ip("gw", ["link add hp9 type veth peer name hp8"])
        table.apply(router.plan(hp0="hp9"))
        number = subprocess.run(
            ["nft", "list", "chain", "netdev", "darkflow", "divert4"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert 'fwd to "hp9"' in number
        router.ip("gw", ["link del hp9"])


def test_what_the_kernel_refuses_is_said_in_one_line(router: Stand, table: Nft) -> None:
    for missing in ("hp0", "outside", "inside"):
        with pytest.raises(OSError, match="interface nowhere does not exist") as caught:
            table.apply(router.plan(**{missing: "nowhere"}))
        assert caught.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="nftables refuses the ruleset") as caught:
        table._run("add rule netdev darkflow outside nonsense\n", "nftables refuses the ruleset")
    assert "nonsense" in str(caught.value)
    assert "\n" not in str(caught.value)
    # The table that was there is still there: it is all or nothing.
    assert table.add(flows(1)) == []


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "LIBRARY", "libnftables.so.99")
    with pytest.raises(OSError, match=r"libnftables\.so\.99 is missing: apt-get install") as caught:
        Nft()
    assert caught.value.errno == errno.ENOENT


def test_from_many_threads(table: Nft) -> None:
    """Each adds and deletes its own; nobody gets another one's answer."""
    troubles: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                mine = flows(100, 4 + 2 * (number % 2), 1000 * number)
                assert table.add(mine) == []
                table.stats()
                table.delete(mine[number:])
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert troubles == []
    left = [flows(number, 4 + 2 * (number % 2), 1000 * number) for number in range(4)]
    assert listed("flows4") == in_words(left[0] + left[2])
    assert listed("flows6") == in_words(left[1] + left[3])


def test_it_does_not_grow(router: Stand, table: Nft) -> None:
    some = flows(500)

    def turn() -> int:
        for _ in range(20):
            table.apply(router.plan())
            table.add(some)
            table.stats()
            table.delete(some)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = turn()
    assert max(turn() for _ in range(3)) < before + 2048
