"""On a mirror nothing is diverted until it is seen to carry the real hosts' answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import skip
from honeypot_wires import SERVER4, Honeypot, cannot, silent, site


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot()
    if reason is not None:
        skip(reason)


def test_the_first_answer_of_a_real_host_opens_the_gate(tmp_path: Path) -> None:
    with site("mirror") as place:
        place.place = ("--mirror", "copies")
        place.serve()
        honeypot = Honeypot(place, tmp_path, "--hold", "400ms")
        assert "no answer of a watched host" in honeypot.status()["diverting"]
        assert place.curl(f"http://{silent(4, 1)}/", limit_s=1)[0] == ""
        assert honeypot.status()["not_diverted"] == {"one_sided": 1}
        assert place.curl(f"http://{SERVER4}/")[0] == "the server"
        honeypot.wait_for(lambda: honeypot.status()["diverting"] == "yes")
        assert "It works!" in place.curl(f"http://{silent(4, 2)}/")[0]
        honeypot.wait_for(lambda: "dark flows are diverted" in honeypot.log)
        assert honeypot.log.count("so nothing is diverted") == 1
        assert honeypot.end()[0] == 0
