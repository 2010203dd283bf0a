"""The world's templates, and its tokenizer."""

import pytest

from custom_data.world.models.rendering import load_templates
from custom_data.world.models.tokenizer import build_tokenizer
from custom_data.world.texts.vocabulary import world_texts


@pytest.fixture(scope="module")
def templates():
    return load_templates()


@pytest.fixture(scope="module")
def tokenizer(templates):
    return build_tokenizer(world_texts(templates))
