"""A record comes back as it was written; what is not one is refused in a line."""

import json
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.core.records import Record
from basalt.io.errors import ConfigError


class Score(Record):
    """A small record; version 1 called `mean` `figure`."""

    FORMAT: ClassVar[str] = "basalt-test-score"
    VERSION: ClassVar[int] = 2

    mean: float
    seeds: tuple[int, ...] = ()

    @classmethod
    def upgrade(cls, content, version):
        if version == 1:
            content["mean"] = content.pop("figure")
        return content


@given(st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers()))
def test_it_comes_back(tmp_path_factory, mean, seeds):
    path = tmp_path_factory.mktemp("record") / "score.json"
    score = Score(mean=mean, seeds=tuple(seeds))
    score.write(path)
    assert Score.read(path) == score
    assert json.loads(path.read_text())["format"] == "basalt-test-score"


def test_an_older_version_still_opens(tmp_path):
    path = tmp_path / "score.json"
    path.write_text(json.dumps({"format": "basalt-test-score", "version": 1, "figure": 0.5}))
    assert Score.read(path) == Score(mean=0.5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "expected a basalt-test-score file"),
        ("[1]", "expected a basalt-test-score object, got list"),
        ('{"format": "x", "version": 2, "mean": 1}', "expected format 'basalt-test-score', got 'x'"),
        ('{"format": "basalt-test-score", "version": 3, "mean": 1}', "newer than this package reads"),
        ('{"format": "basalt-test-score", "version": 2, "mean": "x"}', "mean: "),
        ('{"format": "basalt-test-score", "version": 2, "mean": NaN}', "mean: "),
        ('{"format": "basalt-test-score", "version": 2, "mean": 1, "men": 1}', "men: "),
        ('{"format": "basalt-test-score", "version": "2", "mean": 1}', "version '2'"),
    ],
)  # fmt: skip
def test_what_is_not_a_record_is_refused_in_a_line(tmp_path, content, says):
    path = tmp_path / "score.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as err:
        Score.read(path)
    assert says in str(err.value) and "\n" not in str(err.value) and str(path) in str(err.value)
