"""The static page: every table, nothing from outside, and no stranger's text as markup."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from basalt.io.errors import WriteError
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.html_report import html_page, write_page
from leaderboard.ratings.ranking import rate
from tests.support.synthetic_comparisons import one_comparison, planted

HOSTILE = """</td><script>alert(1)</script><img src=x onerror='alert(2)'>"&{{ 7*7 }}"""


class Reader(HTMLParser):
    """Elements, attributes' names, and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_all_tables_stand_on_the_page_sources_apart() -> None:
    people = planted((0, 1, 3), 120, raters=20)
    rules = [replace(one, source="telemetry", rater=None) for one in people[:20]]
    other = [replace(one, task="build_village_house") for one in people[:30]]
    analyses = [analyse(table, replicates=50) for table in rate([*people, *rules, *other])]
    page = html_page("a study", analyses)
    read = Reader(page)
    assert read.tags.count("table") == 3
    assert read.tags.count("svg") == read.tags.count("circle") == 9
    assert page.count('data-source="telemetry"') == 1
    assert "judged by people" in page and "a stand-in" in page
    assert page.count("TrueSkill; rows in order of μ − 3σ.") == 3
    assert not read.attributes & {"src", "href", "onerror", "onload"}
    assert "script" not in read.tags
    for row in analyses[1].table.rows:
        assert f"{row.value:.2f}" in page


def test_rows_that_no_replay_confirmed_are_marked_on_the_page() -> None:
    tables = rate([one_comparison("first", "second", "left")])
    analyses = [analyse(table, replicates=0) for table in tables]
    read = Reader(html_page("a study", analyses, {(tables[0].task, "first"): (2, 11)}))
    assert read.text.count("2 of 11") == read.text.count("unverified") == 1


def test_the_page_names_the_model_of_its_tables() -> None:
    (table,) = rate(planted((0, 1), 40), model=BRADLEY_TERRY)
    page = html_page("a study", [analyse(table, replicates=20)])
    assert "Bradley–Terry; rows in order of strength." in page
    assert "3σ" not in page


def test_names_are_text_and_never_markup() -> None:
    tables = rate([one_comparison(HOSTILE, "other", "left")])
    read = Reader(html_page(HOSTILE, [analyse(table) for table in tables]))
    assert "script" not in read.tags and "img" not in read.tags
    assert "onerror" not in read.attributes
    assert read.text.count(HOSTILE) == 2, "as the heading and in its row"


def test_agents_that_nobody_has_compared_are_named_below_the_tables() -> None:
    tables = rate([one_comparison("first", "second", "left")])
    analyses = [analyse(table) for table in tables]
    read = Reader(html_page("a study", analyses, waiting=[HOSTILE, "late"]))
    assert f"0 comparisons: {HOSTILE}, late." in read.text
    assert "script" not in read.tags and "img" not in read.tags


def test_agents_that_only_drew_have_a_page() -> None:
    tables = rate([one_comparison("first", "second", "draw") for _ in range(40)])
    assert Reader(html_page("a study", [analyse(tables[0])])).tags.count("circle") == 2


def test_a_page_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="file: expected a folder, got a file"):
        write_page(tmp_path / "file" / "page.html", "s", [])
    write_page(tmp_path / "page.html", "s", [])
    assert "No judgments yet" in (tmp_path / "page.html").read_text()
    assert [one.name for one in tmp_path.glob("*page*")] == ["page.html"]
