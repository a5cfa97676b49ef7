"""Effect rules: what each kind of match catches, which role it gives, and what is answered."""

from __future__ import annotations

from pathlib import Path

from tests.features.support import configure, judge


def test_plain(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "t"), scenarios=("startup-revoked", "revoke-in-flight"))
    print(judged.exit, judged.printed)
    print(judged.having("fail", "warn"), judged.having("pass"))
    assert 0
