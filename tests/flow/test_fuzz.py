"""A few seconds of the fuzzer on the build that is installed, and that it can fail at all."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import fuzz
from darkflow.flow.decode import Decoder

SEED = 20_111_117


@pytest.fixture(scope="module")
def corpus() -> fuzz.Corpus:
    """Builder packets only: the real captures have a test of their own."""
    return fuzz.Corpus.built()


def test_fuzz_for_a_short_time(corpus: fuzz.Corpus) -> None:
    cases, frames = fuzz.fuzz(4, SEED, corpus)
    assert cases > 20
    assert frames > 2000


def test_fuzz_real_captures(captures: Path) -> None:
    corpus = fuzz.Corpus.built()
    corpus.add_captures(captures)
    assert len(corpus.files) > 100
    assert fuzz.fuzz(3, SEED, corpus)[0] > 20


def test_a_case_is_made_from_seed_and_number_alone(corpus: fuzz.Corpus) -> None:
    for number in range(8):
        assert fuzz.run_case(1, number, corpus) == fuzz.run_case(1, number, corpus)
    random, again = Random("1/3"), Random("1/3")
    assert fuzz.damaged_file(random, corpus) == fuzz.damaged_file(again, corpus)


def test_a_wrong_decoder_is_found(
    corpus: fuzz.Corpus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A decoder that enters tunnels when it must not is not what its twin is."""

    class Wrong(Decoder):
        def __init__(self, *args: object) -> None:
            super().__init__(["all"], *args[1:])  # type: ignore[arg-type]

    monkeypatch.setattr(fuzz, "Decoder", Wrong)
    with pytest.raises(AssertionError):
        fuzz.fuzz(5, SEED, corpus)
    assert f"seed {SEED}, case 1" in capfd.readouterr().err
