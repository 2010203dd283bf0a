"""Runs in a Python that has the package `verifiers`: reads its taskset's tasks, and scores solutions of them.

    PYTHON bridge.py TASKSET '{"setting": "value"}'

First it writes what there is: `{"tasks": N}`, or `{"refused": "why"}`. Then it reads a JSON object per line, and
answers each with one that has the same `id`: `{"id": 1, "task": 3}` with the task's question, and `{"id": 2, "task": 3,
"solution": "…"}` with its reward, or with why there is none. Nothing here is of ATLAS, whose libraries are elsewhere.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from typing import Any, TextIO


def load(taskset: str, settings: dict[str, Any]) -> list[Any]:
    """Return all tasks of a taskset.

    Raises:
        ValueError: when it has no end, or tasks of which a text alone is no solution.
    """
    import verifiers.v1 as vf

    loaded = vf.load_taskset(vf.taskset_config_type(taskset).model_validate({**settings, "id": taskset}))
    if not loaded.bounded:
        raise ValueError(f"the taskset {taskset} has no end")
    tasks = list(loaded)
    for task in tasks:
        if lacks := needs(task):
            raise ValueError(
                f"task {task.data.idx} of {taskset} needs {lacks}; here tasks are answered by a text alone"
            )
    return tasks


def needs(task: Any) -> str | None:
    """Return what a task needs besides a text that answers it, `None` for nothing."""
    if task.NEEDS_CONTAINER or task.data.image is not None:
        return "a container"
    if type(task).toolsets(task.config):
        return "tools of its own"
    if not task.data.prompt_text:
        return "somebody who opens the conversation"
    hooks = [*task.hooks("reward"), *(judge.score for judge in task.plugged_judges())]
    if not hooks:
        return "a reward"
    parameters = [inspect.signature(hook).parameters.get("runtime") for hook in hooks]
    if any(found is not None and found.default is inspect.Parameter.empty for found in parameters):
        return "a runtime in which its rewards look"
    return None


def question(task: Any) -> str:
    """Return what a task asks, the words of its system prompt first."""
    return "\n\n".join(text for text in (task.data.system_prompt, task.data.prompt_text) if text)


async def reward(task: Any, solution: str) -> float:
    """Return what a task's own rewards give a solution, as if a model had answered in one turn."""
    import verifiers.v1 as vf
    from verifiers.v1.state import state_cls

    said = [vf.UserMessage(content=question(task)), vf.AssistantMessage(content=solution)]
    nodes = [vf.MessageNode(message=said[0]), vf.MessageNode(message=said[1], parent=0, sampled=True)]
    trace = vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        agent=vf.AgentInfo(config=vf.AgentConfig(runtime=vf.SubprocessConfig()), name="student", trainable=False),
        state=state_cls(type(task))(),
        nodes=nodes,
        is_completed=True,
        ok=True,
    )
    await task.score(trace)
    return float(trace.reward)


async def answer(tasks: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one line; whatever a task raises is why there is none."""
    known = {"id": asked["id"]}
    try:
        task = tasks[asked["task"]]
        if "solution" not in asked:
            return known | {"question": question(task)}
        return known | {"reward": await reward(task, asked["solution"])}
    except Exception as error:  # noqa: BLE001 - the rewards are anybody's code
        return known | {"failure": f"{type(error).__name__}: {error}"}


async def serve(tasks: list[Any], lines: TextIO, answers: TextIO) -> None:
    """Answer lines until there are no more; none waits for another."""
    running: set[asyncio.Task[None]] = set()

    async def one(asked: dict[str, Any]) -> None:
        tell(answers, await answer(tasks, asked))

    while line := await asyncio.to_thread(lines.readline):
        task = asyncio.create_task(one(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


def tell(answers: TextIO, what: dict[str, Any]) -> None:
    """Write one line."""
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def main() -> int:
    """Serve the taskset that the arguments name."""
    # What tasks print is no answer of ours.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        tasks = load(sys.argv[1], json.loads(sys.argv[2]))
    except Exception as error:  # noqa: BLE001 - tasksets are anybody's code
        tell(answers, {"refused": f"{type(error).__name__}: {error}"})
        return 2
    tell(answers, {"tasks": len(tasks)})
    asyncio.run(serve(tasks, sys.stdin, answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
