"""Every server command line of every recipe passes vLLM's own parser; DeepSpeed and accelerate take our files.

Nothing is started and no GPU is needed, so that this holds of the GPU stack too: `bash scripts/gpu_stack_check.sh`.
"""

import importlib
import inspect
import json

import pytest
import yaml

from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.launch.node.requirements import WITHOUT_BUILDING
from trainers.launch.plan import accelerate_settings, make_plan
from trainers.paths import ROOT
from trainers.serving.processes.server_command import server_command

pytestmark = pytest.mark.slow
EVALUATION = "evaluate teacher=[org/one,org/two] student_model=org/student"
LAUNCHES = [
    *[("teacher_rcl", 1, 1, 1), ("teacher_rcl", 1, 1, 8), ("teacher_rcl", 4, 4, 8), ("teacher_rcl offload", 1, 3, 4)],
    ("teacher_rcl teacher_tensor_parallel_size=2", 3, 1, 4),
    ("teacher_rcl model_revision=v1 trust_remote_code=true", 2, 2, 4),
    ("teacher_rcl dtype=float16 bf16=false fp16=true tf32=null", 1, 1, 2),
    *[("teacher_rcl_24gb", 1, 1, 1), ("teacher_rcl_80gb", 1, 1, 1), ("quickstart_rl", 1, 1, 1)],
    *[("quickstart_rl", 1, 1, 0), (EVALUATION, 2, 0, 2), (f"{EVALUATION} student_tensor_parallel_size=2", 4, 0, 4)],
]


def specs(command, servers, trainers, gpus):
    machine = assume(gpus)
    config = compose(command.split(), machine, max(trainers, 1), servers).config
    return make_plan(config, machine, servers, trainers).servers


@pytest.fixture
def parsed(monkeypatch):
    """vLLM's reading of the words that follow `vllm serve`."""
    pytest.importorskip("vllm.entrypoints.launchers.cli_args")
    # Offline it would look for the recipes' models in the cache.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.platforms import current_platform
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    if not current_platform.device_type:
        # The GPU stack, where there is no GPU: the parser asks which kind of device its defaults are for.
        monkeypatch.setattr(current_platform, "device_type", "cuda")
    parser = make_arg_parser(FlexibleArgumentParser())

    def read(argv):
        arguments = parser.parse_args(list(argv))
        validate_parsed_serve_args(arguments)
        arguments.model = arguments.model_tag
        return arguments, AsyncEngineArgs.from_cli_args(arguments)

    return read


def words(spec, *more):
    argv = (*server_command(spec).argv, *more)
    return argv[argv.index("serve") + 1 :]


def test_every_command_line_of_every_recipe_is_understood(parsed):
    listed = [spec for launch in LAUNCHES for spec in specs(*launch)]
    assert len(listed) >= len(LAUNCHES)
    for spec in listed:
        arguments, engine = parsed(words(spec))
        assert (arguments.model, arguments.port, engine.dtype) == (spec.weights, spec.port, spec.dtype)
        assert engine.tensor_parallel_size == spec.tensor_parallel_size
        assert (engine.max_model_len, engine.revision) == (spec.max_model_len, spec.revision)
        if spec.gpus:
            assert engine.gpu_memory_utilization == spec.gpu_memory_utilization
        else:
            assert engine.kv_cache_memory_bytes == spec.kv_cache_bytes
        assert (engine.weight_transfer_config is None) == (spec.weight_transfer is None)


def test_what_a_machine_adds_is_understood_too(parsed):
    [spec, *_] = specs("teacher_rcl", 1, 1, 2)
    _, engine = parsed(words(spec, *WITHOUT_BUILDING))
    assert "FLASH_ATTN" in str(engine.attention_backend or engine.attention_config)


@pytest.mark.parametrize("stage", ["zero1", "zero2", "zero3", "zero3_cpu_offloading"])
def test_accelerate_reads_the_file_of_every_stage(stage, tmp_path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = compose(["teacher_sft", f"deepspeed={stage}"], assume(2), 2).config
    plan = make_plan(config, assume(2), 0, 2)
    own = yaml.safe_load((ROOT / "accelerate" / f"deepspeed_{stage}.yaml").read_text(encoding="utf-8"))
    written = tmp_path / "accelerate.yaml"
    written.write_text(yaml.safe_dump(accelerate_settings(config.trainer, plan.accelerate, own)), encoding="utf-8")
    read = load_config_from_file(str(written))
    assert read.num_processes == 2
    assert read.deepspeed_config["zero_stage"] == (3 if "3" in stage else int(stage[-1]))


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_deepspeed_s_bucket_is_as_large_as_the_planner_counts(stage):
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    from trainers.launch.estimates.memory import REDUCE_BUCKET

    assert DeepSpeedZeroConfig(stage=stage).reduce_bucket_size == REDUCE_BUCKET


SIGNATURES = {
    "nccl_engine.NCCLTrainerWeightTransferEngine.trainer_init": ["init_info", "client", "source"],
    "ipc_engine.IPCTrainerWeightTransferEngine.trainer_init": ["init_info", "client", "source"],
    "nccl_engine.NCCLTrainerWeightTransferEngine.send_weights": ["self"],
    "ipc_engine.IPCTrainerWeightTransferEngine.send_weights": ["self"],
    "nccl_engine.NCCLTrainerInitInfo": [
        *("rank", "master_address", "master_port", "world_size", "packed", "packed_buffer_size_bytes"),
        "packed_num_buffers",
    ],
    "ipc_engine.IPCTrainerInitInfo": ["rank", "packed", "packed_buffer_size_bytes"],
    "base.ParamMeta": ["name", "dtype", "shape"],
    "base.WeightTransferEngine.update_weights": ["self", "update_info"],
    "base.WeightTransferEngine.start_weight_update": ["self"],
    "base.WeightTransferEngine.finish_weight_update": ["self"],
    "base.WeightTransferEngine.init_transfer_engine": ["self", "init_info"],
}
"""Parameters of what our transports call and override of vLLM, as they expect them."""


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_weight_transfer_of_the_installed_vllm_is_the_one_we_know(name):
    package = pytest.importorskip("vllm.distributed.weight_transfer").__name__
    module, _, path = name.partition(".")
    found = importlib.import_module(f"{package}.{module}")
    for part in path.split("."):
        found = getattr(found, part)
    named = [parameter for parameter in inspect.signature(found).parameters if parameter != "cls"]
    assert sorted(named) == sorted(SIGNATURES[name])


def test_backends_are_named_as_the_plugin_registers_them():
    from trainers.serving.weights.worker.vllm_plugin import engines

    for launch in LAUNCHES:
        for spec in specs(*launch):
            if spec.weight_transfer is not None:
                argv = server_command(spec).argv
                assert json.loads(argv[argv.index("--weight-transfer-config") + 1])["backend"] in engines()
