"""Scores of reward models are curves under the films of the episodes that they scored."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import eval_ui
from basalt.core.rewards import SCORES, EpisodeScores, RewardScores, scores_file
from eval_ui import session
from eval_ui.probes_page.suites import PROBES_VARIABLE
from eval_ui.reward_curves import reward_curves
from eval_ui.watch import MOST_POINTS, Curve
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.submissions.episodes import list_episodes

MAIN = Path(eval_ui.__file__).with_name("main.py")

FIRST, SECOND = "a" * 64, "b" * 64


def write(folder: Path, video: str, steps: int = 5, synthetic: bool = True) -> Path:
    record = RewardScores(
        reward="runs/reward", fingerprint="0", task="find_cave", question="", synthetic=synthetic
    )
    record.write(folder / SCORES)
    rising = tuple(n / 10 for n in range(steps))
    EpisodeScores(
        episode=video, player="p", seed=1, reward=rising, spread=rising, distance=rising
    ).write(scores_file(folder, video))  # fmt: skip
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROBES_VARIABLE, str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_a_scored_episode_has_its_reward_and_its_distance_as_curves(runs: Path) -> None:
    write(runs / "reward" / "scores", FIRST)
    reward, distance = reward_curves([FIRST])
    assert reward.label == "Reward by reward, synthetic answers"
    assert (distance.label, distance.unit) == ("Distance from data of reward", "of the limit")
    assert reward.sides == ((0.05, [0.0, 0.1, 0.2, 0.3, 0.4]),)
    write(runs / "reward" / "scores", SECOND, steps=2 * MOST_POINTS)
    both, _ = reward_curves([FIRST, SECOND])
    assert [len(values) for _, values in both.sides] == [5, MOST_POINTS]


def test_only_models_that_scored_all_shown_episodes_have_curves(runs: Path) -> None:
    assert reward_curves([FIRST]) == []
    write(runs / "one" / "scores", FIRST)
    write(runs / "two" / "scores", SECOND, synthetic=False)
    assert reward_curves([SECOND])[0].label == "Reward by two"
    assert reward_curves([FIRST, SECOND]) == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "basalt-episode-scores", "version": 99}', "\x00"]
)
def test_a_damaged_file_takes_no_other_curve_away(runs: Path, content: str) -> None:
    write(runs / "fine" / "scores", FIRST)
    scores_file(write(runs / "worse" / "scores", FIRST), FIRST).write_text(content)
    assert len(reward_curves([FIRST])) == 2
    unequal = json.loads(scores_file(runs / "fine" / "scores", FIRST).read_text())
    unequal["reward"].append(1.0)
    scores_file(runs / "worse" / "scores", FIRST).write_text(json.dumps(unequal))
    assert len(reward_curves([FIRST])) == 2


def test_the_episodes_page_draws_them(
    runs: Path, study: StudyInfo, empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in list_episodes(empty_store, study):
        write(runs / "reward" / "scores", one.video_sha256)
    shown: list[Curve] = []
    monkeypatch.setattr(
        "eval_ui.watch.watch", lambda key, names, urls, curves: shown.extend(curves)
    )
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/episodes.py").run()
    assert not app.exception
    assert shown[0].label == "Reward by reward, synthetic answers"
    assert len(shown) > 2  # and the telemetry
