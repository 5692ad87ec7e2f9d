"""The Probes page reads suites as files, escapes what it shows, and keeps notes whatever happens."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import eval_ui
from basalt.core.recording import Recording
from basalt.core.video import VideoReader
from basalt.io.errors import BasaltError, ConfigError
from eval_ui import session
from eval_ui.probes_page.clips import cut_clip, data_url
from eval_ui.probes_page.export import export_html
from eval_ui.probes_page.notes import FILE, Note, read_notes, write_note
from eval_ui.probes_page.pictures import latent_html
from eval_ui.probes_page.suites import PROBES_VARIABLE, find_suites, open_autoencoder
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.settings import open_official_study

MAIN = Path(eval_ui.__file__).with_name("main.py")
HOSTILE = '<img src=x onerror="alert(1)">'
VERSION_1 = Path(__file__).parents[1] / "golden" / "probes-version-1"
MEASURES = ["attack", "forward", *(f"camera.{i}" for i in range(121))]


@pytest.fixture
def suite(players: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of one autoencoder with two latents, the second one dead, on a real recording; files of version 1."""
    folder = tmp_path / "probes" / "bc"
    sae = folder / "saes" / "lastlayer" / "topk-w2-l01"
    sae.mkdir(parents=True)
    recording = sorted(players["good"].glob("*.mp4"))[0].with_suffix("")
    report = json.loads((VERSION_1 / "suite" / "report.json").read_text())
    (row,) = report["saes"]
    report |= {"measures": MEASURES, "saes": [row | {
        "name": "topk-w2-l01", "l0": 1.0, "variance_explained": 0.5, "dead_share": 0.5,
        "loss_change": 0.01, "recovered_mean": {"value": 0.9, "interval": None},
        "l0_interval": [0.9, 1.2], "variance_explained_interval": [0.45, 0.52],
        "loss_change_interval": None,
    }]}  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "activations").mkdir()
    store = json.loads((VERSION_1 / "suite" / "activations" / "store.json").read_text())
    store["episodes"][0] |= {"name": HOSTILE, "recordings": [str(recording)]}
    (folder / "activations" / "store.json").write_text(json.dumps(store))
    moment = {"episode": 0, "frame": 5, "value": 2.0, "start": 0, "curve": [0.0, 1.0, 2.0, 0.5]}
    alive = {
        "density": 0.1, "episodes": 1, "top_share": 1.0, "mean": 1.0, "max": 2.0, "histogram": [3, 1],
        "moments": [moment], "examples": [moment | {"quantile": 0.5}],
        "concept": {"concept": HOSTILE, "auc": 0.8},
    }  # fmt: skip
    dead = {
        "density": 0.0, "episodes": 0, "top_share": None, "mean": None, "max": None, "histogram": [],
        "moments": [], "examples": [], "concept": None,
    }  # fmt: skip
    (sae / "latents.json").write_text(json.dumps([alive, dead]))
    np.save(sae / "effects.npy", np.linspace(-1, 1, 2 * len(MEASURES)).reshape(2, -1).astype("f2"))
    monkeypatch.setenv(PROBES_VARIABLE, str(tmp_path / "probes"))
    return folder


