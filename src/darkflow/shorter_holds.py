"""The settings of `--adaptive`: some SYNs are held for less than T; a part of config.SETTINGS."""

from darkflow.setting import Setting
from darkflow.units import parse_count, parse_positive_time, parse_share, parse_size

SHORTER_HOLDS: tuple[Setting, ...] = (
    Setting(
        "adaptive", ("--adaptive",), None, "time",
        "hold a SYN for less than T, but at least for this time, if its destination was dark often"
        " and long (default: off)", parse_positive_time,
    ),
    Setting(
        "adaptive_max_false", ("--adaptive-max-false",), "0.01%", "share",
        "how many of the attempts to such destinations may be answered between the shorter hold and"
        " T; where that cannot be shown, T is used", parse_share,
    ),
    Setting(
        "adaptive_often", ("--adaptive-often",), "10", "flows",
        "dark flows in a row to one address and port, without an answer between, that make it"
        " often", parse_count,
    ),
    Setting(
        "adaptive_long", ("--adaptive-long",), "1h", "time",
        "time from the first of them on that makes it long", parse_positive_time,
    ),
    Setting(
        "adaptive_alive", ("--adaptive-alive",), "24h", "time",
        "an address that sent a SYN+ACK or RST within this time is alive: held for T, on every"
        " port; dark flows so far apart are not in a row; nothing is shortened before packets were"
        " seen for so long", parse_positive_time,
    ),
    Setting(
        "adaptive_size", ("--adaptive-size",), "65536", "entries",
        "addresses with a port that were dark, and as many living addresses, that are remembered",
        parse_size,
    ),
)  # fmt: skip
