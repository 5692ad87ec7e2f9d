"""An index of embedded recordings plays what the recordings show."""

import shutil
from functools import partial

import numpy as np
import pytest

from agents.common.identity import identify
from agents.search.agent import SearchAgent
from agents.search.config import SearchConfig
from agents.search.index import open_index
from agents.search.train import train
from basalt.cli.policy import main as cli
from basalt.core.actions import indices_to_env
from basalt.core.video import FrameSize
from basalt.data.episodes import load_episodes
from basalt.hub.publish import publish
from basalt.io.errors import ConfigError
from basalt.policies.embed import EmbedConfig, embed
from basalt.testing import check_agent
from tests.support.synthetic import write_episodes
from tests.support.tiny_policy import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    data = write_episodes(folder / "data", range(100_000, 100_003), 40)
    policy = tiny_run(folder / "policy")
    (policy / "config.json").write_text('{"seed": 7}', encoding="utf-8")
    embed(
        EmbedConfig(
            data=str(data), policy=str(policy), out=str(folder / "embeddings"),
            workers=0, device="cpu", progress=False,
        )
    )  # fmt: skip
    cfg = SearchConfig(out=str(folder / "run"), data=str(folder / "embeddings"), components=16)
    assert train(cfg).lines()[0].startswith("index of ")
    return folder / "run"


def test_it_takes_the_actions_of_the_demonstration_that_it_sees(run):
    (episode, *_) = load_episodes(run.parent / "data", size=FrameSize(640, 360))
    frames = np.empty((len(episode), 360, 640, 3), np.uint8)
    episode.source.open().read_into(frames, episode.kept)
    agent = SearchAgent(run, device="cpu", longest=1000)
    taken = []
    for t, frame in enumerate(frames):
        agent.act(frame[None], np.array([t == 0]))
        taken.append(agent._followers[0].frame)
    # The first episode in the index; a video's frames are read alike for both.
    assert taken == list(range(len(frames)))


def test_it_looks_up_and_down_as_the_demonstration_did(run):
    agent = SearchAgent(run, device="cpu", longest=1000)
    pov, turns = np.zeros((1, 360, 640, 3), np.uint8), []
    compared = 0
    for t in range(30):
        (action,) = agent.act(pov, np.array([t == 0]))
        turns.append(float(action["camera"][0]))
        frame = agent._followers[0].frame
        # It looks where the demonstration looked after its action, also where it joined in the middle.
        demonstrated = indices_to_env(agent.index.buttons[[frame]], agent.index.camera[[frame]])
        expected = agent.index.pitch[frame] + demonstrated.camera[0, 0]
        if agent._followers[0].searches == 1 and t > 5:
            compared += 1
            assert sum(turns) == pytest.approx(np.clip(expected, -90, 90), abs=1e-3)
    assert compared > 5
    copied = SearchAgent(run, device="cpu", longest=1000, follow_pitch=False)
    (action,) = copied.act(pov, np.array([True]))
    frame = copied._followers[0].frame
    demonstrated = indices_to_env(agent.index.buttons[[frame]], agent.index.camera[[frame]])
    assert action["camera"] == pytest.approx(demonstrated.camera[0])


def test_it_keeps_the_contract_of_an_agent(run):
    check_agent(partial(SearchAgent, run, device="cpu"))


def test_its_training_seed_is_that_of_the_policy_that_embedded(run):
    found = identify({"name": "search", "checkpoint": str(run)})
    assert found.learns and found.training_seed == 7


def test_a_packed_index_follows_the_same_demonstration_beside_its_policy(run, tmp_path):
    policy, out = run.parent / "policy", tmp_path / "packed"
    assert cli(["pack", str(policy), "--search", str(run), "--out", str(out)]) == 0
    moved = out.rename(tmp_path / "elsewhere")
    full, packed = open_index(run / "index"), open_index(moved / "search" / "index")
    assert packed.packed and not full.packed and packed.latents.shape == (len(full), 16)
    assert identify({"name": "search", "checkpoint": str(moved / "search")}).training_seed == 7
    for name in ("starts", "buttons", "camera", "pitch"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(full, name))
    for frame in (0, 17, 100):
        query = full.latents[frame].astype(np.float32)
        assert packed.nearest(query)[0][0] == full.nearest(query)[0][0] == frame
    check_agent(partial(SearchAgent, moved / "search", device="cpu"))


def test_published_demonstrations_are_followed_by_their_address(run, tmp_path, monkeypatch):
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    packed, address = tmp_path / "packed", f"file://{tmp_path}/there"
    assert (
        cli(["pack", str(run.parent / "policy"), "--search", str(run), "--out", str(packed)]) == 0
    )
    publish(packed, address, progress=False)
    theirs = {"name": "search", "checkpoint": f"{address}/search"}
    assert identify(theirs) == identify(theirs | {"checkpoint": str(packed / "search")})
    shutil.rmtree(packed)
    check_agent(partial(SearchAgent, theirs["checkpoint"], device="cpu"))
    card = (tmp_path / "there" / "README.md").read_text(encoding="utf-8")
    assert f"agent=search checkpoint={address}/search" in card


def test_an_index_of_another_policys_latents_is_not_packed(run, tmp_path):
    other = tiny_run(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="--search: expected an index of latents of"):
        cli(["pack", str(other), "--search", str(run), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_without_a_run_or_with_another_policy_it_is_one_error(run, tmp_path):
    with pytest.raises(ConfigError, match="give checkpoint=FOLDER"):
        SearchAgent(None)
    other = tiny_run(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="is not the policy that embedded the demonstrations"):
        SearchAgent(run, policy=str(other), device="cpu")
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "index" / "index.json").unlink()
    with pytest.raises(ConfigError, match="build it again"):
        SearchAgent(copy, device="cpu")
