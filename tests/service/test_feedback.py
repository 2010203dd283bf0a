"""`POST /v1/feedback`, over real HTTP."""

import asyncio

import aiohttp
import pytest

from tests.service.test_recording import recording
from tests.service.test_service import ASKED, serving
from trainers.traces.feedback import latest_feedback


def said(directory, body, *, recorded=True, key=None, of_answer=False, headers=None):
    """The status and answer to feedback on a lesson just given, whose id takes the place of `LESSON`."""

    async def outcome():
        made = recording(directory) if recorded else None
        async with (
            serving(recording=made, key=key) as (client, url),
            aiohttp.ClientSession(headers=headers) as session,
        ):
            answer = await client.chat.completions.create(model="small", messages=ASKED)
            lesson = answer.id if of_answer else answer.model_extra["atlas"].get("lesson")
            filled = {**body, "id": lesson} if isinstance(body, dict) and body.get("id") == "LESSON" else body
            async with session.post(f"{url}/v1/feedback", json=filled) as response:
                return response.status, await response.json(), lesson

    return asyncio.run(outcome())


@pytest.mark.parametrize("of_answer", [False, True])
def test_feedback_is_written_beside_the_lessons(tmp_path, of_answer):
    status, answer, lesson = said(
        tmp_path, {"id": "LESSON", "score": 0.8, "comment": "clear, says jo@example.com"}, of_answer=of_answer
    )
    assert (status, answer["object"], answer["score"]) == (200, "feedback", 0.8)
    [given] = latest_feedback(tmp_path).values()
    assert given.id == answer["id"] == lesson.removeprefix("chatcmpl-")
    assert given.comment == "clear, says [EMAIL]"


def test_an_unknown_lesson_is_404_and_says_so(tmp_path):
    status, answer, _ = said(tmp_path, {"id": "chatcmpl-nothing", "score": 1})
    assert status == 404
    assert answer["error"]["message"] == "There is no recorded lesson 'chatcmpl-nothing' here."
    assert latest_feedback(tmp_path) == {}


def test_without_recording_there_is_nothing_to_judge(tmp_path):
    status, answer, _ = said(tmp_path, {"id": "x", "score": 1}, recorded=False)
    assert status == 404
    assert "records no lessons" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "JSON object"),
        ({"score": 1}, "id must be"),
        ({"id": 7, "score": 1}, "id must be"),
        ({"id": "LESSON"}, "score must be"),
        ({"id": "LESSON", "score": 5}, "from 0 to 1"),
        ({"id": "LESSON", "score": "good"}, "score must be"),
        ({"id": "LESSON", "score": True}, "score must be"),
        ({"id": "LESSON", "score": 1, "comment": ["x"]}, "comment must be"),
        ({"id": "LESSON", "score": 1, "comment": "\ud83d"}, "Unicode"),
    ],
)
def test_what_is_no_feedback_is_refused_by_name(tmp_path, body, told):
    status, answer, _ = said(tmp_path, body)
    assert status == 400
    assert told in answer["error"]["message"]
    assert latest_feedback(tmp_path) == {}


@pytest.mark.parametrize(("headers", "expected"), [({}, 401), ({"Authorization": "Bearer k"}, 200)])
def test_only_who_has_the_key_may_judge(tmp_path, headers, expected):
    assert said(tmp_path, {"id": "LESSON", "score": 1}, key="k", headers=headers)[0] == expected
