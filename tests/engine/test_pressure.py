from __future__ import annotations

from machineid_conformance.engine import pressure
from machineid_conformance.engine.pressure import Reading


def test_the_share_of_the_time_in_which_a_core_was_waited_for() -> None:
    assert pressure.share(Reading(at=10.0, waited=3.0), Reading(at=14.0, waited=4.0)) == 0.25
    assert pressure.share(Reading(at=10.0, waited=3.0), Reading(at=10.0, waited=4.0)) == 1.0


def test_without_the_kernels_word_the_load_counts() -> None:
    assert 0.0 <= pressure.share(Reading(at=10.0, waited=None), Reading(at=14.0, waited=None)) <= 1.0


def test_a_reading_is_of_now() -> None:
    before, after = pressure.read(), pressure.read()
    assert before.at <= after.at
    assert before.waited is None or (after.waited is not None and before.waited <= after.waited)
