"""How the watched prefix scales what is asked for."""

from __future__ import annotations

import pytest

from darkflow.flow.detection import (
    BackscatterLimits,
    ScanLimits,
    scaled_backscatter,
    scaled_scans,
    sizes_of,
)
from darkflow.units import parse_networks


@pytest.mark.parametrize(
    ("networks", "hosts"),
    [
        (None, (25, 100)),
        ("192.0.2.0/24,2001:db8::/64", (25, 100)),
        ("192.0.2.0/25,2001:db8::/120", (13, 26)),
        ("192.0.2.0/29", (5, 5)),
        ("192.0.2.0/26,198.51.100.0/26,203.0.113.0/26", (20, 5)),
    ],
)
def test_a_tenth_of_a_small_prefix_is_enough(networks: str | None, hosts: tuple[int, int]) -> None:
    watched = parse_networks(networks) if networks else None
    scaled = scaled_scans(ScanLimits(), watched)
    assert scaled.hosts == hosts
    assert scaled.targets == ScanLimits().targets


@pytest.mark.parametrize(
    ("networks", "asked"),
    [
        (None, (25, 30, 1)),
        ("10.0.0.0/8,44.0.0.0/9", (25, 30, 1)),
        ("44.0.0.0/9", (16, 20, 3)),
        ("192.0.2.0/24", (10, 6, 3)),
        ("192.0.2.1/32", (10, 6, 1)),
    ],
)
def test_less_than_a_telescope_sees_less(networks: str | None, asked: tuple[int, ...]) -> None:
    watched = parse_networks(networks) if networks else None
    scaled = scaled_backscatter(BackscatterLimits(), watched)
    assert (scaled.packets, scaled.rate, scaled.targets) == asked
    assert scaled.span_ns == BackscatterLimits().span_ns


def test_what_is_lower_already_stays() -> None:
    watched = parse_networks("192.0.2.0/24")
    scaled = scaled_backscatter(BackscatterLimits(packets=3, rate=2, targets=5), watched)
    assert (scaled.packets, scaled.rate, scaled.targets) == (3, 2, 5)
    assert scaled_scans(ScanLimits(targets=(3, 3)), watched).hosts == (3, 3)


def test_sizes() -> None:
    assert sizes_of(parse_networks("192.0.2.0/24,192.0.2.0/25,2001:db8::/126")) == (256, 4)
    assert sizes_of(None) == (1 << 32, 1 << 128)
