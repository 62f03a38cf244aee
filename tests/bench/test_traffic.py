"""What the generator says of its captures is what `darkflow analyze --json` says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traffic
from captures import check
from packets import ACK, EPOCH_S, ROW, RST, SYN, TCP, UDP, US, Rows, empty, frames_of

from running import darkflow


def analyzed(capture: Path, *options: str) -> dict[str, Any]:
    done = darkflow("analyze", "--json", *options, str(capture))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def rows_of(*packets: tuple[int, int, bool, int]) -> Rows:
    """TCP rows from (time in s, flow, whether it comes back, flags)."""
    rows = empty(len(packets))
    for row, (t_s, flow, _, flags) in zip(rows, packets, strict=True):
        row["t"], row["flow"], row["proto"], row["flags"] = t_s * US, flow, TCP, flags
    return rows


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
@pytest.mark.parametrize("seed", [1, 2])
def test_mixture_is_judged_as_known(tmp_path: Path, suffix: str, seed: int) -> None:
    capture = tmp_path / f"mix.{suffix}"
    truth = traffic.write("mix", capture, 60_000, seed, rate_pps=2_000)
    document = analyzed(capture)
    check(capture, document)
    assert document["unsolicited"] == document["disorder_ns"] == 0
    assert truth["packets"] == 60_000
    names = ("answered", "refused", "dark", "undecided", "late_answers")
    assert all(truth[name] > 0 for name in names), truth


def test_every_dark_flow_of_the_mixture_is_found(tmp_path: Path) -> None:
    """Not only as many: the same first SYNs, at the same times."""
    known = traffic.Truth()
    rows = np.concatenate(list(traffic.mix(40_000, 3, 2_000)))
    known.add(rows)
    events = tmp_path / "events.jsonl"
    capture = tmp_path / "mix.pcap"
    traffic.write("mix", capture, 40_000, 3, rate_pps=2_000)
    assert darkflow("analyze", "--events", str(events), str(capture)).returncode == 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    found = sorted(line["darkflow"]["t0_ns"] for line in lines if line["event_type"] == "darkflow")
    t0_us = EPOCH_S * US + known.t0[known.verdicts()["dark"]]
    assert found == sorted((t0_us * 1000).tolist())


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_dark_capture_holds_exactly_so_many(tmp_path: Path, suffix: str) -> None:
    capture = tmp_path / f"dark.{suffix}"
    truth = traffic.write("dark", capture, 5_000)
    document = analyzed(capture)
    check(capture, document)
    assert document["dark"] == truth["dark"] == truth["attempts"] == 5_000


def test_flood_leaves_the_verdicts_of_held_flows_alone(tmp_path: Path) -> None:
    capture = tmp_path / "flood.pcap"
    truth = traffic.write("flood", capture, 100_000)
    document = analyzed(capture, "--queue-size", "10000", "--flow-table-size", "5000")
    check(capture, document)
    assert document["dropped"]["queue"] > 0
    assert document["dropped"]["table"] > 0
    assert document["syn"] == (
        document["attempts"] + document["retransmitted_or_repeated"] + document["dropped"]["queue"]
    )
    (top,) = (top for top in document["top_sources"] if top["src_ip"] == truth["known_source"])
    assert top["flows"] == truth["known_dark"] == 2_000
    assert top["packets"] == 4_000


@pytest.mark.parametrize("kind", ["mix", "dark", "day", "flood"])
@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_same_arguments_same_bytes(tmp_path: Path, kind: str, suffix: str) -> None:
    one, same, other = (tmp_path / f"{name}.{suffix}" for name in ("one", "same", "other"))
    traffic.write(kind, one, 3_000, 5)
    traffic.write(kind, same, 3_000, 5)
    traffic.write(kind, other, 3_000, 6)
    assert one.read_bytes() == same.read_bytes()
    assert one.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("kind", ["mix", "dark", "day", "flood"])
def test_rows_come_in_the_order_of_time(kind: str) -> None:
    rows = np.concatenate(list(traffic.MAKERS[kind](20_000, 1, traffic.RATES[kind])))
    assert np.all(np.diff(rows["t"]) >= 0)


def test_slices_bound_what_is_in_memory() -> None:
    """Ten times the packets come in ten times the slices, not in larger ones."""
    few = [len(rows) for rows in traffic.mix(20_000, 1, 1_000)]
    many = [len(rows) for rows in traffic.mix(200_000, 1, 1_000)]
    assert max(many) < 1.2 * max(few)
    assert sum(many) == 200_000


def test_no_two_flows_share_their_addresses_and_ports() -> None:
    rows = np.concatenate(list(traffic.mix(100_000, 1, 5_000)))
    first = rows[(rows["proto"] == TCP) & (rows["flags"] == SYN)]
    flows, at = np.unique(first["flow"], return_index=True)
    keys = first[at][["src", "dst", "sport", "dport", "v6"]]
    assert len(np.unique(keys)) == len(flows)


def test_truth_by_hand() -> None:
    truth = traffic.Truth()
    truth.add(rows_of((0, 0, False, SYN), (0, 1, False, SYN), (0, 2, False, SYN)))
    truth.add(rows_of((1, 2, False, SYN), (1, 3, False, SYN), (5, 0, True, SYN | ACK)))
    truth.add(rows_of((5, 3, True, RST | ACK), (6, 1, True, SYN | ACK), (6, 4, False, SYN)))
    document = truth.document()
    assert document == {
        "packets": 9, "tcp": 9, "syn": 6, "synack": 2, "rst": 1, "attempts": 5, "answered": 1,
        "refused": 1, "dark": 2, "undecided": 1, "late_answers": 1,
        "retransmitted_or_repeated": 1, "undecoded": {},
    }  # fmt: skip


def test_frames_are_what_a_wire_carries() -> None:
    rows = np.zeros(2, ROW)
    rows["src"], rows["dst"], rows["sport"], rows["dport"] = 0x0A000001, 0xC6336401, 1024, 53
    rows["v6"], rows["proto"], rows["header"] = (False, True), (TCP, UDP), (20, 8)
    rows["flags"], rows["payload"] = SYN, (0, 200)
    frames, captured, wire = frames_of(rows)
    assert (captured.tolist(), wire.tolist()) == ([60, 96], [60, 262])
    four, six = (bytes(frame) for frame in frames)
    assert four[12:14] == b"\x08\x00"
    assert four[26:34] == bytes([10, 0, 0, 1, 198, 51, 100, 1])
    assert six[12:14] == b"\x86\xdd"
    assert six[22:38] == bytes.fromhex("20010db80000000000000000" + "0a000001")
    assert internet_sum(four[14:34]) == 0xFFFF
    pseudo = four[26:34] + b"\0\x06\0\x14"
    assert internet_sum(pseudo + four[34:54]) == 0xFFFF
    pseudo = six[22:54] + b"\0\0\0\xd0" + b"\0\0\0\x11"
    assert internet_sum(pseudo + six[54:62]) == 0xFFFF


def internet_sum(data: bytes) -> int:
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
