"""The trainer's ends of the transports for GPUs, with stand-ins for CUDA and vLLM's engines."""

import pytest
import torch

pytestmark = pytest.mark.slow


@pytest.fixture
def cuda(monkeypatch):
    """A log of what is asked of CUDA, and which stream is current."""
    log, current = [], ["training"]

    class Stream(str):
        def synchronize(self):
            log.append(f"wait for {self}")

    def set_stream(stream):
        current[0] = str(stream)

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream(current[0]))
    monkeypatch.setattr(torch.cuda, "set_stream", set_stream)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: log.append("empty the cache"))
    return log, current


class Engine:
    """Moves to a stream of its own, as vLLM does at the first broadcast."""

    def __init__(self, log):
        self.source, self.log = None, log

    def send_weights(self):
        torch.cuda.set_stream("vllm")
        self.log += [name for name, _ in self.source]


def test_training_goes_on_in_its_own_stream_after_meeting_the_servers(cuda, monkeypatch):
    nccl = pytest.importorskip("trainers.serving.weights.nccl_transport")
    log, current = cuda

    def meet(*_, **__):
        torch.cuda.set_stream("vllm")
        return Engine(log)

    monkeypatch.setattr(nccl.NCCLTrainerWeightTransferEngine, "trainer_init", meet)
    control = type("Control", (), {"world_sizes": lambda _: [1]})()
    transport = nccl.NcclTransport("127.0.0.1", 60.0, 1024)
    transport.connect(control)
    assert current == ["training"]
    transport.send(control, [], [("first", torch.zeros(1))])
    assert current == ["training"]
    assert log == ["wait for training", "first"]


def test_a_shared_card_is_cleared_before_the_server_copies(cuda, monkeypatch):
    ipc = pytest.importorskip("trainers.serving.weights.ipc_transport")
    from trainers.serving.weights.weight_sync import metadata_of

    log, _ = cuda
    transport = ipc.IpcTransport(16)
    transport._engine = Engine(log)
    tensors = [("small", torch.zeros(1)), ("large", torch.zeros(100))]
    transport.send(None, metadata_of(tensors), tensors)
    assert transport._engine.packed_buffer_size_bytes == 400
    assert log == ["empty the cache", "wait for training", "small", "large"]