def test_the_page_shows_the_suite(
    suite: Path, empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/probes.py").run()
    assert not app.exception
    labels = {box.label: box for box in app.selectbox}
    assert labels["Suite"].options == ["bc"]
    assert labels["Latent"].options == ["0"]
    assert not any("<img" in text.value for text in app.markdown)
    caption = "95% intervals over held-out episodes: L0 0.9 to 1.2, unexplained 48.0% to 55.0%"
    assert caption in [text.value for text in app.caption]


def test_a_suite_without_measured_autoencoders_says_what_to_do(
    suite: Path, empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    report = json.loads((suite / "report.json").read_text())
    report |= {"saes": [], "left_out": ["metrics.json: kl: Field required"]}
    (suite / "report.json").write_text(json.dumps(report))
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/probes.py").run()
    assert not app.exception
    assert app.warning[0].value.endswith("the first: metrics.json: kl: Field required")
    assert "no autoencoder is measured yet" in app.error[0].value


def test_a_rater_of_a_blind_study_does_not_see_it(
    suite: Path, empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    open_official_study(
        empty_store, "luanti", {"find_cave": "1"}
    )  # its results are hidden from raters
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/probes.py").run()
    assert not app.exception and not app.selectbox
    assert app.info[0].value == "Probes are shown when the study has ended."
    monkeypatch.setattr(session, "current_admin", lambda: AdminIdentity("", "admin"))
    assert {box.label for box in app.run().selectbox} >= {"Suite", "Latent"}


def test_an_admin_writes_a_note(
    suite: Path, empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    monkeypatch.setattr(session, "current_admin", lambda: AdminIdentity("", "ada"))
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/probes.py").run()
    app.text_area[0].input(" a wall ")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    assert app.text_area[0].value == "a wall"
    note = read_notes(suite, "lastlayer", "topk-w2-l01")[0]
    assert (note.text, note.author) == ("a wall", "ada")


def test_without_a_suite_it_says_how_to_make_one(
    empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    monkeypatch.setenv(PROBES_VARIABLE, str(tmp_path))
    (tmp_path / "report.json").write_text("{half")
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/probes.py").run()
    assert not app.exception
    assert "basalt probe scope" in app.info[0].value


def test_without_a_suite_it_shows_the_smoke_test_that_the_demo_made(
    empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> None:
    monkeypatch.setattr(session, "browser_cookie", lambda name: None)
    monkeypatch.setenv(PROBES_VARIABLE, str(tmp_path))
    shutil.copytree(golden / "probes-version-1" / "smoke", tmp_path / "demo" / "probe")
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page("views/probes.py").run()
    assert not app.exception
    assert "### demo/probe" in [one.value for one in app.markdown]
    table = app.dataframe[0].value
    assert list(table["Autoencoder on"]) == ["Trained policy", "Control: random network"]
    assert table["BC loss change"].notna().all()
    assert "smoke test" in app.caption[0].value


def test_everything_is_escaped_and_drawn(suite: Path) -> None:
    (found,) = find_suites()
    sae = open_autoencoder(found, "lastlayer", "topk-w2-l01")
    html = latent_html(sae, 0, MEASURES, lambda _: "", note=HOSTILE)
    assert "<img" not in html
    assert html.count("&lt;img") == 4  # concept, two films, note
    assert html.count('class="more"') + html.count('class="less"') == 121 + 2
    assert "fires on no held-out frame" in latent_html(sae, 1, MEASURES, lambda _: "")


def test_clips_are_cut_from_the_recording(suite: Path) -> None:
    (found,) = find_suites()
    sae = open_autoencoder(found, "lastlayer", "topk-w2-l01")
    stems = tuple(sae.episodes[0].recordings)
    clip = cut_clip(stems, 3, 4)
    assert clip[4:8] == b"ftyp"
    steps = len(Recording.open(stems[0]))
    (suite / "two.mp4").write_bytes(cut_clip(stems * 2, steps - 1, 4))
    both = VideoReader(suite / "two.mp4")
    assert [both.read() is None for _ in range(5)] == [False] * 4 + [
        True
    ]  # a play of two recordings
    both.close()
    with pytest.raises(BasaltError):
        cut_clip(stems, 100_000, 4)
    with pytest.raises(BasaltError):
        cut_clip(("gone",), 0, 4)
    page = export_html(
        found,
        sae,
        [0],
        lambda _: data_url(clip),
        {0: Note(site="lastlayer", sae="topk-w2-l01", latent=0, text=HOSTILE)},
    )
    assert "data:video/mp4;base64," in page
    assert "<img" not in page
    assert "export default" not in page


def test_damaged_or_unknown_autoencoders_are_reported(suite: Path) -> None:
    (found,) = find_suites()
    with pytest.raises(ConfigError, match="is not in its report"):
        open_autoencoder(found, "../../etc", "passwd")
    file = suite / "saes" / "lastlayer" / "topk-w2-l01" / "latents.json"
    file.write_text("[")
    with pytest.raises(BasaltError, match="cannot be read"):
        open_autoencoder(found, "lastlayer", "topk-w2-l01")
    file.write_text("[]")
    with pytest.raises(BasaltError, match=r"expected effects\.npy of shape"):
        open_autoencoder(found, "lastlayer", "topk-w2-l01")


def test_notes_are_kept_line_by_line(tmp_path: Path) -> None:
    for text in ("a tree", "a trunk"):
        write_note(tmp_path, "lastlayer", "topk", 3, text, "ada")
    with (tmp_path / FILE).open("a") as file:
        file.write('{"site": "lastl')  # a writer was killed
    write_note(tmp_path, "lastlayer", "topk", 4, "the sky", "ada")
    notes = read_notes(tmp_path, "lastlayer", "topk")
    assert {latent: note.text for latent, note in notes.items()} == {3: "a trunk", 4: "the sky"}
    write_note(tmp_path, "lastlayer", "topk", 3, " ", "ada")
    assert set(read_notes(tmp_path, "lastlayer", "topk")) == {4}
    assert read_notes(tmp_path, "embed", "topk") == {}
    with pytest.raises(ConfigError, match="at most"):
        write_note(tmp_path, "lastlayer", "topk", 3, "x" * 3000, "ada")
    assert len((tmp_path / FILE).read_text().splitlines()) == 5
