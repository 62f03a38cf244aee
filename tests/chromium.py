"""A real browser without a screen, for tests of pages: Chromium, spoken to through two pipes.

It gets an empty profile, loads files only, and ends with the `with` block. python chromium.py FILE
OUT [dark] writes OUT-390.png and OUT-1280.png, to look at a page by eye.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-pipe", "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
ANSWER_S = 30.0
# What a page is wider than, and what of it sticks out to the right.
OVERFLOW = """(() => {
  const wide = document.documentElement.clientWidth;
  const boxes = [...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll *')
    && !e.closest('svg *') && e.getBoundingClientRect().right > wide + 1);
  return {page: document.documentElement.scrollWidth, window: wide,
          out: boxes.map(e => e.tagName + '.' + e.className)};
})()"""


class Browser:
    """One Chromium with one tab; `errors` are what its console has said since the last `open`."""

    def __init__(self) -> None:
        if PROGRAM is None:
            raise FileNotFoundError("chromium is not installed")
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="darkflow-chromium-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Beyond 3 and 4, where the browser wants its own.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        os.close(theirs_in)
        os.close(theirs_out)

        def place() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            preexec_fn=place, pass_fds=(3, 4), start_new_session=True,
        )  # fmt: skip
        for end in ends:
            os.close(end)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        # Its own children may still be writing there for a moment.
        shutil.rmtree(self._profile.name, ignore_errors=True)
        self._profile.cleanup()

    def open(self, page: Path, width: int, height: int = 900, scheme: str = "light") -> None:
        """Load a page into a window of this size and wait until it is there."""
        self.errors, self.requests, self._events = [], [], []
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="screen", features=features)
        self.call("Page.navigate", url=page.resolve().as_uri())
        end_s = time.monotonic() + ANSWER_S
        while "Page.loadEventFired" not in self._events:
            self._read(end_s)

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def picture(self, out: Path) -> None:
        """The whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        out.write_bytes(base64.b64decode(shot["data"]))

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end_s = time.monotonic() + ANSWER_S
        while True:
            told = self._read(end_s)
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    def _read(self, end_s: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready = select.select([self._in], [], [], max(end_s - time.monotonic(), 0))[0]
            more = os.read(self._in, 1 << 16) if ready else b""
            if not more:
                raise TimeoutError("chromium says nothing")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        self._note(told.get("method", ""), told.get("params", {}))
        return told

    def _note(self, event: str, about: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.consoleAPICalled":
            self.errors.append(json.dumps(about["args"]))
        elif event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(about["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.errors.append(about["entry"]["text"])


def main(page: str, out: str, scheme: str = "light") -> None:
    """Pictures of a page at two widths."""
    with Browser() as browser:
        for width in (390, 1280):
            browser.open(Path(page), width, scheme=scheme)
            browser.picture(Path(f"{out}-{width}.png"))
            sys.stdout.write(f"{width}: {browser.ask(OVERFLOW)} {browser.errors}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
