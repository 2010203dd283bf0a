"""The service records, over real HTTP, every lesson where it was asked to, and none where a client says no."""

import asyncio
import json

import aiohttp
import pytest

from tests.service.test_service import ASKED, Slow, guessing, mentor, serving, student
from tests.support.chat_api import ChatApi, listening
from trainers.generation.models import api_model
from trainers.service.__main__ import main, parse, recording_of
from trainers.service.app import Limits
from trainers.service.recording import Recording
from trainers.traces.feedback import FeedbackBox
from trainers.traces.files import LESSONS, files_of, rows_of
from trainers.traces.recorder import TraceRecorder
from trainers.traces.trace import lesson_id

MODELS = ["--teacher", "t", "--student", "s"]


def recording(directory, **options):
    recorder, feedback = TraceRecorder(directory, **options), FeedbackBox(directory, **options)
    return Recording(recorder, feedback, student="small", teacher="mentor")


def asked(directory, *requests, student=student, teacher=mentor, path="chat/completions", **options):
    """Answers to requests, each (body, headers), and the lessons recorded."""

    async def outcome():
        answers = []
        async with (
            serving(student, teacher, recording=recording(directory), **options) as (_, url),
            aiohttp.ClientSession() as session,
        ):
            for body, headers in requests:
                async with session.post(f"{url}/v1/{path}", json=body, headers=headers) as response:
                    answers.append(await (response.json() if "stream" not in body else response.text()))
        return answers

    answers = asyncio.run(outcome())
    return answers, list(rows_of(directory, LESSONS))


def test_a_lesson_is_recorded_with_all_that_it_was(tmp_path):
    [answer], [row] = asked(tmp_path, ({"messages": ASKED}, {}))
    assert answer["atlas"]["lesson"] == row["id"] == answer["id"].removeprefix("chatcmpl-")
    assert row | {"seconds": {}, "time": "", "conversation": ""} == {
        "format": 1,
        "id": row["id"],
        "conversation": "",
        "student": "small",
        "teacher": "mentor",
        "question": "2 + 2?",
        "approach": "guess",
        "thinking": "hm",
        "teaching": "add them",
        "taught": "USE 2 + 2? add them",
        "baseline": None,
        "ground_truth": None,
        "failure": None,
        "time": "",
        "seconds": {},
    }
    assert set(row["seconds"]) == {"guidance", "answer"}
    assert row["time"].endswith("+00:00")


def test_nothing_is_recorded_unless_the_service_was_asked_to():
    async def outcome():
        async with serving() as (client, _):
            return await client.chat.completions.create(model="small", messages=ASKED)

    assert "lesson" not in asyncio.run(outcome()).model_extra["atlas"]
    assert recording_of(parse(MODELS)) is None


@pytest.mark.parametrize(
    ("body", "headers"),
    [({"store": False}, {}), *(({}, {"Atlas-Record": word}) for word in ("off", "Off", "no", "0", "of", ""))],
)
def test_a_client_that_does_not_agree_is_not_recorded(tmp_path, body, headers):
    [answer], rows = asked(tmp_path, ({"messages": ASKED, **body}, headers))
    assert answer["choices"][0]["message"]["content"] == "USE 2 + 2? add them"
    assert "lesson" not in answer["atlas"]
    assert rows == []


@pytest.mark.parametrize(("body", "headers"), [({"store": True}, {}), ({"store": None}, {"Atlas-Record": "on"})])
def test_a_client_that_agrees_is(tmp_path, body, headers):
    assert len(asked(tmp_path, ({"messages": ASKED, **body}, headers))[1]) == 1


def test_what_a_student_says_alone_is_no_taught_answer(tmp_path):
    _, [row] = asked(tmp_path, ({"messages": ASKED}, {}), teacher=lambda text: "no tags")
    assert (row["teaching"], row["taught"], row["baseline"]) == (None, None, "SOLVE 2 + 2?")
    assert row["failure"] == "teacher_format"


def test_every_choice_is_a_lesson(tmp_path):
    [answer], rows = asked(tmp_path, ({"messages": ASKED, "n": 3}, {}))
    lesson = answer["atlas"]["lesson"]
    assert [row["id"] for row in rows] == [lesson, f"{lesson}-1", f"{lesson}-2"]


def test_a_stream_is_recorded_as_a_whole(tmp_path):
    [text], [row] = asked(tmp_path, ({"messages": ASKED, "stream": True}, {}), student=guessing())
    assert row["taught"].strip() == "USE 2 + 2? add them"
    assert row["failure"] is None
    first = json.loads(text.partition("\n")[0].removeprefix("data: "))
    assert first["atlas"]["lesson"] == row["id"]


