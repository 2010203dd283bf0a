"""The course of a weight update as the servers see it, on stand-ins that record their calls and fail on command."""

import json
import pickle
import subprocess
import sys
import threading
import time
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch

from trainers.concurrency.threads import in_background
from trainers.launch.plan import ROOT
from trainers.serving.instances import INSTANCE, OTHER_INSTANCE
from trainers.serving.weights.control_calls import ControlPlane, WeightSyncError
from trainers.serving.weights.weight_sync import WeightSync, make_transport, metadata_of

TENSORS = [("a", torch.zeros(2, 3)), ("b", torch.ones(4, dtype=torch.bfloat16))]
METADATA = metadata_of(TENSORS)
ONE_UPDATE = ["/pause", "/start_weight_update", "/update_weights", "/finish_weight_update", "/resume", "/weight_info"]


class FakeServer:
    """The weight endpoints of a vLLM server with `world_size` workers; `failing` paths answer 500, `slow` ones late,
    `hanging` ones not before the test is over."""

    def __init__(self, world_size=1):
        self.calls, self.answered = [], []
        self.failing, self.slow, self.hanging = set(), set(), set()
        self.closed = threading.Event()
        self.version, self.start = "default", "first"
        self.world_size = world_size
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
                self.answer(body)

            def do_GET(self):
                self.answer(None)

            def answer(self, body):
                path = self.path.split("?")[0]
                fake.calls.append((path, body))
                if path in fake.slow:
                    time.sleep(1)
                if path in fake.hanging:
                    fake.closed.wait(60)
                status = 500 if path in fake.failing else 200
                if self.headers.get(INSTANCE, fake.start) != fake.start:
                    status = OTHER_INSTANCE
                if path == "/finish_weight_update" and status == 200 and body:
                    fake.version = body["weight_version"]
                self.send_response(status)
                self.send_header(INSTANCE, fake.start)
                self.end_headers()
                answer = {"world_size": fake.world_size, "weight_version": fake.version, "error": "no such weight"}
                fake.answered.append(path)
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def paths(self):
        return [path for path, _ in self.calls]

    def payload(self, wanted):
        (body,) = [body for path, body in self.calls if path == wanted]
        return body


class PlainTransport:
    """Opens, sends and closes as every transport does, without a data plane."""

    def connect(self, control):
        control.init_weight_transfer_engine({"rank_offset": 1})

    def send(self, control, metadata, tensors):
        control.start_weight_update()
        control.update_weights({"names": [name for name, _ in tensors]})
        control.finish_weight_update()

    def close(self):
        pass


@pytest.fixture
def fakes():
    servers = [FakeServer(), FakeServer(world_size=2), FakeServer()]
    yield servers
    for server in servers:
        server.closed.set()
        server.http.shutdown()
        server.http.server_close()


def connected(fakes, timeout_s=5.0):
    sync = WeightSync([fake.url for fake in fakes], PlainTransport(), timeout_s=timeout_s)
    sync.connect()
    for fake in fakes:
        fake.calls.clear()
    return sync


def test_an_update_is_six_calls_to_every_server_and_ends_confirmed(fakes):
    sync = connected(fakes)
    sync.update(TENSORS, METADATA, 7)
    for fake in fakes:
        assert fake.paths == ONE_UPDATE
        assert fake.version == "7"


def test_every_server_learns_its_own_ranks(fakes):
    WeightSync([fake.url for fake in fakes], PlainTransport()).connect()
    offsets = [fake.payload("/init_weight_transfer_engine")["init_info"]["rank_offset"] for fake in fakes]
    assert offsets == [1, 2, 4]


