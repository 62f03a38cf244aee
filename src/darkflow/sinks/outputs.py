"""The outputs of a run beside the store: opened once, shared by all workers, closed in a second."""

from __future__ import annotations

import os
import stat
import time

from darkflow.sinks.direct import STDOUT, DirectFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from darkflow.sinks.direct import Box
    from darkflow.sinks.framing import Framing
    from darkflow.sinks.outbox import Outbox, Target
    from darkflow.sinks.rotating_file import RotatingFile, Rotation
    from darkflow.sinks.stream import Stream

# What all outputs together may take to write what waits, when the sensor ends.
CLOSE_S = 1.0


class Outputs:
    """Opens outputs and keeps them. OSError, with the path, when one cannot be opened.

    With `buffer_bytes` each has a buffer and a thread (outbox.py) and nothing waits for it; `say`
    hears of its troubles. Without, every write waits until it is done and raises what goes wrong.
    """

    def __init__(
        self,
        buffer_bytes: int | None,
        rotation: Rotation | None,
        prompt: bool,
        say: Callable[[str], None],
    ) -> None:
        self._buffer_bytes = buffer_bytes
        self._rotation = rotation
        self._prompt = prompt
        self._say = say
        self._boxes: dict[str, list[Outbox]] = {"dropped_events": [], "dropped_pcap": []}
        self._begun: set[str] = set()
        self._files: list[RotatingFile] = []
        self._streams: list[Stream] = []
        self._until_s: float | None = None

    def events(self, text: str) -> Box:
        """Where event lines go: a file, - or an address of syslog; ValueError when it is none."""
        name = f"events to {text}"
        address = None
        if text.startswith(("syslog:", "udp:", "tcp:")) or "://" in text:
            from darkflow.sinks.syslog import Syslog, parse_address

            address = parse_address(text)
        if address is not None:
            syslog = Syslog(name, address)
            if self._buffer_bytes is None:
                from darkflow.sinks.direct import DirectTarget

                try:
                    syslog.open()
                except OSError as error:
                    raise OSError(error.errno, error.strerror, text) from None
                return DirectTarget(syslog)
            return self._box("dropped_events", syslog)
        if self._buffer_bytes is None:
            return DirectFile(text, self._prompt)
        from darkflow.sinks.framing import Lines

        return self._box("dropped_events", self._target(name, text, Lines(), first=True))

    def pcap(self, path: str, what: str = "dark SYNs") -> Box:
        """Where pcap records go: a file or -; `what` they are is for messages."""
        if self._buffer_bytes is None:
            return DirectFile(path, self._prompt)
        from darkflow.sinks.framing import Records

        # The first of its kind is opened at the start of the run; further ones when packets come,
        # by the thread that writes them.
        first = what not in self._begun
        self._begun.add(what)
        target = self._target(f"{what} to {path}", path, Records(), first)
        return self._box("dropped_pcap", target)

    def _target(self, name: str, path: str, framing: Framing, first: bool) -> RotatingFile | Stream:
        from darkflow.sinks.rotating_file import RotatingFile, Rotation
        from darkflow.sinks.stream import Stream

        if path == STDOUT or _is_pipe(path):
            stream = Stream(name, path, framing)
            self._streams.append(stream)
            return stream
        file = RotatingFile(name, path, framing, self._rotation or Rotation(), self._say)
        if first:
            file.open()
        self._files.append(file)
        return file

    def _box(self, counter: str, target: Target) -> Box:
        from darkflow.sinks.outbox import Outbox

        box = Outbox(target, self._buffer_bytes or 0, self._say)
        self._boxes[counter].append(box)
        return box

    @property
    def reader_gone(self) -> bool:
        """Whether nobody reads standard output any more."""
        return any(stream.reader_gone for stream in self._streams)

    def counters(self) -> dict[str, int]:
        """What was lost, by metric."""
        return {name: sum(box.dropped for box in boxes) for name, boxes in self._boxes.items()}

    def reopen(self) -> list[str]:
        """Go on in new files of the same names; a line for each that cannot be opened."""
        problems = []
        for box in self._all():
            try:
                box.reopen()
            except OSError as error:
                # The old file stays in use, under whatever name it has now.
                problems.append(f"cannot reopen {box.target.name}: {error.strerror or error}")
        return problems

    def look(self) -> None:
        """Called now and then: says which output hangs."""
        for box in self._all():
            box.look()

    def begin_close(self) -> None:
        """Take nothing more; from now on all outputs have CLOSE_S to write what waits."""
        if self._until_s is None:
            self._until_s = time.monotonic() + CLOSE_S
            for box in self._all():
                box.begin_close()

    def close(self, until_s: float | None = None) -> list[str]:
        """Wait for that, not beyond a moment; a line for each output that lost some of it."""
        self.begin_close()
        assert self._until_s is not None
        until_s = self._until_s if until_s is None else min(until_s, self._until_s)
        lost = [box.close(until_s) for box in self._all()]
        for file in self._files:
            file.rotated.close(until_s)
        return [line for line in lost if line is not None]

    def _all(self) -> list[Outbox]:
        return [box for boxes in self._boxes.values() for box in boxes]


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116 (pathlib is slow to import)
    except OSError:
        return False
