"""Rules for a search for prompts: what is searched, with how many lessons, and who proposes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches

from trainers.configuration.checks.api_rules import check_address, check_key_name, check_money
from trainers.configuration.devices.placement import teacher_list
from trainers.configuration.settings.experiments import PromptSearchExperiment
from trainers.configuration.settings.in_words import written
from trainers.problems import Problem

SEARCHED = ("baseline_template", "probe_template", "teacher_template", "taught_template")


def check_search(config: PromptSearchExperiment) -> Iterator[Problem]:
    """Yield what contradicts a search for prompts."""
    listed = teacher_list(config)
    if len(listed) != 1:
        given = f"teacher={written(config.evaluation.teacher)}"
        yield Problem(given, "prompts are searched for one teacher", "name one, such as teacher=results/pre_rl_model")
    yield from _templates(config)
    yield from _sizes(config)
    yield from _reflection(config)


def _templates(config: PromptSearchExperiment) -> Iterator[Problem]:
    asked = config.search.searched_templates
    given = f"searched_templates={written(asked)}"
    if not asked:
        yield Problem(given, "there is nothing to search for", "write searched_templates=[teacher_template]")
    for name, count in Counter(asked).items():
        if name not in SEARCHED:
            close = get_close_matches(name, SEARCHED, n=1)
            remedy = f"did you mean {close[0]}?" if close else "write searched_templates=[teacher_template]"
            yield Problem(given, f"expected some of {', '.join(SEARCHED)}", remedy)
        elif count > 1:
            yield Problem(given, f"{name} is listed {count} times", "list it once")
    if "probe_template" in asked and config.prompts.max_probe_tokens == 0:
        yield Problem(f"{given} max_probe_tokens=0", "no student is probed", "leave probe_template out")


def _sizes(config: PromptSearchExperiment) -> Iterator[Problem]:
    search, lessons, most = config.search, config.evaluation.num_rollouts, config.evaluation.eval_max_samples
    # The templates as they are on all validation questions, then they and one successor on a minibatch.
    least = (search.search_validation + 2 * search.search_minibatch) * lessons
    if search.search_budget <= least:
        expected = (
            f"search_validation={search.search_validation}, search_minibatch={search.search_minibatch} and "
            f"num_rollouts={lessons} take {least} lessons before anything is found"
        )
        yield Problem(
            f"search_budget={search.search_budget}", expected, f"set search_budget={10 * least}, or ask fewer"
        )
    if most is not None and search.search_validation + search.search_minibatch > most:
        expected = f"search_validation and search_minibatch need {search.search_validation + search.search_minibatch}"
        yield Problem(f"eval_max_samples={most}", expected, "set eval_max_samples=null, or lower them")


def _reflection(config: PromptSearchExperiment) -> Iterator[Problem]:
    model, url, agent = config.reflection.model, config.reflection.base_url, config.reflection.agent
    if agent and (model or url):
        yield Problem(f"reflection_agent={agent}", "expected one model that proposes", "leave the agent or the API out")
    if bool(model) != bool(url):
        given = f"reflection_model={written(model)} reflection_base_url={written(url)}"
        yield Problem(given, "an API has a name for its model, and an address", "give both, or neither of the two")
    if url:
        yield from check_address(config, "reflection_base_url", url)
        yield from check_key_name("reflection_api_key_env", config.reflection.api_key_env)
    yield from check_money("reflection_", config.reflection.spending_cap, config.reflection.price_per_million_tokens)