def test_a_failed_call_is_not_repeated_and_the_server_that_cannot_finish_is_named(fakes):
    sync = connected(fakes)
    fakes[1].failing = {"/update_weights", "/finish_weight_update"}
    with pytest.raises(WeightSyncError) as raised:
        sync.update(TENSORS, METADATA, 7)
    message = str(raised.value)
    assert "no such weight" in message
    assert message.endswith(f"Unusable until a complete update or a restart: {fakes[1].url}.")
    assert fakes[1].paths.count("/update_weights") == 1
    assert "/resume" not in fakes[1].paths
    for healthy in (fakes[0], fakes[2]):
        assert healthy.paths[-2:] == ["/finish_weight_update", "/resume"]
    with pytest.raises(WeightSyncError, match="Not connected"):
        sync.update(TENSORS, METADATA, 8)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_server_is_not_asked_to_finish_before_it_has_answered_the_call_that_is_on_its_way(fakes, order):
    sync = connected(fakes)
    slow, failing = order
    fakes[slow].slow, fakes[failing].failing = {"/update_weights"}, {"/update_weights"}
    answered_before = []
    answer = fakes[slow].http.RequestHandlerClass.answer

    def observed(handler, body):
        if handler.path == "/finish_weight_update":
            answered_before.extend(fakes[slow].answered)
        answer(handler, body)

    fakes[slow].http.RequestHandlerClass.answer = observed
    with pytest.raises(WeightSyncError, match="no such weight"):
        sync.update(TENSORS, METADATA, 7)
    assert answered_before[-1] == "/update_weights"


def test_a_server_that_was_never_told_to_start_is_only_resumed(fakes):
    sync = connected(fakes)
    fakes[2].failing = {"/pause"}
    with pytest.raises(WeightSyncError, match="All servers answer again"):
        sync.update(TENSORS, METADATA, 7)
    # vLLM refuses to finish what was not started, and a paused server would answer nobody any more.
    assert [fake.paths for fake in fakes] == [["/pause", "/resume"]] * 3


def test_a_server_that_has_finished_is_not_asked_to_finish_again(fakes):
    sync = connected(fakes)
    fakes[1].failing = {"/finish_weight_update"}
    with pytest.raises(WeightSyncError, match=f"Unusable until a complete update or a restart: {fakes[1].url}"):
        sync.update(TENSORS, METADATA, 7)
    assert [fake.paths.count("/finish_weight_update") for fake in fakes] == [1, 2, 1]
    assert [fake.version for fake in fakes] == ["7", "default", "7"]


def test_an_interrupted_gather_leaves_servers_that_answer_and_know_that_they_are_incomplete(fakes):
    def interrupted():
        yield TENSORS[0]
        raise RuntimeError("gather failed")

    sync = connected(fakes)
    with pytest.raises(WeightSyncError, match=r"gather failed.*connect\(\) and update"):
        sync.update(interrupted(), METADATA, 7)
    assert {fake.paths[-1] for fake in fakes} == {"/resume"}
    assert {fake.version for fake in fakes} == {"incomplete"}


def test_a_server_that_reports_another_version_is_an_error(fakes):
    sync = connected(fakes)
    fakes[2].world_size = 1
    fakes[2].failing = set()
    original = fakes[2].http.RequestHandlerClass.answer

    def forgetful(handler, body):
        original(handler, {"weight_version": "6"} if body and "weight_version" in body else body)

    fakes[2].http.RequestHandlerClass.answer = forgetful
    with pytest.raises(WeightSyncError, match=f"Expected weight version 7.*{fakes[2].url}: 6"):
        sync.update(TENSORS, METADATA, 7)


def test_no_call_waits_longer_than_its_deadline(fakes):
    control = ControlPlane([fake.url for fake in fakes], timeout_s=0.3)
    fakes[0].hanging = {"/start_weight_update"}
    start = time.monotonic()
    with pytest.raises(WeightSyncError, match=r"did not answer within 0\.3 s"):
        control.start_weight_update()
    assert time.monotonic() - start < 30


HANGING = """
import sys
from trainers.launch.plan import ROOT
from trainers.concurrency.threads import in_background
from trainers.serving.weights.control_calls import ControlPlane, WeightSyncError
control = ControlPlane(sys.argv[1:], timeout_s=60)
try:
    control.update_weights({})
except WeightSyncError:
    sys.exit("gave up")
"""


