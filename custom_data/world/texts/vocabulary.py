"""Every text that the world can produce, up to the order of its parts: what its tokenizer must know."""

from collections.abc import Iterator

from custom_data.world.texts.behaviour import approach, solution, taught_solution
from custom_data.world.texts.plans import FIRST_STEP, PLANS
from custom_data.world.texts.response import Help
from custom_data.world.texts.stories import HELD_NAMES, HELD_PAIRS, KINDS, THINGS, TRAIN_NAMES, TRAIN_PAIRS
from custom_data.world.texts.students import STUDENTS, system_prompt
from custom_data.world.texts.talk import CONFIRMATIONS, FILLERS, LEAKS, comparison, diagnosis, named, objection
from trainers.teaching.prompts import PromptTemplates


def world_texts(templates: PromptTemplates) -> Iterator[str]:
    """Yield texts whose words, numbers and signs are exactly those of the world."""
    # What starts a text can also follow a space, and then its first word is another token.
    for text in (*_stories(), *_plans(), *CONFIRMATIONS, *FILLERS, *(leak.format(answer=0) for leak in LEAKS)):
        yield from (text, f" {text}")
    for prompt in (templates.baseline(""), templates.probe(""), templates.teacher("", " "), templates.taught("", "")):
        # Roles are written by the chat template, alone on their line.
        yield from (text for message in prompt.messages for text in (message.role, message.content))
    yield from ("system", "assistant", *map(system_prompt, STUDENTS))


def _stories() -> Iterator[str]:
    yield from (*TRAIN_NAMES, *HELD_NAMES)
    for kind in KINDS:
        for thing in THINGS:
            yield kind.wording.format(name="", a=0, b=0, thing=thing)


def _plans() -> Iterator[str]:
    yield FIRST_STEP
    for plan in PLANS.values():
        yield from (plan.name, named(plan.name), plan.second_step, plan.spelled_out())
        yield from (approach(plan.name), objection(plan.name))
        yield from (text for other in PLANS for text in (diagnosis(plan.name, other), comparison(plan.name, other)))
        yield from (solution(plan.name, *pair) for pair in (*TRAIN_PAIRS, *HELD_PAIRS))
        yield taught_solution(plan.name, plan.name, Help((plan.name,)), *TRAIN_PAIRS[0])
    yield from (taught_solution("add", "add", Help(heard), *TRAIN_PAIRS[0]) for heard in ((), tuple(PLANS)))
