"""The texts of the raters' pages are in one place: none is written in the pages' code, and none is missing or left over."""

import ast
import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import ValidationError

import eval_ui
import leaderboard
from basalt.io.errors import ConfigError
from eval_ui import texts
from eval_ui.texts import Texts, catalogues
from leaderboard.judging.judgments import AnswerRefusedError
from leaderboard.judging.raters import REASONS
from leaderboard.studies.access import AccessDeniedError
from leaderboard.studies.settings import JudgingSettings

FOLDER = Path(eval_ui.__file__).parent
PAGES = [
    *(
        FOLDER / "judging" / f"{name}.py"
        for name in (
            "acts", "clip_comparing", "onboarding", "pair_judging", "pair_view", "rater_footer",
        )
    ),
    *(FOLDER / "views" / f"{name}.py" for name in ("judge", "compare")),
]  # fmt: skip
SCRIPTS = [
    FOLDER / "components" / f"{name}.js"
    for name in ("compare", "outbox", "pair", "player", "texts")
]
FRAMES = [FOLDER / "components" / f"{name}.html" for name in ("compare", "pair", "player")]
OTHERS = {"Judge", "Compare clips", "clip raters", "rater page"}
"""Names of pages in the navigation, of an audience, of a key."""

KEYS = {
    "Alt", "ArrowLeft", "ArrowRight", "Backspace", "Content-Type", "Ctrl", "End", "Enter", "Esc", "Escape", "Home",
    "AbortError", "Arrow", "Shift",
}  # fmt: skip

SENTENCE = re.compile(r"[^\W\d_]{2,}[,.:;?!]?\s+[^\W\d_]{2,}|^[A-Z][a-z]+[.!?…]?$|…")
"""Two words in a row, or one that begins with a capital."""

SCRIPT_STRING = re.compile(
    r"""//[^\n]*|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`"""
)


def written(strings: Iterator[str]) -> list[str]:
    """Those that a person would read."""
    return [
        one
        for one in strings
        if SENTENCE.search(re.sub(r"\$?\{[^}]*\}", "", one).strip())
        and one not in KEYS | OTHERS
        and not re.search(r"[.\[#][a-z-]+[\s,>]|:not\(|^\(hover", one)  # a selector
    ]


def strings_of_script(script: str) -> Iterator[str]:
    for match in SCRIPT_STRING.finditer(script):
        yield from (one for one in match.groups() if one is not None)


def strings_of_page(page: str) -> Iterator[str]:
    """String constants that are neither docstrings nor annotations nor arguments of what raises or describes fields."""
    tree = ast.parse(page)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AccessDeniedError":
            skipped |= {id(one) for one in ast.walk(node)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
        ):
            yield node.value


def strings_of_frame(frame: str) -> Iterator[str]:
    """Texts and attributes that are shown or read out; names of keys in `kbd` aside."""
    frame = re.sub(r"<!--.*?-->|<kbd>.*?</kbd>|<option.*?</option>", "", frame, flags=re.DOTALL)
    for name, value in re.findall(r'\s([\w-]+)="([^"]*)"', frame):
        if name in ("title", "aria-label", "placeholder", "alt"):
            yield value.capitalize()
    for text in re.findall(r">([^<]+)<", frame):
        if re.search(r"[^\W\d_]{2,}", text):
            yield text.strip().capitalize()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_text_of_its_own(page: Path) -> None:
    assert written(strings_of_page(page.read_text())) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_script_has_a_text_of_its_own(script: Path) -> None:
    assert written(strings_of_script(script.read_text())) == []


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.name)
def test_no_frame_has_a_text_of_its_own(frame: Path) -> None:
    assert written(strings_of_frame(frame.read_text())) == []


def test_a_text_in_the_code_is_found() -> None:
    assert written(
        strings_of_script('say("pair.ready"); hint.textContent = `Wait ${n} more`;')
    ) == ["Wait ${n} more"]
    assert written(strings_of_script('button.textContent = "Submit"; // Not this')) == ["Submit"]
    assert written(strings_of_page('"""Doc string."""\nst.button("Begin")\nst.info(f"only {n} left over")')) == [
        "Begin", " left over",
    ]  # fmt: skip
    assert written(strings_of_frame('<b title="play it">x</b><p>Wait</p><kbd>Esc</kbd>')) == [
        "Play it", "Wait",
    ]  # fmt: skip


REFUSALS = {
    "AccessDeniedError", "AnswerRefusedError", "StudyError", "StudyFullError", "TooManyRequestsError",
}  # fmt: skip


def refusals() -> Iterator[ast.Call]:
    """Calls in the leaderboard and the app that make a refusal with a code, or one of `REASONS`."""
    for folder in (FOLDER, Path(leaderboard.__file__).parent):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSALS:
                    yield node