def test_a_process_that_gives_up_ends_although_another_server_never_answers(fakes):
    fakes[1].failing, fakes[0].hanging = {"/update_weights"}, {"/update_weights"}
    command = [sys.executable, "-c", HANGING, *(fake.url for fake in fakes)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
    assert run.stderr == "gave up\n"


@pytest.mark.parametrize("hangs", ["/pause", "/update_weights", "/weight_info"])
def test_a_run_that_ends_does_not_wait_for_servers_that_do_not_answer(hangs, fakes):
    ending = threading.Event()
    sync = WeightSync([fake.url for fake in fakes], PlainTransport(), ending=ending.is_set)
    sync.connect()
    fakes[0].hanging = {hangs}
    threading.Timer(0.2, ending.set).start()
    begun = time.monotonic()
    with pytest.raises(
        WeightSyncError, match=f"Weight update 7 was given up, because the run ends: {hangs}.* was given up"
    ):
        sync.update(TENSORS, METADATA, 7)
    # Nor does it try to mend them, or ask whether they come back.
    assert not sync.restarted()
    assert time.monotonic() - begun < 5
    assert {fake.paths[-1] for fake in fakes} == {hangs}


def test_a_run_that_ends_takes_an_update_that_is_answered(fakes):
    sync = WeightSync([fake.url for fake in fakes], PlainTransport(), ending=lambda: True)
    sync.connect()
    sync.update(TENSORS, METADATA, 7)
    assert [fake.version for fake in fakes] == ["7"] * len(fakes)


def test_whoever_waits_for_an_answer_that_never_comes_is_let_go_after_a_failure(fakes):
    control = ControlPlane([fakes[0].url], timeout_s=60)
    fakes[0].hanging = {"/update_weights"}
    waiting = in_background(control.update_weights, {}, name="waiting")
    while not fakes[0].paths:
        time.sleep(0.01)
    control.recover(1)
    with pytest.raises(WeightSyncError, match="given up"):
        waiting.result(timeout=5)


@pytest.fixture
def cuda_transport(monkeypatch):
    """The transports for GPUs, without a GPU's streams and memory; importing them imports vLLM."""
    stream = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return pytest.importorskip("trainers.serving.weights.cuda_transport")


@pytest.mark.slow
def test_nccl_announces_the_tensors_to_all_and_broadcasts_them_in_that_order(fakes, cuda_transport, monkeypatch):
    from vllm.distributed.weight_transfer import nccl_engine

    sent = []
    monkeypatch.setattr(nccl_engine, "open_trainer_endpoint", lambda info: SimpleNamespace(info=info))
    monkeypatch.setattr(
        nccl_engine,
        "packed_nccl_broadcast_producer",
        lambda *, iterator, **options: sent.append((list(iterator), options)),
    )
    sync = WeightSync([fake.url for fake in fakes], make_transport("nccl", bucket_bytes=4096), timeout_s=5)
    sync.connect()
    sync.update(iter(TENSORS), METADATA, 3)
    for fake, offset in zip(fakes, (1, 2, 4), strict=True):
        init = nccl_engine.NCCLWeightTransferInitInfo(**fake.payload("/init_weight_transfer_engine")["init_info"])
        assert (init.rank_offset, init.world_size, init.packed) == (offset, 5, True)
        assert init.packed_buffer_size_bytes == 4096
        update = nccl_engine.NCCLWeightTransferUpdateInfo(**fake.payload("/update_weights")["update_info"])
        assert (update.names, update.dtype_names, update.shapes) == (["a", "b"], ["float32", "bfloat16"], [[2, 3], [4]])
        assert fake.version == "3"
    ((pairs, options),) = sent
    assert [name for name, _ in pairs] == ["a", "b"]
    assert options["group"].info.world_size == 5
    assert options["buffer_size_bytes"] == 4096


@pytest.mark.slow
def test_ipc_shows_handles_that_the_servers_worker_accepts(fakes, cuda_transport, monkeypatch):
    from vllm.distributed.weight_transfer import ipc_engine
    from vllm.distributed.weight_transfer.packed_tensor import PackedIpcChunk

    def producer(iterator, gpu_uuid, post_iter_func, buffer_size_bytes):
        names, tensors = zip(*iterator, strict=True)
        sizes = [tensor.numel() * tensor.itemsize for tensor in tensors]
        dtypes = [str(tensor.dtype).split(".")[-1] for tensor in tensors]
        yield PackedIpcChunk(
            list(names), [list(t.shape) for t in tensors], dtypes, sizes, {gpu_uuid: (buffer_size_bytes,)}
        )

    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="gpu-1"))
    monkeypatch.setattr(torch.cuda, "ipc_collect", lambda: None)
    monkeypatch.setattr(ipc_engine, "packed_ipc_producer", producer)
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
    server = fakes[0]
    sync = WeightSync([server.url], make_transport("ipc", bucket_bytes=16), timeout_s=5)
    sync.connect()
    assert server.payload("/init_weight_transfer_engine") == {"init_info": {"packed": True}}
    sync.update(iter(TENSORS), METADATA, 3)
    update = server.payload("/update_weights")["update_info"]
    # The largest tensor has 24 bytes, which the buffer must hold.
    assert pickle.loads(b64decode(update["ipc_handles_pickled"])) == {"gpu-1": (24,)}
    assert ipc_engine.IPCWeightTransferUpdateInfo(**update).ipc_handles == {"gpu-1": (24,)}
    assert update["tensor_sizes"] == [24, 8]


