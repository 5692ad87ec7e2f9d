"""Recording the sample again."""

import re
import shutil

import pytest

from basalt.core.recording import find_recordings
from basalt.io.errors import ConfigError
from basalt.io.paths import sample_dir
from tools import sample


@pytest.fixture
def recorded():
    return find_recordings(sample_dir())


def test_the_readme_follows_the_recordings(tmp_path, recorded):
    readme = (sample_dir() / "README.md").read_text()
    outdated = re.sub(r"`luanti-[\w.-]+`", "`luanti-1.2.3-0`", readme)
    (tmp_path / "README.md").write_text(outdated)
    sample.replace(recorded[:3], tmp_path)
    text = (tmp_path / "README.md").read_text()
    steps = sum(recording.meta.steps for recording in recorded[:3])
    assert (
        f"`{recorded[0].meta.world_version}`" in text
        and f"{steps:,} steps, about 1 minutes" in text
    )
    assert len(text.splitlines()) == len(readme.splitlines())
    assert [copy.actions().camera.shape for copy in find_recordings(tmp_path)] == [
        recording.actions().camera.shape for recording in recorded[:3]
    ]


def test_a_failed_demonstration_is_no_sample(tmp_path, recorded, monkeypatch):
    for path in recorded[0].stem.parent.glob(f"{recorded[0].stem.name}.*"):
        text = path.read_bytes()
        (tmp_path / path.name).write_bytes(text.replace(b'"ended":"esc"', b'"ended":"cut"'))
    meta = tmp_path / f"{recorded[0].stem.name}.json"
    meta.write_text(re.sub(r'"ended":\s*"esc"', '"ended": "cut"', meta.read_text()))
    monkeypatch.setattr(sample, "rollout", lambda *args, **settings: find_recordings(tmp_path))
    with pytest.raises(ConfigError, match="did not find the cave"):
        sample.record(tmp_path, jobs=1)
    shutil.rmtree(tmp_path)