def codes_of_refusals() -> set[str]:
    """Codes of the refusals that raters may see."""
    codes = {*REASONS, AnswerRefusedError.code, "active_elsewhere"}
    for call in refusals():
        if len(call.args) == 2 and isinstance(call.args[1], ast.Constant):
            codes.add(call.args[1].value)
    return codes


def test_a_refusal_gives_its_text_the_values_that_it_names() -> None:
    for call in refusals():
        if len(call.args) == 2 and isinstance(code := call.args[1], ast.Constant):
            wanted = set(re.findall(r"\{\{(\w+)\}\}", catalogues()["en"]["refused"][code.value]))
            assert wanted == {one.arg for one in call.keywords}, code.value


def test_a_refusal_is_in_the_studys_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "en.json").write_text(json.dumps(dict(catalogues()["en"])))
    german = {"refused": {"browsers": "Schon in {{most}} Browsern."}}
    (tmp_path / "de.json").write_text(json.dumps(german))
    monkeypatch.setattr(texts, "_FOLDER", tmp_path)
    catalogues.cache_clear()
    try:
        say = Texts("de")
        assert (
            say.refusal(AccessDeniedError("used in 3", "browsers", most=3))
            == "Schon in 3 Browsern."
        )
        assert say.refusal(AnswerRefusedError("winner: got 'x'")).startswith(
            "The answer is not complete"
        )
        assert say.refusal(ConfigError("a setting is wrong")) == "A setting is wrong"
    finally:
        monkeypatch.undo()
        catalogues.cache_clear()


def test_every_text_that_is_asked_for_exists_and_every_one_is_asked_for() -> None:
    code = "\n".join(path.read_text() for path in (*PAGES, *SCRIPTS, *FRAMES))
    english = catalogues()["en"]
    known = {f"{section}.{name}" for section in english for name in english[section]}
    plural = {re.sub(r"_(one|other)$", "", key) for key in known if key.endswith("_other")}
    asked = set(re.findall(rf"""["'](?:{"|".join(english)})\.[a-z_]+["']""", code))
    asked = {one[1:-1] for one in asked if not re.search(r"\.(html|css|js).$", one)}
    asked |= {f"refused.{code}" for code in codes_of_refusals()}
    # Chosen by the outcome of an answer or the state of a rater.
    chosen = {f"sending.expected_{side}" for side in ("left", "right", "draw")} | {
        "sending.correct"
    }
    for state in ("failed", "banned", "paused", "ended"):
        chosen |= {f"end.{state}", f"end.{state}_why"}
    chosen |= {
        f"welcome.{fact}"
        for fact in ("study", "organiser", "pairs_to_judge", "time", "pay", "contact")
    }
    assert asked <= known | plural
    assert {
        re.sub(r"_(one|other)$", "", key) if key[: key.rfind("_")] in plural else key
        for key in known
    } == (asked | chosen)


@pytest.mark.parametrize(
    ("tag", "fits"), [("de", True), ("en-x-lab", True), ("../en", False), ("", False)]
)
def test_a_study_names_its_language_by_a_tag(tag: str, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(ValidationError):
        assert JudgingSettings(language=tag).language == tag


def test_a_translation_takes_what_is_missing_from_english_and_its_own_plurals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "en.json").write_text(json.dumps(dict(catalogues()["en"])))
    polish = {
        "welcome": {
            "practice_one": "{{count}} para",
            "practice_few": "{{count}} pary",
            "practice_many": "{{count}} par",
        }
    }
    (tmp_path / "pl.json").write_text(json.dumps(polish))
    (tmp_path / "en-x-lab.json").write_text(json.dumps({"welcome": {"begin": "Let's go"}}))
    monkeypatch.setattr(texts, "_FOLDER", tmp_path)
    catalogues.cache_clear()
    try:
        say = Texts("pl")
        assert [say("welcome.practice", count=n) for n in (1, 2, 5)] == [
            "1 para",
            "2 pary",
            "5 par",
        ]
        assert say("welcome.begin") == "Begin"
        lab = Texts("en-x-lab")
        assert lab("welcome.begin") == "Let's go"
        assert "2 practice pairs" in lab("welcome.practice", count=2)
        assert Texts("xx").language == "en"
        with pytest.raises(KeyError):
            say("welcome.unknown")
    finally:
        monkeypatch.undo()
        catalogues.cache_clear()


@pytest.mark.parametrize(
    "content", ["{", '["a"]', '{"pair": {"submit": 3}}', "[" * 100_000, '"\\ud800"']
)
def test_a_damaged_translation_is_one_error(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "de.json").write_text(content, encoding="utf-8")
    monkeypatch.setattr(texts, "_FOLDER", tmp_path)
    catalogues.cache_clear()
    try:
        with pytest.raises(
            ConfigError, match=r"de\.json: expected sections of texts as in en\.json"
        ):
            catalogues()
    finally:
        monkeypatch.undo()
        catalogues.cache_clear()
