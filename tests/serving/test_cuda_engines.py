"""A weight update that fails on a GPU server is forgotten by the next one; with a toy model, without the transfer."""

import json
from types import SimpleNamespace

import pytest
import torch

from trainers.serving.processes.server_command import server_command
from trainers.serving.server_spec import ServerSpec

pytestmark = pytest.mark.slow
OLD, NEW = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0])


class Layer(torch.nn.Module):
    """Two parameters of one layer, loaded as vLLM's layers are."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (torch.nn.Parameter(OLD.clone(), requires_grad=False) for _ in range(2))

    def load_weights(self, weights):
        parameters = dict(self.named_parameters())
        for name, tensor in weights:
            parameters[name].weight_loader(parameters[name], tensor)


@pytest.fixture
def engine(request, monkeypatch):
    """An engine whose weights are handed to it, on a model that has been loaded once."""
    engines = pytest.importorskip("trainers.serving.weights.worker.cuda_engines")
    from vllm.model_executor.model_loader import reload
    from vllm.model_executor.model_loader.weight_utils import default_weight_loader

    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: None)
    model = Layer()
    for parameter in model.parameters():
        parameter.weight_loader = default_weight_loader
    reload.record_metadata_for_reloading(model)
    made = object.__new__(getattr(engines, request.param))
    made.model, made.model_config = model, SimpleNamespace(dtype=torch.float32)
    made._packed_importer = SimpleNamespace(close=lambda: None)
    made.parse_update_info = dict
    made.receive_weights = lambda info: model.load_weights(info["weights"])
    return made


@pytest.mark.parametrize("engine", ["MendableNcclEngine", "MendableIpcEngine"], indirect=True)
def test_the_next_complete_update_gives_all_weights_after_one_that_failed(engine):
    def broken():
        yield "first", OLD
        raise RuntimeError("out of memory")

    engine.start_weight_update()
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.update_weights({"weights": broken()})
    engine.start_weight_update()
    engine.update_weights({"weights": [("first", NEW), ("second", NEW)]})
    engine.finish_weight_update()
    assert torch.equal(engine.model.first, NEW)
    assert torch.equal(engine.model.second, NEW)


@pytest.mark.parametrize("engine", ["MendableNcclEngine", "MendableIpcEngine"], indirect=True)
def test_a_layer_that_gets_nothing_is_named_and_the_next_update_mends(engine):
    engine.start_weight_update()
    engine.update_weights({"weights": []})
    with pytest.raises(RuntimeError, match=r"0 tensors were announced, and 2 parameters of Layer .*: first, second"):
        engine.finish_weight_update()
    # Recovery closes the update once more, as it cannot know how far it came.
    engine.finish_weight_update()
    assert torch.equal(engine.model.first, OLD)
    engine.start_weight_update()
    engine.update_weights({"weights": [("first", NEW), ("second", NEW)]})
    engine.finish_weight_update()
    assert torch.equal(engine.model.second, NEW)


@pytest.mark.parametrize(("transfer", "engine"), [("nccl", "MendableNcclEngine"), ("ipc", "MendableIpcEngine")])
def test_servers_are_started_with_these_engines(transfer, engine):
    pytest.importorskip("vllm.distributed.weight_transfer")
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    from trainers.serving.weights.worker import vllm_plugin

    command = server_command(
        ServerSpec("teacher", 0, "/models/teacher", "127.0.0.1", 8765, gpus=(0,), weight_transfer=transfer)
    ).argv
    backend = json.loads(command[command.index("--weight-transfer-config") + 1])["backend"]
    vllm_plugin.register()
    assert WeightTransferEngineFactory._registry[backend]().__name__ == engine
    assert command[command.index("--worker-extension-cls") + 1].startswith(vllm_plugin.__name__)


def test_the_engine_of_a_transport_of_ones_own_is_registered_where_the_environment_names_it(monkeypatch):
    pytest.importorskip("vllm.distributed.weight_transfer")
    from trainers.serving.weights.transports import OWN_TRANSPORT
    from trainers.serving.weights.worker import vllm_plugin

    path = "examples.custom_transport.FileTransport"
    assert path not in vllm_plugin.engines()
    monkeypatch.setenv(OWN_TRANSPORT, path)
    assert vllm_plugin.engines()[path] == "examples.custom_transport_engine.FileEngine"
