"""Who speaks where, who is recognised, and plugins that are installed packages."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from darkflow.honeypot.protocols.http import Http
from darkflow.honeypot.protocols.protocol import Protocol
from darkflow.honeypot.protocols.smtp import Smtp
from darkflow.honeypot.protocols.table import BUILT_IN, Protocols
from talks import CONTEXT, TALKS, answers

ROOT = Path(__file__).resolve().parents[3]
DOCS = (ROOT / "docs" / "responder.md").read_text()
# Their clients wait for the server; what comes first from them says little.
SPEAK_FIRST = [kind for kind in BUILT_IN if kind.name not in ("ftp", "telnet", "mysql")]


def test_every_protocol_is_there_once_and_has_a_talk() -> None:
    names = [kind.name for kind in BUILT_IN]
    assert len(set(names)) == len(names)
    assert set(BUILT_IN) == set(TALKS)
    ports = [port for kind in BUILT_IN for port in kind.ports]
    assert len(set(ports)) == len(ports)
    tls_ports = [port for kind in BUILT_IN for port in kind.tls_ports]
    assert len(set(tls_ports)) == len(tls_ports)
    assert not set(ports) & set(tls_ports)


def test_ports() -> None:
    table = Protocols()
    expected = {
        21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 80: "http", 110: "pop3", 143: "imap",
        139: "smb", 445: "smb", 554: "rtsp", 1080: "socks", 1433: "mssql", 1883: "mqtt",
        3306: "mysql", 3389: "rdp", 5060: "sip", 5432: "postgres", 5555: "adb", 5900: "vnc",
        6379: "redis", 8080: "http", 11211: "memcached",
    }  # fmt: skip
    assert {port: table.by_port[port].name for port in expected} == expected
    inside = {443: "http", 465: "smtp", 993: "imap", 995: "pop3", 990: "ftp", 8883: "mqtt"}
    assert {port: table.by_tls_port[port].name for port in inside} == inside
    assert 443 not in table.by_port


@pytest.mark.parametrize("kind", SPEAK_FIRST, ids=lambda kind: kind.name)
def test_a_client_is_recognised_by_what_it_says_first(kind: type[Protocol]) -> None:
    table = Protocols()
    assert table.recognised(TALKS[kind][0], None) is kind
    for own in BUILT_IN:
        # On any port: those that are asked because the port is theirs know what is not theirs.
        assert table.recognised(TALKS[kind][0], own) is kind


def test_nobody_knows_junk() -> None:
    table = Protocols()
    for junk in (b"\r\n\r\n", b"\0" * 50, b"hello\r\n", b"HELP\r\n", b"\x80\0\0\x28r\xfe\x1d\x13"):
        assert table.recognised(junk, None) is None
        assert table.recognised(junk, Smtp) is None


def test_the_first_has_the_port() -> None:
    class Mine(Http):
        """Takes a port that is taken."""

        name = "mine"
        ports = frozenset({80, 7547})

    table = Protocols([Mine, *BUILT_IN])
    assert table.by_port[80] is Mine
    assert table.by_port[7547] is Mine
    assert table.by_port[8080] is Http
    assert table.recognised(b"GET / HTTP/1.1", None) is Mine
    # On a port of the other one, that one has it.
    assert table.recognised(b"GET / HTTP/1.1", Http) is Http


def test_the_docs_list_every_protocol_with_its_ports() -> None:
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in DOCS.splitlines()]
    rows = {row[0].strip("`"): row[1:] for row in cells if len(row) == 5}
    assert {kind.name for kind in BUILT_IN} <= rows.keys()
    for kind in BUILT_IN:
        ports, tls_ports, _, learnt = rows[kind.name]
        assert ports == ", ".join(map(str, sorted(kind.ports)))
        assert tls_ports == ", ".join(map(str, sorted(kind.tls_ports)))
        machine = kind(CONTEXT)
        answers(machine, TALKS[kind])
        for key in machine.fields.keys() - {"requests", "user", "password", "logins"}:
            assert key in learnt, f"{kind.name}: {key}"


# ---- plugins --------------------------------------------------------------------------------

BUILD = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
"""

FAULTY = """
from darkflow.honeypot.protocols.protocol import LineProtocol


class NoProtocol:
    name = "none"


class NoName(LineProtocol):
    ports = frozenset({7})


class NoPort(LineProtocol):
    name = "noport"
    ports = frozenset({70000})
"""

FAULTY_PROJECT = """
[project]
name = "darkflow-faulty"
version = "1"

[project.entry-points."darkflow.protocols"]
no-protocol = "darkflow_faulty:NoProtocol"
no-name = "darkflow_faulty:NoName"
no-port = "darkflow_faulty:NoPort"
no-class = "darkflow_faulty:Missing"
no-module = "darkflow_missing:Finger"
"""


def pip_install(folder: Path, module: str, code: str, project: str) -> None:
    """Make a package and have pip install it into the folder; nothing comes from the network."""
    source = folder / f"{module}-source"
    source.mkdir()
    (source / f"{module}.py").write_text(code)
    (source / "pyproject.toml").write_text(project + BUILD)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    pip += ["--no-index", "--no-build-isolation", "--no-deps", "--target", str(folder), str(source)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two packages: the plugin of the docs, as it stands there, and faulty ones."""
    folder = tmp_path_factory.mktemp("packages")
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    (project,) = re.findall(r"```toml\n(.*?)```", DOCS, re.S)
    pip_install(folder, "darkflow_finger", code, project)
    pip_install(folder, "darkflow_faulty", FAULTY, FAULTY_PROJECT)
    return folder


def test_installed_plugins_are_found_and_faulty_ones_are_named(installed: Path) -> None:
    code = f"""
        import sys
        sys.path[:0] = [{str(installed)!r}, {str(ROOT / "src")!r}]
        from darkflow.honeypot.protocols.table import BUILT_IN, Protocols, plugins
        found, faults = plugins()
        print([kind.name for kind in found], Protocols([*found, *BUILT_IN]).by_port[79].name)
        from darkflow.honeypot.protocols.protocol import Context
        machine = found[0](Context("203.0.113.9", 79, "srv"))
        print(machine.received(b"root\\r\\n"), machine.fields)
        print("\\n".join(faults))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    first, second, *faults = done.stdout.splitlines()
    assert second == (
        "Reply(data=b'No one logged on\\r\\n', close=True, tls=False, rest=b'') {'query': 'root'}"
    )
    assert first == "['finger'] finger"
    assert [fault.split(": ")[0] for fault in faults] == [
        "plugin no-class (darkflow_faulty:Missing) is left out",
        "plugin no-module (darkflow_missing:Finger) is left out",
        "plugin no-name (darkflow_faulty:NoName) is left out",
        "plugin no-port (darkflow_faulty:NoPort) is left out",
        "plugin no-protocol (darkflow_faulty:NoProtocol) is left out",
    ]
    assert "it is no class derived from darkflow.honeypot.protocols.protocol.Protocol" in faults[4]
    assert faults[3].endswith("its port 70000 is none")


def test_a_machine_of_each_kind_can_be_made() -> None:
    for kind in BUILT_IN:
        assert kind(CONTEXT).fields == {}
