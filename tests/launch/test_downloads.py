"""Models of the hub are on the machine before a server is started, whose time to start is limited."""

from __future__ import annotations

import pytest

from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import assume
from trainers.launch import downloads
from trainers.serving.processes.command import Command

FILES = [
    *("config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin"),
    *("original/params.json", "consolidated.safetensors", "tokenizer.json", "chat_template.jinja", "README.md"),
]


def config_of(*words: str):
    return compose(["teacher_rcl", *words], assume(2), 1, 1).config


def test_both_models_are_wanted_in_their_revisions() -> None:
    config = config_of("model_revision=v2", "student_model=Qwen/Qwen3-4B")
    assert downloads.hub_models(config, {}) == (f"{config.model.model_name_or_path}@v2", "Qwen/Qwen3-4B")


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"TRANSFORMERS_OFFLINE": "true"}])
def test_nothing_is_asked_of_a_hub_that_may_not_be_asked(environment: dict[str, str]) -> None:
    assert downloads.hub_models(config_of(), environment) == ()


def test_directories_are_no_models_of_the_hub(tmp_path) -> None:
    assert downloads.hub_models(config_of(f"student_model={tmp_path}", f"model_name_or_path={tmp_path}"), {}) == ()


def test_weights_are_fetched_once_and_in_the_format_that_is_read() -> None:
    kept = ["config.json", FILES[1], FILES[2], "tokenizer.json", "chat_template.jinja"]
    assert downloads.needed(FILES) == kept
    assert downloads.needed(["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]


class Hub:
    """A hub in the place of the library: it answers with an error, or with files."""

    def __init__(self, monkeypatch, error=None, cached=True):
        self.error, self.cached, self.downloaded = error, cached, []
        monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: self.list())
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)

    def list(self):
        if self.error:
            raise self.error
        return FILES

    def download(self, name, *, revision, allow_patterns=None, local_files_only=False):
        if local_files_only and not self.cached:
            raise FileNotFoundError("nothing cached")
        self.downloaded.append((name, revision, local_files_only))


def refusal(status: int):
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError("no", response=httpx.Response(status, request=httpx.Request("GET", "https://hub.example")))


def test_a_hub_that_does_not_answer_is_done_without_where_the_cache_has_the_model(monkeypatch) -> None:
    import httpx

    hub = Hub(monkeypatch)
    downloads.fetch("owner/model", "v2")
    assert hub.downloaded == [("owner/model", "v2", False)]
    for error in (httpx.ConnectError("no route"), refusal(503)):
        hub = Hub(monkeypatch, error)
        downloads.fetch("owner/model", None)
        assert hub.downloaded == [("owner/model", None, True)]
    Hub(monkeypatch, httpx.ConnectError("no route"), cached=False)
    with pytest.raises(FileNotFoundError):
        downloads.fetch("owner/model", None)


def test_a_hub_that_refuses_is_not_passed_by(monkeypatch) -> None:
    Hub(monkeypatch, refusal(403))
    with pytest.raises(OSError, match="no"):
        downloads.fetch("owner/model", None)


def test_a_download_that_fails_ends_the_launch_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "hub_models", lambda _: ("owner/model",))
    monkeypatch.setattr(downloads, "Command", lambda argv, env: Command(("false",), env))
    with pytest.raises(ConfigurationError, match=r"owner/model: could not be downloaded(.|\n)*HF_HUB_OFFLINE=1"):
        downloads.downloaded(config_of())
    monkeypatch.setattr(downloads, "Command", lambda argv, env: Command(("true",), env))
    downloads.downloaded(config_of())
