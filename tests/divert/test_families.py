"""Nft's words for a flow: the two ends, in the order of whoever is asked for."""

from __future__ import annotations

import pytest

from darkflow.divert.families import FAMILIES, Family


@pytest.mark.parametrize("family", FAMILIES, ids=["v4", "v6"])
def test_back_is_there_turned_around(family: Family) -> None:
    for there, back in ((family.there, family.back), (family.raw_there, family.raw_back)):
        ends = there.split(" . ")
        swapped = [*ends[2:], *ends[:2]] if there == family.raw_there else [
            end.replace("saddr", "?").replace("daddr", "saddr").replace("?", "daddr")
            .replace("sport", "?").replace("dport", "sport").replace("?", "dport")
            for end in ends
        ]  # fmt: skip
        assert back.split(" . ") == swapped


def offsets(text: str) -> list[tuple[int, int]]:
    """(bits from the beginning, bits) of each part."""
    parts = [part.split(",") for part in text.split(" . ")]
    return [(int(at), int(bits)) for _, at, bits in parts]


@pytest.mark.parametrize("family", FAMILIES, ids=["v4", "v6"])
def test_an_error_quotes_the_packet_behind_its_own_8_bytes(family: Family) -> None:
    assert offsets(family.quoted) == [(at + 64, bits) for at, bits in offsets(family.raw_there)]
