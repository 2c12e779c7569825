"""How many examples the properties are tried on: few by default, many with ``-m slow``; the same ones every time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where hypothesis keeps its files: not in the working directory."""
    folder = tmp_path_factory.mktemp("hypothesis")
    set_hypothesis_home_dir(folder)
    yield folder
    set_hypothesis_home_dir(None)


@pytest.fixture(params=[25, pytest.param(2000, marks=pytest.mark.slow)])
def examples(request: pytest.FixtureRequest) -> settings:
    """Decorates a test of a property."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(
        max_examples=request.param, derandomize=True, database=None, deadline=None, suppress_health_check=checks
    )
