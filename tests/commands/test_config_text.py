"""What --print-config prints is a configuration file, and means what was in effect."""

from __future__ import annotations

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.cli import parse_settings, read_options
from darkflow.commands.config_file import keys_of
from darkflow.commands.config_text import config_text
from darkflow.commands.parser import build_parser, commands_of
from darkflow.config import LIVE, SETTINGS, TUNNEL_NAMES, settings_of
from running import darkflow

TIMES = st.one_of(
    st.integers(1, 86_400).map(str),
    st.builds("{}.{:03}".format, st.integers(1, 9999), st.integers(0, 999)),
    st.builds("{}{}".format, st.integers(1, 1000), st.sampled_from(("ms", "s", "us", " s"))),
)
SIZES = st.integers(1, 1 << 29).map(str)
BYTES = st.builds("{}{}".format, st.integers(1, 900), st.sampled_from(("MiB", "GiB")))
NETWORKS = st.lists(
    st.one_of(st.ip_addresses().map(str), st.sampled_from(("10.0.0.0/8", "2001:db8::/32"))),
    min_size=1, max_size=5,
).map(",".join)  # fmt: skip
TUNNELS = st.lists(st.sampled_from((*TUNNEL_NAMES, "all")), max_size=3).map(",".join)
VALUES = {
    "time": TIMES,
    "bytes": BYTES,
    "CIDR,...": NETWORKS,
    "tunnel,...": TUNNELS,
    "days": st.integers(1, 36500).map(str),
    "rows": st.integers(1, 1000).map(str),
}
TEXTS = st.text(min_size=1).filter(lambda text: not text.startswith("-") and "\0" not in text)


def printed(argv: list[str]) -> str:
    """What --print-config prints for these words."""
    return config_text(commands_of(build_parser())[argv[0]], read_options(argv))


def read_back(command: str, text: str) -> dict[str, Any]:
    """Every option and the parsed settings, when `text` is all there is."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "darkflow.toml"
        path.write_text(text)
        return meant([command, "--config", str(path)])


def meant(argv: list[str]) -> dict[str, Any]:
    """Every option and the parsed settings for these words."""
    options = read_options(argv)
    values = vars(options) | parse_settings(options)
    return {name: value for name, value in values.items() if name != "config"}


@pytest.mark.parametrize("command", ["sensor", "analyze"])
def test_the_defaults_are_all_there_and_read_back(command: str) -> None:
    text = darkflow(command, "--print-config").stdout
    assert read_back(command, text) == meant([command])
    document = tomllib.loads(text)
    for setting in settings_of(command):
        key = setting.flags[-1].lstrip("-")
        if setting.default is None:
            assert f"\n#{key} = " in text
        else:
            assert key in document


@pytest.mark.parametrize("command", ["sensor", "analyze"])
def test_every_line_that_is_commented_out_may_be_brought_in(command: str) -> None:
    lines = darkflow(command, "--print-config").stdout.splitlines()
    text = "\n".join(line[1:] if line[:1] == "#" and line[1:2] != " " else line for line in lines)
    assert set(tomllib.loads(text)) == set(keys_of(commands_of(build_parser())[command]))
    read_back(command, text)


def test_what_a_reload_changes_is_marked() -> None:
    paragraphs = darkflow("sensor", "--print-config").stdout.split("\n\n")
    marked = {
        paragraph.splitlines()[-1].lstrip("#").split(" = ")[0].replace("-", "_")
        for paragraph in paragraphs
        if "changes at a reload" in paragraph.replace("\n# ", " ")
    }
    assert marked == set(LIVE) & {setting.name for setting in settings_of("sensor")}


@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    argv = ["sensor"]
    for setting in settings_of("sensor"):
        if data.draw(st.booleans()):
            value = data.draw(VALUES.get(setting.unit, SIZES))
            argv.append(f"{setting.flags[-1]}={value}")
    for name in data.draw(st.lists(TEXTS, max_size=3)):
        argv.append(f"--interface={name}")
    for flag in ("--events", "--store", "--dark-pcap"):
        if data.draw(st.booleans()):
            argv.append(f"{flag}={data.draw(TEXTS)}")
    for flag, choices in (("--outgoing", "auto yes no"), ("--events-at", "auto verdict end")):
        argv.append(f"{flag}={data.draw(st.sampled_from(choices.split()))}")
    assert read_back("sensor", printed(argv)) == meant(argv)


def test_what_is_given_is_printed() -> None:
    done = darkflow("sensor", "-i", "eth1", "--decap", "-T", "2s", "--print-config")
    assert (done.returncode, done.stderr) == (0, "")
    document = tomllib.loads(done.stdout)
    assert (document["interface"], document["hold"]) == (["eth1"], "2s")
    assert document["decap"] == ["all"]
    assert document["queue-size"] == 1 << 20


def test_a_name_that_is_no_text_is_said() -> None:
    done = darkflow("sensor", "--store", b"\xff", "--print-config")  # type: ignore[arg-type]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("darkflow: store: '\\udcff' is no UTF-8 text")


def test_lines_are_short_enough_to_read() -> None:
    for line in darkflow("sensor", "--print-config").stdout.splitlines():
        assert len(line) <= 100
    assert {setting.name for setting in SETTINGS} >= set(LIVE)
