"""The machine's own addresses are those that its interfaces have, of both families."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from darkflow.divert.own import own_addresses
from darkflow.lab.namespaces import entered

NAME = f"darkflow-test-{os.getpid()}-own"


@pytest.fixture
def namespace(real_lab: None) -> Iterator[str]:  # noqa: ARG001
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    yield NAME
    subprocess.run(["ip", "netns", "del", NAME], check=True)


def test_of_every_interface_up_or_down(namespace: str) -> None:
    def ip(words: str) -> None:
        subprocess.run(["ip", "-n", namespace, *words.split()], check=True)

    ip("link add one type veth peer name other")
    with entered(namespace):
        assert own_addresses() == frozenset()
    ip("addr add 192.0.2.1/24 dev one")
    ip("addr add 192.0.2.5 peer 192.0.2.6 dev other")
    ip("-6 addr add 2001:db8::1/64 dev one nodad")
    with entered(namespace):
        found = own_addresses()
    texts = ("192.0.2.1", "192.0.2.5", "2001:db8::1")
    families = [socket.AF_INET6 if ":" in text else socket.AF_INET for text in texts]
    expected = {socket.inet_pton(f, text) for f, text in zip(families, texts, strict=True)}
    assert found == expected
