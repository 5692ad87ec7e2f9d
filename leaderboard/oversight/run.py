"""`basalt oversight run`: protocols over pairs of recordings whose truth is known, with scripted players, experts and judges that learned, or a model as judge."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from basalt.core.recording import sha256_of
from basalt.core.settings import (
    Count,
    Natural,
    Paths,
    PathText,
    Positive,
    settings,
    unknown_option,
)
from basalt.core.tasks import get_task
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from leaderboard.oversight.debaters import SCRIPTED, Scripted
from leaderboard.oversight.expert import EXPERT, Expert, Readouts
from leaderboard.oversight.judges import JUDGES, Bayes
from leaderboard.oversight.look import Learned, Look
from leaderboard.oversight.messages import MOST_CLAIMS, ONE_SPEAKER, Protocol, digest
from leaderboard.oversight.pairs import Pair, Truth, known_pairs, load_episodes
from leaderboard.oversight.players import Cassette, Debaters, Judge
from leaderboard.oversight.record import FILE, ArmName, OversightRun
from leaderboard.oversight.report import Report, report
from leaderboard.oversight.trials import Arm, TrialStore, run_pair

KIND = "oversight run"

LEARNED = "learned"
"""Name of the judge that learned to look at frames."""

MODEL = "model"
"""Name of the judge that asks a chat model."""

ANSWERS = "answers.jsonl"
"""File of a model's answers in a run's folder."""

Share = Annotated[float, Field(ge=0, le=1)]


@settings
class RunConfig:
    """A judge decides which of two recordings is better, with and without the help of debaters.

    Attributes:
        task: Task of the recordings.
        recordings: Folders of recordings on training or dev seeds, or `sample`.
        truth: Ways in which it is known which recording is better: success, rank, made; each has its own table.
        cuts: Seconds cut off a successful recording to make its worse twin, for made.
        arms: Protocols: floor, ceiling, consultancy, open_consultancy, double_consultancy, debate, open_debate.
        judges: Scripted judges: count, count_all, share, bayes, naive, always_left, coin, longest; learned; or model.
        eyes: What the judge `learned` has learned, a file of `basalt oversight learn`.
        endpoint: Address of an OpenAI-compatible server for the judge `model`, such as http://localhost:8000/v1; null asks
            nobody.
        model: Name of the model there.
        key: Environment variable with the server's key.
        timeout: Seconds that the server may take for an answer.
        price_in: Price of a million tokens of requests.
        price_out: Price of a million tokens of answers.
        max_cost: Most that all answers may cost; null for no limit. Then the run stops, and the same command resumes.
        consent: Whether the people who are seen in recordings agreed that frames and texts about them are sent to the
            endpoint.
        honest: Scripted debater for the better side: oracle, liar, selective, padder, conceder, injector, silent; or expert.
        dishonest: Scripted debater for the other side.
        honest_true: Chance that a claim of the honest debater is true; null takes the debater's own.
        dishonest_true: The same of the dishonest one.
        expert: What the debater `expert` believes, a file of `basalt probe readout`.
        expected_true: Shares of true claims that the judges bayes and learned expect of the better and of the other side;
            null takes the scripted debaters' own.
        right: Chance that a scripted debater chooses the better side in an open protocol; an expert chooses by what it
            believes, and this is what those judges expect of it.
        look: Chance that the judge's own look at the frames is right, simulated; null gives it none.
        rounds: Number of rounds.
        claims: Most claims of a speech.
        words: Most words of a speech that are shown.
        checked: Share of the claims that are checked.
        prose: Whether the judge is shown the debaters' words, or their claims alone.
        frames: Number of key frames of each recording that the judge is shown.
        repeats: Number of times that each pair is argued.
        seed: Seed of all draws.
        out: Folder of the trials. The same command resumes; more arms, judges or repeats are added.
        progress: Whether to show progress bars.
    """

    task: str
    recordings: Annotated[Paths, Field(min_length=1)] = ("sample",)
    truth: Annotated[tuple[Truth, ...], Field(min_length=1)] = ("made",)
    cuts: tuple[Positive, ...] = (3.0, 6.0)
    arms: Annotated[tuple[ArmName, ...], Field(min_length=1)] = (
        "floor", "consultancy", "open_consultancy", "debate", "open_debate",
    )  # fmt: skip
    judges: Annotated[tuple[str, ...], Field(min_length=1)] = ("bayes",)
    eyes: PathText | None = None
    endpoint: str | None = None
    model: str | None = None
    key: str = "OPENAI_API_KEY"
    timeout: Positive = 120.0
    price_in: Annotated[float, Field(ge=0)] = 0.0
    price_out: Annotated[float, Field(ge=0)] = 0.0
    max_cost: Positive | None = None
    consent: bool = False
    honest: str = "oracle"
    dishonest: str = "liar"
    honest_true: Share | None = None
    dishonest_true: Share | None = None
    expert: PathText | None = None
    expected_true: tuple[Share, Share] | None = None
    right: Share = 0.85
    look: Share | None = None
    rounds: Annotated[int, Field(ge=1, le=10)] = 1
    claims: Annotated[int, Field(ge=0, le=MOST_CLAIMS)] = 3
    words: Annotated[int, Field(ge=0, le=1_000)] = 150
    checked: Share = 1.0
    prose: bool = True
    frames: Annotated[int, Field(ge=0, le=64)] = 0
    repeats: Count = 1
    seed: Natural = 0
    out: PathText = "runs/oversight/${task.name}"
    progress: bool = True

    def __post_init__(self) -> None:
        for name, value in (("honest", self.honest), ("dishonest", self.dishonest)):
            if value not in (*SCRIPTED, EXPERT):
                raise ConfigError(unknown_option(name, value, [*SCRIPTED, EXPERT]))
            if value == EXPERT and (self.expert is None or self.expected_true is None):
                raise ConfigError(
                    f"{name}: expert needs what it believes, and how often that is true; give expert=FILE of basalt probe "
                    "readout and expected_true=[BETTER,OTHER], measured on other seeds"
                )
        for judge in self.judges:
            if judge not in (*JUDGES, LEARNED, MODEL):
                raise ConfigError(unknown_option("judges", judge, [*JUDGES, LEARNED, MODEL]))
        if LEARNED in self.judges and self.eyes is None:
            raise ConfigError(
                "judges: learned needs what it has learned; give eyes=FILE of basalt oversight learn"
            )
        if MODEL in self.judges and (self.endpoint is None or self.model is None):
            raise ConfigError("judges: model needs a server; give endpoint=ADDRESS and model=NAME")
        two = [arm for arm in self.arms if arm not in (*ONE_SPEAKER, "floor", "ceiling")]
        if "naive" in self.judges and two:
            raise ConfigError(
                f"judges: naive believes the only speaker, got arms with two ({', '.join(two)}); use it with arms of "
                "floor, consultancy, open_consultancy"
            )

    def debaters(self) -> tuple[Scripted, Scripted]:
        """The debaters for the better side and for the other one."""
        return (
            self._debater(self.honest, self.honest_true),
            self._debater(self.dishonest, self.dishonest_true),
        )

    def _debater(self, name: str, true_share: float | None) -> Scripted:
        if name == EXPERT:
            assert self.expert is not None
            return Expert(EXPERT, digest=_short_digest(self.expert))
        debater = replace(SCRIPTED[name], right=self.right)
        return debater if true_share is None else replace(debater, true_share=true_share)

    def judge(self, name: str, folder: Path) -> Judge:
        """A judge; the rational ones know how often debaters are right, a model's answers are kept in the folder."""
        if name == MODEL:
            return self._model(folder)
        if name not in ("bayes", LEARNED):
            return JUDGES[name]
        shares = self.expected_true
        if shares is None:
            honest, dishonest = self.debaters()
            shares = honest.true_share, dishonest.true_share
        bayes = Bayes(*shares, self.right)
        if name == "bayes":
            return bayes
        assert self.eyes is not None
        return Learned(Look.read(Path(self.eyes)), bayes, _short_digest(self.eyes))

    def _model(self, folder: Path) -> Judge:
        from leaderboard.oversight.endpoint import Endpoint
        from leaderboard.oversight.model_judge import ModelJudge, Prices

        assert self.endpoint is not None and self.model is not None
        endpoint = Endpoint(self.endpoint, self.model, self.key, self.timeout)
        prices = Prices(self.price_in, self.price_out, self.max_cost)
        return ModelJudge(endpoint, Cassette(folder / ANSWERS), prices)

    def protocol(self, arm: ArmName) -> Protocol:
        """The protocol of an arm; without debaters, their numbers are left at their defaults."""
        if arm in ("floor", "ceiling"):
            is_floor = arm == "floor"
            return Protocol(
                form="direct", frames=self.frames if is_floor else "all", lists=not is_floor
            )
        return Protocol(
            form=arm,  # type: ignore[arg-type]  # the other names are those of forms
            rounds=self.rounds,
            claims=self.claims,
            words=self.words,
            checked=self.checked,
            prose=self.prose,
            frames=self.frames,
        )


