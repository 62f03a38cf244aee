"""The responder as it is started by root: it serves as nobody, and cannot become anybody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from conftest import skip

NOBODY = 65534


def test_it_serves_as_nobody(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        skip("only root can become somebody else")
    listener = socket.create_server(("127.0.0.1", 0))
    argv = [sys.executable, "-m", "darkflow.honeypot.unprivileged", str(NOBODY)]
    argv += ["--listen-fd", str(listener.fileno())]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        with socket.create_connection(listener.getsockname(), 10) as client:
            client.settimeout(20)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1."), (tmp_path / "log").read_text()
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
        assert status["Groups"].strip() == ""
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    finally:
        listener.close()
        process.terminate()
        assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == ""
