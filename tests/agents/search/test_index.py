"""The index finds what an exact search finds, and nothing in forbidden ranges."""

import json

import numpy as np
import pytest

from agents.search.index import Demonstration, build_index, open_index
from basalt.core.actions import BUTTONS, EnvActions, env_to_indices
from basalt.io.errors import ConfigError


def walks(episodes, frames, width=128, hidden=12, seed=0):
    """Latents of smooth random walks, seen through a nonlinear map with noise; unit length, float16."""
    rng = np.random.default_rng(seed)
    mix, phase = rng.standard_normal((hidden, width)), rng.uniform(0, 6, width)
    found = []
    for _ in range(episodes):
        steps = rng.standard_normal((frames, hidden)) * np.sqrt(2 / 100)
        walk = np.zeros((frames, hidden))
        walk[0] = rng.standard_normal(hidden)
        for t in range(1, frames):
            walk[t] = walk[t - 1] * (1 - 1 / 100) + steps[t]
        seen = (
            np.tanh(walk @ mix)
            + np.sin(walk @ mix + phase)
            + 0.1 * rng.standard_normal((frames, width))
        )
        found.append((seen / np.linalg.norm(seen, axis=1, keepdims=True)).astype(np.float16))
    return found


def with_actions(latents):
    return [
        Demonstration(
            lambda each=each: each,
            each.shape[1],
            np.arange(len(each)) % 8641,
            np.full(len(each), n % 121),
        )
        for n, each in enumerate(latents)
    ]


@pytest.fixture(scope="module")
def data():
    return walks(40, 250)


@pytest.fixture(scope="module")
def index(tmp_path_factory, data):
    return build_index(tmp_path_factory.mktemp("index") / "index", with_actions(data[:36]))


def test_the_nearest_frame_is_that_of_an_exact_search(index, data):
    everything = np.concatenate(data[:36]).astype(np.float32)
    queries = np.concatenate(data[36:])[::10]
    exact = [
        np.linalg.norm(everything - query.astype(np.float32), axis=1).argmin() for query in queries
    ]
    found = [index.nearest(query)[0][0] for query in queries]
    assert np.mean(np.equal(found, exact)) >= 0.98


def test_neighbours_are_in_order_of_their_true_distance(index, data):
    frames, distances = index.nearest(data[36][100], k=5)
    assert len(frames) == 5 and (np.diff(distances) >= 0).all()
    assert distances == pytest.approx(index.distance(data[36][100], frames))


def test_forbidden_frames_are_not_found(index, data):
    query = data[0][100]
    assert index.nearest(query)[0][0] == 100
    frame = index.nearest(query, forbidden=[(36, 164)])[0][0]
    assert not 36 <= frame < 164


def test_an_episode_ends_where_the_next_begins(index):
    assert [index.episode_end(frame) for frame in (0, 249, 250, len(index) - 1)] == [
        250,
        250,
        500,
        9000,
    ]


def test_it_opens_again_as_it_was(index, tmp_path, data):
    built = build_index(
        tmp_path / "index", with_actions(data[:3]), components=8, facts={"task": "find_cave"}
    )
    again = open_index(tmp_path / "index")
    assert again.facts == {"task": "find_cave"} and again.projected.shape == (750, 8)
    assert np.array_equal(again.buttons, built.buttons) and again.camera[-1] == 2
    assert again.nearest(data[1][7])[0][0] == 257


def test_typical_distance_grows_with_time(index):
    assert 0 < index.typical_distance(1, 95) < index.typical_distance(100, 95)
    with pytest.raises(ConfigError, match="longer than 250 frames"):
        index.typical_distance(250, 95)


