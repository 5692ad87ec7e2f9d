"""Weights of frames on which the action changes, and augmented frames, on cases whose answer is known."""

import torch
from torch.nn import functional as F

from basalt.policies.attention import PolicyState
from basalt.policies.augment import augment, generator
from basalt.policies.imitation import TensorBatch, changes, imitation_loss
from basalt.policies.vpt import PolicyOutput


def batch(
    buttons: list[int], camera: list[int], counts: list[int], first: list[int]
) -> TensorBatch:
    row = lambda values, dtype: torch.tensor([values], dtype=dtype)  # noqa: E731
    flags = torch.bool
    return TensorBatch(
        "frames", torch.zeros(1), row(first, flags), row([1] * len(first), flags),
        row(buttons, torch.int64), row(camera, torch.int64), row([0] * len(first), flags), row(counts, flags),
    )  # fmt: skip


def output(buttons: torch.Tensor, camera: torch.Tensor) -> PolicyOutput:
    shape = buttons.shape[:2]
    empty = torch.zeros(*shape, 1)
    state = PolicyState(torch.zeros(1, 1, dtype=torch.bool), (), (), torch.zeros(1, 0))
    return PolicyOutput(empty, buttons, camera, torch.zeros(shape), empty, empty, state)


def test_a_change_is_another_action_within_an_episode() -> None:
    labels = batch(
        buttons=[0, 0, 1, 1, 2, 1],
        camera=[
            5,
            6,
            6,
            7,
            7,
            7,
        ],  # the first move is not counted, since the camera counts on neither frame
        counts=[0, 0, 0, 1, 1, 1],
        first=[1, 0, 0, 0, 1, 0],
    )
    assert changes(labels).tolist() == [[False, False, True, True, False, True]]


def test_changes_weigh_more_and_the_mean_weight_stays_one() -> None:
    torch.manual_seed(0)
    labels = batch([0, 0, 1, 1], [0] * 4, [0] * 4, [1, 0, 0, 0])
    out = output(torch.randn(1, 4, 5), torch.randn(1, 4, 3))
    each = F.cross_entropy(out.buttons_logits[0], labels.buttons[0], reduction="none")
    assert torch.allclose(imitation_loss(out, labels, 1.0).buttons, each.mean())
    weights = torch.tensor([1.0, 1.0, 5.0, 1.0]) / 2
    found = imitation_loss(out, labels, 1.0, change_weight=5.0)
    assert torch.allclose(found.buttons, (each * weights).mean())
    equal = imitation_loss(output(torch.zeros(1, 4, 5), torch.zeros(1, 4, 3)), labels, 1.0, 5.0)
    assert torch.allclose(equal.buttons, torch.tensor(5.0).log())


def test_a_shift_moves_all_frames_of_a_row_alike() -> None:
    frames = torch.zeros(3, 2, 9, 9, 3, dtype=torch.uint8)
    frames[:, :, 4, 4] = 200
    moved = augment(frames, generator(1, 2), shift=3, colour=0.0)
    places = [
        tuple((row[t, :, :, 0] == 200).nonzero()[0].tolist()) for row in moved for t in (0, 1)
    ]
    assert places[0] == places[1] and places[2] == places[3] and len(set(places)) > 1
    assert all(abs(y - 4) <= 3 and abs(x - 4) <= 3 for y, x in places)
    assert int((moved == 200).sum()) == int((frames == 200).sum())


def test_colour_changes_within_its_bounds_and_by_the_seed() -> None:
    frames = torch.full((64, 1, 4, 4, 3), 100, dtype=torch.uint8)
    changed = augment(frames, generator(0, 0), shift=0, colour=0.2)
    assert changed.dtype == torch.uint8
    assert 100 * 0.8**2 - 1 <= changed.min() < 95 and 105 < changed.max() <= 100 * 1.2**2
    assert torch.equal(changed, augment(frames, generator(0, 0), shift=0, colour=0.2))
    assert not torch.equal(changed, augment(frames, generator(0, 1), shift=0, colour=0.2))
    assert augment(frames, generator(0), shift=0, colour=0.0) is frames
