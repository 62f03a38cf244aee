"""One service as it runs, from start to start; the keeper's thread tells it when it is time."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

from darkflow.divert import launch
from darkflow.divert.cgroups import Cgroups
from darkflow.divert.open_ports import listening_ports
from darkflow.divert.output import Lines, Output, RotatingFile, User
from darkflow.divert.services import Range, Service, listens_on

STARTING, RUNNING, WAITING, ENDED = "starting", "running", "waiting", "ended"
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
# One that has run for this long begins again with the first wait.
STEADY_S = 60.0
GRACE_S = 5.0
# A program that listens nowhere after this time is not set up as the service says.
LISTEN_WITHIN_S = 20.0
PIPE_BYTES = 1 << 16
NICE = 10
RELAY = "darkflow.divert.relay"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Say = Callable[..., None]


@dataclass(frozen=True)
class ServiceState:
    """How a service is: `state` is one of starting, running, waiting (to be restarted), ended.

    since_s: monotonic. exit_status: of its last end, signals as 128 + n. lost: bytes or lines of
    output that found no place. listens: whether anything is behind its ports.
    """

    name: str
    state: str
    pid: int
    since_s: float
    restarts: int
    exit_status: int | None
    lost: int
    listens: bool

    def describe(self) -> str:
        """In words, for the status."""
        told = self.state
        if self.state == RUNNING:
            told += f" as process {self.pid}"
            told += "" if self.listens else ", nothing listens on its ports"
        elif self.exit_status is not None:
            told += f" after status {self.exit_status}"
        told += f", restarted {self.restarts} times" if self.restarts else ""
        return told + (f", output lost: {self.lost}" if self.lost else "")


class Program:
    """All of it but `prepare` and `state` is the thread's alone."""

    def __init__(self, service: Service, namespace: int, selector: selectors.BaseSelector) -> None:
        self.service = service
        # When to start or kill it, and when to look whether it listens.
        self._due_s: float | None = 0.0
        self._look_s: float | None = None
        self._namespace = namespace
        self._selector = selector
        self._say: Say = lambda *_, **__: None
        self._output: Output | None = None
        self._sockets: Sequence[socket] = ()
        self._cgroup, self._held = "", frozenset[str]()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = self._pipe = -1
        self._since_s = 0.0
        self._wait_s = FIRST_WAIT_S
        self._restarts = 0
        self._exit_status: int | None = None
        self._told_to_end = False
        self._state = STARTING

    def prepare(
        self, cgroups: Cgroups, sockets: Sequence[socket], say: Say, users: Sequence[User] = ()
    ) -> None:
        """Everything that is done once; `users` are those of all services."""
        service = self.service
        self._say, self._sockets = say, sockets
        if service.log:
            try:
                self._output = RotatingFile(service.log, service.log_bytes, users)
            except OSError as error:
                raise OSError(
                    f'service "{service.name}": log {service.log}: {error.strerror}'
                ) from None
        else:
            self._output = Lines(lambda line: say("info", line, service=service.name))
        if service.command:
            self._cgroup, self._held = cgroups.add(service)
            if service.cpu is not None and "cpu" not in self._held:
                say("warning", "cpu is not limited: cgroup v2 cannot be written to here",
                    service=service.name)  # fmt: skip

    @property
    def next_s(self) -> float | None:
        """When `turn` is due, by the monotonic clock."""
        return min((one for one in (self._due_s, self._look_s) if one is not None), default=None)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs."""
        return self._process is None and self._pipe < 0

    @property
    def is_running(self) -> bool:
        """Whether there is a process; from any thread."""
        return self._process is not None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._restarts

    def state(self) -> ServiceState:
        """How it is now; from any thread."""
        process = self._process
        return ServiceState(
            name=self.service.name,
            state=self._state,
            pid=process.pid if process else 0,
            since_s=self._since_s,
            restarts=self._restarts,
            exit_status=self._exit_status,
            lost=self._output.lost if self._output else 0,
            listens=process is not None and self._listens(process.pid),
        )

    def _listens(self, pid: int) -> bool:
        wanted: Sequence[Range] = listens_on(self.service)
        # The sockets of a relay are there before it is.
        if not wanted:
            return True
        found = listening_ports(pid)
        return any(first <= port <= last for port in found for first, last in wanted)

    def turn(self, now_s: float, stopping: bool) -> None:
        """What is due: a start, a signal, a look."""
        if stopping and not self._told_to_end:
            self._told_to_end = True
            self._due_s = None
            if self._process is not None:
                self._signal(signal.SIGTERM)
                self._due_s = now_s + GRACE_S
        if self._look_s is not None and now_s >= self._look_s:
            self._look_s = None
            self._look()
        if self._due_s is None or now_s < self._due_s:
            return
        self._due_s = None
        if self._process is None and not self._told_to_end:
            self._start(now_s)
        elif self._process is not None:
            self._signal(signal.SIGKILL)

    def _look(self) -> None:
        if self._process is None or self._listens(self._process.pid):
            return
        ports = listens_on(self.service)
        told = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ports)
        message = f"nothing listens inside on {told}: is that where the program listens?"
        self._say("warning", message, service=self.service.name)

    def _start(self, now_s: float) -> None:
        self._restarts += self._since_s > 0
        self._since_s = now_s
        try:
            argv, descriptors, environment = self._described()
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=descriptors,
                env=environment,
                cwd="/",
            )
            self._watch()
        except OSError as error:
            self._abandon()
            self._ended(error.strerror or str(error))
            return
        self._state = RUNNING
        self._look_s = now_s + LISTEN_WITHIN_S
        self._say("info", "service started", service=self.service.name, pid=self._process.pid)

    def _watch(self) -> None:
        """Hear of its output and of its end; OSError when there is no file number for that."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._close_pipe()
        with self._process.stdout as stdout:
            pipe = os.dup(stdout.fileno())
        os.set_blocking(pipe, False)
        self._selector.register(pipe, selectors.EVENT_READ, self._read)
        self._pipe = pipe
        self._pidfd = os.pidfd_open(self._process.pid)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._exited)

    def _abandon(self) -> None:
        """End what cannot be watched, if it was started at all."""
        self._close_pipe()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _described(self) -> tuple[list[str], list[int], dict[str, str]]:
        service = self.service
        if service.target is not None:
            return relay_command(service, [sock.fileno() for sock in self._sockets])
        home = service.directory or "/tmp"
        environment = {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8", **service.environment}
        spec: launch.Spec = {
            "netns": self._namespace,
            "confined": True,
            "command": found(service, environment["PATH"]),
            "directory": home,
            "uid": service.user[0],
            "gid": service.user[1],
            "groups": list(service.user[2]),
            "rlimits": rlimits(service, self._held),
            "nice": NICE,
            "cgroup": self._cgroup,
            "parent": os.getpid(),
        }
        return launch.command_of(spec), [self._namespace], environment

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._pipe, PIPE_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._close_pipe()
                return
            if self._output is not None:
                self._output.write(data, time.monotonic())
            if len(data) < PIPE_BYTES:
                return

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self._selector.unregister(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _exited(self) -> None:
        assert self._process is not None
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        code = self._process.wait()
        self._process = None
        self._exit_status = code if code >= 0 else 128 - code
        self._ended(f"status {self._exit_status}")

    def _ended(self, why: str) -> None:
        now_s = time.monotonic()
        self._state, self._look_s = ENDED, None
        if self._told_to_end:
            self._due_s = None
            self._say("info", "service stopped", service=self.service.name)
            return
        if now_s - self._since_s >= STEADY_S:
            self._wait_s = FIRST_WAIT_S
        restart = self.service.restart
        if restart == "never" or (restart == "on-failure" and self._exit_status == 0):
            self._say("warning", f"service ended: {why}", service=self.service.name)
            return
        self._say("warning", f"service ended: {why}; it is started again",
                  service=self.service.name, in_s=self._wait_s)  # fmt: skip
        self._state = WAITING
        self._due_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _signal(self, number: int) -> None:
        # Not yet waited for, so the id is still its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)  # type: ignore[union-attr]

    def close(self) -> None:
        """Close its output."""
        if self._output is not None:
            self._output.close()


def relay_command(
    service: Service, sockets: list[int]
) -> tuple[list[str], list[int], dict[str, str]]:
    """The command of the relay to a host elsewhere, the files it needs, its environment."""
    assert service.target is not None
    spec = {
        "sockets": sockets,
        "address": service.target[0],
        "port": service.target[1],
        "proxy_protocol": service.proxy_protocol,
        "connections": service.connections,
        "idle_s": service.idle_s,
        "uid": service.user[0],
        "gid": service.user[1],
        "memory_bytes": service.memory_bytes,
        "parent": os.getpid(),
    }
    argv = [sys.executable, "-m", RELAY, json.dumps(spec)]
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return argv, sockets, {"PATH": PATH, "LANG": "C.UTF-8", **kept}


def found(service: Service, path: str) -> list[str]:
    """The command with the program's whole path, so that it is known what must stay visible."""
    import shutil

    program, *arguments = service.command
    if "/" in program:
        whole = os.path.normpath(Path(service.directory or "/", program))
    else:
        whole = shutil.which(program, path=path) or program
    return [whole, *arguments]


def rlimits(service: Service, held: frozenset[str]) -> dict[str, int]:
    """Resource limits of each process; that of memory only where no cgroup has it."""
    limits: dict[str, Any] = {
        "CORE": 0,
        "NOFILE": service.open_files,
        "NPROC": service.processes,
    }
    if "memory" not in held:
        limits["DATA"] = service.memory_bytes
    return limits
