"""A model in this process, sampled by transformers: for evaluation and notebooks without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
)

from trainers.generation.api.wire import sample_seed
from trainers.generation.chat_templates.plain_text import text_ids
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.chat_templates.template_errors import refusals
from trainers.generation.local.sampling_rules import first_places, penalised, truncations
from trainers.generation.local.token_stream import GrowingText, Hear, Listening
from trainers.generation.reasoning import ReasoningFilter
from trainers.generation.traffic import Traffic
from trainers.generation.types import Completion, Generation, GenerationError, Prompt, Sampling

_COLLECT_S = 0.01


class LocalModel:
    """Generates with a model that is loaded in this process, in batches over all calls that wait.

    A sample depends on its seed and the kind of device, not on its batch, up to the rounding of padded batches.
    Belongs to one loop.

    Args:
        model: the model; its own sampling defaults are taken away, so that only what is asked for counts.
        renderer: turns conversations into the model's token ids.
        batch_size: sequences generated at a time.
    """

    def __init__(self, model: PreTrainedModel, renderer: ChatRenderer, *, batch_size: int = 32) -> None:
        self.traffic = Traffic()
        self._model = model.eval()
        self._renderer = renderer
        self._batch_size = batch_size
        self._ends = _end_tokens(model, renderer.stop_token_ids)
        self._padding = renderer.tokenizer.pad_token_id
        if self._padding is None:
            self._padding = self._ends[0]
        model.generation_config = GenerationConfig(eos_token_id=list(self._ends), pad_token_id=self._padding)
        self._waiting: list[_Request] = []
        self._worker: asyncio.Task[None] | None = None

    @classmethod
    def load(
        cls,
        model: str,
        *,
        dtype: str = "auto",
        device: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        batch_size: int = 32,
    ) -> LocalModel:
        """Load a model by path or hub id, onto the GPU where there is one."""
        origin: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, **origin)
        loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return cls(loaded, ChatRenderer(model, chat_template_kwargs, **origin), batch_size=batch_size)

    @property
    def context(self) -> int | None:
        """Tokens of the model's context; `None` where its configuration does not say."""
        context: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return context

    def count_tokens(self, text: str) -> int:
        """Return the length of a text in the model's own tokens."""
        return len(text_ids(self._renderer.tokenizer, text))

    def spells_control(self, text: str) -> bool:
        """Return whether a text spells one of the model's control tokens, or a turn marker of its chat template."""
        return self._renderer.spells_control(text)

    async def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool = False,
        priority: int = 0,
    ) -> list[Generation]:
        """Sample `n` completions of each prompt. `logprobs` and `priority` have no effect.

        Sample i of every prompt has the same seed.

        Raises:
            GenerationError: with cause `context` when a prompt leaves no room for `max_tokens`, `template` when the
                model's chat template takes no such conversation, and `model` when the model itself failed.
        """
        distinct = n if sampling.temperature > 0 else 1
        rendered = [self._rendered(prompt) for prompt in prompts]
        self._check_lengths(rendered, sampling.max_tokens)
        loop = asyncio.get_running_loop()
        requests = [
            _Request(ids, sampling, sample_seed(seed, i), loop.create_future())
            for ids in rendered
            for i in range(distinct)
        ]
        self._submit(requests)
        completions = await asyncio.gather(*(request.completion for request in requests))
        self.traffic.requests += 1
        self.traffic.prompt_tokens += sum(map(len, rendered))
        self.traffic.generated_tokens += sum(completion.tokens for completion in completions)
        rows = [completions[start : start + distinct] for start in range(0, len(completions), distinct)]
        return [Generation(ids, tuple(row) * (n // distinct)) for ids, row in zip(rendered, rows, strict=True)]

    async def stream_text(self, prompt: Prompt, *, sampling: Sampling, seed: int) -> AsyncGenerator[str | Completion]:
        """Yield one completion as its tokens are sampled, reasoning left out, and at last the completion itself.

        Raises:
            GenerationError: as `generate`.
        """
        ids = self._rendered(prompt)
        self._check_lengths([ids], sampling.max_tokens)
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[int | None]()
        request = _Request(
            ids,
            sampling,
            sample_seed(seed, 0),
            loop.create_future(),
            hear=lambda token: loop.call_soon_threadsafe(tokens.put_nowait, token),
        )
        request.completion.add_done_callback(lambda _: tokens.put_nowait(None))
        self._submit([request])
        opened, said, visible = self._renderer.opened(ids), GrowingText(self._text, self._ends), ReasoningFilter()
        shown = visible.feed(opened)
        try:
            while (token := await tokens.get()) is not None:
                if piece := visible.feed(said.feed(token)):
                    shown += piece
                    yield piece
            completion = await request.completion
        finally:
            request.completion.cancel()
        self.traffic.requests += 1
        self.traffic.prompt_tokens += len(ids)
        self.traffic.generated_tokens += completion.tokens
        if rest := visible.feed(completion.text[len(opened) + len(said.text) :]) + visible.end():
            yield rest
        yield replace(completion, text=shown + rest)

    async def aclose(self) -> None:
        """Give up what still waits: whoever waits for it hears of it."""
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        waiting, self._waiting = self._waiting, []
        self._give_up(waiting)

    def _submit(self, requests: Sequence[_Request]) -> None:
        self._waiting += requests
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        """Sample what waits, batch by batch, until nothing does."""
        await asyncio.sleep(_COLLECT_S)
        while batch := self._next_batch():
            try:
                completions = await asyncio.to_thread(self._sample, batch)
            except asyncio.CancelledError:
                self._give_up(batch)
                raise
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of any failure
                failure = GenerationError(f"{self._model.name_or_path} failed: {error}", "model")
                for request in batch:
                    request.settle(failure)
            else:
                for request, completion in zip(batch, completions, strict=True):
                    request.settle(completion)
            # What was answered just now asks the next question at once: let it into the next batch.
            await asyncio.sleep(_COLLECT_S)

    def _give_up(self, requests: Sequence[_Request]) -> None:
        for request in requests:
            request.settle(GenerationError(f"{self._model.name_or_path} was closed", "closed"))

    def _next_batch(self) -> list[_Request]:
        """Take the request that has waited longest and those most like it, without what nobody waits for any more.

        They are of one kind of sampling and of similar length, so that little is padded.
        """
        self._waiting = [request for request in self._waiting if not request.completion.done()]
        if not self._waiting:
            return []
        oldest = self._waiting[0]
        alike = [request for request in self._waiting if request.sampling == oldest.sampling]
        alike.sort(key=lambda request: abs(len(request.ids) - len(oldest.ids)))
        batch = alike[: self._batch_size]
        self._waiting = [request for request in self._waiting if request not in batch]
        return batch

    def _sample(self, batch: Sequence[_Request]) -> list[Completion]:
        width = max(len(request.ids) for request in batch)
        padded = [[self._padding] * (width - len(request.ids)) + list(request.ids) for request in batch]
        mask = [[0] * (width - len(request.ids)) + [1] * len(request.ids) for request in batch]
        device = self._model.device
        sampling = batch[0].sampling
        heard = StoppingCriteriaList()
        if any(request.hear for request in batch):
            heard.append(Listening([r.hear for r in batch], [r.completion.done for r in batch]))
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=torch.tensor(padded, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=sampling.max_tokens,
                stopping_criteria=heard,
                logits_processor=_processors(
                    sampling, [request.seed for request in batch], [width - len(request.ids) for request in batch]
                ),
            )
        rows = output[:, width:].tolist()
        return [self._completion(request, row) for request, row in zip(batch, rows, strict=True)]

    def _completion(self, request: _Request, ids: list[int]) -> Completion:
        end = next((index for index, token in enumerate(ids) if token in self._ends), None)
        kept = tuple(ids if end is None else ids[: end + 1])[: request.sampling.max_tokens]
        # Not every end of turn is a special token, which decoding would skip.
        text = self._renderer.opened(request.ids) + self._text(kept[:end])
        return Completion(text, kept, None, "length" if end is None else "stop")

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._renderer.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _check_lengths(self, rendered: Sequence[tuple[int, ...]], budget: int) -> None:
        context = self.context
        longest = max(map(len, rendered), default=0)
        if context is not None and longest + budget > context:
            room = f"A prompt of {longest} tokens and {budget} tokens to generate do not fit into the context of"
            remedy = "shorten the question or generate fewer tokens"
            raise GenerationError(
                f"{room} {context} tokens of {self._model.name_or_path}; {remedy}",
                "context",
                told=f"{room} {context} tokens; {remedy}",
            )

    def _rendered(self, prompt: Prompt) -> tuple[int, ...]:
        try:
            return self._renderer.render(prompt)
        except refusals() as error:
            said = f"The chat template does not take this conversation ({error})"
            raise GenerationError(f"{self._model.name_or_path}: {said}", "template", told=said) from error


@dataclass(frozen=True, eq=False)
class _Request:
    ids: tuple[int, ...]
    sampling: Sampling
    seed: int
    completion: asyncio.Future[Completion]
    hear: Hear | None = None

    def settle(self, result: Completion | GenerationError) -> None:
        if self.completion.done():
            return
        if isinstance(result, GenerationError):
            self.completion.set_exception(result)
        else:
            self.completion.set_result(result)


class SeededChoice(LogitsProcessor):
    """Makes the greedy choice a sample: adds Gumbel noise to every row, from a generator of the row's own.

    The largest of log-probabilities with independent Gumbel noise is a sample of the distribution (Maddison, Tarlow,
    Minka, A* Sampling, 2014), and each row's samples are then the same whatever else is in the batch.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds = seeds
        self._generators: list[torch.Generator] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores with noise, for `scores` of shape (rows, vocabulary), drawn in float32 where the scores are."""
        if not self._generators:
            # Drawn by the CPU, the noise of a large vocabulary takes longer than the model itself.
            self._generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self._seeds]
        noise = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.log_()


class RepetitionPenalty(LogitsProcessor):
    """The repetition penalty without padding, whose tokens transformers' own takes for repeated.

    Args:
        penalty: what scores of repeated tokens are divided by.
        paddings: columns of padding in front of each row.
    """

    def __init__(self, penalty: float, paddings: Sequence[int]) -> None:
        self._penalty = penalty
        self._paddings = torch.tensor(paddings)[:, None]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Penalise `scores` of shape (rows, vocabulary) for the tokens of `input_ids` (rows, width)."""
        width = input_ids.size(1)
        mask = torch.arange(width, device=input_ids.device) >= self._paddings.to(input_ids.device)
        seen = first_places(input_ids, mask, scores.size(1)) < width
        return penalised(scores, seen, self._penalty)


def _processors(sampling: Sampling, seeds: Sequence[int], paddings: Sequence[int]) -> LogitsProcessorList:
    """Return the changes that a sampling makes to the scores, in the order of vLLM's own."""
    chosen = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chosen.append(RepetitionPenalty(sampling.repetition_penalty, paddings))
    if sampling.temperature == 0:
        return chosen
    chosen.append(TemperatureLogitsWarper(float(sampling.temperature)))
    chosen.extend(truncations(sampling))
    chosen.append(SeededChoice(seeds))
    return chosen


def _end_tokens(model: PreTrainedModel, stop_token_ids: Sequence[int]) -> tuple[int, ...]:
    """Return the end of the model's turns, and what else the model itself declares to be an end."""
    declared = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = declared if isinstance(declared, list) else [declared]
    return tuple(dict.fromkeys(token for token in [*stop_token_ids, *listed] if token is not None))
