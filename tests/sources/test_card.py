"""What is said of interfaces, beside what `ip` says of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conftest import skip
from darkflow.sources.card import Card, lost, names
from wires import Wire, cannot, wire

FLAGS = """
from darkflow.sources.card import Card
card = Card("w1")
print(card.is_up, card.has_carrier, card.mtu, card.kind, card.driver, card.can_be_promiscuous())
"""
SET_GRO = """
import array, fcntl, socket, struct, sys
from darkflow.sources.card import Card
data = array.array("B", struct.pack("II", 0x2C, int(sys.argv[1])))
asked = struct.pack("16sP", b"w1", data.buffer_info()[0]).ljust(40, b"\\0")
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(taken.fileno(), 0x8946, asked)
print(Card("w1").offloads["gro"])
"""


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


def told(link: Wire) -> str:
    """What Card says of the wire's far end."""
    argv = link.inside(link.far, sys.executable, "-c", FLAGS)
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_an_interface_as_it_is_set_up_and_down(link: Wire) -> None:
    assert told(link) == "True True 65000 1 veth True"
    link.run("ip", "-n", link.near, "link", "set", "w0", "down")
    assert told(link) == "True False 65000 1 veth True"
    link.run("ip", "-n", link.far, "link", "set", "w1", "down", "mtu", "1500")
    assert told(link) == "False False 1500 1 veth True"


def test_loopback() -> None:
    card = Card("lo")
    shown = json.loads(subprocess.run(["ip", "-j", "link", "show", "lo"], capture_output=True,
                                      text=True, check=True).stdout)[0]  # fmt: skip
    assert (card.is_up, card.mtu) == ("UP" in shown["flags"], shown["mtu"])
    assert card.kind == 772
    assert card.driver == ""
    assert card.offloads is not None
    assert set(card.offloads) == {"gro", "lro", "rx-vlan"}
    assert card.hardware_stamps is False
    assert "lo" in names()


def test_offloads_are_those_of_the_driver(link: Wire) -> None:
    for state in (0, 1, 0):
        argv = link.inside(link.far, sys.executable, "-c", SET_GRO, str(state))
        shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        assert shown.strip() == str(bool(state))


def test_no_such_interface() -> None:
    with pytest.raises(OSError, match=r"No such device|no interface"):
        Card("nosuch0")
    assert lost("nosuch0") is None
    assert lost("lo") == 0
