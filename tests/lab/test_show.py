"""The honeypot's lab, for real: absent addresses speak, live ones are left alone, late ones cut."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from ipaddress import ip_network
from pathlib import Path
from subprocess import PIPE

import polars
import pytest

from darkflow.lab import topology
from darkflow.lab.answering import Place
from darkflow.lab.namespaces import PREFIX, existing
from darkflow.lab.show import Found, Shown, banners_of, run_show, said
from running import DARKFLOW

HOLD_S = 1.0


@pytest.fixture(scope="module", params=topology.MODES)
def shown(
    request: pytest.FixtureRequest,
    real_lab: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Shown:
    return run_show(request.param, HOLD_S, Place(tmp_path_factory.mktemp("show")))


def test_everything_is_as_it_should_be(shown: Shown) -> None:
    assert shown.failures == []
    assert shown.pages_asked > 80


def test_absent_addresses_have_banners_and_live_ones_their_own(shown: Shown) -> None:
    live = {a for host in topology.HOSTS for a in host.addresses}
    assert not live & shown.banners.keys()
    # masscan's own TCP loses some answers on a busy machine.
    absent = ip_network("203.0.113.0/24").num_addresses + 64
    assert len(shown.banners) > 0.7 * absent
    assert not any("SimpleHTTP" in banner for banner in shown.banners.values())
    assert shown.live_banners
    assert all("SimpleHTTP" in banner for banner in shown.live_banners.values())


def test_curl_is_connected_at_t(shown: Shown) -> None:
    assert len(shown.pages) == (2 if shown.mode == "mirror" else 4)
    for page in shown.pages.values():
        assert float(page.split()[2]) >= HOLD_S
        assert "It works" in page


def test_the_late_host_cuts_in_the_kernel(shown: Shown) -> None:
    late = [cut for cut in shown.found.cuts if cut["cut"]["answer"] == "syn_ack"]
    assert {cut["dest_ip"] for cut in late} == set(topology.SLOW.addresses)
    assert {cut["cut"]["cut_by"] for cut in late} <= {"kernel", "engine"}
    assert "kernel" in {cut["cut"]["cut_by"] for cut in late}


def test_the_store_has_it(shown: Shown) -> None:
    sessions = polars.read_delta(str(shown.place.store / "sessions"))
    assert sessions.height == shown.found.sessions.total()
    spoke = sessions.filter(polars.col("payload_bytes") > 0)
    assert {"http", "ssh"} <= set(spoke["app_proto"])
    dark = polars.read_delta(str(shown.place.store / "darkflows"))
    live = {*topology.WEB.addresses, *topology.SHOP.addresses, *topology.PRINTER.addresses}
    assert not live & set(dark["dest_ip"])
    for row in dark.select("dest_ip", "dest_port").iter_rows():
        address, port = row
        # Inline, what the gateway answers itself passes neither of its interfaces.
        own = topology.GATEWAY_ADDRESSES if shown.mode == "inline" else ()
        if address not in (*topology.SLOW.addresses, *own):
            assert topology.outcome(address, port) in ("silent", "unreachable"), row


def test_nothing_stays_behind(shown: Shown) -> None:
    del shown
    assert not [name for name in existing() if name.startswith(f"{PREFIX}-{os.getpid()}.")]


def test_a_run_that_is_interrupted_leaves_nothing(real_lab: None, tmp_path: Path) -> None:
    del real_lab
    argv = [str(DARKFLOW), "lab", "--folder", str(tmp_path / "lab")]
    with subprocess.Popen(argv, stdout=PIPE, stderr=PIPE, text=True) as run:
        assert run.stdout is not None
        assert next(line for line in run.stdout if "masscan:" in line)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 130
    assert not [name for name in existing() if name.startswith(f"{PREFIX}-{run.pid}.")]


def test_what_a_killed_run_left_goes_with_the_next(real_lab: None, tmp_path: Path) -> None:
    del real_lab

    def left(pid: int) -> tuple[int, int]:
        named = f"{PREFIX}-{pid}."
        folders = Path(tempfile.gettempdir()).glob(f"{named}*")
        return sum(name.startswith(named) for name in existing()), len(list(folders))

    argv = [str(DARKFLOW), "lab", "--folder", str(tmp_path / "lab")]
    runs: list[int] = []
    for number in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            assert next(line for line in run.stdout if "masscan:" in line)
            if runs:
                assert left(runs[0]) == (0, 0)
            run.send_signal(number)
        runs.append(run.pid)
        assert left(run.pid) == ((4, 1) if number == signal.SIGKILL else (0, 0))
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if _is_of(pid, tmp_path)]


def _is_of(process: Path, folder: Path) -> bool:
    try:
        return str(folder) in (process / "cmdline").read_text()
    except OSError:
        return False


def test_a_place_is_one_labs_and_what_others_put_there_stays(tmp_path: Path) -> None:
    place = Place(tmp_path / "lab")
    with place.prepared():
        place.store.mkdir()
        place.events.write_text("{}")
        (place.folder / "report.html").write_text("mine")
        with pytest.raises(OSError, match="a lab is running in"), Place(place.folder).prepared():
            pass
        assert place.events.read_text() == "{}", "who was refused has touched nothing"
    with place.prepared():
        assert sorted(p.name for p in place.folder.iterdir()) == [
            ".darkflow-lab", "programs", "report.html",
        ]  # fmt: skip


def test_events_are_counted() -> None:
    found = Found()
    ends = {"src_ip": "198.51.100.10", "dest_ip": topology.WEB.ipv4, "dest_port": 80}
    session = {**ends, "event_type": "session", "app_proto": "http", "session": {
        "handshake": True, "payload_bytes": 3, "payload_printable": "GET " * 30}}  # fmt: skip
    assert found.take(session) is session
    assert found.take(session) is None, "the second of its kind"
    assert found.answered_live == 2, "the live server's flows would be none of the honeypot's"
    assert found.sessions == {"http": 2}
    assert len(said(session)) < 140
    found.take({**ends, "event_type": "darkflow", "dest_ip": "203.0.113.99"})
    assert found.dark == {"198.51.100.10": 1}
    assert found.answered_live == 2


def test_banners_are_read_from_masscans_lines() -> None:
    line = '{"ip": "203.0.113.5", "ports": [{"port": 22, "service": {"banner": "SSH-2.0-x"}}]},\n'
    other = line.replace("203.0.113.5", "8.8.8.8")
    assert banners_of(["[\n" + line + other + "]\n"]) == {"203.0.113.5": "SSH-2.0-x"}
