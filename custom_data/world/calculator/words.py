"""Calls and results of the calculator as the world's models read and write them: a word each, as all in the world."""

import re
from dataclasses import dataclass

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from custom_data.world.calculator.tool import calculator
from trainers.generation.agents.tool_text import CLOSING, OPENING
from trainers.generation.agents.tools import tool_of

NAME = calculator.__name__
BEFORE, AFTER = f'{{"name": "{NAME}", "arguments": {{"expression": "', '"}}'
WORDS = (OPENING, CLOSING, BEFORE, AFTER)

# Besides ChatML: what tools there are, calls behind a turn's text, and results in turns of their own.
CHAT_TEMPLATE = (
    "{% if tools %}<|im_start|>tool\n"
    "{% for tool in tools %}{{ tool['function']['name'] }}{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% for call in message.get('tool_calls') or [] %} " + OPENING + "{\"name\": \"{{ call['function']['name'] }}\", "
    "\"arguments\": {{ call['function']['arguments'] | tojson }}}" + CLOSING + "{% endfor %}<|im_end|>"
    "{% if not loop.last or add_generation_prompt %}\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_WORKED = re.compile(r"(?P<plan>.*) (?P<expression>\d+[-+*]\d+)=(?P<result>-?\d+)\n(?P<rest><solution>.*)", re.DOTALL)


@dataclass(frozen=True)
class ToolUse:
    """A worked solution in two turns: what is said before the call, the expression, its result, and what follows."""

    plan: str
    expression: str
    result: str
    rest: str

    @property
    def first_turn(self) -> str:
        """The turn that calls the calculator, as the model writes it."""
        return f"{self.plan} {OPENING}{BEFORE}{self.expression}{AFTER}{CLOSING}"


def tool_use(says: str) -> ToolUse | None:
    """Return a worked solution as two turns with a call between them; `None` for what calculates nothing."""
    found = _WORKED.fullmatch(says)
    return ToolUse(**found.groupdict()) if found else None


def schema() -> dict[str, object]:
    """Return the calculator as models are told of it."""
    return dict(tool_of(calculator).schema)


def add_words(tokenizer: PreTrainedTokenizerBase) -> None:
    """Add the words, and the chat template that writes them, to the tokenizer of a world."""
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in WORDS])
    tokenizer.add_tokens([AddedToken(word, normalized=False, single_word=True) for word in (NAME, "tool")])
    tokenizer.chat_template = CHAT_TEMPLATE