DAMAGES = {
    "header": lambda folder: (folder / "index.json").write_text('{"format": "other"}'),
    "facts": lambda folder: (folder / "index.json").write_text(
        '{"format": "basalt-latent-index", "version": 1, "facts": 3}'
    ),
    "not an array": lambda folder: (folder / "camera.npy").write_bytes(b"not an array"),
    "empty": lambda folder: (folder / "mean.npy").write_bytes(b""),
    "missing": lambda folder: (folder / "projected.npy").unlink(),
    "pitch": lambda folder: np.save(folder / "pitch.npy", np.zeros(3, np.float32)),
    "shape": lambda folder: np.save(folder / "buttons.npy", np.zeros(3, np.int16)),
    "one dimension": lambda folder: np.save(folder / "components.npy", np.zeros(3, np.float32)),
    "action": lambda folder: np.save(folder / "camera.npy", np.full(500, 121, np.int16)),
    "kind": lambda folder: np.save(folder / "camera.npy", np.zeros(500, np.float32)),
    "starts": lambda folder: np.save(folder / "starts.npy", np.array([0, 300, 250])),
    "not a number": lambda folder: np.save(folder / "mean.npy", np.full(128, np.nan, np.float32)),
    "pickle": lambda folder: np.save(folder / "mean.npy", np.array([{}]), allow_pickle=True),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_one_error(tmp_path, data, damage):
    folder = tmp_path / "index"
    build_index(folder, with_actions(data[:2]))
    damage(folder)
    with pytest.raises(ConfigError, match="build it again"):
        open_index(folder)


def as_version_1(folder):
    header = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(header | {"version": 1}))
    (folder / "pitch.npy").unlink()


def test_an_index_without_pitch_still_opens(tmp_path, data):
    built = build_index(tmp_path / "index", with_actions(data[:2]))
    as_version_1(tmp_path / "index")
    np.testing.assert_array_equal(open_index(tmp_path / "index").pitch, built.pitch)
    np.save(tmp_path / "index" / "camera.npy", np.full(500, 121, np.int16))
    with pytest.raises(ConfigError, match="build it again"):
        open_index(tmp_path / "index")


def test_what_a_search_reads_stays_on_disk(index):
    assert isinstance(index.latents, np.memmap) and isinstance(index.projected, np.memmap)


def test_every_episode_begins_with_level_pitch(tmp_path, data):
    # A camera that looks down by some degrees in every step, in classes of buttons that move it.
    camera = np.full(250, 7 * 11 + 5)
    episodes = [
        Demonstration(lambda each=each: each, each.shape[1], np.ones(250, int), camera)
        for each in data[:2]
    ]
    pitch = build_index(tmp_path / "index", episodes).pitch
    assert pitch[0] == pitch[250] == 0 and 0 < pitch[1] == pitch[251] and pitch[249] == 90


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_latents_that_cannot_be_kept_are_refused(tmp_path, value):
    bad = np.full((5, 4), value, np.float32)
    zeros = np.zeros(5, int)
    with pytest.raises(ConfigError, match="expected finite latents"):
        build_index(tmp_path / "index", [Demonstration(lambda: bad, 4, zeros, zeros)], components=2)
    assert not (tmp_path / "index").exists()


def test_episodes_without_frames_are_left_out(tmp_path, data):
    nothing = Demonstration(lambda: data[0][:0], 128, np.zeros(0, int), np.zeros(0, int))
    assert len(build_index(tmp_path / "index", [nothing, *with_actions(data[:1]), nothing])) == 250


@pytest.mark.parametrize("components", [0, 129])
def test_components_beyond_the_width_are_refused(tmp_path, data, components):
    with pytest.raises(ConfigError, match="components: expected 1 to 128"):
        build_index(tmp_path / "index", with_actions(data[:2]), components=components)
    assert not (tmp_path / "index").exists()


def test_it_knows_where_a_demonstration_turns_and_where_it_ends(tmp_path):
    camera = np.zeros((50, 2), np.float32)
    camera[20:25, 1] = 10.0  # 50 degrees to the right
    pressed = np.zeros((50, len(BUTTONS)), np.uint8)
    turning = env_to_indices(EnvActions(pressed, camera))
    straight = env_to_indices(EnvActions(pressed, np.zeros_like(camera)))
    index = build_index(
        tmp_path / "index",
        [
            Demonstration(lambda latents=latents: latents, 128, one.buttons, one.camera)
            for latents, one in zip(walks(2, 50), (turning, straight), strict=True)
        ],
    )
    assert np.flatnonzero(index.turns_within(10, 49.0)).tolist() == list(range(15, 21))
    assert np.flatnonzero(index.turns_within(10, 19.0)).tolist() == list(range(12, 24))
    assert not index.turns_within(50, 51.0).any()
    assert np.flatnonzero(index.ends_within(2)).tolist() == [48, 49, 98, 99]


def test_only_frames_that_may_be_found_are_found(index, data):
    query = data[0][100].astype(np.float32)
    among = np.zeros(len(index), bool)
    among[500:510] = True
    assert index.nearest(query)[0].tolist() == [100]
    assert 500 <= index.nearest(query, among=among)[0][0] < 510
    assert not len(index.nearest(query, among=np.zeros(len(index), bool))[0])
