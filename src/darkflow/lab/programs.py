"""Runs real programs inside a namespace: bounded in time, and ended with all they have started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

# Program -> the Debian package that has it.
PACKAGES = {
    "curl": "curl",
    "hping3": "hping3",
    "ip": "iproute2",
    "masscan": "masscan",
    "nft": "nftables",
    "nmap": "nmap",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "tcpdump": "tcpdump",
    "zmap": "zmap",
}

# Some of these live in sbin, which is not on everybody's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_GRACE_S = 2.0
_POLL_S = 0.02


def missing_programs() -> list[str]:
    """The Debian packages to install before the lab can run."""
    return sorted({pkg for name, pkg in PACKAGES.items() if shutil.which(name, path=_PATH) is None})


class Program:
    """One running program; its output is kept in files, so that no pipe ever fills up."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, limit_s: float):
        self.name = name
        self.log = log
        self.started_at_s = time.monotonic()
        self.limit_s = limit_s
        self.was_stopped = False
        self._process = process

    @property
    def pid(self) -> int:
        """Of the program itself, and of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when one ended it."""
        return self._process.poll()

    def has_expired(self) -> bool:
        """Whether it runs on past its time limit."""
        return self.exit_code is None and time.monotonic() - self.started_at_s > self.limit_s

    def output(self) -> str:
        """What it has written to its standard output so far."""
        return self.log.with_suffix(".out").read_text(errors="replace")

    def errors(self) -> str:
        """What it has written to its standard error so far."""
        return self.log.with_suffix(".err").read_text(errors="replace")

    def failure(self) -> str:
        """Its end in one line: the exit code and the last thing it complained about."""
        # masscan and curl paint over their own line with carriage returns.
        lines = [line.strip() for line in self.errors().replace("\r", "\n").splitlines()]
        last = next((line for line in reversed(lines) if line), "it gave no reason")
        return f"{self.name} ended with code {self.exit_code}: {last}"

    def wait_for_error_line(self, text: str, limit_s: float) -> None:
        """Returns once `text` appears on its standard error; RuntimeError when it never does."""
        deadline_s = time.monotonic() + limit_s
        while text not in self.errors():
            if self.exit_code is not None:
                raise RuntimeError(self.failure())
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.name} did not say {text!r} within {limit_s:g} s")
            time.sleep(_POLL_S)

    def send(self, number: signal.Signals) -> None:
        """Sends to the whole process group: the program and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM, grace_s: float = _GRACE_S) -> None:
        """Ends it, kindly first and for `grace_s`; returns when it is gone."""
        if self.exit_code is None:
            self.was_stopped = True
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        # Its children may outlive it, and a group outlives its leader.
        self.send(signal.SIGKILL)
        self._process.wait()


class Programs:
    """All programs of a run; leaving the `with` block ends every one of them."""

    def __init__(self, directory: Path, logs: Path | None = None):
        """directory: where they run; logs: where their output goes, the same if not given."""
        self.directory = directory
        self._logs = logs or directory
        self._started: list[Program] = []

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(self, name: str, namespace: str, argv: Sequence[str], limit_s: float) -> Program:
        """Starts `argv` in the namespace; it is stopped when `limit_s` has passed.

        The kernel kills the program when the calling thread dies: a killed lab leaves none behind.
        """
        log = self._logs / f"{len(self._started):02d}-{name.replace(' ', '-')}"
        # Both replace themselves by the next program, so the process id is the program's own.
        inside = ["ip", "netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL", "--", *argv]
        with (
            log.with_suffix(".out").open("wb") as out,
            log.with_suffix(".err").open("wb") as err,
        ):
            process = subprocess.Popen(
                inside,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                cwd=self.directory,
                # Nothing of the user's own: a proxy or a .curlrc would change what is sent.
                env={"PATH": _PATH, "LC_ALL": "C", "HOME": str(self.directory)},
            )
        program = Program(name, process, log, limit_s)
        self._started.append(program)
        return program

    def stop_expired(self) -> None:
        """Ends whatever has used up its time."""
        for program in self._started:
            if program.has_expired():
                program.stop()

    def stop_all(self) -> None:
        """Ends everything, the last started first."""
        for program in reversed(self._started):
            program.stop()
