"""What every world does, whatever it is made of: one set of tests for all of them.

A world's test module makes a subclass and gives it two fixtures: `make_env(**settings)`, which makes
environments of FindCave and closes them, and `env`, one that several tests may share.
"""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from basalt.core.actions import ACTION_KEYS
from basalt.core.tasks import TRAIN_SEEDS
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ActionError, ConfigError, WorldError
from basalt.worlds.base import WorldEnv

SEED, OTHER_SEED = 100_001, 100_002


class WorldBehaviour:
    """Subclasses are named `Test...`; this class is not collected itself."""

    def test_spaces_are_minerls(self, env):
        assert env.observation_space["pov"].shape == (360, 640, 3)
        assert tuple(sorted(env.action_space.spaces)) == tuple(sorted(ACTION_KEYS))
        assert isinstance(env.unwrapped, WorldEnv) and env.get_wrapper_attr("version")

    def test_reset_gives_picture_state_site_and_seed(self, env):
        observation, info = env.reset(seed=SEED)
        assert env.observation_space.contains(observation)
        assert info["seed"] == SEED and isinstance(info["site"], dict)
        state = info["telemetry"]
        assert isinstance(state, Telemetry)
        assert state.step == 0 and state.distance_walked == 0 and not state.dead

    def test_a_seed_is_a_place(self, env):
        first = [env.reset(seed=seed)[0]["pov"] for seed in (SEED, OTHER_SEED, SEED)]
        assert np.abs(first[0].astype(int) - first[2]).mean() < 1
        assert np.abs(first[0].astype(int) - first[1]).mean() > 1

    def test_without_a_seed_it_is_a_training_seed(self, make_env):
        _, info = make_env(size=(160, 90)).reset()
        assert info["seed"] in TRAIN_SEEDS

    def test_steps_count_and_reward_nothing(self, env):
        env.reset(seed=SEED)
        for step in (1, 2):
            observation, reward, terminated, truncated, info = env.step({"forward": 1})
            assert env.observation_space.contains(observation)
            assert (reward, terminated, truncated) == (0.0, False, False)
            assert info["telemetry"].step == step and "ended" not in info

    def test_missing_keys_are_not_pressed(self, env):
        env.reset(seed=SEED)
        info = env.step({})[-1]
        assert info["applied"]["camera"].tolist() == [0.0, 0.0]
        assert info["telemetry"].distance_walked == pytest.approx(0.0, abs=0.01)

    def test_the_camera_turns_the_view_and_walking_moves(self, env):
        before, info = env.reset(seed=SEED)
        yaw = info["telemetry"].yaw
        after, *_, info = env.step({"camera": [0.0, 15.0]})
        assert info["applied"]["camera"].dtype == np.float32
        assert info["applied"]["camera"] == pytest.approx([0.0, 15.0], abs=0.1)
        # The state of this step or the next one shows it.
        info = env.step({})[-1]
        turned = (info["telemetry"].yaw - yaw + 180.0) % 360.0 - 180.0
        assert turned == pytest.approx(15.0, abs=0.2)
        assert (after["pov"] != before["pov"]).any()
        for _ in range(20):
            info = env.step({"forward": 1})[-1]
        assert info["telemetry"].distance_walked > 0.5

    def test_the_inventory_opens_and_closes(self, env):
        env.reset(seed=SEED)
        open_after = []
        for pressed in (1, 0, 0, 1, 0, 0):
            open_after.append(env.step({"inventory": pressed})[-1]["telemetry"].gui_open)
        assert open_after[2] and not open_after[5]

    def test_pictures_stay_as_they_were(self, env):
        observation, _ = env.reset(seed=SEED)
        kept = observation["pov"].copy()
        env.step({"camera": [20.0, 40.0]})
        env.step({"camera": [0.0, 40.0]})
        assert (observation["pov"] == kept).all()

    @pytest.mark.parametrize(
        "action", [{"jmup": 1}, {"jump": 2}, {"camera": [0.0, 200.0]}, {"camera": [np.nan, 0.0]}]
    )
    def test_an_impossible_action_plays_nothing(self, env, action):
        env.reset(seed=SEED)
        with pytest.raises(ActionError):
            env.step(action)
        assert env.step({})[-1]["telemetry"].step == 1

    def test_esc_ends_the_episode_after_its_step(self, env):
        env.reset(seed=SEED)
        *_, terminated, truncated, info = env.step({"ESC": 1})
        assert (terminated, truncated, info["ended"]) == (True, False, "esc")
        assert info["telemetry"].step == 1
        with pytest.raises(WorldError, match="no episode is running"):
            env.step({})
        _, info = env.reset(seed=SEED)
        assert info["telemetry"].step == 0

    def test_the_limit_truncates(self, make_env):
        env = make_env(size=(160, 90), step_limit=3)
        with pytest.raises(WorldError, match="reset"):
            env.unwrapped.step({})
        env.reset(seed=SEED)
        ends = [env.step({})[3] for _ in range(3)]
        assert ends == [False, False, True]
        with pytest.raises(WorldError, match="limit"):
            env.step({})
        env.reset(seed=SEED)
        *_, terminated, truncated, info = [env.step({}) for _ in range(3)][-1]
        assert (terminated, truncated, info["ended"]) == (False, True, "limit")

    def test_it_can_be_closed_twice_and_begun_again(self, make_env):
        env = make_env(size=(160, 90))
        env.reset(seed=SEED)
        env.close()
        env.close()
        assert env.reset(seed=SEED)[0]["pov"].shape == (90, 160, 3)

    def test_senseless_settings_are_named(self, make_env):
        with pytest.raises(ConfigError, match="size"):
            make_env(size=(4, 4))
        with pytest.raises(ConfigError, match="step_limit"):
            make_env(step_limit=0)

    @pytest.mark.filterwarnings("ignore:.*we recommend using a symmetric.*")
    def test_gymnasiums_checker_is_content(self, make_env):
        env = make_env(size=(160, 90), render_mode="rgb_array")
        check_env(env.unwrapped, skip_close_check=True)
        assert isinstance(env.unwrapped, gymnasium.Env)
