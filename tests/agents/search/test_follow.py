"""A demonstration is followed to its end and not beyond, and given up exactly when the rule says so."""

import numpy as np
import pytest

from agents.search.follow import Follower, FollowRule
from agents.search.index import Demonstration, build_index
from basalt.core.actions import BUTTONS, EnvActions, env_to_indices

WIDTH = 32
TURN = 200
"""The second demonstration turns by 100 degrees from this frame on."""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rng = np.random.default_rng(0)
    episodes = [rng.standard_normal((300, WIDTH)).astype(np.float16) for _ in range(2)]
    zeros = np.zeros(300, int)
    camera = np.zeros((300, 2), np.float32)
    camera[TURN : TURN + 10, 1] = 10.0
    turning = env_to_indices(EnvActions(np.zeros((300, len(BUTTONS)), np.uint8), camera))
    folder = tmp_path_factory.mktemp("index") / "index"
    return build_index(
        folder,
        [
            Demonstration(lambda: episodes[0], WIDTH, zeros, zeros),
            Demonstration(lambda: episodes[1], WIDTH, turning.buttons, turning.camera),
        ],
        components=WIDTH,
    )


def noisy(index, frame, rng):
    return index.latents[frame].astype(np.float32) + 0.01 * rng.standard_normal(WIDTH)


def test_a_query_that_repeats_an_episode_follows_it_to_its_last_frame_and_never_into_the_next(
    index,
):
    rng = np.random.default_rng(1)
    follower = Follower(index, FollowRule(longest=1000))
    taken = [follower.step(noisy(index, frame, rng)) for frame in range(250, 300)]
    assert taken == list(range(250, 300)) and follower.searches == 1
    assert follower.step(noisy(index, 10, rng)) == 10 and follower.searches == 2


def test_a_demonstration_is_given_up_after_the_longest_time(index):
    rng = np.random.default_rng(2)
    follower = Follower(index, FollowRule(longest=16, apart=0))
    for frame in range(16):
        follower.step(noisy(index, frame, rng))
    assert follower.searches == 1
    follower.step(noisy(index, 16, rng))
    assert follower.searches == 2


def test_it_is_given_up_when_it_has_diverged_for_as_long_as_the_patience(index):
    rng = np.random.default_rng(3)
    follower = Follower(index, FollowRule(shortest=1, patience=4))
    follower.step(noisy(index, 0, rng))
    elsewhere = noisy(index, 450, rng)
    taken = [follower.step(elsewhere) for _ in range(4)]
    assert taken == [1, 2, 3, 450] and follower.searches == 2


def test_it_is_not_given_up_before_the_shortest_time(index):
    rng = np.random.default_rng(4)
    follower = Follower(index, FollowRule(shortest=8, patience=1))
    follower.step(noisy(index, 0, rng))
    taken = [follower.step(noisy(index, 450, rng)) for _ in range(8)]
    assert taken[:6] == [1, 2, 3, 4, 5, 6] and 450 in taken


def test_below_the_floor_nothing_diverges(index):
    rng = np.random.default_rng(5)
    follower = Follower(index, FollowRule(shortest=1, patience=1, floor=1e6))
    follower.step(noisy(index, 0, rng))
    assert [follower.step(noisy(index, 450, rng)) for _ in range(20)] == list(range(1, 21))


def test_places_of_the_last_matches_are_not_matched_again(index):
    follower = Follower(index, FollowRule(longest=1, apart=64, remembered=3))
    query = index.latents[100].astype(np.float32)
    taken = [follower.step(query) for _ in range(5)]
    assert taken[0] == 100
    for n, frame in enumerate(taken[1:], start=1):
        assert all(abs(frame - before) > 64 for before in taken[max(0, n - 3) : n])
    assert taken[4] == 100  # the first of four matches is forgotten


def test_a_new_episode_searches_and_has_no_past(index):
    rng = np.random.default_rng(6)
    follower = Follower(index, FollowRule())
    follower.step(noisy(index, 0, rng))
    follower.begin()
    assert follower.step(noisy(index, 0, rng)) == 0 and follower.searches == 1


def test_where_all_is_forbidden_the_nearest_is_taken(index):
    follower = Follower(index, FollowRule(longest=1, apart=10_000))
    query = index.latents[5].astype(np.float32)
    assert [follower.step(query) for _ in range(3)] == [5, 5, 5]


def test_a_player_that_no_longer_moves_follows_a_demonstration_that_turns(index):
    rng = np.random.default_rng(7)
    follower = Follower(index, FollowRule(turn_within=20, turn_degrees=60.0))
    assert follower.step(noisy(index, 50, rng)) == 50
    turning = follower.step(noisy(index, 51, rng), stuck=True) - 300
    # At least 60 of the 100 degrees are within the next 20 frames.
    assert TURN - 14 <= turning <= TURN + 4
    assert follower.step(noisy(index, 51, rng)) == 300 + turning + 1


def test_a_demonstration_is_not_joined_in_its_last_frames_where_its_player_waits(index):
    rng = np.random.default_rng(8)
    assert Follower(index, FollowRule(last=20)).step(noisy(index, 279, rng)) == 279
    for frame in (280, 299):
        assert Follower(index, FollowRule(last=20)).step(noisy(index, frame, rng)) != frame
        assert Follower(index, FollowRule(last=0)).step(noisy(index, frame, rng)) == frame
