"""What --print-config prints is a configuration file, and means what was in effect."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.cli import parse_settings, read_options
from darkflow.commands.config_file import keys_of
from darkflow.commands.config_text import config_text
from darkflow.commands.parser import build_parser, commands_of
from darkflow.config import LIVE, SETTINGS, settings_of
from darkflow.setting import Setting
from darkflow.units import TUNNEL_NAMES
from running import darkflow

# What somebody may write, by unit; of a setting those are tried that it can have.
WRITTEN = {
    "time": ["1", "2.5", "0.001", "7 s", "50ms", "32ms", "999us", "1.5m", "2min", "24h", "86400"],
    "bytes": ["65536", "64KiB", "1MiB", "1.5MiB", "7GiB", "0.5GiB", "1073741824", "16 MiB"],
    "CIDR,...": ["192.0.2.0/24", "::/0", "10.0.0.0/8,2001:db8::/32", "192.0.2.1, 2001:db8::1"],
    "tunnel,...": ["", "all", "vxlan", "gre, gtp", *TUNNEL_NAMES],
}
NUMBERS = ["1", "2", "007", "12", "64", "1000", "36500", "1048576", "536870912", " 3 "]


def values_of(setting: Setting) -> st.SearchStrategy[str]:
    """Values that a setting can have."""

    def can_have(text: str) -> bool:
        with suppress(ValueError):
            setting.parse(text)
            return True
        return False

    written = [*WRITTEN.get(setting.unit, NUMBERS), *([setting.default] if setting.default else [])]
    return st.sampled_from([text for text in written if can_have(text)])


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


@settings(deadline=None)
@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    argv = ["sensor"]
    for setting in settings_of("sensor"):
        if data.draw(st.booleans()):
            argv.append(f"{setting.flags[-1]}={data.draw(values_of(setting))}")
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


@pytest.mark.parametrize("name", ['"', "\\", "\x7f", "\t", "\x01", "'''", "é", "𝛿", "a\nb", "#x"])
def test_any_text_is_written_so_that_it_is_read_back(name: str) -> None:
    argv = ["sensor", f"--events=x{name}", f"--interface={name}"]
    assert read_back("sensor", printed(argv)) == meant(argv)


def test_services_are_printed_as_they_were_given(tmp_path: Path) -> None:
    text = """\
[[honeypot.service]]
name = "web"
ports = ["80", "8000-8010", 8080]
port = 8000
command = ["python3", "-m", 'a "b"']
environment = { "A" = "x\\ty", "B.C" = "" }
cpu = 0.5
[[honeypot.service]]
name = "far"
ports = "25"
to = "[2001:db8::7]:25"
proxy_protocol = true
"""
    given, again = tmp_path / "given.toml", tmp_path / "again.toml"
    given.write_text(text)
    command = ["honeypot", "--config"]
    once = darkflow(*command, str(given), "--print-config")
    assert (once.returncode, once.stderr) == (0, "")
    again.write_text(once.stdout)
    services = tomllib.loads(text)["honeypot"]["service"]
    assert tomllib.loads(once.stdout)["honeypot"]["service"] == services
    assert darkflow(*command, str(again), "--print-config").stdout == once.stdout
