"""The page of keys says what the settings classes say."""

from trainers.configuration.settings.keys import all_keys
from trainers.configuration.settings.keys_page import PAGE, render


def test_the_page_is_what_the_settings_say():
    hint = "run python -m trainers.configuration.settings.keys_page"
    assert PAGE.read_text(encoding="utf-8") == render(), hint


def test_every_key_has_one_line_and_those_of_ours_a_meaning():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for name, key in all_keys().items():
        # Entries of a teacher behind an API have five columns.
        [line] = [line for line in lines if line.startswith(f"| `{name}` |") and line.count(" | ") > 4]
        assert key.from_trl or key.doc in line
