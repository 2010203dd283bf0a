"""A taskset of the package `verifiers`, as its users write them: sums, with rewards of different kinds."""

import sys

import verifiers.v1 as vf


class SumsConfig(vf.TasksetConfig):
    """The number of sums, and whether they need more than a text."""

    size: int = 3
    boxed: bool = False


class SumData(vf.TaskData):
    """The answer of a sum."""

    answer: str = ""


class Sum(vf.Task[SumData]):
    """A sum."""

    @vf.reward(weight=0.75)
    async def right(self, trace: vf.Trace) -> float:
        """Look for the answer in the last reply, and fail on what is no text for people."""
        sys.stdout.write("noise on standard output")
        if "crash" in trace.last_reply:
            raise RuntimeError("cannot read that")
        return float(self.data.answer in trace.last_reply)

    @vf.reward(weight=0.25)
    async def brief(self, trace: vf.Trace) -> float:
        """Reward brevity."""
        return float(len(trace.last_reply) < 20)


class BoxedSum(Sum):
    """A sum that has to be worked out in a container."""

    NEEDS_CONTAINER = True


class Sums(vf.Taskset[Sum, SumsConfig]):
    """Sums with one."""

    def load(self):
        """Yield the sums."""
        kind = BoxedSum if self.config.boxed else Sum
        for n in range(self.config.size):
            yield kind(SumData(prompt=f"What is {n} + 1?", system_prompt="Be brief.", answer=str(n + 1)))


__all__ = ["Sums"]
