"""A plan that cannot be is refused in one line that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from darkflow.divert.plan import Plan, watched

MIRROR: dict[str, Any] = {"mode": "mirror", "outside": "eth1", "hp1_mac": "02:00:00:00:03:02"}
INLINE = {**MIRROR, "mode": "inline", "inside": "eth2"}
SENSOR = {"mode": "sensor", "outside": "eth1", "hp0": "eth3"}


@pytest.mark.parametrize("plan", [MIRROR, INLINE, SENSOR, {**SENSOR, "inside": "eth2"}])
def test_what_can_be(plan: dict[str, Any]) -> None:
    made = Plan(**plan, networks=("192.0.2.0/24", "2001:db8::/32"))
    assert made.shielded == (made.mode == "inline")
    assert not made.established_wins
    assert Plan(**plan, cut="unless-established").established_wins
    assert not Plan(**plan, shield=False).shielded
    assert not made.limits_answers
    assert Plan(**plan, syn_acks=1).limits_answers == (made.mode != "sensor")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({**MIRROR, "mode": "tap"}, "mode: 'tap' is none of mirror, inline, sensor"),
        ({**MIRROR, "cut": "never"}, "cut: 'never' is none of always, unless-established"),
        ({**MIRROR, "outside": 'x" ; drop'}, "'x\" ; drop' is no name of an interface"),
        ({**MIRROR, "outside": "a" * 16}, f"'{'a' * 16}' is no name of an interface"),
        ({**MIRROR, "outside": ""}, "'' is no name of an interface"),
        ({**INLINE, "inside": ".."}, "'..' is no name of an interface"),
        ({**INLINE, "hp0": "eth\n0"}, "'eth\\n0' is no name of an interface"),
        ({**INLINE, "inside": "eth1"}, "must be different interfaces, not eth1, eth1 and hp0"),
        ({**MIRROR, "outside": "hp0"}, "must be different interfaces"),
        ({**INLINE, "inside": None}, "inline needs an inside interface"),
        ({**MIRROR, "inside": "eth2"}, "a mirror carries both directions on one interface"),
        ({**MIRROR, "hp1_mac": ""}, "'' is no MAC address of a honeypot"),
        ({**MIRROR, "hp1_mac": "01:00:5e:00:00:01"}, "is no MAC address of a honeypot"),
        ({**MIRROR, "hp1_mac": "02:00:00:00:03:02\n"}, "is no MAC address of a honeypot"),
        ({**MIRROR, "hold_ns": 0}, "hold: 0 ns is not between 10 ms and a day"),
        ({**MIRROR, "idle_ns": 10**18}, "idle: 1000000000000000000 ns is not between"),
        ({**MIRROR, "flows": 0}, "flows: 0 is not between 1 and 536870912"),
        ({**MIRROR, "held": 1 << 40}, "held: 1099511627776 is not between"),
        ({**MIRROR, "syn_acks": -1}, "syn_acks: -1 is not between"),
        ({**MIRROR, "group": 65536}, "group: 65536 is no NFLOG group"),
        ({**MIRROR, "networks": ("192.0.2.1/24",)}, "'192.0.2.1/24' is no network"),
        ({**MIRROR, "networks": ("there",)}, "'there' is no network"),
    ],
)
def test_what_cannot_be(plan: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Plan(**plan)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_are_sorted_and_do_not_overlap() -> None:
    """nft refuses intervals that do."""
    words = ("192.0.2.0/25", "2001:db8::/33", "192.0.2.128/25", "2001:db8::/32", "10.0.0.0/8")
    assert watched(words) == (("10.0.0.0/8", "192.0.2.0/24"), ("2001:db8::/32",))
    assert watched(()) == ((), ())
