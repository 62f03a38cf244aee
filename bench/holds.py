"""Writes a capture to try `darkflow tune --adaptive` on, with what is known of it as JSON.

holds.py OUT.pcap [DAYS]

The /24 of address_lists.py, in which hosts sleep and wake up; but each address is scanned every ten
minutes, and one host in five takes 2.5 s for each answer of its first ten minutes awake.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path

from darkflow.lab.address_lists import DROWSY_S, HOLD_NS, RAW, SECOND_NS, Seen, attempts, packet

DAYS, SCANNED_S = 14, 600.0
BEGIN_S = 1_700_000_000
SYN, SYN_ACK = 2, 18
NETWORK = 0xC0000200


def record(seen: Seen) -> bytes:
    """One packet of the capture, with its pcap record header (ns)."""
    t_s, what, host, number, source, _ = seen
    port = 1024 + number % 60_000
    data = (
        packet(source, port, NETWORK + host, 80, SYN)
        if what == "ask"
        else packet(NETWORK + host, 80, source, port, SYN_ACK)
    )
    t_ns = round(t_s * SECOND_NS)
    seconds, fraction = divmod(t_ns, SECOND_NS)
    return struct.pack("<4I", BEGIN_S + seconds, fraction, len(data), len(data)) + data


def main() -> None:
    """The command line."""
    out, days = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else DAYS
    seen, alive = attempts(random.Random(4), days, SCANNED_S, drowsy=True)
    with out.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, RAW))
        file.writelines(record(one) for one in seen)
    asked = {number: t_s for t_s, what, _, number, _, _ in seen if what == "ask"}
    delays = [t_s - asked[number] for t_s, what, _, number, _, _ in seen if what == "hear"]
    known = {
        "days": days,
        "nobody": alive.count(False),
        "living": alive.count(True),
        "answered_later_than_T": sum(delay * SECOND_NS > HOLD_NS for delay in delays),
        "answered_drowsily": sum(abs(delay - DROWSY_S) < 1e-6 for delay in delays),
    }
    sys.stdout.write(json.dumps(known) + "\n")


if __name__ == "__main__":
    main()
