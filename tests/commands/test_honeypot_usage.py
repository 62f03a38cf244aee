"""Wrong usage of `darkflow honeypot`: one line that says what to do, exit status 2, no trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import skip
from honeypot_wires import NETWORKS, Honeypot, Site, cannot, site
from running import DARKFLOW, darkflow

# darkflow with a module that cannot be had, or a library.
WITHOUT = """
import ctypes, sys
module, library = sys.argv.pop(1), sys.argv.pop(1)
if module:
    sys.modules[module] = None
if library:
    load = ctypes.CDLL
    def missing(name, *more, **options):
        if name == library:
            raise OSError(library + ": cannot open shared object file")
        return load(name, *more, **options)
    ctypes.CDLL = missing
from darkflow.cli import entry
entry()
"""
PLACE = ("--outside", "outside", "--inside", "inside")


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A site, inline."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with site("inline") as made:
        yield made


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It has ended as it must when it cannot do what was asked."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def at(place: Site, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the machine."""
    return subprocess.run(place.inside(place.machine, *argv), capture_output=True, text=True,
                          check=False, timeout=30)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PLACE, ("--networks",)),
        (("--networks", NETWORKS), ("--mirror IF", "--outside IF")),
        ((*PLACE, "--mirror", "m", "--networks", NETWORKS), ("--mirror IF", "--outside IF")),
        (("--outside", "a", "--networks", NETWORKS), ("--inside",)),
        (("--inside", "a", "--mirror", "b", "--networks", NETWORKS), ("--outside", "--inside")),
        (("--outside", "a", "--inside", "a", "--networks", NETWORKS), ("different",)),
        (("--mirror", "a b", "--networks", NETWORKS), ("a b", "interface")),
        (("--mirror", "hp0", "--networks", NETWORKS), ("hp0", "different")),
        (("--mirror", "m", "--networks", "300.0.0.0/8"), ("300.0.0.0/8",)),
        ((*PLACE, "--networks", NETWORKS, "--rate", "0"), ("--rate",)),
        ((*PLACE, "--networks", NETWORKS, "--hold", "1ms"), ("hold", "10 ms")),
        ((*PLACE, "--networks", NETWORKS, "--allow-port", "99999"), ("99999",)),
        ((*PLACE, "--networks", NETWORKS, "--allow-source", "1.2.3"), ("1.2.3",)),
        ((*PLACE, "--networks", NETWORKS, "--events", "-", "--dark-pcap", "-"), ("--events -",)),
        (("exec",), ("exec needs a command",)),
    ],
    ids=lambda value: " ".join(value)[:60],
)
def test_usage(options: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(darkflow("honeypot", *options), *words)


def test_a_group_that_is_not_there_or_an_interface(place: Site, tmp_path: Path) -> None:
    run = (str(DARKFLOW), "honeypot", "--networks", NETWORKS, "--control", str(tmp_path / "c"))
    refused(at(place, *run, "--mirror", "nothing"), "nothing")
    refused(at(place, *run, *PLACE, "--control-group", "nogroup-of-this"), "nogroup-of-this")
    refused(at(place, *run, *PLACE, "--events", "/nowhere/at/all"), "/nowhere/at/all")
    refused(at(place, *run, *PLACE, "--honeypot-pcap", "/nowhere/at/all"), "/nowhere/at/all")
    refused(at(place, *run, *PLACE, "--metrics", "192.0.2.77:9466"), "192.0.2.77")
    assert place.run(place.machine, "nft", "list", "tables") == ""
    assert place.run(place.machine, "ls", "/run/netns", "/run/darkflow").count("darkflow\n") == 0
    assert "hp0" not in place.run(place.machine, "ip", "-br", "link")


def test_without_root(place: Site) -> None:
    """As the user nobody, with a Python of everybody's that has the same packages."""
    shown = "import os; os.setgroups([]); os.setresgid(9, 9, 9); os.setresuid(9, 9, 9)"
    code = f"{shown}\nfrom darkflow.cli import entry\nentry()"
    # Loaded while it may still read the files, which can be root's alone.
    eager = "import darkflow.commands.honeypot, darkflow.divert.nft, pyroute2\n"
    done = at(place, sys.executable, "-c", eager + code, "honeypot", *PLACE, "--networks", NETWORKS)
    refused(done, "root")
    done = at(place, sys.executable, "-c", eager + code, "honeypot", "exec", "--", "true")
    refused(done, "root")


@pytest.mark.parametrize(
    ("module", "library", "words"),
    [
        ("pyroute2", "", ("pyroute2", "pip install 'darkflow[honeypot]'")),
        ("", "libnftables.so.1", ("libnftables1", "apt-get install")),
    ],
    ids=["pyroute2", "libnftables"],
)
def test_what_is_missing(place: Site, module: str, library: str, words: tuple[str, ...]) -> None:
    done = at(place, sys.executable, "-c", WITHOUT, module, library, "honeypot", *PLACE,
              "--networks", NETWORKS)  # fmt: skip
    refused(done, *words)
    assert place.run(place.machine, "ls", "/run/netns") == ""


def test_without_the_program_nft(place: Site, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("ip", "python3"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    argv = ("env", f"PATH={tmp_path / 'bin'}", str(DARKFLOW), "honeypot", *PLACE, "--networks")
    refused(at(place, *argv, NETWORKS), "nftables")
    assert place.run(place.machine, "ls", "/run/netns") == ""


def test_two_at_one_place(place: Site, tmp_path: Path) -> None:
    honeypot = Honeypot(place, tmp_path, "--hold", "400ms")
    run = (str(DARKFLOW), "honeypot", *PLACE, "--networks", NETWORKS)
    refused(at(place, *run), "runs already", str(honeypot.process.pid))
    # A third party's sensor has no namespace, but the same table.
    refused(at(place, *run, "--sensor-to", "s0"), "runs already", str(honeypot.process.pid))
    assert place.curl("http://203.0.113.130/")[0], "the first one goes on"
    assert honeypot.end()[0] == 0


def test_nobody_to_ask_and_nothing_to_enter(place: Site, tmp_path: Path) -> None:
    for words in (("status",), ("flows",), ("cut", "--all"), ("allow",)):
        done = at(place, str(DARKFLOW), *words, "--control", str(tmp_path / "nobody"))
        refused(done, "no honeypot is running")
    refused(at(place, str(DARKFLOW), "honeypot", "exec", "--", "true"), "no honeypot")
    refused(at(place, str(DARKFLOW), "cut"), "--all")
    assert os.geteuid() == 0
