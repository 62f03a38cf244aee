"""What is said of the kernel, beside where it says so itself."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from conftest import skip
from darkflow.sources import kernel

WITHOUT = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def without_capabilities(code: str) -> str:
    """What a program prints that runs as root, but without a capability."""
    if os.geteuid() != 0 or which("setpriv") is None:
        skip("setpriv needs root")
    argv = [*WITHOUT, sys.executable, "-c", f"from darkflow.sources import kernel\n{code}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_capabilities() -> None:
    assert kernel.capabilities()["CAP_NET_RAW"] == (os.geteuid() == 0)
    found = without_capabilities("print(kernel.capabilities())")
    assert found == "{'CAP_NET_ADMIN': False, 'CAP_NET_RAW': False, 'CAP_SYS_ADMIN': False}"


def test_packet_sockets_need_a_capability() -> None:
    code = "try: kernel.packet_features()\nexcept PermissionError: print('may not')"
    assert without_capabilities(code) == "may not"
    assert kernel.packet_features() == {
        "TPACKET_V3": True, "ignoring what goes out": True, "fanout": True,
    }  # fmt: skip


def test_what_the_kernel_was_built_with() -> None:
    config = Path("/proc/config.gz")
    known = kernel.configured("CONFIG_PACKET")
    assert kernel.configured("CONFIG_NO_SUCH_THING") is (None if known is None else False)
    if config.exists():
        assert known == (b"\nCONFIG_PACKET=" in gzip.decompress(config.read_bytes()))


def test_the_clock() -> None:
    error_us = kernel.clock_error_us()
    assert error_us is None or error_us >= 0
    available = Path("/sys/devices/system/clocksource/clocksource0/available_clocksource")
    assert kernel.clock_source() in available.read_text().split()


def test_free_memory() -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < kernel.free_memory_bytes() < pages


@pytest.mark.parametrize(
    ("group", "files", "limit"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "5000", "memory.max": "9000"}, 5000),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "max"}, None),
        ("4:memory:/x", {"memory/x/memory.limit_in_bytes": "7000"}, 7000),
        ("4:memory:/x", {"memory/x/memory.limit_in_bytes": "9223372036854771712"}, None),
        # Of a container that sees only its own part, the path leads nowhere.
        ("4:cpu,memory:/gone/x", {"cpu,memory/memory.limit_in_bytes": "8000"}, 8000),
        ("3:cpu:/x", {"cpu/x/memory.limit_in_bytes": "1"}, None),
    ],
)
def test_limits_of_control_groups(
    group: str, files: dict[str, str], limit: int | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    own = Path.read_text

    def read(path: Path) -> str:
        return f"{group}\n" if str(path) == "/proc/self/cgroup" else own(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert kernel.cgroup_limit_bytes(tmp_path) == limit


def test_file_systems() -> None:
    assert kernel.file_system(Path("/proc/self")) == "proc"
    for path in (Path("/"), Path("/tmp"), Path("/dev/shm")):
        shown = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True,
                               check=True).stdout.strip()  # fmt: skip
        # stat has one name for what shares a magic number.
        assert kernel.file_system(path).replace("ext4", "ext2/ext3").startswith(shown[:4])
