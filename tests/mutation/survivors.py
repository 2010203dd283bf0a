"""Mutants that no test can notice, because the program does the same with them, or that none has noticed yet."""

from __future__ import annotations

from collections.abc import Mapping

OPEN = "no test notices it yet"

EQUIVALENT: Mapping[tuple[str, str], str] = {
    (
        "trainers/evaluation/periodic.py",
        'write_whole(path, json.dumps(summary, indent=2, allow_nan=False) + "\\n") → '
        'write_whole(path, json.dumps(summary, indent=2, ) + "\\n")',
    ): "an arm writes null for what is unknown, so that no NaN comes here: this would refuse one",
    (
        "trainers/evaluation/measures/breakdowns.py",
        "edges = [0, *(SHORT * 2**i for i in range(math.ceil(math.log2(longest / SHORT)) + 1))] → "
        "edges = [0, *(SHORT * 2**i for i in range(math.ceil(math.log2(longest * SHORT)) + 1))]",
    ): "parts for longer teachings than there are hold no lesson, and are left out",
    (
        "trainers/evaluation/measures/breakdowns.py",
        "return [(float(low), float(high)) for low, high in zip(starts, edges, strict=True)] → "
        "return [(float(low), float(high)) for low, high in zip(starts, edges, )]",
    ): "there is a start for every edge",
    (
        "trainers/generation/api/usage.py",
        'return Usage(**json.loads(path.read_text(encoding="utf-8"))) → '
        "return Usage(**json.loads(path.read_text(encoding=None)))",
    ): "a record holds numbers under names of ours, the same in any encoding",
    (
        "trainers/generation/retries.py",
        'return max(0.0, (until - (_date(headers.get("date", "")) or datetime.now(UTC))).total_seconds()) → '
        'return max(0.0, (until - (_date(headers.get("date", None)) or datetime.now(UTC))).total_seconds())',
    ): "the parser of dates refuses nothing as it refuses an empty text",
    (
        "trainers/grpo/curriculum/question_records.py",
        '(Path(output_dir) / BY_QUESTION).write_text(lines, encoding="utf-8") → '
        "(Path(output_dir) / BY_QUESTION).write_text(lines, encoding=None)",
    ): "the lines are of numbers under names of ours, the same in any encoding",
    (
        "trainers/grpo/step_metrics.py",
        "lengths = zip(self._values[deviation], self._values[mean], strict=True) → "
        "lengths = zip(self._values[deviation], self._values[mean], strict=None)",
    ): "a rollout that has a deviation has a mean",
    (
        "trainers/grpo/unpadded/balanced_sizes.py",
        "return 1, -1, start, 0 → return 1, -1, start, 1",
    ): "a sequence alone is split last, and there are never more micro-batches than sequences",
    (
        "trainers/grpo/unpadded/balanced_sizes.py",
        "range(1, size), → range(size),",
    ): "a split before the first one saves nothing, and its parts are the least equal: another is always better",
    (
        "trainers/grpo/unpadded/micro_batches.py",
        "return [list(indices[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)] → "
        "return [list(indices[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=False)]",
    ): "there is a start for every end",
    (
        "trainers/grpo/distillation/mentor.py",
        "async def prompt_logprobs(self, sequences: Sequence[TokenIds], *, priority: int = 0) "
        "-> list[tuple[float, ...]]: → "
        "async def prompt_logprobs(self, sequences: Sequence[TokenIds], *, priority: int = 1) "
        "-> list[tuple[float, ...]]:",
    ): "a protocol says how something is called: nobody calls this",
    (
        "trainers/teaching/verifiers/code/row_tests.py",
        'ast.parse(prompt or "") → ast.parse(prompt or "XXXX")',
    ): "nothing is asked of what is parsed but that it is Python, and a name is",
    (
        "trainers/teaching/student_pool.py",
        "return [next(name for name, end in zip(weights, ends, strict=True) if place < end) for place in places] → "
        "return [next(name for name, end in zip(weights, ends, ) if place < end) for place in places]",
    ): "the ends are the sums of the weights, as many as these",
    (
        "trainers/teaching/verifiers/code/system_calls.py",
        "yield from ((_LOAD, 0, 0, _NUMBER_AT), (_AT_LEAST, 0, 1, _X32), refused) → "
        "yield from ((_LOAD, 1, 0, _NUMBER_AT), (_AT_LEAST, 0, 1, _X32), refused)",
    ): "the kernel skips instructions where one compares, not where one loads",
    (
        "trainers/teaching/verifiers/code/system_calls.py",
        "yield from ((_LOAD, 0, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 0, 0, _KILL)) → "
        "yield from ((_LOAD, 1, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 0, 0, _KILL))",
    ): "the kernel skips instructions where one compares, not where one loads",
    (
        "trainers/teaching/verifiers/code/system_calls.py",
        "allowed = (_RETURN, 0, 0, _ALLOW) → allowed = (_RETURN, 0, 1, _ALLOW)",
    ): "the kernel skips nothing after it has returned",
    (
        "trainers/teaching/verifiers/code/system_calls.py",
        "yield from ((_LOAD, 0, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 0, 0, _KILL)) → "
        "yield from ((_LOAD, 0, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 0, 1, _KILL))",
    ): "the kernel skips nothing after it has returned",
    (
        "trainers/teaching/verifiers/code/system_calls.py",
        "yield from ((_LOAD, 0, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 0, 0, _KILL)) → "
        "yield from ((_LOAD, 0, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 1, 0, _KILL))",
    ): "the kernel skips nothing after it has returned",
    (
        "trainers/teaching/verifiers/code/system_calls.py",
        "refused = (_RETURN, 0, 0, _ERRNO | errno.EPERM) → refused = (_RETURN, 0, 1, _ERRNO | errno.EPERM)",
    ): "the kernel skips nothing after it has returned",
}
"""By module and changed lines, why the program does the same."""


def why(module: str, survivor: str) -> str:
    """Return why a mutant survives: the reason that makes it equivalent, or that it is open."""
    return EQUIVALENT.get((module, survivor), OPEN)
