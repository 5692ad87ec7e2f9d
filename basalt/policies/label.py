"""Label a plain video with actions by VPT's inverse dynamics model, which makes it a recording.

The model sees a window of past and future frames, so windows overlap and only their middles are used.
Lines are written as they are labelled, and an interrupted video is resumed at the last complete step.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from basalt.core.actions import VPT_BUTTONS, bins_to_camera
from basalt.core.recorder_lines import KEY_OF_BUTTON, Line, encode_input
from basalt.core.recording_checks import picture_faults
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.video import FRAME_SIZE, FrameSize, VideoReader, probe
from basalt.io.atomic import write_text
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.locks import sole_writer
from basalt.policies.idm import IDMOutput
from basalt.policies.preprocess import resize_frame

WINDOW_FRAMES = 128
"""Number of frames in a window, as in the model's training."""

STEP = 64
"""Number of frames that each window labels, in its middle."""

Model = Callable[[torch.Tensor], IDMOutput]


def label_video(
    model: Model,
    video: Path,
    out: Path,
    *,
    size: FrameSize,
    device: torch.device,
    on_frames: Callable[[int], object] = lambda frames: None,
) -> Path:
    """Write `out/NAME.jsonl` for a video and link the video beside it, so that both are a recording.

    Args:
        model: Inverse dynamics model.
        video: Video of play at 20 Hz.
        out: Output folder; may be the video's own.
        size: Size of the model's input frame.
        device: Device of the model.
        on_frames: Called with the number of frames labelled since the last call.

    Returns:
        The file of lines. If it exists already, nothing is done.

    Raises:
        RecordingError: The file is not a video, has another rate or size or fewer than two frames, or
            is damaged.
        ConfigError: Another recording has that name.
        BusyError: Another process labels into `out`.
    """
    lines_path, linked = out / f"{video.stem}.jsonl", out / video.name
    if video.suffix != ".mp4":
        raise RecordingError(
            f"{video}: expected an .mp4 file; convert it first (ffmpeg -i IN -r 20 OUT.mp4)"
        )
    info = probe(video)
    for fault in picture_faults(video, info):
        fix = {"rate": f"-r {STEPS_PER_SECOND}", "picture": "-vf scale={}:{}".format(*FRAME_SIZE)}
        raise RecordingError(
            f"{fault}; convert it first (ffmpeg -i {video.name} {fix[fault.kind]} OUT.mp4)"
        )
    if info.frames < 2:
        raise RecordingError(f"{video}: expected at least two frames, got {info.frames}")
    if linked.exists() and linked.resolve() != video.resolve():
        raise ConfigError(f"{linked}: another video has this name; use another out=FOLDER")
    if lines_path.is_file():
        on_frames(info.frames - 1)
        return lines_path
    with sole_writer(out, "labelling"):
        partial = out / f".{video.stem}.jsonl.partial"
        labelled = _read_whole_steps(partial)
        on_frames(len(labelled))
        last = labelled[-1] if labelled else None
        windows = _windows(model, video, len(labelled), info.frames, size, device)
        try:
            with partial.open("a", encoding="utf-8") as file:
                for buttons, camera in windows:
                    for held, degrees in zip(buttons, camera, strict=True):
                        last = _line(held, degrees, last)
                        file.write(last.to_json() + "\n")
                    file.flush()
                    on_frames(len(buttons))
        except RecordingError as err:
            # The video must be replaced, so the lines made so far are useless.
            partial.unlink()
            raise RecordingError(f"{err}; make the video again, or leave it out") from err
        if not linked.exists():
            linked.symlink_to(video.resolve())
        partial.replace(lines_path)
    return lines_path


def _read_whole_steps(partial: Path) -> list[Line]:
    """Lines of an earlier run up to its last complete step; the file is truncated there.

    The file grows over several runs, so it stays when one is killed, unlike those of `basalt.io.atomic`.
    """
    if not partial.is_file():
        return []
    lines = []
    for text in partial.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(Line.model_validate_json(text))
        except ValueError:
            break
    lines = lines[: len(lines) // STEP * STEP]
    write_text(partial, "".join(line.to_json() + "\n" for line in lines))
    return lines


@torch.inference_mode()
def _windows(
    model: Model, video: Path, start: int, frames: int, size: FrameSize, device: torch.device
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Buttons bool [n, 20] and camera degrees [n, 2] from frame `start` on, `STEP` frames at a time.

    The last frame has no action.
    """
    margin = (WINDOW_FRAMES - STEP) // 2
    low = max(start - margin, 0)
    reader = VideoReader(video, low)
    window: list[NDArray[np.uint8]] = []
    try:
        for begin in range(start, frames - 1, STEP):
            stop, high = min(begin + STEP, frames - 1), min(begin + STEP + margin, frames)
            keep_from = max(begin - margin, 0)
            window = window[keep_from - low :]
            low = keep_from
            while low + len(window) < high:
                picture = reader.read()
                if picture is None:
                    raise RecordingError(
                        f"{video}: expected {frames} frames, got {reader.position}"
                    )
                window.append(resize_frame(picture, size))
            output = model(torch.from_numpy(np.stack(window))[None].to(device))
            here = slice(begin - low, stop - low)
            held = output.buttons_logits[0, here].argmax(-1).bool().cpu().numpy()
            bins = output.camera_logits[0, here].argmax(-1).cpu().numpy()
            yield held, bins_to_camera(bins)
    finally:
        reader.close()


def _line(held: NDArray[np.bool_], camera: NDArray[np.float64], last: Line | None) -> Line:
    """The line after `last`, from 20 buttons held and pitch and yaw in degrees.

    The model reports what the player's hands do, not what the screen shows: no screen counts as open.
    """
    buttons = [name for name, pressed in zip(VPT_BUTTONS, held, strict=True) if pressed]
    mouse, keyboard = encode_input(buttons, camera.tolist(), before=last)
    hotbar, tick = (_slot_after(last), last.tick + 1) if last else (0, 0)
    return Line(mouse=mouse, keyboard=keyboard, hotbar=hotbar, tick=tick, is_gui_open=False)


def _slot_after(line: Line) -> int:
    """The slot that the next line shows."""
    for slot in range(9, 0, -1):
        if line.keyboard and KEY_OF_BUTTON[f"hotbar.{slot}"] in line.keyboard.keys:
            return slot - 1
    return line.hotbar
