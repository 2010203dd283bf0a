"""The README.md of a trained model: what it is, what it was made from and with, what it reached, how it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from huggingface_hub import ModelCardData

from trainers.configuration.settings.experiments import GRPO, SFT, GRPOExperiment, TrainingExperiment
from trainers.configuration.settings.key import Resume
from trainers.configuration.settings.keys import Key, keys_of
from trainers.configuration.settings.students import members
from trainers.hub_ids import looks_local
from trainers.jsonl import whole_rows
from trainers.serving.adapter_files import read_adapter

CARD = "README.md"
TAGS = {SFT: ["sft"], GRPO: ["grpo", "rl"]}
METRICS = {
    "eval_teaching/baseline_accuracy": "student alone, held-out questions",
    "eval_teaching/taught_accuracy": "student taught, held-out questions",
    "eval_teaching/degradation_rate": "right alone and wrong when taught, held-out questions",
    "teaching/baseline_accuracy": "student alone, last training step",
    "teaching/taught_accuracy": "student taught, last training step",
    "teaching/leak_rate": "teachings that tell the answer, last training step",
    "teaching/teaching_length_mean": "tokens of a teaching, last training step",
    "loss": "loss, last training step",
}
LONGEST = 60
"""Characters of a value that the table has room for."""
_ADAPTER_USE = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")"""
_MODEL_USE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")"""


def write_card(config: TrainingExperiment) -> Path:
    """Write the card of a finished run into its output directory."""
    output = Path(config.output.output_dir)
    summary = output / "evaluation" / "summary.md"
    evaluation = summary.read_text(encoding="utf-8") if summary.is_file() else None
    path = output / CARD
    path.write_text(model_card(config, last_metrics(output / "metrics.jsonl"), evaluation), encoding="utf-8")
    return path


def model_card(config: TrainingExperiment, metrics: Mapping[str, float], evaluation: str | None = None) -> str:
    """Return the card as Markdown with the hub's header.

    Args:
        config: the resolved configuration of the run; directories of this machine are told by their last part only.
        metrics: the last value of each logged metric.
        evaluation: the table of an evaluation of this model, if there was one.
    """
    adapter = read_adapter(config.model.model_name_or_path)
    base = adapter.base if adapter else config.model.model_name_or_path
    name = config.trainer.hub_model_id or Path(config.output.output_dir).name
    use = (_ADAPTER_USE if config.lora.use_peft else _MODEL_USE).format(name=name)
    blocks = [
        f"---\n{_header(config, base)}\n---",
        f"# {name}",
        f"A teacher: it reads a question and how a student means to approach it, and writes what helps that student, "
        f"without telling the answer. {_made(config, base)}",
        f"## Use\n\n```python\n{use}\n```\n\nTo measure what it does for a student, with ATLAS:\n\n```bash\n"
        f"scripts/launch_with_server.sh 1 0 configs/run/evaluate.yaml teacher={name}\n```",
        *_results(metrics, evaluation),
        "## Training\n\nWhat differs from the defaults of TRL and ATLAS:\n\n| key | value |\n|---|---|\n"
        + "\n".join(f"| `{key}` | `{value}` |" for key, value in told(config)),
        f"## Licence\n\nThese weights come from {_name(base)} and are under its licence; mind that of the training "
        f"data ({_name(config.data.dataset_id_or_path)}) as well.",
    ]
    return "\n\n".join(blocks) + "\n"


def told(config: TrainingExperiment) -> Iterator[tuple[str, str]]:
    """Yield the keys that shaped training and differ from their defaults; templates and long texts are left out."""
    values = config.flat()
    for name, key in sorted(keys_of(config.output.experiment).items()):
        value = values[name]
        if _shaped(key) and value != key.default and value is not None and len(str(value)) <= LONGEST:
            yield name, _name(value) if isinstance(value, str) else str(value)


def _shaped(key: Key) -> bool:
    """Return whether a key bears on what was learned, and is not told elsewhere in the card."""
    facts = key.facts
    return facts.in_card and not facts.placeholders and facts.resume in (Resume.SHAPES, Resume.LENGTH)


def last_metrics(path: Path) -> dict[str, float]:
    """Return the last value of each metric in a `metrics.jsonl`; empty when there is none."""
    return {key: value for row in whole_rows(path) for key, value in row.items()}


def _header(config: TrainingExperiment, base: str) -> str:
    data = config.data.dataset_id_or_path
    return ModelCardData(
        base_model=None if looks_local(base) else base,
        datasets=None if looks_local(data) else data,
        library_name="peft" if config.lora.use_peft else "transformers",
        pipeline_tag="text-generation",
        tags=["atlas", "teacher", *TAGS[config.output.experiment], *(["lora"] if config.lora.use_peft else [])],
    ).to_yaml()


def _made(config: TrainingExperiment, base: str) -> str:
    what = f"a LoRA adapter of {_name(base)}" if config.lora.use_peft else f"made from {_name(base)}"
    data = _name(config.data.dataset_id_or_path)
    if isinstance(config, GRPOExperiment):
        students = [_name(member.config.student.model) for member in members(config)]
        beside = f"the student {students[0]}" if len(students) == 1 else f"the students {', '.join(students)}"
        mentor = config.mentor.model
        how = f"distilled from {_name(mentor)}" if mentor else "trained by GRPO"
        return f"It is {what}, {how} on {data} beside {beside}."
    return f"It is {what}, warmed up by supervised fine-tuning on {data}."


def _results(metrics: Mapping[str, float], evaluation: str | None) -> Iterator[str]:
    rows = [f"| {meaning} | {metrics[key]:.3g} |" for key, meaning in METRICS.items() if metrics.get(key) is not None]
    if rows:
        yield "## Results\n\n| | |\n|---|---|\n" + "\n".join(rows)
    if evaluation is not None:
        yield "## Evaluation\n\n" + evaluation.strip().replace("\n# ", "\n### ").removeprefix("# ")


def _name(text: str) -> str:
    """Return a hub id as it is, a path by its last part: others have no use for this machine's directories."""
    return Path(text).name if looks_local(text) else text
