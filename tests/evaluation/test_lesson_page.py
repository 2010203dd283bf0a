"""The page of lessons, in a real browser: what it shows, how it filters, and that texts stay texts."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.browser import browser, seen
from tests.support.evaluations import evaluated
from trainers.evaluation.measures.solved_questions import Alone, Taught
from trainers.evaluation.reports.lesson_page import as_script_data, marks, page_data, write_lesson_page
from trainers.generation.types import ToolCall, Turn
from trainers.teaching.lesson import Approach

HOSTILE = (
    "</script><script>document.title = 'broken'</script><!-- "
    "<img src=x onerror=\"document.title='broken'\"> \u2028 &amp;"
)


def with_text(taught: list[Taught], **texts: str) -> list[Taught]:
    """The same lessons with another question, teaching or thinking."""
    changed = []
    for item in taught:
        lessons = tuple(replace(lesson, **texts) for lesson in item.group.lessons)
        changed.append(replace(item, group=replace(item.group, lessons=lessons)))
    return changed


def lessons() -> tuple[list[Alone], dict[str, list[Taught]]]:
    """Four questions and two teachers: the first improves, harms, leaves one unscorable and one right."""
    alone, taught = evaluated(([False], [True]), ([True], [False]), ([True], [None]), ([True], [True]))
    return alone, {"GRPO": with_text(taught, thinking="hidden thought"), "SFT": with_text(taught, teaching=HOSTILE)}


@pytest.fixture
def opened(tmp_path: Path):
    """Writes a page and returns what a browser makes of it at an address, after a script that acts as a reader."""

    def render(alone, taught, fragment: str = "", then: str = "") -> str:
        write_lesson_page(tmp_path / "lessons.html", alone, taught, "Evaluation <b>on</b> data")
        with (tmp_path / "lessons.html").open("a") as page:
            page.write(f"<script>{then}</script>")
        address = f"{(tmp_path / 'lessons.html').as_uri()}{fragment}"
        return seen(address, tmp_path / "profile").partition("<script id=")[0]

    return render


def cards(page: str) -> list[str]:
    return re.findall(r"<article>.*?</article>", page, re.DOTALL)


def filters(page: str) -> dict[str, int]:
    found = re.findall(r'data-mark="([\w ]+)"[^>]*>[\w ]+<small>(\d+)</small>', page)
    return {name: int(count) for name, count in found}


def test_what_a_lesson_can_be_filtered_by():
    _, taught = lessons()
    assert [marks(item.group.lessons[0]) for item in taught["GRPO"]] == [["improved"], ["harmed"], ["unscorable"], []]
    leaked = replace(taught["GRPO"][3].group.lessons[0], leaked=True, teaching=None)
    assert marks(leaked) == ["harmed", "leaked", "malformed"]
    cut = replace(leaked, leaked=False, teaching="x", taught=replace(leaked.taught, truncated=True))
    assert marks(cut) == ["truncated"]


def test_data_cannot_end_its_element():
    text = as_script_data({"text": HOSTILE})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"text": HOSTILE}


def test_a_page_that_would_be_too_large_keeps_first_lessons_and_counts_the_others():
    alone, taught = evaluated(*[([False], [True, True, True])] * 20)
    data = page_data(alone, {"T": taught}, "", max_characters=13_000)
    assert 20 <= len(data["lessons"]) < 60
    assert {lesson["row"] for lesson in data["lessons"] if lesson["member"] == 0} == set(range(20))
    assert data["left_out"] == 60 - len(data["lessons"])


def test_a_page_that_has_no_room_for_all_questions_has_as_many_as_fit():
    alone, taught = evaluated(*[([False], [True, True])] * 20)
    whole = page_data(alone, {"T": taught}, "")
    data = page_data(alone, {"T": taught}, "", max_characters=len(json.dumps(whole)) // 3)
    assert 1 < len(data["lessons"]) < 20
    assert set(data["questions"]) == {lesson["row"] for lesson in data["lessons"]}
    assert len(json.dumps(data)) < len(json.dumps(whole)) / 3 + 200
    assert data["left_out"] == 40 - len(data["lessons"])


def of_students(*names: str) -> tuple[list[Alone], dict[str, list[Taught]]]:
    """The lessons of several students, each with an approach of its own."""
    alone, taught = lessons()
    found: list[Alone] = []
    by_teacher: dict[str, list[Taught]] = {teacher: [] for teacher in taught}
    for name in names:
        changed = {"student": name, "approach": Approach(f"how {name} goes about it", 4, truncated=False)}
        found += [replace(item, prepared=replace(item.prepared, **changed)) for item in alone]
        for teacher, items in taught.items():
            for item in items:
                prepared = replace(item.group.prepared, **changed)
                own = tuple(replace(lesson, prepared=prepared) for lesson in item.group.lessons)
                by_teacher[teacher].append(replace(item, group=replace(item.group, prepared=prepared, lessons=own)))
    return found, by_teacher


def test_students_share_questions_and_have_what_they_solved_themselves():
    data = page_data(*of_students("small", "large"), "")
    assert data["students"] == ["small", "large"]
    assert set(data["questions"]) == {0, 1, 2, 3}
    assert data["solved"]["large/2"]["approach"] == "how large goes about it"
    assert [lesson["student"] for lesson in data["lessons"][:4]] == ["small", "small", "large", "large"]


@browser
@pytest.mark.slow
def test_the_page_names_students_and_filters_by_them(opened):
    several = of_students("small", "large")
    page = opened(*several, "#student=large&teacher=SFT")
    assert len(cards(page)) == 4
    assert all("SFT with large" in card and "how large goes about it" in card for card in cards(page))
    assert 'id="student" aria-label="student">' in page
    assert len(cards(opened(*several, "#student=nobody"))) == 16
    chosen = "const select = document.getElementById('student'); select.value = 'small'; "
    chosen += "select.dispatchEvent(new Event('change'))"
    assert all("with small" in card for card in cards(opened(*several, then=chosen)))
    alone = opened(*lessons())
    assert 'id="student" aria-label="student" hidden' in alone
    assert " with student" not in alone


def test_the_file_needs_no_network(tmp_path):
    write_lesson_page(tmp_path / "lessons.html", *lessons(), "")
    page = (tmp_path / "lessons.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)", page.partition("<script id=")[0])


@browser
@pytest.mark.slow
def test_all_lessons_are_shown_and_counted(opened):
    page = opened(*lessons())
    assert len(cards(page)) == 8
    assert filters(page) == {
        "all": 8, "improved": 2, "harmed": 2, "leaked": 0, "blind leak": 0, "truncated": 0, "unscorable": 2,
        "malformed": 0, "forged": 0,
    }  # fmt: skip
    assert "<h1>Evaluation &lt;b&gt;on&lt;/b&gt; data</h1>" in page
    assert "8 of 8 lessons" in page
    first = cards(page)[0]
    assert first.index("✗ wrong") < first.index("✓ right")
    assert "hidden thought" in page

    # Texts of models stay texts.
    assert "<title>Evaluation &lt;b&gt;on&lt;/b&gt; data</title>" in page
    assert "broken" not in re.search(r"<title>(.*?)</title>", page)[1]
    assert "<img" not in page
    shown = [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)]
    assert shown.count(HOSTILE) == 4


@browser
@pytest.mark.slow
def test_buttons_and_the_address_filter_and_search(opened):
    alone, taught = lessons()
    page = opened(alone, taught, "#show=harmed&teacher=SFT")
    [card] = cards(page)
    assert "mark harmed" in card
    assert "1 of 8 lessons" in page
    assert '<button type="button" data-mark="harmed" aria-pressed="true">' in page
    clicked = opened(alone, taught, then="document.querySelector('[data-mark=improved]').click()")
    assert [re.findall(r"mark (\w+)", card) for card in cards(clicked)] == [["improved"], ["improved"]]
    found = opened(alone, taught, "#search=HIDDEN+thought")
    assert len(cards(found)) == 4
    assert "<mark>hidden thought</mark>" in found
    assert cards(opened(alone, taught, "#search=nowhere")) == []


@browser
@pytest.mark.slow
def test_no_teaching_and_a_malformed_one_are_told_apart(opened):
    alone, taught = lessons()
    item = taught["GRPO"][0]
    [lesson] = item.group.lessons
    malformed = replace(lesson, teaching=None, taught=None)
    for changed, said in (
        (malformed, "no well-formed teaching"),
        (replace(malformed, sample=None, failure="teacher_http_404"), "none was given"),
    ):
        page = opened(alone, {"T": [replace(item, group=replace(item.group, lessons=(changed,)))]})
        assert said in cards(page)[0]


@browser
@pytest.mark.slow
def test_thousands_of_lessons_open_quickly(opened):
    alone, taught = evaluated(*[([False], [True] * 4)] * 2000)
    page = opened(alone, {"T": with_text(taught, teaching="word " * 200)})
    assert "8000 of 8000 lessons" in page
    assert len(cards(page)) == 30


@browser
@pytest.mark.slow
def test_the_turns_of_an_agent_are_folded_into_its_solution_and_can_be_searched(opened):
    alone, taught = lessons()
    item = taught["GRPO"][0]
    [lesson] = item.group.lessons
    call = ToolCall("calculator", {"expression": HOSTILE})
    turns = (Turn("assistant", "I look.", 3, (call,)), Turn("tool", "no sum", call=call, failed=True))
    acted = replace(lesson, taught=replace(lesson.taught, turns=(*turns, Turn("assistant", "four", 1))))
    page = opened(alone, {"T": [replace(item, group=replace(item.group, lessons=(acted,)))]}, "#search=no+sum")
    [card] = cards(page)
    assert "2 turns" in card
    assert "calculator(expression=" in card
    assert "failed" in card
    assert "<img" not in page
