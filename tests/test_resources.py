"""The data folders are found in a checkout and in a wheel, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance import resources
from machineid_conformance.resources import ResourceError


def test_in_this_installation() -> None:
    assert (resources.scenarios() / "baseline.yaml").is_file()
    assert (resources.reports() / "README.md").is_file()
    assert resources.schema("trace").name == "trace.schema.json"


def test_in_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "harness" / "machineid_conformance"
    package.mkdir(parents=True)
    (tmp_path / "scenarios").mkdir()

    assert resources.folder("scenarios", package=package) == tmp_path / "scenarios"


def test_in_a_wheel(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "machineid_conformance"
    (package / "scenarios").mkdir(parents=True)
    (tmp_path / "scenarios").mkdir()

    assert resources.folder("scenarios", package=package) == package / "scenarios"


def test_somebody_elses_folder_is_not_ours(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "machineid_conformance"
    package.mkdir(parents=True)
    (tmp_path / "reports").mkdir()

    with pytest.raises(ResourceError, match=r"the folder 'reports' of machineid-conformance is neither at .*: install"):
        resources.folder("reports", package=package)


def test_a_schema_that_there_is_not() -> None:
    with pytest.raises(ResourceError, match=r"nothing.schema.json is missing"):
        resources.schema("nothing")
