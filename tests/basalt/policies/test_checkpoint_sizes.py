"""The sizes in checkpoint.json and in a `.model` file may be anything: they are compared before memory is taken."""

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import load_policy
from basalt.policies.config import VPTConfig
from tests.support.tiny_policy import TINY, tiny_run

CPU = torch.device("cpu")

FEW_MEGABYTES = 300
"""Memory that loading may take more; each checkpoint below asks for many times as much."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tiny_run(folder)
    load_policy(folder, CPU)  # what the first load takes for itself does not count
    return folder


def changed(run: Path, to: Path, **sizes: object) -> Path:
    """A copy of a run whose checkpoint claims other sizes."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run, to)
    (file,) = to.glob("checkpoints/*/checkpoint.json")
    content: dict[str, Any] = json.loads(file.read_text())
    content["policy"] |= sizes
    file.write_text(json.dumps(content))
    return to


def megabytes() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def refused(folder: Path) -> str:
    before = megabytes()
    with pytest.raises(ConfigError) as error:
        load_policy(folder, CPU)
    assert megabytes() - before < FEW_MEGABYTES
    assert "\n" not in str(error.value)
    return str(error.value)


COUNTS = st.sampled_from([1, 2, 64, 256, 257, 6_000, 16_000, 65_536, 10**6, 10**7, 10**30])


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.fixed_dictionaries(
        {},
        optional={
            "hidsize": COUNTS.map(lambda count: 2 * count),
            "n_recurrence_layers": COUNTS,
            "impala_chans": st.lists(COUNTS, min_size=1, max_size=4),
            "impala_width": st.sampled_from([1, 12, 1000, 1e300]),
            "frame_stack": COUNTS,
            "pointwise_ratio": COUNTS,
            "img_shape": st.tuples(COUNTS, COUNTS, st.just(3)).map(list),
        },
    )
)
@example(sizes={"hidsize": 6_000})
@example(sizes={"hidsize": 16_000})
@example(sizes={"n_recurrence_layers": 10**6})
@example(sizes={"impala_chans": [2] * 2_000})
def test_claimed_sizes_take_no_memory(run: Path, tmp_path: Path, sizes: dict[str, object]) -> None:
    folder = changed(run, tmp_path / "copy", **sizes)
    (file,) = folder.glob("checkpoints/*/checkpoint.json")
    if json.loads(file.read_text())["policy"] == json.loads(json.dumps(TINY.to_dict())):
        load_policy(folder, CPU)
    else:
        refused(folder)


def test_the_difference_is_named(run: Path, tmp_path: Path) -> None:
    message = refused(changed(run, tmp_path / "copy", hidsize=64))
    assert "weights do not fit checkpoint.json" in message and "expected [" in message
    assert "n_recurrence_layers" in refused(
        changed(run, tmp_path / "copy", n_recurrence_layers=10**7)
    )


def test_deep_facts_are_one_line(run: Path, tmp_path: Path) -> None:
    folder = changed(run, tmp_path / "copy")
    (file,) = folder.glob("checkpoints/*/checkpoint.json")
    file.write_text("[" * 200_000)
    assert "nested too deeply" in refused(folder)


@pytest.mark.parametrize(
    "sizes",
    [{"impala_chans": [2] * 2_000}, {"n_recurrence_layers": 3_000}, {"n_recurrence_layers": 10**7}],
)
def test_a_published_file_s_counts_are_bounded_before_layers_are_made(
    sizes: dict[str, Any],
) -> None:
    kwargs = TINY.to_dict() | sizes
    with pytest.raises(ConfigError):
        VPTConfig.from_kwargs(kwargs)


@pytest.mark.parametrize("name", ["small", "1x", "2x", "3x"])
def test_all_sizes_in_use_are_within_the_bounds(name: str) -> None:
    config = VPTConfig.preset(name)
    assert replace(config) == config