def run(config: RunConfig) -> Report:
    """Run every arm with every judge over all pairs, each in both orders, and report.

    Raises:
        ConfigError: A setting cannot be used, a seed is kept for testing, no truth is known, or the folder was made with
            other settings.
        RecordingError: The recordings cannot be used.
        WriteError: The folder cannot be written.
    """
    task = get_task(config.task)
    episodes = load_episodes(config.recordings, task)
    found = {kind: known_pairs(episodes, task, kind, config.cuts) for kind in config.truth}
    if MODEL in config.judges and not config.consent and any(one.is_person for one in episodes):
        raise ConfigError(
            "consent: recordings of people are sent to another machine with their consent only; give consent=true if you "
            "have it"
        )
    if LEARNED in config.judges:
        assert config.eyes is not None
        Look.read(Path(config.eyes)).refuse_seen(
            task, [pair for one in found.values() for pair in one.pairs]
        )
    readouts = None
    if EXPERT in (config.honest, config.dishonest):
        assert config.expert is not None
        readouts = Readouts.read(Path(config.expert))
    honest, dishonest = config.debaters()
    record = OversightRun(
        **{
            name: getattr(config, name)
            for name in OversightRun.model_fields
            if name not in ("task", "honest", "dishonest", "left_out")
        },
        task=task.name,
        honest=honest.name,
        dishonest=dishonest.name,
        left_out={kind: one.left_out for kind, one in found.items()},
    )
    folder = Path(config.out)
    with sole_writer(folder, KIND):
        record.claim(folder / FILE, KIND, may_change=("arms", "judges", "repeats"))
        store = TrialStore(folder)
        pairs = [pair for one in found.values() for pair in one.pairs]
        if readouts is not None:
            pairs = [replace(pair, believed=readouts.believed(pair)) for pair in pairs]
        judges = {name: config.judge(name, folder) for name in config.judges}
        arms = [
            Arm(config.protocol(arm), Debaters(honest, dishonest), judges[judge])
            for arm in config.arms
            for judge in config.judges
        ]
        work = [(pair, repeat) for repeat in range(config.repeats) for pair in pairs]
        for pair, repeat in progress_bar(
            work, title="oversight", unit="pair", shown=config.progress
        ):
            look = None if config.look is None else drawn_look(pair, config.look, repeat, config.seed)  # fmt: skip
            for arm in arms:
                list(run_pair(pair, arm, store, look=look, repeat=repeat, seed=config.seed))
    return report([folder])


def _short_digest(file: str) -> str:
    """Enough of a file's SHA-256 to tell two apart in records."""
    return sha256_of(Path(file))[:12]


def drawn_look(pair: Pair, accuracy: float, repeat: int, seed: int) -> float:
    """Return the chance that left is better by a simulated look, which is right with a given chance.

    Args:
        pair: The pair.
        accuracy: Chance that it is right, which it knows.
        repeat: Number of the repetition.
        seed: Seed of the draw.
    """
    is_right = random.Random(digest(["look", pair.key, repeat, seed])).random() < accuracy
    return accuracy if is_right == (pair.truth == "left") else round(1 - accuracy, 9)
