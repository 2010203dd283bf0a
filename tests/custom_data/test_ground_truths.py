"""Ground truths that the verifier cannot read whole are told before anything starts, and never matched by a part."""

import asyncio

import pytest

from custom_data.tables import ground_truths
from tests.support.data_configs import data_config, write_rows
from trainers.builders.data import check_data
from trainers.configuration import ConfigurationError
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import build_verifier

READABLE = [
    "7",
    "-1/2",
    "1,234",
    "50%",
    "$18",
    "12 apples",
    "B",
    "(B) 42",
    "Paris",
    r"\frac{\sqrt{3}}{2}",
    r"(1, \infty)",
    "101_2",
]
UNREADABLE = [r"2\mathbb{Z}", "all primes p with p > 3", "Paris, France", r"f(x) \equiv 3 \pmod 7 ???"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", directory)
    return directory


def evaluation(tmp_path, truths, **keys):
    rows = [{"question": f"Question {n}?", "answer": truth} for n, truth in enumerate(truths)]
    return data_config(
        "evaluation", write_rows(tmp_path / "rows.jsonl", rows), student_base_url="http://localhost:1/v1", **keys
    )


def report_of(tmp_path, truths, **keys):
    return check_data(evaluation(tmp_path, truths, **keys))


def test_they_are_left_out_and_told_with_their_number_and_examples(tmp_path):
    report = report_of(tmp_path, [*READABLE, *UNREADABLE], max_unreadable_ratio=0.25)
    assert report.evaluation.used == len(READABLE)
    [dropped] = report.evaluation.unreadable
    assert (dropped.count, dropped.places) == (4, ("line 13", "line 14", "line 15", "line 16"))
    assert r"4 rows: ground truth cannot be read whole, such as '2\\mathbb{Z}', 'all primes" in "\n".join(
        report.lines()
    )


def test_too_many_of_them_are_refused_with_the_ways_out(tmp_path):
    truths = [*READABLE[:3], UNREADABLE[1]]
    with pytest.raises(ConfigurationError) as refused:
        report_of(tmp_path, truths)
    said = str(refused.value)
    assert "1 of 4 ground truths cannot be read as mathematics" in said
    assert "all primes p with p > 3" in said
    for way in (["verifier=exact"], ["max_unreadable_ratio=0.25"]):
        key, _, value = way[0].partition("=")
        assert way[0] in said
        report_of(tmp_path, truths, **{key: float(value) if value[0] == "0" else value})


def test_nothing_is_left_to_accept_where_none_can_be_read(tmp_path):
    with pytest.raises(ConfigurationError) as refused:
        report_of(tmp_path, UNREADABLE, max_unreadable_ratio=1)
    assert "do without them" not in str(refused.value)


def test_plain_answers_start_no_computer_algebra(tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.teaching.verifiers.mathematics.worker_pool.Worker", None)
    plain = [truth for truth in READABLE if "\\" not in truth]
    assert report_of(tmp_path, plain).evaluation.used == len(plain)


def test_what_was_found_is_remembered(tmp_path, cache, monkeypatch):
    truths = [*READABLE, UNREADABLE[0]]
    first = report_of(tmp_path, truths)
    assert len(list((cache / "ground_truths").iterdir())) == 1
    monkeypatch.setattr("trainers.teaching.verifiers.mathematics.worker_pool.Worker", None)
    assert report_of(tmp_path, truths) == first


def test_every_accepted_answer_has_to_be_readable(tmp_path):
    report = report_of(tmp_path, [["7", UNREADABLE[0]], *READABLE], max_unreadable_ratio=0.5)
    assert report.evaluation.used == len(READABLE)


def test_long_examples_are_cut(tmp_path):
    report = report_of(tmp_path, ["all primes " * 30 + "> 3", *READABLE])
    [dropped] = report.evaluation.unreadable
    assert len(dropped.cause) < len(ground_truths.READER.name) + 150


def test_a_part_never_matches_and_the_whole_does():
    verifier = build_verifier("math")

    async def verdicts(answer):
        text = rf"<solution>{answer or '{truth}'}</solution>"
        found = (verifier.verify(text.replace("{truth}", truth), Question(0, "?", truth, {})) for truth in UNREADABLE)
        return [verdict.correct for verdict in await asyncio.gather(*found)]

    try:
        for answer in ("2", "3", "7", "France", "x", "0"):
            assert True not in asyncio.run(verdicts(answer)), answer
        assert asyncio.run(verdicts(None)) == [True] * len(UNREADABLE)
    finally:
        verifier.close()
