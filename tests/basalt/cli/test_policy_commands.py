"""Published files are fetched and looked into; plain video becomes recordings."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.core.actions import VPT_BUTTONS, bins_to_camera
from basalt.core.recording import Recording
from basalt.core.recording_checks import check_recording
from basalt.core.video import FrameSize, VideoWriter
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.locks import LOCK_FILE, sole_writer
from basalt.policies import label as label_module
from basalt.policies.catalogue import PUBLISHED, policies_dir
from basalt.policies.idm import InverseDynamicsModel, idm_config, load_official_idm
from basalt.policies.label import label_video
from basalt.policies.preprocess import resize_frame
from basalt.policies.source import official_files
from tests.support.range_server import Server
from tests.support.synthetic import write_episode


@pytest.fixture(scope="module")
def golden(golden: Path) -> Path:
    return golden / "vpt"


def write_official(folder: Path, golden: Path, kind: str) -> tuple[Path, Path]:
    """The golden tiny policy or idm as the two published files."""
    folder.mkdir(parents=True, exist_ok=True)
    kwargs = json.loads((golden / f"tiny_{kind}_kwargs.json").read_text())
    net = kwargs["policy_kwargs" if kind == "policy" else "idm_net_kwargs"]
    arguments = {"net": {"args": net}, "pi_head_opts": kwargs["pi_head_kwargs"]}
    model, weights = folder / f"{kind}.model", folder / f"{kind}.weights"
    model.write_bytes(pickle.dumps({"model": {"args": arguments}}))
    with np.load(golden / f"tiny_{kind}_weights_f16.npz") as stored:
        torch.save(
            {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files}, weights
        )
    return model, weights


@pytest.fixture
def server():  # type: ignore[no-untyped-def]
    import threading

    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_published_files_are_fetched_once_and_cut_connections_mended(
    server: Server,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    model, weights = write_official(tmp_path / "made", golden, "policy")
    entry = PUBLISHED["foundation-1x"]
    server.files = {
        f"/{entry.model}": model.read_bytes(),
        f"/{entry.weights}": weights.read_bytes(),
    }
    server.faults[f"/{entry.weights}"] = "cuts"
    command = ["policy", "download", "foundation-1x", "--source", server.url, "--quiet"]
    assert cli.run([*command, "--dry-run"]) == 0
    assert not list(policies_dir().rglob("*.weights"))
    assert cli.run(command) == 0
    assert "2 files" in capsys.readouterr().out
    assert (policies_dir() / entry.weights).read_bytes() == weights.read_bytes()
    seen = server.seen.total()
    assert cli.run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["present"] == 2
    assert server.seen.total() == seen
    # What was fetched is found by its name.
    assert cli.run(["policy", "info", "foundation-1x", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "published policy"
    assert all(name.startswith("esc_head.") for name in facts["missing"])
    assert cli.run(["policy", "download", "bc-house-3x", "--source", server.url, "--quiet"]) == 1
    assert "not on the server" in capsys.readouterr().out
    assert cli.run(["policy", "download", "fundation-1x"]) == 1
    assert "did you mean 'foundation-1x'" in capsys.readouterr().err


def test_official_files_are_found(golden: Path, tmp_path: Path) -> None:
    model, weights = write_official(tmp_path, golden, "policy")
    assert official_files(weights) == official_files(f"{model},{weights}") == (model, weights)
    shared_model = tmp_path / "foundation-model-3x.model"
    house = tmp_path / "bc-house-3x.weights"
    with pytest.raises(ConfigError, match=r"bc-house-3x\.model is not beside it"):
        official_files(house)
    model.rename(shared_model)
    assert official_files(house) == (shared_model, house)
    assert official_files(tmp_path) is None


def test_plain_video_becomes_a_recording(golden: Path, tmp_path: Path, monkeypatch) -> None:
    """Labels are the model's on each window's middle, wherever the work was interrupted."""
    monkeypatch.setattr(label_module, "WINDOW_FRAMES", 12)
    monkeypatch.setattr(label_module, "STEP", 4)
    model, _ = load_official_idm(*write_official(tmp_path, golden, "idm"))
    size = model.config.frame_size
    recording = write_episode(tmp_path / "play", 100_000, 29)
    video = tmp_path / "plain.mp4"
    video.write_bytes(recording.video_path.read_bytes())
    out = tmp_path / "labelled"
    device = torch.device("cpu")
    label_video(model, video, out, size=size, device=device)
    labelled = Recording.open(out / "plain")
    check_recording(labelled)
    assert len(labelled) == 29
    frames = np.stack([resize_frame(f, size) for f in recording.frames()])
    actions = labelled.actions()
    with torch.no_grad():
        for begin in range(0, 29, 4):
            low, high = max(begin - 4, 0), min(begin + 8, 30)
            result = model(torch.from_numpy(frames[low:high])[None])
            for t in range(begin, min(begin + 4, 29)):
                camera = bins_to_camera(result.camera_logits[0, t - low].argmax(-1).numpy())
                np.testing.assert_allclose(actions.camera[t], camera, atol=1e-4)
                held = result.buttons_logits[0, t - low].argmax(-1)
                for name, pressed in zip(VPT_BUTTONS, held.tolist(), strict=True):
                    if name not in ("attack", "inventory") and not name.startswith("hotbar"):
                        assert actions.column(name)[t] == pressed
    whole = labelled.lines_path.read_text()
    (out / ".plain.jsonl.partial").write_text("\n".join(whole.splitlines()[:10]) + '\n{"mou')
    labelled.lines_path.unlink()
    label_video(model, video, out, size=size, device=device)
    assert labelled.lines_path.read_text() == whole
    assert [path.name for path in out.glob(".*")] == [LOCK_FILE]
    labelled.lines_path.unlink()
    # Killed once more, just when it cuts the lines of the first run: they are still there.
    partial = out / ".plain.jsonl.partial"
    partial.write_text(half := "\n".join(whole.splitlines()[:10]))
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            label_video(model, video, out, size=size, device=device)
    assert partial.read_text() == half
    partial.unlink()
    with (
        sole_writer(out, "labelling"),
        pytest.raises(ConfigError, match="another labelling is writing to this folder"),
    ):
        label_video(model, video, out, size=size, device=device)


def test_the_label_command(golden: Path, tmp_path: Path, capsys) -> None:
    model, weights = write_official(tmp_path, golden, "idm")
    play = write_episode(tmp_path / "play", 100_000, 5)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(play.video_path.read_bytes())
    command = ["policy", "label", str(tmp_path / "videos"), "--model", f"{model},{weights}"]
    assert cli.run([*command, "--quiet", "--device", "cpu"]) == 0
    assert "1 videos labelled" in capsys.readouterr().out
    assert len(Recording.open(tmp_path / "videos" / "a")) == 5
    assert cli.run(["policy", "info", f"{model},{weights}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "published idm"
    assert cli.run(["policy", "label", str(tmp_path / "none")]) == 1
    assert "no such file or folder" in capsys.readouterr().err


def test_unfit_videos_are_refused(golden: Path, tmp_path: Path) -> None:
    kwargs = json.loads((golden / "tiny_idm_kwargs.json").read_text())
    model = InverseDynamicsModel(idm_config(kwargs["idm_net_kwargs"], kwargs["pi_head_kwargs"]))
    one = tmp_path / "one.mp4"
    writer = VideoWriter(one)
    writer.write(np.zeros((360, 640, 3), dtype=np.uint8))
    writer.close()
    settings = {"size": FrameSize(32, 32), "device": torch.device("cpu")}
    with pytest.raises(RecordingError, match="expected at least two frames, got 1"):
        label_video(model, one, tmp_path, **settings)  # type: ignore[arg-type]
    small = tmp_path / "small.mp4"
    writer = VideoWriter(small, FrameSize(320, 180))
    for _ in range(3):
        writer.write(np.zeros((180, 320, 3), dtype=np.uint8))
    writer.close()
    with pytest.raises(RecordingError, match=r"is 320x180, not 640x360; .*scale=640:360"):
        label_video(model, small, tmp_path / "out", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    cut = tmp_path / "cut.mp4"
    whole = write_episode(tmp_path / "play", 100_000, 300).video_path.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"cut\.mp4: .*; make the video again"):
        size = model.config.frame_size
        label_video(model, cut, tmp_path / "out", size=size, device=torch.device("cpu"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK_FILE]
    with pytest.raises(RecordingError, match=r"a\.avi: expected an \.mp4"):
        label_video(model, tmp_path / "a.avi", tmp_path, **settings)  # type: ignore[arg-type]
