"""A trained model's card tells what went into it, and a push takes the model alone to a hub: a local one here."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import pytest
import yaml

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.models.final_model import PushFailed, push_to_hub
from trainers.models.model_card import last_metrics, model_card

ONE_GPU = Machine((0,))
METRICS = {"eval_teaching/taught_accuracy": 0.8125, "loss": 0.25, "teaching/leak_rate": None}


def config_of(*arguments):
    return compose(list(arguments), ONE_GPU).config


def header(card):
    return yaml.safe_load(card.split("---")[1])


def test_a_card_tells_base_data_settings_results_and_use():
    config = config_of("teacher_rcl", "use_peft=true", "lora_r=64", "hub_model_id=me/my-teacher")
    card = model_card(config, METRICS, "# Evaluation\n\n| accuracy |\n")
    assert header(card)["base_model"] == "Arc-Intelligence/ATLAS-8B-Thinking"
    assert header(card)["datasets"] == "Arc-Intelligence/Arc-ATLAS-Teach-v0"
    assert header(card)["library_name"] == "peft"
    assert "GRPO" in card
    assert "beside the student Qwen/Qwen3-4B" in card
    assert "| `lora_r` | `64` |" in card
    assert "| student taught, held-out questions | 0.812 |" in card
    assert "## Evaluation\n\nEvaluation\n\n| accuracy |" in card
    assert 'AutoPeftModelForCausalLM.from_pretrained("me/my-teacher")' in card
    assert "## Licence" in card


def test_a_card_tells_nothing_of_this_machine(tmp_path):
    config = config_of(
        "teacher_sft", f"model_name_or_path={tmp_path}/base", f"dataset_id_or_path={tmp_path}/rows.jsonl"
    )
    card = model_card(config.with_keys(output_dir=f"{tmp_path}/mine"), {})
    assert str(tmp_path) not in card
    assert "base_model" not in header(card)
    assert "made from base, warmed up by supervised fine-tuning on rows.jsonl" in card
    assert 'AutoModelForCausalLM.from_pretrained("mine")' in card
    assert "## Results" not in card


def test_the_last_value_of_a_metric_counts(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert last_metrics(path) == {}
    path.write_text('{"step": 1, "loss": 3, "kl": 0.1}\n{"step": 2, "loss": 2}\n')
    assert last_metrics(path) == {"step": 2, "loss": 2, "kl": 0.1}


class Hub(BaseHTTPRequestHandler):
    """The four answers of a hub that an upload of small files asks for."""

    def do_GET(self):
        known = {"id": "me/x", "sha": "0" * 40, "siblings": []}
        self._answer(
            {"error": "no such repository"} if self.server.refuse else known, 404 if self.server.refuse else 200
        )

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        if self.server.refuse:
            self._answer({"error": "no write access"}, 403)
        elif self.path.endswith("/repos/create"):
            name = json.loads(body)["name"]
            self._answer({"url": f"{self.server.url}/me/{name.rpartition('/')[2]}"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        else:
            self._answer({"success": True, "commitOid": "1" * 40, "commitUrl": f"{self.server.url}/me/x/commit/1"})

    def _answer(self, content, status=200):
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, which remembers what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.url, server.requests, server.refuse = f"http://127.0.0.1:{server.server_port}", [], False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def output(tmp_path):
    directory = tmp_path / "teacher"
    for name in ("README.md", "model.safetensors", "config.json", "tokenizer.json", "config.yaml", "metrics.jsonl"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(f"this is {name}")
    for name in ("servers/teacher-0.log", "checkpoint-2/model.safetensors", "lessons/step_000000.jsonl"):
        (directory / name).parent.mkdir()
        (directory / name).write_text("stays here")
    return directory


def committed(hub):
    [body] = [body for path, _, body in hub.requests if "/commit/" in path]
    lines = [json.loads(line) for line in body.splitlines()]
    files = [line["value"] for line in lines if line["key"] == "file"]
    return {file["path"]: base64.b64decode(file["content"]).decode() for file in files}


def test_the_model_is_pushed_and_nothing_of_the_run(hub, output):
    push_to_hub(config_of("teacher_rcl", f"output_dir={output}", "hub_private_repo=true"))
    assert set(committed(hub)) == {"README.md", "model.safetensors", "config.json", "tokenizer.json"}
    assert committed(hub)["README.md"] == "this is README.md"
    path, token, body = hub.requests[0]
    assert (path, token) == ("/api/repos/create", "Bearer hf_of_the_test")
    assert json.loads(body)["name"] == "teacher"
    assert json.loads(body)["visibility"] == "private"


def test_a_hub_that_refuses_costs_nothing_but_the_push(hub, output):
    hub.refuse = True
    config = config_of("teacher_sft", f"output_dir={output}", "hub_model_id=me/x")
    with pytest.raises(PushFailed, match=f"(?s)me/x.*hf upload me/x {output}"):
        push_to_hub(config)
    assert (output / "model.safetensors").is_file()


def test_transformers_is_never_told_to_push():
    from trainers.configuration import trl_arguments

    assert "push_to_hub" not in trl_arguments(config_of("teacher_sft", "push_to_hub=true"))
