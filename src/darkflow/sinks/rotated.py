"""Files that were rotated away: their names, how many stay, and a thread that compresses them."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES = 1 << 20
LEVEL = 3
NICENESS = 10
PARTIAL = ".part"


class Rotated:
    """What was rotated away from `path`, the newest `keep` of it: events-20260301T100000.000Z.jsonl

    Each is compressed in the background to a file with .zst behind its name.
    """

    def __init__(self, path: Path, keep: int, say: Callable[[str], None]) -> None:
        self._path = path
        self._keep = keep
        self._say = say
        stamp = r"-\d{8}T\d{6}\.\d{3}Z"
        self._pattern = re.compile(
            f"{re.escape(path.stem)}{stamp}{re.escape(path.suffix)}(\\.zst)?"
        )
        self._changing = threading.Lock()
        self._last_ms = 0
        self._wake = threading.Event()
        self._closing = False
        self._failing = False
        self._thread: threading.Thread | None = None

    def names(self) -> list[str]:
        """The files, oldest first, those that are half compressed left out."""
        return sorted(name for name in self._beside() if self._pattern.fullmatch(name))

    def _beside(self) -> list[str]:
        return [path.name for path in self._path.parent.iterdir()]

    def put_away(self, fresh: Path | None = None) -> None:
        """Give the file a name of its own, delete the oldest ones and have it compressed.

        `fresh` then takes its place, so that there is a file of its name at every moment.
        """
        # Never a time before that of the last one: names are in the order of the files.
        t_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        while True:
            second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(t_ms // 1000))
            stamp = f"{second}.{t_ms % 1000:03d}Z"
            aside = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not aside.exists() and not Path(f"{aside}.zst").exists():
                break
            t_ms += 1
        self._last_ms = t_ms
        if fresh is None:
            self._path.rename(aside)
        else:
            with self._changing:
                self._exchange(aside, fresh)
        self.tidy()

    def _exchange(self, aside: Path, fresh: Path) -> None:
        try:
            links = self._path.stat().st_nlink
            aside.hardlink_to(self._path)
        except OSError:
            self._path.rename(aside)  # a file system without hard links
            links = 1
        try:
            fresh.replace(self._path)
        except OSError:
            if self._path.exists():
                aside.unlink()
            raise
        # Somebody moved the file away between the two steps: it is his, and has his name only.
        if aside.stat().st_nlink > links:
            aside.unlink()

    def tidy(self) -> None:
        """Delete the oldest files beyond the limit; compress the others, if they are not yet."""
        with self._changing:
            names = self.names()
            for name in names[: -self._keep]:
                self._path.with_name(name).unlink(missing_ok=True)
        if self._thread is None and names:
            self._thread = threading.Thread(target=self._work, name="darkflow zstd", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self, until_s: float) -> None:
        """End the thread; what it has not compressed is left as it is, for the next run."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(max(0.0, until_s - time.monotonic()))

    def _work(self) -> None:
        # On Linux niceness is a thread's own: compression takes what the capture leaves.
        with suppress(PermissionError):  # a service may be forbidden to change even its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._closing:
            self._wake.clear()
            try:
                self._remove_parts()
                for name in self.names():
                    if not name.endswith(".zst") and not self._closing:
                        self._compress(self._path.with_name(name))
                self._failing = False
            except (
                Exception
            ) as error:  # tried again with the next file; nothing may end this thread
                if not self._failing:
                    self._say(f"cannot compress what {self._path} was rotated to: {error}")
                self._failing = True
            self._wake.wait()

    def _remove_parts(self) -> None:
        """What a killed run has left half compressed."""
        for name in self._beside():
            whole = name.removesuffix(PARTIAL)
            if whole != name and self._pattern.fullmatch(whole):
                self._path.with_name(name).unlink(missing_ok=True)

    def _compress(self, path: Path) -> None:
        import zstandard

        whole, partial = Path(f"{path}.zst"), Path(f"{path}.zst{PARTIAL}")
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        try:
            with path.open("rb") as plain, partial.open("wb") as packed:
                with compressor.stream_writer(packed, closefd=False) as writer:
                    while not self._closing and (chunk := plain.read(CHUNK_BYTES)):
                        writer.write(chunk)
                packed.flush()
                os.fsync(packed.fileno())
            with self._changing:
                if not self._closing and path.exists():
                    partial.rename(whole)
                    path.unlink()
        except FileNotFoundError:
            return  # deleted meanwhile, as one too many
        finally:
            partial.unlink(missing_ok=True)
