"""The training of a world's judge, and how often it is right about solutions that it has not seen."""

import json
import logging
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3ForCausalLM

from custom_data.world.build import manifest_of
from custom_data.world.judging.texts import Judgement, beside, judging_texts, make_judgement, score
from custom_data.world.models.architecture import new_model
from custom_data.world.models.preparation import Pair, Recipe, prepare
from custom_data.world.models.rendering import encode, load_templates
from custom_data.world.models.tokenizer import build_tokenizer
from custom_data.world.texts.vocabulary import world_texts
from trainers.teaching.verifiers.judge.reading import UnreadableScore, read_score
from trainers.teaching.verifiers.judge.rubric import Scale

log = logging.getLogger(__name__)

COMPARING = Recipe(steps=500, batch_size=64, hidden_rate=3e-3, rate=3e-3, prompt_weight=0.0)
"""Practice in telling whether two numbers are one, by itself: beside long prompts it is not found in minutes."""
RECIPE = Recipe(steps=1600, batch_size=8, hidden_rate=4e-3, rate=2.5e-3, prompt_weight=0.3)
"""Practice in judging, half of it in comparing. The weight is there for copying, which repeated marks teach."""
JUDGE, FACTS = "judge", "judge.json"
CONTEXT, MEASURED = 1024, 100
LONGEST_ANSWER, LARGEST = 16, 91


def make_judge(world: Path, *, steps: int = RECIPE.steps, seed: int | None = None) -> dict[str, Any]:
    """Make the judge beside the student of a world; return what was done.

    Raises:
        FileNotFoundError: when there is no complete world.
    """
    manifest = manifest_of(world)
    start = time.monotonic()
    seed = int(manifest["seed"]) if seed is None else seed
    tokenizer = build_tokenizer([*world_texts(load_templates()), *judging_texts()])
    tokenizer.model_max_length = CONTEXT
    model = _begun_from(world / "student", tokenizer, seed)
    rng, comparing = random.Random(f"{seed} comparing"), replace(COMPARING, steps=min(COMPARING.steps, steps))
    prepare(model, _comparisons(rng, tokenizer, comparing.steps * comparing.batch_size), comparing, seed, "comparing")
    recipe = replace(RECIPE, steps=steps)
    half = recipe.steps * recipe.batch_size // 2
    pairs = encode_judgements(tokenizer, _judgements(f"{seed} judge", manifest["beliefs"], half))
    prepare(model, pairs + _comparisons(rng, tokenizer, half), recipe, seed, "practising to judge")
    unseen = _judgements(f"{seed} judged", manifest["beliefs"], MEASURED)
    agreed = agreement(model, tokenizer, unseen)
    model.save_pretrained(world / JUDGE)
    tokenizer.save_pretrained(world / JUDGE)
    facts = {
        "seed": seed,
        "steps": steps,
        "agreement": round(agreed, 4),
        "seconds": round(time.monotonic() - start, 1),
    }
    (world / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def encode_judgements(tokenizer: PreTrainedTokenizerBase, judgements: Sequence[Judgement]) -> list[Pair]:
    """Return the token ids of each prompt, with a fence of its own, and of what a good judge says."""
    prompts = [judgement.prompt(f"practice {number}") for number, judgement in enumerate(judgements)]
    return encode(tokenizer, prompts, [judgement.says for judgement in judgements])


@torch.inference_mode()
def agreement(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, judgements: Sequence[Judgement]) -> float:
    """Return the share of judgements in which the model's greedy verdict is right; one without a score is not."""
    agreed = 0
    for judgement, pair in zip(judgements, encode_judgements(tokenizer, judgements), strict=True):
        said = model.generate(torch.tensor([pair.prompt]), max_new_tokens=LONGEST_ANSWER, do_sample=False)
        text = tokenizer.decode(said[0, len(pair.prompt) :], skip_special_tokens=True)
        with suppress(UnreadableScore):
            agreed += read_score(text, Scale()) == judgement.right
    return agreed / len(judgements)


def _comparisons(rng: random.Random, tokenizer: PreTrainedTokenizerBase, count: int) -> list[Pair]:
    """Return as many ends of judgements, of which half are of equal numbers."""
    pairs = []
    for _ in range(count):
        answer = rng.randrange(1, LARGEST)
        reference = answer if rng.random() < 0.5 else rng.randrange(1, LARGEST)
        texts = [beside(str(answer), str(reference)), f" {score(answer == reference)}"]
        read, said = tokenizer(texts, add_special_tokens=False).input_ids
        pairs.append(Pair(tuple(read), (*said, tokenizer.eos_token_id)))
    return pairs


def _judgements(name: str, beliefs: Mapping[str, Any], count: int) -> list[Judgement]:
    rng = random.Random(name)
    return [make_judgement(rng, beliefs) for _ in range(count)]


def _begun_from(student: Path, tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen3ForCausalLM:
    """Return a model for this tokenizer that knows what the student knows; only new words are new to it."""
    known, old = AutoTokenizer.from_pretrained(student), Qwen3ForCausalLM.from_pretrained(student).float()
    model = new_model(tokenizer, seed)
    model.config.max_position_embeddings = CONTEXT
    model.model.layers.load_state_dict(old.model.layers.state_dict())
    model.model.norm.load_state_dict(old.model.norm.state_dict())
    vocabulary, places = known.get_vocab(), tokenizer.get_vocab()
    shared = sorted(vocabulary.keys() & places.keys())
    here, there = ([ids[token] for token in shared] for ids in (places, vocabulary))
    with torch.no_grad():
        for mine, theirs in (
            (model.get_input_embeddings(), old.get_input_embeddings()),
            (model.get_output_embeddings(), old.get_output_embeddings()),
        ):
            mine.weight[here] = theirs.weight[there]
    return model
