"""The command line and environment of a server, as a pure function of its spec."""

import dataclasses
import json
import sys
from pathlib import Path

from trainers.serving.interfaces import interface_of
from trainers.serving.processes.server_command import inherited_environment, server_command
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.transports import OWN_TRANSPORT

CPU_TEACHER = ServerSpec(
    "teacher", 0, "/models/teacher", "127.0.0.1", 8765, dtype="float32", max_model_len=512, weight_transfer="gloo"
)
GPU_STUDENT = ServerSpec(
    "student", 1, "org/student", "127.0.0.1", 8768, gpus=(2, 3), tensor_parallel_size=2, gpu_memory_utilization=0.4
)


def option(command, name):
    return command.argv[command.argv.index(name) + 1]


def test_a_cpu_teacher_receives_weights_by_gloo_and_never_prefills_in_parts():
    command = server_command(CPU_TEACHER)
    assert command.argv[1:5] == ("-m", "trainers.serving.processes.vllm_entry", "serve", "/models/teacher")
    assert json.loads(option(command, "--weight-transfer-config")) == {"backend": "gloo"}
    assert option(command, "--worker-extension-cls") == "trainers.serving.weights.worker.vllm_plugin.WorkerExtension"
    assert option(command, "--max-model-len") == "512"
    assert {"--enforce-eager", "--no-enable-chunked-prefill"} <= set(command.argv)
    assert command.env["VLLM_SERVER_DEV_MODE"] == "1"
    assert command.env["TORCH_COMPILE_DISABLE"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in command.env


def test_a_gpu_student_sees_its_gpus_only_and_opens_no_weight_endpoints():
    command = server_command(GPU_STUDENT)
    assert command.env["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert command.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert option(command, "--tensor-parallel-size") == "2"
    assert option(command, "--gpu-memory-utilization") == "0.4"
    assert "VLLM_SERVER_DEV_MODE" not in command.env
    assert not {"--weight-transfer-config", "--enforce-eager", "--max-model-len"} & set(command.argv)


def test_pickled_handles_are_allowed_on_a_shared_gpu_alone():
    allowed = {
        backend: "VLLM_ALLOW_INSECURE_SERIALIZATION"
        in server_command(dataclasses.replace(CPU_TEACHER, gpus=(0,), weight_transfer=backend)).env
        for backend in ("ipc", "nccl")
    }
    assert allowed == {"ipc": True, "nccl": False}


def test_a_transport_of_ones_own_is_made_known_to_its_servers_alone():
    path = "examples.custom_transport.FileTransport"
    command = server_command(dataclasses.replace(CPU_TEACHER, weight_transfer=path))
    assert json.loads(option(command, "--weight-transfer-config")) == {"backend": path}
    assert command.env[OWN_TRANSPORT] == path
    assert OWN_TRANSPORT not in server_command(CPU_TEACHER).env


def test_the_engine_stays_in_its_own_processes_when_a_cpu_model_is_split():
    split = dataclasses.replace(CPU_TEACHER, tensor_parallel_size=2)
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in server_command(split).env
    assert server_command(CPU_TEACHER).env["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


def test_extra_arguments_come_behind_ours_and_the_printed_command_is_one_for_a_shell():
    command = server_command(dataclasses.replace(GPU_STUDENT, revision="v1", extra_args=("--swap-space", "4 GiB")))
    *_, option_name, value, middleware, outermost = command.argv
    assert (option_name, value) == ("--swap-space", "4 GiB")
    # A middleware of the user's stands behind the one that asks for the token.
    assert (middleware, outermost) == ("--middleware", "trainers.serving.processes.access.TokenRequired")
    assert option(command, "--tokenizer-revision") == "v1"
    first = "VLLM_NO_USAGE_STATS=1 VLLM_HTTP_TIMEOUT_KEEP_ALIVE=600"
    assert str(command).startswith(f"{first} CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=2,3 ")
    assert "--swap-space '4 GiB' " in str(command)


def test_servers_inherit_the_environment_without_keys_and_ranks():
    inherited = inherited_environment({"HOME": "/root", "VLLM_API_KEY": "secret", "RANK": "3", "PYTHONPATH": "/mine"})
    assert inherited["HOME"] == "/root"
    assert not {"VLLM_API_KEY", "RANK"} & set(inherited)
    assert inherited["PYTHONPATH"].endswith(":/mine")
    assert inherited["OMP_NUM_THREADS"] == "1"
    assert inherited["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert inherited_environment({"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "8"


def test_processes_of_a_server_listen_for_each_other_on_loopback_alone():
    loopback = interface_of("127.0.0.1")
    assert loopback is not None
    assert inherited_environment({"GLOO_SOCKET_IFNAME": "eth9"})["GLOO_SOCKET_IFNAME"] == loopback


def test_a_judge_is_held_to_a_schema_without_white_space_and_nobody_else_is():
    judge = server_command(dataclasses.replace(CPU_TEACHER, role="judge", weight_transfer=None))
    assert json.loads(option(judge, "--structured-outputs-config")) == {
        "backend": "xgrammar",
        "disable_any_whitespace": True,
    }
    assert "--structured-outputs-config" not in server_command(GPU_STUDENT).argv
