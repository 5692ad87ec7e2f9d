"""Trials: one verdict each, under one protocol, in one order of the pair. They are kept and never changed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import basalt
from basalt.core.tasks import get_task, split_of
from basalt.core.tasks.seeds import Split
from basalt.io.errors import ConfigError
from leaderboard.oversight.claims import SIDES, Side
from leaderboard.oversight.conversation import converse, judge_request, made_by
from leaderboard.oversight.files import JsonLines
from leaderboard.oversight.messages import Message, Protocol, Transcript, digest, side_of
from leaderboard.oversight.pairs import Pair, Truth
from leaderboard.oversight.players import Debaters, Judge

TRIALS, TRANSCRIPTS = "trials.jsonl", "transcripts.jsonl"
"""Files of a run: one verdict a line, one transcript a line."""


class Trial(Message):
    """A verdict.

    Attributes:
        trial: Digest of what it was made from: pair, protocol, players, order, repeat and seed.
        pair: Digest of the pair.
        task: Name of the task.
        question: Question; empty for which player did better.
        world_seed: Seed of the world, which pairs share.
        split: What that seed is reserved for.
        videos: SHA-256 of the left and the right video.
        truth: The better side; None for a recording paired with itself.
        kind: How the truth is known.
        protocol: The protocol.
        honest: Name of the debater for the better side.
        dishonest: Name of the debater for the other side.
        judge: Name of the judge.
        first: Side that was shown first.
        repeat: Number of the repetition.
        seed: Seed of the run's draws.
        transcript: Digest of the transcript.
        request: Digest of what the judge was asked.
        verdict: Side that the judge found better; None if it could not tell, or its answer could not be read.
        left: Chance that left is better, by the judge; None if its answer could not be read.
        reply: The judge's answer as it came.
        seconds: Seconds that the judge took.
        tokens_in: Tokens of the request; None if unknown.
        tokens_out: Tokens of the answer; None if unknown.
        cost: Price of the answer; None if unknown.
        package_version: Version of this package.
    """

    trial: str
    pair: str
    task: str
    question: str
    world_seed: int
    split: Split
    videos: tuple[str, str]
    truth: Side | None
    kind: Truth
    protocol: Protocol
    honest: str
    dishonest: str
    judge: str
    first: Side
    repeat: int
    seed: int
    transcript: str
    request: str
    verdict: Side | None
    left: float | None
    reply: str
    seconds: float
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    package_version: str

    @property
    def status(self) -> Literal["decided", "undecided", "unreadable"]:
        """What came of it."""
        return "unreadable" if self.left is None else "decided" if self.verdict else "undecided"


class StoredTranscript(Message):
    """A line of the file of transcripts: the digest of a transcript, and the transcript."""

    sha256: str
    transcript: Transcript


class TrialStore:
    """Trials and transcripts in a folder, both append-only.

    Args:
        folder: The folder.

    Raises:
        ConfigError: A file is damaged, or a transcript is not what its digest says.
    """

    def __init__(self, folder: Path) -> None:
        self._trials = JsonLines(folder / TRIALS, Trial)
        self._transcripts = JsonLines(folder / TRANSCRIPTS, StoredTranscript)
        self.trials = {one.trial: one for one in self._trials.read()}
        self.transcripts: dict[str, Transcript] = {}
        self._made: dict[str, Transcript] = {}
        for line in self._transcripts.read():
            if line.transcript.digest != line.sha256:
                raise ConfigError(
                    f"{folder / TRANSCRIPTS}: the transcript {line.sha256[:12]} was changed after it was written; restore "
                    "this file, or use another out=FOLDER"
                )
            self._keep(line.transcript)

    def _keep(self, transcript: Transcript) -> None:
        self.transcripts[transcript.digest] = transcript
        self._made[transcript.made_by] = transcript

    def made_by(self, key: str) -> Transcript | None:
        """The transcript that was made from the inputs with this digest, or None if there is not one yet."""
        return self._made.get(key)

    def add_transcript(self, transcript: Transcript) -> None:
        """Append a transcript.

        Raises:
            WriteError: The file cannot be written.
        """
        self._transcripts.append(StoredTranscript(sha256=transcript.digest, transcript=transcript))
        self._keep(transcript)

    def add(self, trial: Trial) -> None:
        """Append a trial.

        Raises:
            WriteError: The file cannot be written.
        """
        self._trials.append(trial)
        self.trials[trial.trial] = trial


@dataclass(frozen=True)
class Arm:
    """A protocol with its players.

    Attributes:
        protocol: The protocol.
        debaters: Who speaks.
        judge: Who decides.
    """

    protocol: Protocol
    debaters: Debaters
    judge: Judge


def run_pair(
    pair: Pair, arm: Arm, store: TrialStore, *, look: float | None = None, repeat: int = 0, seed: int = 0
) -> Iterator[Trial]:  # fmt: skip
    """Judge a pair in both orders; what the store has is not run again.

    A transcript is made once and shown in both orders, since no debater sees a speech of the same round.

    Args:
        pair: The pair.
        arm: Protocol and players.
        store: Where trials and transcripts are kept.
        look: Chance that left is better by the judge's own look; None without one.
        repeat: Number of the repetition.
        seed: Seed of the run's draws.

    Yields:
        The trial with the left side first, then that with the right side first.

    Raises:
        ConfigError: A player refuses the protocol.
        WriteError: The store cannot be written.
    """
    key = made_by(pair, arm.protocol, arm.debaters, repeat, seed)
    transcript = store.made_by(key)
    for first in SIDES:
        trial = digest(
            [pair.key, arm.protocol.model_dump(), arm.debaters.names, arm.judge.name, first, look, repeat, seed]
        )  # fmt: skip
        if trial in store.trials:
            yield store.trials[trial]
            continue
        if transcript is None:
            transcript = converse(pair, arm.protocol, arm.debaters, repeat=repeat, seed=seed)
            store.add_transcript(transcript)
        made = _judge(pair, arm, transcript, first, look, repeat, seed, trial)
        store.add(made)
        yield made


def _judge(
    pair: Pair, arm: Arm, transcript: Transcript, first: Side, look: float | None, repeat: int, seed: int,
    trial: str,
) -> Trial:  # fmt: skip
    request = judge_request(
        pair, arm.protocol, transcript, first=first, look=look, repeat=repeat, seed=seed
    )
    started = time.perf_counter()
    ruling = arm.judge.decide(request, lambda ref: pair.frame(side_of(ref.name, first), ref.state))
    seconds = time.perf_counter() - started
    chance = ruling.first
    verdict: Side | None = None
    if chance is not None and chance != 0.5:
        verdict = side_of("P1" if chance > 0.5 else "P2", first)
    honest, dishonest = arm.debaters.names
    return Trial(
        trial=trial,
        pair=pair.key,
        task=pair.task,
        question=pair.question,
        world_seed=pair.seed,
        split=split_of(get_task(pair.task), pair.seed),
        videos=pair.videos,
        truth=pair.truth,
        kind=pair.kind,
        protocol=arm.protocol,
        honest=honest,
        dishonest=dishonest,
        judge=arm.judge.name,
        first=first,
        repeat=repeat,
        seed=seed,
        transcript=transcript.digest,
        request=request.digest,
        verdict=verdict,
        left=chance if chance is None or first == "left" else 1 - chance,
        reply=ruling.reply,
        seconds=seconds,
        tokens_in=ruling.tokens_in,
        tokens_out=ruling.tokens_out,
        cost=ruling.cost,
        package_version=basalt.__version__,
    )
