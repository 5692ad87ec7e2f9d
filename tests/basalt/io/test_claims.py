"""A folder belongs to the work it was made for."""

import json

import pytest

from basalt.io.claims import claim
from basalt.io.errors import ConfigError


def test_the_same_work_resumes_and_other_work_is_refused(tmp_path):
    file = tmp_path / "out" / "rollout.json"
    first = claim(file, "rollout", {"task": "find_cave", "seeds": (1, 2)}, header={"version": 1})
    assert first == {"version": 1, "task": "find_cave", "seeds": [1, 2]}
    before = file.stat().st_mtime_ns
    assert claim(file, "rollout", {"task": "find_cave", "seeds": [1, 2]}) == first
    assert file.stat().st_mtime_ns == before
    with pytest.raises(
        ConfigError, match=r"this rollout was made with task='find_cave', not task=3"
    ):
        claim(file, "rollout", {"task": 3, "seeds": [1, 2]})
    with pytest.raises(ConfigError, match=r"made with job='find_cave', not job=3"):
        claim(file, "rollout", {"task": 3}, settings={"task": "job"})
    assert json.loads(file.read_text()) == first


def test_what_may_change_is_kept_up_to_date(tmp_path):
    file = tmp_path / "config.json"
    claim(file, "training run", {"lr": 1.0, "steps": 10})
    assert (
        claim(file, "training run", {"lr": 1.0, "steps": 20}, may_change={"steps"})["steps"] == 20
    )
    with pytest.raises(ConfigError, match=r"steps=20, not steps=10"):
        claim(file, "training run", {"lr": 1.0, "steps": 10})


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff"])
def test_a_damaged_claim_is_one_line(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"expected .*JSON.*use another out=FOLDER") as err:
        claim(file, "training run", {"lr": 1.0})
    assert "\n" not in str(err.value)
