# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/ATLAS/blob/main/examples/code_generation_demo.ipynb)
#
# # Teaching a student to write code
#
# The student writes a function, alone and after reading what a teacher made of its plan. Whether the function is right is decided
# by running its tests in a sandbox (a process of its own without network, with limits on time and memory), not by looking at it.
#
# On a GPU this loads HumanEval, ATLAS-8B-Instruct as teacher and Qwen3-4B-Instruct as student (23 GiB of weights in bfloat16) where
# 36 GiB or more are there, Qwen3-0.6B as student from 21 GiB on, and on smaller cards Qwen3-1.7B, which was not trained to teach, as
# teacher. Without a GPU, or with `ATLAS_DEMO=world` in the environment, it uses the small models that `bash scripts/quickstart.sh` has trained, and
# wraps the student, which knows stories and plans but no Python, in an agent that turns its plan into a function.

# %%
import os
import sys
import warnings
from pathlib import Path

# Without the package ipywidgets, bars are drawn as text, which is no fault.
warnings.filterwarnings("ignore", message="IProgress not found")

import torch

DEMO = os.environ.get("ATLAS_DEMO") or ("gpu" if torch.cuda.is_available() else "world")

if "google.colab" in sys.modules and not Path("trainers").exists():
    # A fresh Colab machine: fetch the project, and what it needs on top of what Colab has.
    get_ipython().system("git clone --depth 1 https://github.com/OWNER/ATLAS.git ATLAS")  # noqa: F821
    os.chdir("ATLAS")
    get_ipython().system("pip install -q 'transformers==5.17.0' math-verify aiohttp openai hydra-core msgspec")  # noqa: F821
elif Path.cwd().name == "examples":
    os.chdir("..")
sys.path.insert(0, str(Path.cwd()))

# %% [markdown]
# ## Load teacher and student
#
# Both sample at the temperatures of the evaluation by `scripts/evaluate.sh`: 0.7 each, in the world 1.0 for the teacher. What is
# measured below is therefore the same quantity as in its tables, over fewer questions.

# %%
from trainers.generation.models import local_model
from trainers.teaching import AdaptiveTeacher, default_templates
from trainers.teaching.verifiers import build_verifier

WORKSPACE = Path(os.environ.get("ATLAS_DEMO_WORKSPACE", "results/quickstart"))

if DEMO == "gpu":
    from examples.demo_models import choose_here

    models, dtype = choose_here("Arc-Intelligence/ATLAS-8B-Instruct")
    print(f"{models.teacher} teaches {models.student}, in {dtype}")
    teacher_model = local_model(models.teacher, dtype=dtype, batch_size=models.batch_size)
    student_model = local_model(models.student, dtype=dtype, batch_size=models.batch_size)
    settings = {"max_tokens": 1024, "max_probe_tokens": 300, "max_completion_length": 1024}
else:
    if not (WORKSPACE / "rl" / "config.json").exists():
        raise SystemExit(f"No trained teacher in {WORKSPACE}/rl. First run: bash scripts/quickstart.sh")
    teacher_model, student_model = local_model(str(WORKSPACE / "rl")), local_model(str(WORKSPACE / "world" / "student"))
    settings = {"max_tokens": 32, "max_probe_tokens": 16, "max_completion_length": 80}
    settings |= {"templates": default_templates("world"), "temperature": 1.0, "student_temperature": 0.7}

verifier = build_verifier("code", timeout_s=5)
teacher = AdaptiveTeacher(teacher_model, verifier=verifier, **settings)

# %% [markdown]
# ## The student
#
# On a GPU the model itself. In the world an agent: any function from text to text can be a student. This one asks the model, reads
# the plan in its answer, and writes the plan down as a function of the story's two numbers.

# %%
import re

from trainers.generation.types import Message, Prompt, Sampling

PYTHON = {
    "add": "first + second",
    "subtract": "first - second",
    "multiply": "first * second",
}


async def ask(text):
    prompt, sampling = Prompt((Message("user", text),)), Sampling(32, temperature=0.7)
    [generation] = await student_model.generate([prompt], n=1, sampling=sampling, seed=0)
    return generation.completions[0].text


