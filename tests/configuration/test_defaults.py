"""A value has one default: a constructor whose parameter a key reaches has the key's, or none."""

import ast
import inspect

import pytest

from trainers.configuration.settings.keys import all_keys
from trainers.generation.agent_model import AgentModel
from trainers.grpo.rollout_trainer import RolloutTrainer
from trainers.paths import ROOT
from trainers.serving.weights.weight_sync import WeightSync, make_transport
from trainers.teaching.verifiers.build import as_verifier
from trainers.teaching.verifiers.code.verifier import CodeVerifier
from trainers.teaching.verifiers.mathematics.verifier import MathVerifier

OTHER_NAMES = [
    *((made, "timeout_s", "verifier_timeout_s") for made in (MathVerifier, CodeVerifier, as_verifier)),
    *((made, "timeout_s", "request_timeout_s") for made in (WeightSync, make_transport)),
    (AgentModel, "call_timeout_s", "request_timeout_s"),
]
"""Parameters that a key of another name reaches."""

OF_THEIR_OWN = {
    # Deployment is no run: a client waits, and a teaching may be as long as the student's answer.
    *(("Limits", name) for name in ("max_concurrent_requests", "request_timeout_s", "max_completion_length")),
    *(("AdaptiveTeacher", name) for name in ("max_completion_length", "temperature", "seed")),
    # Without a run there is no seed to derive others from.
    *((name, "seed") for name in ("bootstrap_mean", "bootstrap_difference", "bootstrap_ratio")),
    *((name, "seed") for name in ("bootstrap_mean_ratio", "bootstrap_mean_ratio_difference")),
    # Most tests of prompts make no blind checks, and teach once; a run's templates come from its recipe.
    *(("PromptTemplates", name) for name in ("blind_template", "midway_template")),
    *((name, "seed") for name in ("bootstrap_ratio_difference", "Protocol", "ServerSpec", "StudentPool")),
    # A judge draws by seeds of its own, as its settings give them; one outside a run has none.
    *((name, "seed") for name in ("JudgeVerifier", "NoisyJudge")),
    # Greedy, until a judge is asked several times.
    ("Judge", "temperature"),
    # As the checkpoint says, which a training does not follow.
    *((name, "dtype") for name in ("LocalModel", "ServerSpec")),
    # vLLM's way to write the key's null.
    ("Sampling", "min_p"),
    # Of a sandbox, not of a training.
    ("ResourceLimits", "processes"),
}


def literal_defaults(name, node):
    """Yield the parameters of functions and fields of classes whose default is written out, each with its owner."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            written = [(part.target.id, part.value) for part in child.body if isinstance(part, ast.AnnAssign)]
            yield from ((child.name, *pair) for pair in written if isinstance(pair[1], ast.Constant))
            yield from literal_defaults(child.name, child)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = child.args
            last = arguments.args[len(arguments.args) - len(arguments.defaults) :]
            pairs = [
                *zip(last, arguments.defaults, strict=True),
                *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
            ]
            owner = name or child.name
            yield from ((owner, argument.arg, value) for argument, value in pairs if isinstance(value, ast.Constant))


def drifted():
    """Return the written defaults that differ from the default of the key that is named alike."""
    keys, found = all_keys(), set()
    for folder in ("trainers", "custom_data"):
        for path in (ROOT / folder).rglob("*.py"):
            if "configuration" in path.parts:
                continue
            for owner, parameter, value in literal_defaults("", ast.parse(path.read_text(encoding="utf-8"))):
                key = keys.get(parameter)
                if key is not None and value.value is not None and value.value != key.default:
                    found.add((owner, parameter))
    return found


def test_parameters_named_like_keys_have_the_keys_defaults_unless_a_reason_is_given():
    assert drifted() == OF_THEIR_OWN


@pytest.mark.parametrize(("made", "parameter", "key"), OTHER_NAMES)
def test_parameters_that_keys_of_other_names_reach_have_their_defaults(made, parameter, key):
    assert inspect.signature(made).parameters[parameter].default == all_keys()[key].default


@pytest.mark.parametrize("key", ["max_lost_groups", "rollout_overlap", "save_completions_probability", "num_baselines"])
def test_the_trainer_is_told_how_to_train(key):
    assert inspect.signature(RolloutTrainer).parameters[key].default is inspect.Parameter.empty
