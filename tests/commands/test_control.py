"""The control socket: who may ask, what is answered, and what becomes of bad requests."""

from __future__ import annotations

import grp
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import skip
from darkflow.commands.control import Control, ask


def cut(request: dict[str, Any]) -> dict[str, Any]:
    if "flow" not in request:
        raise ValueError("which flow?")
    return {"cut": request["flow"]}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    made = Control(
        str(tmp_path / "run" / "c.sock"), None, {"cut": cut, "status": lambda _: {"a": 1}}
    )
    yield made
    made.close()


def test_asked_and_answered(control: Control) -> None:
    assert ask(control.path, command="status") == {"a": 1}
    assert ask(control.path, command="cut", flow="x" * 1000) == {"cut": "x" * 1000}


def test_what_is_refused(control: Control) -> None:
    with pytest.raises(ValueError, match="the honeypot refused: which flow"):
        ask(control.path, command="cut")
    with pytest.raises(ValueError, match="not understood"):
        ask(control.path, command="destroy")
    for junk in (b"\n", b"[]\n", b"\xff\n", b"{" * 100_000, b"[" * 60_000, b'{"a":' * 10_000):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(control.path)
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1000) == b'{"error": "not understood"}\n'
    assert ask(control.path, command="status") == {"a": 1}


def test_only_its_owner_may_connect(control: Control) -> None:
    assert stat.S_IMODE(Path(control.path).stat().st_mode) == 0o600
    if os.geteuid() != 0:
        skip("another user can only be had as root")
    code = (
        "import os, sys; from darkflow.commands.control import ask;"
        "os.setgid(65534); os.setuid(65534); ask(sys.argv[1], command='status')"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for mode, told in ((0o600, "only root may ask"), (0o666, "")):
            closed = Control(f"{folder}/c.sock", None, {"status": lambda _: {}})
            Path(closed.path).chmod(mode)
            argv = [sys.executable, "-c", code, closed.path]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            closed.close()
            assert told in done.stderr
            assert (done.returncode == 0) == (told == "")


def test_a_group_may(tmp_path: Path) -> None:
    own = grp.getgrgid(os.getgid()).gr_name
    mask = os.umask(0o077)
    try:
        control = Control(str(tmp_path / "run" / "c.sock"), own, {})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE(Path(control.path).stat().st_mode) == 0o660
    control.close()
    with pytest.raises(OSError, match="no group"):
        Control(str(tmp_path / "c.sock"), "nosuchgroup", {})
    assert not list(tmp_path.glob("c.sock*"))


def test_without_the_right_to_give_files_away_membership_is_enough(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        skip("capabilities are dropped by root and setpriv")
    other = next(one for one in grp.getgrall() if one.gr_gid != os.getgid())
    code = (
        "import os, sys; from darkflow.commands.control import Control;"
        "Control(*sys.argv[1:], {}); print(os.stat(sys.argv[1]).st_gid, flush=True); os._exit(0)"
    )
    path = tmp_path / "c.sock"

    def tried(*groups: str) -> subprocess.CompletedProcess[str]:
        less = ("setpriv", "--bounding-set=-chown", "--inh-caps=-chown", *groups)
        argv = [*less, sys.executable, "-c", code, str(path), other.gr_name]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    refused = tried("--clear-groups")
    assert f"SupplementaryGroups={other.gr_name})" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert tried(f"--groups={other.gr_gid}").stdout == f"{other.gr_gid}\n"


def test_one_at_a_path_and_leftovers_are_replaced(control: Control, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="another honeypot is running"):
        Control(control.path, None, {})
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    again = Control(str(left), None, {"status": lambda _: {}})
    assert ask(str(left), command="status") == {}
    again.close()
    assert not left.exists()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(OSError, match="is no socket"):
        Control(str(path), None, {})
    assert path.read_text() == "mine"


def test_a_handler_that_fails_is_said(tmp_path: Path) -> None:
    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise OSError(2, "the table is gone")

    path = str(tmp_path / "socket")
    control = Control(path, None, {"status": fail})
    with pytest.raises(ValueError, match="the table is gone"):
        ask(path, command="status")
    control.close()


def test_it_listens_on_when_there_is_no_file_number_for_a_while(control: Control) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as client:
        # What is asked now waits in the backlog.
        # Not 0: poll() takes no more descriptors than that, and who is being served would be gone.
        free = os.dup(client.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            client.connect(control.path)
            time.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.settimeout(5)
        client.sendall(b'{"command": "nothing"}\n')
        assert b"not understood" in client.recv(100)
    with pytest.raises(ValueError, match="not understood"):
        ask(control.path, command="nothing")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no honeypot is running"):
        ask(str(tmp_path / "none"), command="status")


def test_silent_clients_do_not_keep_others_out(control: Control) -> None:
    silent = []
    for _ in range(10):
        client = socket.socket(socket.AF_UNIX)
        client.connect(control.path)
        silent.append(client)
    assert ask(control.path, command="status") == {"a": 1}
    for client in silent:
        client.close()
