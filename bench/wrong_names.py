"""How often a SYN that no scanner sent is named after one: `wrong_names.py [SYNS_PER_KIND]`.

Kinds of SYNs as common stacks send them, and kinds that look like a scanner's in all that is fixed
but have random numbers. Half of each come from sources of their own, half from 256 sources. Prints
JSON: for each kind the SYNs, and the flows named with medium or high and with low confidence.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

CHUNK = 500_000
RAW = 101
# TTLs as they arrive.
TTLS = {64: (37, 60), 128: (100, 129), 255: (230, 256), 0: (1, 256)}
DARKFLOW = Path(sys.executable).parent / "darkflow"


@dataclass(frozen=True)
class Kind:
    """What SYNs have in common; 0 as TTL or window: random. ip_id: random, counting or zero."""

    window: int
    options: str = ""
    ttl: int = 64
    df: bool = False
    ip_id: str = "random"
    ack: bool = False
    ports: tuple[int, int] = (1024, 65536)


STACKS = {
    "Linux": Kind(64240, "020405b40402080a00112233000000000103030a", 64, True),
    "Android": Kind(65535, "020405b40402080a001122330000000001030308", 64, True),
    "Windows": Kind(64240, "020405b40103030801010402", 128, True, "counting", ports=(49152, 65536)),
    "Windows, DF cleared": Kind(65535, "020405b40103030801010402", 128, False, "counting"),
    "macOS": Kind(65535, "020405b4010303060101080a001122330000000004020000", 64, True, "zero"),
    "FreeBSD": Kind(65535, "020405b4010303060402080a0011223300000000", 64, True, "zero"),
    "embedded": Kind(5840, "020405b4", 64, False, "counting"),
    "router": Kind(4128, "020405b4", 255, False),
    "everything random": Kind(0, "", 0, ack=True, ports=(0, 65536)),
}  # fmt: skip
LIKENESSES = {
    "window 65535, no options, TTL 255": Kind(65535, "", 255, ports=(0, 65536)),
    "the same, ports of ZMap": Kind(65535, "", 255, ports=(32768, 61001)),
    "window 1024, no options, TTL 255": Kind(1024, "", 255, ports=(0, 65536)),
    "the same, ports of masscan": Kind(1024, "", 255, ports=(40000, 60016)),
    "window 1024, MSS 1460, TTL 255": Kind(1024, "020405b4", 255),
    "window 1024, MSS 1460, TTL 37-59": Kind(1024, "020405b4", 64),
    "window 65535, options of new ZMap": Kind(
        65535, "020405b40103030801010402", 64, ports=(32768, 61001)
    ),
    "no options, TTL 64": Kind(0, "", 64, ports=(0, 65536)),
    "window 512, no options": Kind(512, "", 64, ports=(0, 65536)),
    "window 512, no options, ACK number": Kind(512, "", 64, ack=True, ports=(0, 65536)),
}  # fmt: skip


def syns(kind: Kind, count: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """So many IPv4 packets, one in each row."""
    options = np.frombuffer(bytes.fromhex(kind.options), np.uint8)
    size = 40 + len(options)
    rows = np.zeros((count, size), np.uint8)

    def put(at: int, width: int, values: Numbers | int) -> None:
        wide = np.broadcast_to(np.asarray(values, np.int64), count).astype(">u8")
        rows[:, at : at + width] = wide.view(np.uint8).reshape(count, 8)[:, 8 - width :]

    def drawn(low: int, high: int) -> Numbers:
        return random.integers(low, high, count)

    few = 0x0A000000 | drawn(0, 256)
    own = drawn(0x0B000000, 0xDF000000)
    counting = np.arange(count, dtype=np.int64)
    put(0, 1, 0x45)
    put(2, 2, size)
    put(4, 2, {"random": drawn(0, 65536), "counting": counting, "zero": counting * 0}[kind.ip_id])
    put(6, 2, 0x4000 if kind.df else 0)
    put(8, 1, drawn(*TTLS[kind.ttl]))
    put(9, 1, 6)
    put(12, 4, np.where(counting % 2 == 0, own, few))
    put(16, 4, 0xCB007100 | drawn(0, 256))
    put(20, 2, drawn(*kind.ports))
    put(22, 2, drawn(1, 65536))
    put(24, 4, drawn(0, 1 << 32))
    put(28, 4, drawn(0, 1 << 32) if kind.ack else 0)
    put(32, 1, (20 + len(options)) << 2)
    put(33, 1, 2)
    put(34, 2, kind.window or drawn(0, 65536))
    rows[:, 40:] = options
    return rows


def capture(rows: npt.NDArray[np.uint8]) -> bytes:
    """A pcap of them, 10 us apart, and a packet behind the last end."""
    count, size = rows.shape
    records = np.zeros((count, 16 + size), np.uint8)
    t_us = np.arange(count, dtype=np.int64) * 10
    sizes = np.full(count, size)
    head = np.stack([t_us // 1_000_000, t_us % 1_000_000, sizes, sizes])
    records[:, :16] = np.ascontiguousarray(head.T, "<u4").view(np.uint8).reshape(count, 16)
    records[:, 16:] = rows
    begin = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW)
    return begin + records.tobytes() + struct.pack("<IIII", 200, 0, 1, 1) + b"\0"


def named(kind: Kind, count: int, seed: int) -> dict[str, Any]:
    """Wrong names of so many SYNs."""
    random = np.random.default_rng(seed)
    found = {"syns": 0, "named": 0, "low": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "syns.pcap")
        for first in range(0, count, CHUNK):
            path.write_bytes(capture(syns(kind, min(CHUNK, count - first), random)))
            argv = [str(DARKFLOW), "analyze", "--json", str(path)]
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
            document = json.loads(done.stdout)
            found["syns"] += document["syn"]
            found["low"] += sum(row["low"] for row in document["tools"])
            found["named"] += sum(row["flows"] - row["low"] for row in document["tools"])
    return found


def main() -> None:
    """All kinds, one after the other."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    kinds = {**STACKS, **LIKENESSES}
    print(json.dumps({name: named(kind, count, n) for n, (name, kind) in enumerate(kinds.items())}))


if __name__ == "__main__":
    main()