@pytest.mark.slow
def test_ipc_refuses_more_than_one_worker(fakes, cuda_transport):
    sync = WeightSync([fake.url for fake in fakes], make_transport("ipc"), timeout_s=5)
    with pytest.raises(WeightSyncError, match=r"one teacher server on one GPU, got workers \[1, 2, 1\]"):
        sync.connect()


def restart(fake):
    """Let a stand-in be another start of its server, which knows nothing of the last."""
    fake.start = f"{fake.start}+"
    fake.version = "default"


def test_an_update_does_not_reach_a_server_that_was_started_anew_and_meeting_it_again_mends_that(fakes):
    sync = connected(fakes)
    sync.update(TENSORS, METADATA, 7)
    assert sync.instances == {fake.url: "first" for fake in fakes}
    assert not sync.restarted()
    restart(fakes[1])
    with pytest.raises(WeightSyncError, match=f"{fakes[1].url} was started anew"):
        sync.update(TENSORS, METADATA, 8)
    assert "/start_weight_update" not in fakes[1].paths[len(ONE_UPDATE) :]
    assert not sync.connected
    assert sync.restarted()
    sync.connect()
    sync.update(TENSORS, METADATA, 8)
    assert [fake.version for fake in fakes] == ["8"] * 3
    assert sync.instances[fakes[1].url] == "first+"


def test_a_server_that_comes_back_is_waited_for_and_others_are_not(fakes):
    answering = []

    def comes_back(url):
        answering.append(url)
        if len(answering) == 3:
            fakes[2].failing.discard("/health")
        return comes

    comes = True
    sync = WeightSync([fake.url for fake in fakes], PlainTransport(), comes_back=comes_back)
    sync.meet()
    fakes[2].failing.add("/health")
    assert sync.connected
    assert sync.restarted()
    assert not sync.connected
    assert answering == [fakes[2].url] * 3
    comes = False
    fakes[2].failing.add("/health")
    assert not sync.restarted()
    comes, sync._return_s = True, 0.1
    assert not sync.restarted()


def test_what_fails_at_servers_that_were_not_restarted_is_not_tried_for_ever(fakes):
    fakes[0].failing.add("/init_weight_transfer_engine")
    sync = WeightSync([fake.url for fake in fakes], PlainTransport())
    with pytest.raises(WeightSyncError, match="no such weight"):
        sync.meet()
    assert fakes[0].paths.count("/init_weight_transfer_engine") == 1


def test_a_server_that_is_started_anew_while_it_is_met_is_met_again(fakes):
    fakes[0].failing.add("/init_weight_transfer_engine")
    meet, tries = PlainTransport(), []

    class Restarting(PlainTransport):
        def connect(self, control):
            tries.append(1)
            try:
                meet.connect(control)
            finally:
                if len(tries) == 1:
                    fakes[0].failing.clear()
                    restart(fakes[0])

    sync = WeightSync([fake.url for fake in fakes], Restarting())
    sync.meet()
    assert len(tries) == 2
    sync.update(TENSORS, METADATA, 1)
