"""Attention checks stay hidden: a rater reads every response and tries to tell checks from pairs."""

import base64
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from leaderboard.http.api import create_server
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.rater_view import next_view
from leaderboard.judging.raters import join
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import AttentionCheck, Episode
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()
STEPS = 60
"""Number of answers that the rater gives; fewer than there are pairs."""

Observation = dict[str, object]
"""What a rater sees around one answer, by where it was seen."""


@pytest.fixture(params=[True, False], ids=["with checks", "without checks"])
def has_checks(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rater of the tests may ask without a pause."""
    monkeypatch.setattr("leaderboard.http.api.REQUESTS_PER_MINUTE", 1_000_000)


def filled(folder: Path, *, checks: bool) -> tuple[Store, StudyInfo]:
    """A study of 120 pairs whose videos all have one length, as bytes and in steps."""
    store = open_store(str(folder / "leaderboard.sqlite"), folder / "media")
    study = fill(store, 5, 12)
    rng = random.Random(0)
    with store.write() as session:
        for episode in session.scalars(sa.select(Episode)):
            episode.steps = 100
            video = store.media / f"{episode.media_name}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            video.write_bytes(rng.randbytes(500))
    if checks:
        with store.read() as session:
            pairs = [(one.id, other.id) for one, other in all_pairs(session, study)]
        for one, other in random.Random(1).sample(pairs, 30):
            add_gold_pair(store, study, ADMIN, one, other, "left")
        change_settings(store, study, ADMIN, check_share=0.5)
    change_settings(store, study, ADMIN, answers_per_minute=100_000, skips_allowed=None)
    return store, study


def leaves(value: object, place: str) -> Iterator[tuple[str, object]]:
    """The numbers and texts in a JSON value, by their path; the keys' order is one more."""
    if isinstance(value, Mapping):
        yield f"{place} keys", list(value)
        for key, inner in value.items():
            yield from leaves(inner, f"{place}.{key}")
    elif isinstance(value, list):
        yield f"{place} length", len(value)
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{place}[{number}]")
    else:
        yield place, value


def read(response: Any, place: str) -> Observation:
    """Everything about a response but its time and the bytes of a video."""
    kept = {
        f"{place} header {key}": text for key, text in response.headers.items() if key != "date"
    }
    seen: Observation = {f"{place} status": response.status_code, **kept}
    seen[f"{place} headers"] = list(response.headers)
    if response.headers.get("content-type", "").startswith("application/json"):
        seen |= dict(leaves(response.json(), place))
    return seen


def masked(value: object) -> str:
    """A value without what is random in every response: ids, signatures and times."""
    text = str(value)
    for ticket in re.findall(r"/api/video/([\w-]+)\.[\w-]+", text):
        content = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4)).decode()
        text = text.replace(ticket, json.dumps(json.loads(content)[:3]))
    text = re.sub(r"\]\.[\w-]{27}\b", "].SIGNATURE", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def play(store: Store, study: StudyInfo, steps: int) -> list[tuple[Observation, bool]]:
    """What a rater sees around each of its answers, and whether it was an attention check."""
    rng = random.Random(2)
    seen = []
    with TestClient(create_server(store)) as client:
        joined = client.post("/api/studies/small/join", json={}).json()
        headers = {"Authorization": f"Bearer {joined['secret']}"}

        def ask(method: str, path: str, place: str, body: object = None) -> Any:
            response = client.request(method, path, json=body, headers=headers)
            around.update(read(response, place))
            return response

        for number in range(steps):
            around: Observation = {}
            ask("GET", "/api/studies/small/me", "before")
            pair = ask("POST", "/api/studies/small/next", "next").json()
            ask("GET", "/api/studies/small/me", "during")
            for side in ("left", "right"):
                ask("GET", pair[side], f"{side} video")
            body = {"pair": pair["pair"], "winner": rng.choice(["left", "right", "draw", "skip"])}
            if body["winner"] == "skip":
                body["skip_reason"] = rng.choice(["no_opinion", "broken"])
            ask("POST", "/api/answers", "answer", body)
            if number % 5 == 4:
                again = ask("POST", "/api/studies/small/undo", "undo").json()
                ask("POST", "/api/answers", "withdrawn", body)
                ask("GET", "/api/studies/small/me", "undone")
                ask("POST", "/api/answers", "answer again", body | {"pair": again["pair"]})
            ask("POST", "/api/answers", "other", {"pair": pair["pair"], "winner": "both_bad"})
            ask("GET", "/api/studies/small/me", "after")
            ask("GET", "/api/studies/small/scores", "scores")
            ask("GET", "/api/studies/small", "study")
            ask("GET", "/api/studies", "studies")
            with store.read() as session:
                seen.append((around, session.get(AttentionCheck, pair["pair"]) is not None))
    return seen


def guess_share(seen: list[tuple[Observation, bool]]) -> tuple[float, float, str]:
    """How well the best single thing seen separates checks from pairs.

    The rule is learnt from the first half: the more frequent kind for each value (as it is, its length, its change
    since the answer before), of the thing that does best there.

    Returns:
        Share of right guesses in the second half, the share by guessing the more frequent kind always, and the thing.
    """
    features: list[dict[str, str]] = []
    previous: Observation = {}
    for around, _ in seen:
        features.append({})
        for place, value in around.items():
            features[-1][place] = masked(value)
            features[-1][f"{place}: length"] = str(len(str(value)))
            before = previous.get(place)
            if isinstance(value, int) and isinstance(before, int):
                features[-1][f"{place}: change"] = str(value - before)
        previous = around
    kinds = [is_check for _, is_check in seen]
    half = len(seen) // 2
    usual = Counter(kinds[:half]).most_common(1)[0][0]

    def rule(name: str) -> dict[str | None, bool]:
        counts: dict[str | None, Counter[bool]] = defaultdict(Counter)
        for one, kind in zip(features[:half], kinds[:half], strict=True):
            counts[one.get(name)][kind] += 1
        return {value: count.most_common(1)[0][0] for value, count in counts.items()}

    def share(name: str, part: slice) -> float:
        known = rule(name)
        right = [
            known.get(one.get(name), usual) == kind
            for one, kind in zip(features[part], kinds[part], strict=True)
        ]
        return sum(right) / len(right)

    first, second = slice(half), slice(half, None)
    # A thing with another value each time fits the first half and says nothing about the second.
    names = [
        name for name in {name for one in features for name in one} if len(rule(name)) < half / 2
    ]
    best = max(sorted(names), key=lambda name: share(name, first))
    chance = max(Counter(kinds[second]).values()) / (len(seen) - half)
    return share(best, second), chance, best


@pytest.mark.long
def test_a_rater_who_reads_everything_guesses_checks_no_better_than_by_chance(
    tmp_path: Path,
) -> None:
    store, study = filled(tmp_path / "checked", checks=True)
    seen = play(store, study, STEPS)
    with store.read() as session:
        kinds = set(session.scalars(sa.select(AttentionCheck.kind)))
    assert kinds == {"gold", "repeat", "self"}
    right, chance, name = guess_share(seen)
    assert right <= chance + 3 * (0.25 / (STEPS / 2)) ** 0.5, name
    # The rater would find a total that changes with checks, as it once did.
    told = [({**around, "total": 120 - is_check}, is_check) for around, is_check in seen]
    assert guess_share(told)[0] == 1.0
    store.close()
    # Stronger: without checks every response is the same, answer by answer.
    store, study = filled(tmp_path / "plain", checks=False)
    plain = play(store, study, STEPS)
    hidden = "scores"  # open in a study without checks
    for (one, _), (other, _) in zip(seen, plain, strict=True):
        assert {place: masked(value) for place, value in one.items() if hidden not in place} == {
            place: masked(value) for place, value in other.items() if hidden not in place
        }
    store.close()


def test_tables_that_would_count_answers_are_for_admins_while_there_are_checks(
    tmp_path: Path,
) -> None:
    store, study = filled(tmp_path, checks=True)
    with TestClient(create_server(store)) as client:
        assert client.get("/api/studies/small/scores").status_code == 403
        change_settings(store, study, ADMIN, check_share=0.0)
        assert client.get("/api/studies/small/scores").status_code == 200
    store.close()


@pytest.mark.parametrize("limit", [None, 8, 40])
def test_the_total_is_the_same_with_and_without_checks_until_the_pairs_are_used_up(
    tmp_path: Path, limit: int | None, has_checks: bool
) -> None:
    store = open_store(str(tmp_path / "leaderboard.sqlite"), tmp_path / "media")
    study = fill(store, 4, 3)
    change_settings(
        store, study, ADMIN, check_share=0.5 * has_checks, check_kinds=("self", "repeat"),
        pairs_per_rater=limit, answers_per_minute=100_000, skips_allowed=None,
    )  # fmt: skip
    rater = join(store, study, "alice")
    rng = random.Random(3)
    asked = min(limit or 18, 18)
    answered = skipped = 0
    while True:
        view, pair = next_view(store, study, rater)
        assert (view.status.answered, view.total) == (answered, max(asked, answered))
        if pair is None:
            break
        if skip := rng.random() < 1 / 3:
            answer_pair(store, pair.assignment_id, rater, "skip", skip_reason="no_opinion")
        else:
            answer_pair(store, pair.assignment_id, rater, rng.choice(["left", "right"]))
        answered, skipped = answered + (not skip), skipped + skip
    assert answered + skipped >= asked if limit != 8 else answered == 8
    assert has_checks or limit == 8 or answered + skipped == asked
    # A pair that comes after the last one could only be a check.
    assert all(next_pair(store, study, rater) is None for _ in range(30))
    store.close()


def test_settings_are_not_read_from_what_raters_see(tmp_path: Path) -> None:
    store, _ = filled(tmp_path, checks=True)
    with TestClient(create_server(store)) as client:
        said: Any = client.get("/api/studies/small").json() | client.get("/api/studies").json()[0]
    assert not any("check" in key for key in said)
    store.close()
