"""The Loops page shows what each round of a loop found, and to raters nothing before the study has ended."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import eval_ui
from basalt.core.loop_record import FILE, LoopRecord, LoopRound
from eval_ui.loop_charts import loops_by_title, optimisation_plot, proxy_plot, success_plot
from eval_ui.probes_page.suites import PROBES_VARIABLE
from leaderboard.studies.rules import StudyInfo

VIEW = Path(eval_ui.__file__).with_name("views") / "loops.py"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROBES_VARIABLE, str(tmp_path / "runs"))
    return tmp_path / "runs"


def a_round(number: int) -> LoopRound:
    known = (
        {"accuracy": 0.8, "ceiling": 0.9, "control": 0.6, "proxy": 0.5}
        if number
        else {"proxy": 0.0}
    )
    return LoopRound(
        number=number, run=f"runs/loop/{number}", labels=500 * number, decided=300 * number, gold=0.2 + 0.1 * number,
        divergence=0.04 * number, success=0.1 * number, success_interval=(0.0, 0.5), stop_rate=0.4, episodes=30,
        seconds=10.0, **known,
    )  # fmt: skip


def write(folder: Path, rounds: int = 3, ended: str = "") -> LoopRecord:
    record = LoopRecord(
        task="find_cave", init="runs/bc", improve="cpl", teacher="mixed", planned=3, stage="round 3: improving",
        ended=ended, rounds=tuple(map(a_round, range(rounds))),
    )  # fmt: skip
    record.write(folder / FILE)
    return record


def test_loops_are_found_and_drawn(runs: Path) -> None:
    record = write(runs / "loops" / "one")
    (runs / "damaged").mkdir()
    (runs / "damaged" / FILE).write_text("{")
    assert {name: found for name, (_, found) in loops_by_title().items()} == {"loops/one": record}
    reward = proxy_plot(record).to_dict()
    (rows,) = reward["datasets"].values()
    assert [(row["Round"], row["Reward"]) for row in rows] == [(0, 0.0), (1, 0.5), (2, 0.5)]
    (points,) = optimisation_plot(record).to_dict()["datasets"].values()
    assert [round(row["distance"], 3) for row in points] == [0.0, 0.2, 0.283]
    assert success_plot(record).to_dict()["layer"]


def test_the_page_shows_a_loop(runs: Path, study: StudyInfo) -> None:
    empty = AppTest.from_file(str(VIEW), default_timeout=60).run()
    assert "There is no loop yet" in empty.info[0].value
    write(runs / "one", ended="round 3: too far")
    shown = AppTest.from_file(str(VIEW), default_timeout=60).run()
    assert not shown.exception
    assert "2 of 3 rounds are complete" in shown.markdown[1].value
    assert "the synthetic teacher `mixed`" in shown.markdown[1].value
    assert shown.warning[0].value == "Ended early: round 3: too far"
    assert shown.dataframe[0].value["Answers"].tolist() == [0, 500, 1000]
