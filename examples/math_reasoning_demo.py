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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/ATLAS/blob/main/examples/math_reasoning_demo.ipynb)
#
# # Teaching a student to reason
#
# A teacher reads how a student would go about a problem, and writes a short text that the student reads before it solves.
# This notebook loads both models, teaches three problems, measures a few dozen, and then takes a problem of yours.
#
# On a GPU it loads ATLAS-8B-Thinking as teacher and Qwen3-4B-Instruct as student (23 GiB of weights in bfloat16) where 36 GiB or more
# are there, Qwen3-0.6B as student from 21 GiB on, and on smaller cards Qwen3-1.7B, which was not trained to teach, as teacher. Without a
# GPU, or with `ATLAS_DEMO=world` in the environment, it uses the small models that `bash scripts/quickstart.sh` has trained.

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

    models, dtype = choose_here("Arc-Intelligence/ATLAS-8B-Thinking")
    print(f"{models.teacher} teaches {models.student}, in {dtype}")
    teacher_model = local_model(models.teacher, dtype=dtype, batch_size=models.batch_size)
    student = local_model(models.student, dtype=dtype, batch_size=models.batch_size)
    settings = {"max_tokens": 2048, "max_probe_tokens": 500, "max_completion_length": 2048}
else:
    if not (WORKSPACE / "rl" / "config.json").exists():
        raise SystemExit(f"No trained teacher in {WORKSPACE}/rl. First run: bash scripts/quickstart.sh")
    teacher_model, student = local_model(str(WORKSPACE / "rl")), local_model(str(WORKSPACE / "world" / "student"))
    settings = {"max_tokens": 32, "max_probe_tokens": 16, "max_completion_length": 80}
    settings |= {"templates": default_templates("world"), "temperature": 1.0, "student_temperature": 0.7}

verifier = build_verifier("math")
teacher = AdaptiveTeacher(teacher_model, verifier=verifier, **settings)

# %% [markdown]
# ## The problems
#
# GSM8K on a GPU; the world's own held-out stories else.

# %%
from custom_data.loading import load
from custom_data.tables.questions import Questions
from trainers.configuration import compose

DATA = ["data=gsm8k", "dataset_split=test"] if DEMO == "gpu" else ["data=world_heldout", f"workspace={WORKSPACE}"]
config = compose(["run@_global_=evaluate", *DATA, "dataset_max_samples=48"]).config
problems = Questions(load(config).evaluation)
print(len(problems), "problems, for example:", problems[0].text)

# %% [markdown]
# ## Three problems, side by side
#
# Left, what the student does alone: how it would go about it, and its solution. Right, what the teacher made of that, and the
# student's solution after reading the teaching. Only the text under *teaching* reaches the student.

# %%
import asyncio

from IPython.display import HTML, Image

from examples.side_by_side import side_by_side


async def lesson(problem):
    return await teacher.teach(problem.text, student, ground_truth=problem.ground_truth, baseline=True)


lessons = await asyncio.gather(*map(lesson, problems[:3]))
HTML(side_by_side(lessons))

# %% [markdown]
# ## A small evaluation
#
# Every problem once alone and once taught. With so few problems the interval is wide: that is what it is for. A real evaluation is
# `scripts/evaluate.sh`.

# %%
from trainers.confidence_intervals import bootstrap_difference, bootstrap_mean
from trainers.plotting import accuracy_bars

lessons = await asyncio.gather(*map(lesson, problems))


def verdicts(solutions):
    return [float("nan") if solution.correct is None else float(solution.correct) for solution in solutions]


alone, taught = verdicts(item.baseline for item in lessons), verdicts(item.answer for item in lessons)
SHARE, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)
arms = {"student alone": bootstrap_mean(alone, bounds=SHARE), "taught": bootstrap_mean(taught, bounds=SHARE)}
for name, estimate in arms.items():
    print(f"{name:14} {estimate.format('.1%')}")
print(f"{'accuracy gain':14} {bootstrap_difference(taught, alone, bounds=DIFFERENCE).format('+.1f', scale=100)} points")
print(f"{'guidance':14} {sum(item.guidance.tokens for item in lessons) / len(lessons):.0f} tokens per question")

picture = WORKSPACE / "math_reasoning_demo.png"
accuracy_bars(arms, picture)
Image(picture, width=640)

# %% [markdown]
# ## Where did it help, where did it harm?

# %%
helped = [item for item in lessons if item.baseline.correct is False and item.answer.correct]
harmed = [item for item in lessons if item.baseline.correct and item.answer.correct is False]
print(f"made right: {len(helped)}, made wrong: {len(harmed)}, of {len(lessons)}")
HTML(side_by_side(harmed[:2] or helped[:2]))

# %% [markdown]
# ## Your own problem
#
# Change the text. (The world's student knows nine kinds of short stories, some names, things and small numbers, and nothing else.)

# %%
mine = "Vera owns 9 kites. A sister owns 4 more than that. How many does she own?"
HTML(side_by_side([await teacher.teach(mine, student, baseline=True)]))

# %%
verifier.close()
