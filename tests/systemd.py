"""A real systemd in namespaces, for tests of the unit; nothing of the machine changes.

It is the first process of its namespaces, has a cgroup of its own, and starts nothing but the
unit under test.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from running import DARKFLOW

ROOT = Path(__file__).resolve().parents[1]
UNITS = {
    name: ROOT / "contrib" / "systemd" / f"darkflow-{name}.service"
    for name in ("sensor", "honeypot")
}
SYSTEMD = Path("/lib/systemd/systemd")
CONFIG = "/run/darkflow.toml"
LOG = "/run/darkflow.log"
# What of the unit cannot be as it is: the place of the program, who logs, what boots before.
DROP_IN = """\
[Unit]
DefaultDependencies=no
After=
[Service]
ExecStart=
ExecStart={darkflow} {name} --config {config} --no-view
StandardOutput=append:{log}
StandardError=append:{log}
ProtectHome=tmpfs
TimeoutAbortSec=1s
WatchdogSec=3s
RestartSec=100ms
"""
TARGET = "[Unit]\nDescription=nothing but what a test starts\nDefaultDependencies=no\n"


def cannot() -> str | None:
    """Why there can be no systemd here, or None."""
    if os.geteuid() != 0:
        return "namespaces need root"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    missing = [name for name in ("unshare", "nsenter", "ip", "tcpreplay") if which(name) is None]
    return f"{', '.join(missing)} missing" if missing else None


def needed() -> list[Path]:
    """Folders without which the Darkflow under test cannot run, wherever they are."""
    every = {Path(sys.base_prefix), Path(sys.prefix), ROOT, DARKFLOW.parent}
    return sorted(path for path in every if not every.intersection(path.parents))


def open_folders() -> str:
    """Shell commands, in a mount namespace, that let everybody see what is `needed`.

    A folder that is for root alone is covered by one that holds only that.
    """
    lines = ["mount -t tmpfs tmpfs /srv"]
    for path in needed():
        closed = [folder for folder in (path, *path.parents) if not folder.stat().st_mode & 1]
        if closed:
            outer, inner = _word(closed[-1]), _word(path)
            lines.append(f"mkdir -p /srv/kept; mount --bind {inner} /srv/kept")
            lines.append(f"mountpoint -q {outer} || mount -t tmpfs -o mode=755 tmpfs {outer}")
            lines.append(f"mkdir -p {inner}; mount --move /srv/kept {inner}")
    return "\n".join(lines)


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _script(folder: Path, cgroup: str, unit: Path) -> tuple[str, str]:
    """What runs outside of the namespaces, and what is their first process."""
    outside = f"""set -e
mkdir {folder}/cgroup
mount -t cgroup2 none {folder}/cgroup
mkdir {folder}/cgroup/{cgroup}
echo $$ > {folder}/cgroup/{cgroup}/cgroup.procs
exec unshare --pid --mount --cgroup --uts --ipc --net --fork --kill-child --mount-proc \
    sh {folder}/inside
"""
    inside = f"""set -e
mount -t tmpfs tmpfs /run
mount -t cgroup2 none /sys/fs/cgroup
for place in /var/lib /etc/systemd/system; do mount -t tmpfs tmpfs $place; done
cp {_word(unit)} /etc/systemd/system/
mkdir /etc/systemd/system/{unit.name}.d
cp {folder}/drop-in /etc/systemd/system/{unit.name}.d/test.conf
cp {folder}/target /etc/systemd/system/test.target
cp {folder}/darkflow.toml {CONFIG}
echo 0123456789abcdef0123456789abcdef > /run/machine-id
touch /etc/machine-id && mount --bind /run/machine-id /etc/machine-id
ip link set lo up
ip link add w1 type veth peer name w0
ip link set w0 up mtu 65000
ip link set w1 up mtu 65000
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test {SYSTEMD} --system \
    --unit=test.target --log-target=console
"""
    return outside, inside


class Booted:
    """A systemd that runs; `root` is the file system as it sees it, `unit` what it starts."""

    def __init__(self, pid: int, unit: str) -> None:
        self.pid = pid
        self.unit = unit
        self.root = Path(f"/proc/{pid}/root")

    def run(self, *argv: str) -> str:
        """Run a command in its namespaces; what it printed."""
        spaces = ("--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc")
        command = ("nsenter", "-t", str(self.pid), *spaces, *argv)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (argv, done.stdout, done.stderr, self.log)
        return done.stdout

    def systemctl(self, verb: str, *words: str) -> str:
        """Of the unit."""
        return self.run("systemctl", verb, *words, self.unit)

    def shows(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl("show", "--value", "-p", name).strip()

    @property
    def log(self) -> str:
        """What the unit has logged."""
        path = self.root / LOG[1:]
        return path.read_text() if path.exists() else ""

    def wait_for(self, there: Callable[[], bool], limit_s: float = 30) -> None:
        """Wait until it is so; fail when it does not become so."""
        end = time.monotonic() + limit_s
        while not there():
            assert time.monotonic() < end, f"nothing came of it; the log: {self.log}"
            time.sleep(0.05)


def _child_of(process: subprocess.Popen[bytes]) -> int:
    """The first process of the namespaces, once it is systemd."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
            return int(children[0])
        time.sleep(0.05)
    raise RuntimeError("systemd did not start")


@contextmanager
def booted(folder: Path, config: str, name: str = "sensor", more: str = "") -> Iterator[Booted]:
    """A systemd that has this unit and this configuration; gone afterwards.

    `more`: lines for the unit's section Service.
    """
    cgroup = f"darkflow-test-{os.getpid()}"
    outside, inside = _script(folder, cgroup, UNITS[name])
    drop_in = DROP_IN.format(darkflow=DARKFLOW, name=name, config=CONFIG, log=LOG) + more
    drop_in += "".join(f"BindReadOnlyPaths={path}\n" for path in needed())
    if "PYTHONPATH" in os.environ:
        drop_in += f"Environment=PYTHONPATH={os.environ['PYTHONPATH']}\n"
    for file, text in (("outside", outside), ("inside", inside), ("drop-in", drop_in),
                       ("target", TARGET), ("darkflow.toml", config)):  # fmt: skip
        (folder / file).write_text(text)
    with (folder / "boot.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", str(folder / "outside")], stdout=log, stderr=log
        )
    try:
        try:
            made = Booted(_child_of(process), UNITS[name].name)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'boot.log').read_text()}") from None
        made.wait_for((made.root / "run/systemd/private").exists)
        yield made
    finally:
        process.kill()
        process.wait(10)
        tidy = (
            f"mount -t cgroup2 none {folder}/cgroup; for n in 1 2 3 4 5; do"
            f" find {folder}/cgroup/{cgroup} -depth -type d -exec rmdir {{}} + && break;"
            " sleep 0.2; done"
        )
        subprocess.run(["unshare", "--mount", "sh", "-c", tidy], check=False, capture_output=True)
