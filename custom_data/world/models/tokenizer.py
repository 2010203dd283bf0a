"""A tokenizer with one token per word and number of the world, and bytes for everything else."""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

END_OF_TURN, START_OF_TURN, PADDING = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
TAGS = tuple(f"<{slash}{name}>" for name in ("thinking", "teaching", "solution") for slash in ("", "/"))

# A word takes the space before it along; a number never does, so that it is the same token everywhere.
_PIECES = r" ?\p{L}+(?:-\p{L}+)*|\p{N}{1,3}| ?[^\s\p{L}\p{N}]|\s"

# ChatML. Nothing follows the last end of turn, so that a conversation ends on exactly the token that ends generation.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>"
    "{% if not loop.last or add_generation_prompt %}\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose vocabulary is every word, number and sign of `texts`, plus the 256 bytes.

    A piece that is in the vocabulary becomes one token (`ignore_merges`); with no merges, any other piece falls apart
    into bytes, so every text can be encoded and comes back exactly.
    """
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    pieces = {piece for text in texts for piece, _ in splitter.pre_tokenize_str(text)}
    specials = [PADDING, START_OF_TURN, END_OF_TURN]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*specials, *TAGS, *alphabet, *sorted(pieces - set(alphabet))]
    backend = Tokenizer(models.BPE({entry: i for i, entry in enumerate(entries)}, [], ignore_merges=True))
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in specials])
    backend.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PADDING,
        eos_token=END_OF_TURN,
        additional_special_tokens=[START_OF_TURN],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