def test_a_stream_that_breaks_off_is_recorded_as_incomplete(tmp_path):
    slow = Slow(lambda text, index: "guess", pause_s=0.15)
    _, [row] = asked(
        tmp_path, ({"messages": ASKED, "stream": True}, {}), student=slow, limits=Limits(request_timeout_s=0.4)
    )
    assert row["taught"].startswith("USE ")
    assert row["failure"] == "incomplete"


def test_a_client_that_leaves_in_the_middle_leaves_an_incomplete_lesson(tmp_path):
    async def outcome():
        slow = Slow(lambda text, index: "guess", pause_s=0.1)
        async with serving(slow, recording=recording(tmp_path)) as (client, _):
            stream = await client.chat.completions.create(model="small", messages=ASKED, stream=True)
            async for _ in stream:
                break
            await stream.close()
            await asyncio.sleep(1)

    asyncio.run(outcome())
    assert [row["failure"] for row in rows_of(tmp_path, LESSONS)] == ["incomplete"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_student_behind_an_api_is_recorded_too(tmp_path, streaming):
    async def outcome():
        async with listening(ChatApi()) as url:
            model = api_model(url, "m", api_key_env=None)
            async with serving(model, recording=recording(tmp_path)) as (client, _):
                answer = await client.chat.completions.create(model="small", messages=ASKED, stream=streaming)
                if streaming:
                    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])
                return answer.choices[0].message.content

    text = asyncio.run(outcome())
    [row] = rows_of(tmp_path, LESSONS)
    assert row["taught"] == text


@pytest.mark.parametrize(("path", "body"), [("completions", {"prompt": "2 + 2?"}), ("responses", {"input": "2 + 2?"})])
def test_every_form_of_request_is_recorded(tmp_path, path, body):
    [answer], [row] = asked(tmp_path, (body, {}), path=path)
    assert lesson_id(answer["id"]) == row["id"] == answer["atlas"]["lesson"]
    assert row["question"] == "2 + 2?"


def test_the_turns_of_a_conversation_belong_together(tmp_path):
    longer = [*ASKED, {"role": "assistant", "content": "4"}, {"role": "user", "content": "And 3 + 3?"}]
    other = [{"role": "user", "content": "5 + 5?"}]
    _, rows = asked(
        tmp_path,
        ({"messages": ASKED}, {}),
        ({"messages": longer}, {}),
        ({"messages": other}, {}),
        ({"messages": ASKED}, {"Atlas-Conversation": "jo@example.com"}),
        ({"messages": other}, {"Atlas-Conversation": "jo@example.com"}),
    )
    first, second, third, *named = [row["conversation"] for row in rows]
    assert first == second != third
    assert named[0] == named[1] not in (first, third)
    assert "jo@" not in str(rows)


def test_secrets_are_taken_out_on_the_way(tmp_path):
    asked(tmp_path, ({"messages": [{"role": "user", "content": "my key is sk-" + "a1B2" * 8}]}, {}))
    [path] = files_of(tmp_path, LESSONS)
    assert "a1B2" not in path.read_text(encoding="utf-8")


def test_an_answer_comes_also_when_it_cannot_be_recorded(tmp_path, caplog):
    def broken(text):
        raise ValueError

    async def outcome():
        async with serving(recording=recording(tmp_path, redact=[broken])) as (client, _):
            return await client.chat.completions.create(model="small", messages=ASKED)

    assert asyncio.run(outcome()).choices[0].message.content == "USE 2 + 2? add them"
    assert "not recorded" in caplog.text
    assert files_of(tmp_path, LESSONS) == []


def test_the_options_say_where_how_and_how_much(tmp_path):
    words = [
        "--record",
        str(tmp_path / "new"),
        "--redact",
        "textwrap.dedent",
        "--record-max-bytes",
        "500",
        "--name",
        "n",
    ]
    made = recording_of(parse([*MODELS, *words]))
    assert (made.student, made.teacher) == ("n", "t")
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--redact", "textwrap.dedent"], "--record DIR"),
        (["--record", "{}", "--redact", "no_such.function"], "redact=no_such.function"),
        (["--record", "{}/file"], "record="),
    ],
)
def test_a_mistake_is_told_before_a_model_is_loaded(tmp_path, capsys, words, told):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert main([*MODELS, *(word.format(tmp_path) for word in words)]) == 2
    assert told in capsys.readouterr().err