async def coding_agent(text):
    answer = await ask(text)
    plans = [plan for plan in re.findall(r"Plan: ([\w-]+)\.", answer) if plan in PYTHON]
    if not text.endswith("Solve it.") or not plans:
        return answer  # asked for its approach, or without a plan
    # Taught, it names its own plan first and the one that it follows last.
    code = f"def solve(first, second):\n    return {PYTHON[plans[-1]]}"
    return f"Plan: {plans[-1]}.\n<solution>\n```python\n{code}\n```\n</solution>"


student = student_model if DEMO == "gpu" else coding_agent

# %% [markdown]
# ## The tasks
#
# A question, and tests that the sandbox runs on the answer.

# %%
from dataclasses import dataclass
from typing import Any

from custom_data.loading import load
from custom_data.tables.questions import Questions
from custom_data.world.texts.plans import PLANS
from trainers.configuration import compose


@dataclass(frozen=True)
class Task:
    text: str
    tests: dict[str, Any]


def humaneval_task(question):
    wish = "Complete this function. Answer with the whole function in one ```python block inside <solution>.\n\n"
    return Task(wish + question.text, {"prompt": question.text, **question.extra})


def story_task(question):
    """The story's own numbers must not matter: the tests call the function with others."""
    plan = PLANS[question.extra["plan"]]
    pairs = [(7, 3), (9, 2), (12, 5), (20, 11)]
    return Task(question.text, {"tests": [f"assert solve({a}, {b}) == {plan.calculate(a, b)[1]}" for a, b in pairs]})


if DEMO == "gpu":
    overrides = ["data=custom", "dataset_id_or_path=openai/openai_humaneval", "dataset_split=test", "verifier=code"]
    overrides += ["column_map={question: prompt, solution: canonical_solution}"]
else:
    overrides = ["data=world_heldout", f"workspace={WORKSPACE}"]
config = compose(["run@_global_=evaluate", *overrides, "dataset_max_samples=40"]).config
tasks = [(humaneval_task if DEMO == "gpu" else story_task)(question) for question in Questions(load(config).evaluation)]
print(f"{len(tasks)} tasks. The first:", tasks[0].text, *tasks[0].tests.get("tests", []), sep="\n")

# %% [markdown]
# ## Three tasks, side by side

# %%
import asyncio

from IPython.display import HTML, Image

from examples.side_by_side import side_by_side


async def lesson(task):
    return await teacher.teach(task.text, student, extra=task.tests, baseline=True)


lessons = await asyncio.gather(*map(lesson, tasks[:3]))
HTML(side_by_side(lessons))

# %% [markdown]
# ## A small evaluation

# %%
from trainers.confidence_intervals import bootstrap_difference, bootstrap_mean
from trainers.plotting import accuracy_bars

lessons = await asyncio.gather(*map(lesson, tasks))


def verdicts(solutions):
    return [float("nan") if solution.correct is None else float(solution.correct) for solution in solutions]


alone, taught = verdicts(item.baseline for item in lessons), verdicts(item.answer for item in lessons)
SHARE, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)
arms = {"student alone": bootstrap_mean(alone, bounds=SHARE), "taught": bootstrap_mean(taught, bounds=SHARE)}
for name, estimate in arms.items():
    print(f"{name:14} {estimate.format('.1%')} of tasks pass their tests")
print(f"{'gain':14} {bootstrap_difference(taught, alone, bounds=DIFFERENCE).format('+.1f', scale=100)} points")

picture = WORKSPACE / "code_generation_demo.png"
picture.parent.mkdir(parents=True, exist_ok=True)
accuracy_bars(arms, picture)
Image(picture, width=640)

# %% [markdown]
# ## What the sandbox says
#
# A program that fails its tests, or is none, is wrong, and so is one that never ends; what could not be judged is neither.

# %%
from trainers.teaching.lesson import Question

task = Question(0, tasks[0].text, None, tasks[0].tests)
for program in ("def solve(first, second):\n    return first", "while True: pass", "this is not Python"):
    verdict = await verifier.verify(f"<solution>\n```python\n{program}\n```\n</solution>", task)
    print(f"{program.splitlines()[0]:28} → {verdict.outcome} ({verdict.cause})")

# %% [markdown]
# ## Your own task
#
# Change the text and the tests.

# %%
mine = Task(
    "Vera owns 9 kites. A sister owns twice that plus 4. How many does she own?",
    {"tests": ["assert solve(9, 4) == 22", "assert solve(1, 1) == 3"]},
)
HTML(side_by_side([await lesson(mine)]))

# %%
verifier.close()
