"""How a protocol runs: who speaks when about a pair, what is checked, and what the judge is then asked."""

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from basalt.core.tasks import STEPS_PER_SECOND, get_task
from leaderboard.oversight.claims import SIDES, Claim, Side, check, other
from leaderboard.oversight.events import key_steps
from leaderboard.oversight.messages import (
    ONE_SPEAKER,
    OPEN,
    CheckedClaim,
    DebaterRequest,
    FrameRef,
    JudgeRequest,
    Protocol,
    ShownClaim,
    ShownTurn,
    Speech,
    Transcript,
    Turn,
    digest,
    name_of,
)
from leaderboard.oversight.pairs import Pair
from leaderboard.oversight.players import Debater, Debaters, Private
from leaderboard.oversight.text import clean, swap_names

OVERALL_TEXT = "Which player did better?"
"""The question about the whole, in words."""


def made_by(pair: Pair, protocol: Protocol, debaters: Debaters, repeat: int, seed: int) -> str:
    """Return the digest of everything that a transcript depends on."""
    spoken = protocol.model_dump(include={"form", "rounds", "claims", "words", "checked"})
    return digest([pair.key, spoken, debaters.names, repeat, seed])


def converse(
    pair: Pair, protocol: Protocol, debaters: Debaters, *, repeat: int = 0, seed: int = 0
) -> Transcript:
    """Let debaters speak about a pair, and check their claims.

    What the referee draws (the side of a consultant, which claims are checked) depends on the pair, the protocol, the
    debaters, the repeat and the seed, never on the order in which pairs are run.

    Args:
        pair: The pair.
        protocol: The protocol.
        debaters: Who speaks for which side.
        repeat: Number of the repetition.
        seed: Seed of the draws.
    """
    key = made_by(pair, protocol, debaters, repeat, seed)
    if protocol.form == "direct":
        return Transcript(made_by=key)
    return _Conversation(pair, protocol, debaters, repeat, key).transcript()


class _Conversation:
    """One conversation; its state are the turns so far."""

    def __init__(
        self, pair: Pair, protocol: Protocol, debaters: Debaters, repeat: int, key: str
    ) -> None:
        self.pair, self.protocol, self.debaters, self.repeat, self.key = (
            pair, protocol, debaters, repeat, key,
        )  # fmt: skip
        self.rng = random.Random(key)
        self.turns: list[Turn] = []

    def transcript(self) -> Transcript:
        form = self.protocol.form
        chosen = self._choice() if form in OPEN else None
        speakers: Sequence[Side] = SIDES
        if form in ONE_SPEAKER:
            speakers = [self.rng.choice(SIDES) if chosen is None else chosen]
        for number in range(self.protocol.rounds):
            # Both speak before either speech enters the transcript.
            self.turns += [self._turn(side, number) for side in speakers]
        return Transcript(made_by=self.key, chosen=chosen, turns=tuple(self.turns))

    def _choice(self) -> Side:
        debater = self.debaters.honest
        return debater.choose(self._request(None, 0), self._private(debater, None))

    def _turn(self, side: Side, number: int) -> Turn:
        debater = self.debaters.of(side, self.pair.truth)
        speech = debater.speak(self._request(side, number), self._private(debater, side))
        claims = list(self._new(speech, side))
        kept = claims[: self.protocol.claims]
        return Turn(
            speaker=side,
            round=number,
            argument=clean(speech.argument, self.protocol.words),
            claims=tuple(map(self._checked, kept)),
            dropped=len(speech.claims) - len(kept),
        )

    def _new(self, speech: Speech, side: Side) -> Iterator[Claim]:
        """Claims of a speech that its speaker has not made before: said twice, one is still one."""
        made = {one.claim for turn in self.turns if turn.speaker == side for one in turn.claims}
        return (one for one in dict.fromkeys(speech.claims) if one not in made)

    def _checked(self, claim: Claim) -> CheckedClaim:
        pair = self.pair
        is_checked = self.rng.random() < self.protocol.checked
        return CheckedClaim(
            claim=claim,
            check=check(claim, pair.left, pair.right) if is_checked else "unchecked",
            favours=claim.favours(pair.task, pair.question),
        )

    def _request(self, side: Side | None, number: int) -> DebaterRequest:
        alone = self.protocol.form == "double_consultancy"
        return DebaterRequest(
            instruction=get_task(self.pair.task).instruction,
            question=self.pair.question or OVERALL_TEXT,
            argue_for=None if side is None else name_of(side, "left"),
            round=number,
            rounds=self.protocol.rounds,
            claims=self.protocol.claims,
            words=self.protocol.words,
            lists=self.pair.lists,
            turns=tuple(one for one in self.turns if not alone or one.speaker == side),
            repeat=self.repeat,
        )

    def _private(self, debater: Debater, side: Side | None) -> Private | None:
        if not debater.privileged:
            return None
        pair = self.pair
        return Private(
            pair.task, pair.question, pair.left, pair.right, pair.truth, side, self.rng, pair.believed
        )  # fmt: skip


def judge_request(
    pair: Pair, protocol: Protocol, transcript: Transcript, *, first: Side, look: float | None = None,
    repeat: int = 0, seed: int = 0,
) -> JudgeRequest:  # fmt: skip
    """Return what a judge is asked about a pair; the same transcript always gives the same request.

    Args:
        pair: The pair.
        protocol: The protocol.
        transcript: What was said.
        first: Side that is shown first, as P1.
        look: Chance that left is better by the judge's own look; None without one.
        repeat: Number of the repetition.
        seed: Seed of the nonce.
    """
    order: tuple[Side, Side] = (first, other(first))
    lists = pair.lists if first == "left" else pair.lists[::-1]
    return JudgeRequest(
        instruction=get_task(pair.task).instruction,
        question=pair.question or OVERALL_TEXT,
        form=protocol.form,
        frames=tuple(
            FrameRef(name=name_of(side, first), state=state)
            for side in order
            for state in _shown_states(pair.evidence(side).last, protocol.frames)
        ),
        lists=lists if protocol.lists else None,
        look=look if look is None or first == "left" else round(1 - look, 6),
        turns=tuple(
            _shown(one, protocol, first)
            for one in sorted(transcript.turns, key=lambda one: (one.round, one.speaker != first))
        ),
        chosen=None if transcript.chosen is None else name_of(transcript.chosen, first),
        nonce=digest([transcript.digest, first, repeat, seed])[:8],
        repeat=repeat,
    )


def _shown_states(last: int, frames: int | Literal["all"]) -> tuple[int, ...]:
    if frames != "all":
        return key_steps(last, frames)
    return (*range(0, last, STEPS_PER_SECOND), last)


def _shown(turn: Turn, protocol: Protocol, first: Side) -> ShownTurn:
    names = (name_of("left", first), name_of("right", first))
    argument = turn.argument if first == "left" else swap_names(turn.argument)
    return ShownTurn(
        speaker=name_of(turn.speaker, first),
        round=turn.round,
        argument=argument if protocol.prose else "",
        claims=tuple(
            ShownClaim(
                text=one.claim.text(names),
                check=one.check,
                favours=None if one.favours is None else name_of(one.favours, first),
            )
            for one in turn.claims
        ),
    )
