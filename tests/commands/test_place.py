"""The plan that options ask for, and what is printed of it."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from darkflow.cli import read_all
from darkflow.commands.place import Place, plan_of, words_of
from darkflow.divert.plan import Plan
from running import darkflow

NETWORKS = ("--networks", "192.0.2.0/24,2001:db8::/32")


def asked(*words: str) -> tuple[Any, dict[str, Any]]:
    """Options and settings."""
    return read_all(["honeypot", *words])


def test_mirror_inline_and_sensor() -> None:
    mirror = plan_of(*asked("--mirror", "eth1", *NETWORKS, "--hold", "2s", "--flows", "7"))
    assert (mirror.mode, mirror.outside, mirror.inside, mirror.hp0) == (
        "mirror",
        "eth1",
        None,
        "hp0",
    )
    assert (mirror.hold_ns, mirror.flows) == (2_000_000_000, 7)
    assert mirror.networks == ("192.0.2.0/24", "2001:db8::/32")
    inline = plan_of(*asked("--outside", "a", "--inside", "b", *NETWORKS, "--no-shield"))
    assert (inline.mode, inline.outside, inline.inside, inline.shield) == (
        "inline",
        "a",
        "b",
        False,
    )
    words = ("--mirror", "m", "--sensor-to", "s", *NETWORKS, "--late-answer", "unless-established")
    sensor = plan_of(*asked(*words))
    assert (sensor.mode, sensor.hp0, sensor.cut) == ("sensor", "s", "unless-established")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--mirror", "eth1"), "give them"),
        (NETWORKS, "give either --mirror IF"),
        (("--mirror", "a", "--outside", "b", *NETWORKS), "give either --mirror IF"),
        (("--outside", "a", *NETWORKS), "belong together"),
        (("--mirror", "a", "--inside", "b", *NETWORKS), "belong together"),
        (("--outside", "a", "--inside", "a", *NETWORKS), "must be different"),
        (("--mirror", "a b", *NETWORKS), "is no name of an interface"),
    ],
)
def test_what_is_missing_is_said(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plan_of(*asked(*words))
    done = darkflow("honeypot", *words, "--dry-run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr


def test_the_responder_gets_its_settings() -> None:
    options, _ = asked("--mirror", "a", *NETWORKS, "--responder-idle", "3s", "--payload", "1KiB")
    words = words_of(options)
    assert "--responder-idle=3s" in words
    assert "--payload=1KiB" in words
    assert not any("certificate" in word for word in words)


def test_the_interfaces_that_are_watched() -> None:
    place = Place(*asked("--outside", "a", "--inside", "b", *NETWORKS))
    assert place.watched == ["a", "b", "hp0"]
    assert len(place.macs) == 12
    place.nft.close()


def test_a_dry_run_is_a_shell_script_and_does_nothing(tmp_path: Path) -> None:
    before = sorted(Path("/sys/class/net").iterdir())
    done = darkflow("honeypot", "--mirror", "eth1", *NETWORKS, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ip netns add" in done.stdout
    assert "table netdev darkflow {" in done.stdout
    script = tmp_path / "script"
    script.write_text(done.stdout)
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert sorted(Path("/sys/class/net").iterdir()) == before


class Table:
    """The kernel's table, as far as its counters go: it is replaced, and `asked` in between."""

    def __init__(self) -> None:
        self.packets = 0
        self.there = True
        self.asked: list[int] = []
        self.place: Place | None = None
        self.scrape = threading.Thread()

    def exists(self) -> bool:
        return self.there

    def apply(self, _: Plan) -> None:
        self.packets, self.there = 0, True
        place = self.place
        assert place is not None
        self.scrape = threading.Thread(
            target=lambda: self.asked.append(place.kernel_stats()["diverted"])
        )
        self.scrape.start()
        self.scrape.join(0.05)  # it waits, if it is as it should be

    def stats(self) -> dict[str, int]:
        return {"diverted": self.packets, "flows4": self.packets}


def test_counters_never_go_backwards() -> None:
    place = Place(*asked("--outside", "a", "--inside", "b", *NETWORKS))
    place.nft.close()
    table = Table()
    table.place = place
    place.nft = table  # type: ignore[assignment]
    table.packets = 7
    assert place.kernel_stats() == {"diverted": 7, "flows4": 7, "dropped": 0}
    table.there = False
    assert "gone" in place.mend()
    table.scrape.join()
    table.packets = 2
    assert place.kernel_stats() == {"diverted": 9, "flows4": 2, "dropped": 0}
    assert table.asked == [7]
