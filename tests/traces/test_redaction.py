"""Keys, addresses and what redactors of a user take out are in no text that is written."""

import time

import pytest

from trainers.problems import ConfigurationError
from trainers.traces.redaction import hide_secrets, redacted, redactors

SECRETS = (
    "sk-proj-" + "a1B2" * 8,
    "ghp_" + "x9Y8" * 9,
    "hf_" + "QwEr" * 8,
    "AKIA" + "ABCD1234" * 2,
    "AIza" + "Sy0_-" * 7,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "jo.doe+x@mail.example.com",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "use {} please", '{{"key": "{}"}}', "({})\n", "(see {}, then go)"])
def test_keys_and_addresses_are_taken_out(secret, around):
    clean = hide_secrets(around.format(secret))
    assert secret not in clean
    assert "[KEY]" in clean or "[EMAIL]" in clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("api_key=hunter2hunter2 and more", "api_key=[KEY] and more"),
        ('{"password": "correct-horse"}', '{"password": "[KEY]"}'),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer [KEY]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4\nabc\n-----END RSA PRIVATE KEY-----\nrest", "[KEY]\nrest"),
    ],
)
def test_what_is_named_as_a_secret_is_taken_out(text, clean):
    assert hide_secrets(text) == clean


@pytest.mark.parametrize("text", ["What is 12 + 5?", "a token of thanks", "x @ y", "Solve e^{x} = 2", "sk-8 is a road"])
def test_ordinary_texts_stay_as_they_are(text):
    assert hide_secrets(text) == text


@pytest.mark.parametrize("piece", ["a", "a.", "-----BEGIN PRIVATE KEY-----", "token ", "sk-", "eyJaaaaaaaaaaa.", "x@"])
def test_no_text_makes_it_slow(piece):
    begun = time.process_time()
    hide_secrets(piece * (500_000 // len(piece)))
    assert time.process_time() - begun < 5


def test_redactors_run_one_after_the_other():
    assert redacted("Anna", (str.upper, lambda text: text.replace("ANNA", "[NAME]"))) == "[NAME]"


@pytest.mark.parametrize("path", ["no_such_module.f", "trainers.traces.redaction.NOTHING", "math.sqrt", "builtins.len"])
def test_what_is_no_redactor_is_refused_before_anything_is_served(path):
    with pytest.raises(ConfigurationError) as refused:
        redactors([path])
    assert f"redact={path}" in str(refused.value)
