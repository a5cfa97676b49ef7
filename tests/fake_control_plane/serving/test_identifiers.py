from __future__ import annotations

import uuid

from fake_control_plane.serving.guards import KEY_MARK
from fake_control_plane.serving.identifiers import OrgKeys, request_ids


def test_request_ids_are_fresh_random_uuids() -> None:
    new_id = request_ids()
    made = [new_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {(4, uuid.RFC_4122)}
    assert all(str(uuid.UUID(one)) == one for one in made)
    assert {one[19] for one in made} == set("89ab")
    assert request_ids()() != request_ids()()


def test_a_seed_repeats_them() -> None:
    one, same, other = request_ids(1), request_ids(1), request_ids(2)
    ids = [one() for _ in range(1000)]
    assert ids == [same() for _ in range(1000)]
    assert set(ids).isdisjoint(other() for _ in range(1000))


def test_org_keys_are_marked_and_a_seeded_one_goes_on_behind_those_given() -> None:
    keys = [OrgKeys(1), OrgKeys(1)]
    given = [keys[0]() for _ in range(5)]
    assert given == [keys[1]() for _ in range(5)]
    assert len(set(given)) == 5
    assert all(key.startswith(KEY_MARK) for key in given)
    assert OrgKeys(1, minted=3)() == given[3]
    assert OrgKeys()() != OrgKeys()()
