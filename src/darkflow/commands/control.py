"""A running honeypot's control socket: one JSON document a line, asked and answered.

A Unix socket for root, and for a group if one is named: who may connect may cut flows.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

LONGEST = 1 << 16
LONGEST_ANSWER = 64 << 20
PATIENCE_S = 10.0
MOST_CLIENTS = 16
REST_S = 0.1

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class Control:
    """Answers requests {"command": NAME, ...} by the handler of that name, in a thread."""

    def __init__(self, path: str, group: str | None, handlers: dict[str, Handler]) -> None:
        """Listen; OSError when another honeypot does there, or the path cannot be had."""
        self.path = path
        self._handlers = handlers
        self._closing = False
        self._slots = threading.BoundedSemaphore(MOST_CLIENTS)
        folder = os.path.dirname(path) or "."  # noqa: PTH120
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder)  # noqa: PTH103
            os.chmod(folder, 0o755)  # noqa: PTH101 (whatever the umask: the group gets there)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._bind(group)
        except BaseException:
            self._socket.close()
            raise
        threading.Thread(target=self._serve, name="darkflow control", daemon=True).start()

    def _bind(self, group: str | None) -> None:
        if _is_socket(self.path):
            with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
                _connect(self.path).close()
                raise OSError(0, "another honeypot is running there", self.path)
            os.unlink(self.path)  # noqa: PTH108
        elif os.path.lexists(self.path):
            raise OSError(0, "is there already, and is no socket", self.path)
        # It gets its name when it listens: nobody finds it before.
        fresh = f"{self.path}.{os.getpid()}"
        mask = os.umask(0o177)
        try:
            self._socket.bind(fresh)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None
        finally:
            os.umask(mask)
        try:
            if group is not None:
                self._let_in(group, fresh)
            self._socket.listen(64)
            os.rename(fresh, self.path)  # noqa: PTH104
        except BaseException:
            os.unlink(fresh)  # noqa: PTH108
            raise

    def _let_in(self, group: str, fresh: str) -> None:
        try:
            os.chown(fresh, -1, grp.getgrnam(group).gr_gid)
        except KeyError:
            raise OSError(0, f"there is no group {group!r}", self.path) from None
        except PermissionError:
            why = (
                f"cannot be given to group {group!r}: be a member of it (in a systemd unit:"
                f" SupplementaryGroups={group}), or have CAP_CHOWN"
            )
            raise OSError(0, why, self.path) from None
        os.chmod(fresh, 0o660)  # noqa: PTH101

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                if self._closing:
                    return
                # Nobody there any more, or no file number free: that passes.
                time.sleep(REST_S)
                continue
            if not self._slots.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        try:
            client.settimeout(PATIENCE_S)
            with client, client.makefile("rb") as lines:
                line = lines.readline(LONGEST)
                client.sendall(json.dumps(self._answer(line)).encode() + b"\n")
        except OSError:
            pass
        finally:
            self._slots.release()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["command"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": "not understood"}
        try:
            return handler(request)
        except (ValueError, KeyError, TypeError) as error:
            return {"error": str(error)}
        except Exception as error:  # who asks is told, whatever it is
            return {"error": f"{type(error).__name__}: {error}"}

    def close(self) -> None:
        """Stop listening; the socket is gone."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False


def _connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(PATIENCE_S)
        client.connect(path)
    except BaseException:
        client.close()
        raise
    return client


def ask(path: str, **request: Any) -> dict[str, Any]:
    """The answer of the honeypot that listens at `path`; ValueError says in one line why none."""
    try:
        with _connect(path) as client, client.makefile("rb") as lines:
            client.sendall(json.dumps(request).encode() + b"\n")
            line = lines.readline(LONGEST_ANSWER)
    except FileNotFoundError:
        raise ValueError(f"{path}: no honeypot is running (darkflow honeypot)") from None
    except PermissionError:
        raise ValueError(f"{path}: only root may ask, and who is in --control-group") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if not line:
        raise ValueError(f"{path}: the honeypot did not answer")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise ValueError(f"the honeypot refused: {answer['error']}")
    return answer
