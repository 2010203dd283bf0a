"""Bad configurations, and what a user reads: the value, what was expected, what to do."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, Problem, compose
from trainers.configuration.checks.files import missing_paths
from trainers.configuration.devices.machine import Machine

GPUS = Machine(tuple(range(8)))
TOOLS = "student_tools=[a.tool]"

# ruff: noqa: E501
BAD = [
    # typos
    ("teacher_rcl num_generation=32", "num_generation=32", "no key num_generation", "num_generations"),
    ("teacher_rcl +learning_rat=1", "learning_rat=1", "no key learning_rat", "learning_rate"),
    ("teacher_rcl ++studnt_model=x", "studnt_model=x", "no key studnt_model", "student_model"),
    ("teacher_rcl foo_bar_baz=1", "foo_bar_baz=1", "no key", "--cfg job"),
    ("teacher_rcl seed.=1", "seed.=1", "expected key=value", "correct the key"),
    ("teacher_rcl seed.x=1", "seed={x: 1}", "expected a whole number, got a mapping", "seed=42"),
    ("teacher_rcll", "teacher_rcll", "no such recipe", "teacher_rcl"),
    ("no/such/recipe.yaml", "no/such/recipe.yaml", "no such recipe", "choose one of"),
    ("results/run/absent.yaml", "results/run/absent.yaml", "/results/run/absent.yaml", "correct the path"),
    ("teacher_rcl hydra.searchpath=[file:///tmp]", "hydra.searchpath=", "found by their path", "DIRECTORY/run/NAME.yaml"),
    ("teacher_rcl seed=1,2", "seed=1,2", "one value per key", "scripts/sweep.sh"),
    ("teacher_rcl loss_type=gspo", "loss_type=gspo", "expected one of", "importance_sampling_level=sequence with loss_type=grpo"),
    ("teacher_rcl loss_type=GSPO", "loss_type=GSPO", "expected one of", "importance_sampling_level=sequence"),
    ("teacher_rcl loss_type=dapoo", "loss_type=dapoo", "expected one of", "did you mean dapo?"),
    ("teacher_rcl zero4", "zero4", "expected key=value or zero1", "zero"),
    ("teacher_rcl num_generations", "num_generations", "expected key=value", "write num_generations=…"),
    ("teacher_rcl teacher_sft", "teacher_sft", "the recipe is teacher_rcl", "one recipe only"),
    ("teacher_rcl run=teacher_sft", "teacher_sft", "the recipe is teacher_rcl", "one recipe only"),
    ("teacher_rcl data=gsm8", "data=gsm8", "configs/data has no gsm8", "gsm8k"),
    ("teacher_rcl model@_global_=qwen3_9b", "qwen3_9b", "configs/model has no", "qwen3_8b"),
    ("teacher_rcl model=llama3_70b", "model=llama3_70b", "configs/model has no", "choose one of"),
    ("teacher_rcl dataa=gsm8k", "dataa=gsm8k", "no key dataa", "did you mean data"),
    ("teacher_sft num_generations=4", "num_generations=4", "no key of experiment sft", "another recipe"),
    ("evaluate learning_rate=1e-3", "learning_rate=0.001", "no key of experiment evaluation", "another recipe"),
    ("seed=1", "no recipe", "expected one of", "configs/run/"),
    # keys of the reference and of TRL that cannot be had as written
    ("teacher_rcl vllm_mode=colocate", "vllm_mode=colocate", "no key vllm_mode here", "leave it out"),
    ("teacher_rcl gradient_accumulation_steps=4", "gradient_accumulation_steps=4", "no key", "set train_batch_size"),
    ("teacher_rcl generation_batch_size=4", "generation_batch_size=4", "no key", "set train_batch_size"),
    ("teacher_rcl reward_funcs=x", "reward_funcs=x", "no key", "set reward=dotted.path"),
    ("teacher_rcl degradation_penalty_multiplier=2", "degradation_penalty_multiplier=2", "no key", "set degradation_penalty"),
    ("teacher_rcl 'student_model_init_kwargs={a: 1}'", "student_model_init_kwargs={a: 1}", "no key", "student_dtype"),
    ("teacher_rcl vllm_gpu_memory_utilization=0.5", "vllm_gpu_memory_utilization=0.5", "no key", "student_gpu_memory_utilization"),
    ("teacher_sft fsdp=full_shard", "fsdp=full_shard", "no key", "zero3"),
    ("teacher_sft model_init_kwargs.torch_dtype=float16", "model_init_kwargs.torch_dtype=float16", "no key", "set dtype"),
    ("teacher_sft completion_only_training=false", "completion_only_training=false", "no key", "leave it out"),
    ("teacher_sft overwrite_output_dir=true", "overwrite_output_dir=true", "no key", "resume=never"),
    ("teacher_sft max_seq_length=8k", "max_length=8k", "expected a whole number", "max_length=1024"),
    ("teacher_sft processes=3", "processes=3", "computed", "leave processes out"),
    # types, choices, ranges
    ("teacher_rcl temperature=hot", "temperature=hot", "expected a number, got text", "temperature=1.0"),
    ("teacher_rcl max_steps=1.5", "max_steps=1.5", "expected a whole number, got a fraction", "max_steps=-1"),
    ("teacher_rcl seed=null", "seed=null", "expected a whole number, got null", "seed=42"),
    ("teacher_rcl trust_remote_code=1", "trust_remote_code=1", "expected true or false, got a whole number", "trust_remote_code=false"),
    ("teacher_rcl student_model=[a]", "student_model=[a]", "expected text, got a list", "student_model=…"),
    ("teacher_rcl dataset_max_samples=1k", "dataset_max_samples=1k", "expected a whole number, or null", "dataset_max_samples=null"),
    ("teacher_rcl learning_rate=nan", "learning_rate=nan", "a finite number", "learning_rate=1e-06"),
    ("teacher_rcl beta=inf", "beta=inf", "a finite number", "beta=0.0"),
    ("teacher_rcl efficiency_weight=nan", "efficiency_weight=nan", "a finite number", "efficiency_weight=1.0"),
    ("teacher_rcl learning_rate=-1e-6", "learning_rate=-1e-06", "a number >= 0", "learning_rate=1e-06"),
    ("teacher_sft lr_scheduler_type=cosin", "lr_scheduler_type=cosin", "expected one of", "did you mean cosine?"),
    ("teacher_sft optim=adam", "optim=adam", "expected one of", "did you mean"),
    ("teacher_sft loss_type=dapo", "loss_type=dapo", "expected one of nll, dft", "loss_type=nll"),
    ("teacher_rcl loss_type=ppo", "loss_type=ppo", "expected one of grpo, dapo", "loss_type=dapo"),
    ("teacher_rcl leak_policy=ignore", "leak_policy=ignore", "expected one of penalise, report, blind", "leak_policy=penalise"),
    ("teacher_rcl leak_audit_samples=2", "leak_audit_samples=2 leak_audit_alpha=0.01", "so few answers", "leak_audit_samples=3 or more"),
    ("teacher_rcl leak_audit_alpha=1e-9", "leak_audit_samples=8 leak_audit_alpha=1e-09", "so few answers", "raise leak_audit_alpha"),
    ("teacher_rcl leak_audit_alpha=0.1", "leak_alarm=0.05", "harmless teachings alone may raise it", "lower leak_audit_alpha"),
    ("teacher_rcl leak_policy=blind verifier=code", "leak_policy=blind verifier=code", "ask for a final answer", "leak_policy=penalise"),
    ("teacher_rcl leak_audit_share=1.5", "leak_audit_share=1.5", "a number >= 0 and <= 1", "leak_audit_share=0.05"),
    (f"teacher_rcl {TOOLS} teach_at=[1]", "teach_at=[1]", "expected [0], or [0, k]", "teach_at=[0,1]"),
    (f"teacher_rcl {TOOLS} teach_at=[]", "teach_at=[]", "expected [0], or [0, k]", "teach_at=[0,1]"),
    (f"teacher_rcl {TOOLS} teach_at=[0,1,2]", "teach_at=[0,1,2]", "expected [0], or [0, k]", "teach_at=[0,1]"),
    (f"teacher_rcl {TOOLS} teach_at=[0,-1]", "teach_at=[0,-1]", "expected [0], or [0, k]", "teach_at=[0,1]"),
    ("teacher_rcl teach_at=[0,1]", "teach_at=[0,1]", "only a student with student_tools can pause", "leave teach_at out"),
    ("teacher_rcl student_agent=a.b teach_at=[0,1]", "student_agent=a.b teach_at=[0,1]", "can pause", "give it tools"),
    (f"teacher_rcl {TOOLS} teach_at=[0,8]", "teach_at=[0,8] student_max_turns=8", "is cut off", "name a turn below it"),
    (f"teacher_rcl {TOOLS} teach_at=[0,one]", "teach_at=[0,one]", "expected", ""),
    (f"teacher_rcl {TOOLS} teach_at=[0,1] midway_template=Go", "midway_template='Go'", "lacks the placeholder {teaching}", "write {teaching}"),
    (f"teacher_rcl {TOOLS} teach_at=[0,1] student_max_model_len=12288", "student_max_model_len=12288", "2 x max_completion_length=8192", "raise"),
    (f"teacher_rcl {TOOLS} teach_at=[0,1] teacher_max_model_len=8192", "teacher_max_model_len=8192", "student_max_tokens=4096", "raise"),
    ("evaluate teacher=a/b blind_template='Say it.'", "blind_template='Say it.'", "lacks the placeholder {teaching}", "write {teaching}"),
    ("teacher_rcl scale_rewards=batches", "scale_rewards=batches", "expected one of group, batch, none", "batch"),
    ("teacher_rcl scale_rewards=false", "scale_rewards=false", "expected one of group, batch, none", "scale_rewards=group"),
    ("teacher_rcl deepspeed=zero4", "deepspeed=zero4", "expected one of zero1", "zero3"),
    ("teacher_rcl dtype=bf16", "dtype=bf16", "expected one of auto, bfloat16", "did you mean bfloat16?"),
    ("teacher_rcl student_dtype=int8", "student_dtype=int8", "expected one of auto, bfloat16", "student_dtype=auto"),
    ("teacher_rcl attn_implementation=flash_attention", "attn_implementation=flash_attention", "flash_attention_2", "did you mean"),
    ("teacher_rcl report_to=wandbb", "report_to=wandbb", "expected null or some of none, all, wandb", "did you mean wandb?"),
    ("teacher_rcl report_to=[wandb,tensorbord]", "report_to=tensorbord", "tensorboard", "did you mean tensorboard?"),
    ("teacher_rcl weight_transfer=rdma", "weight_transfer=rdma", "expected one of auto, gloo", "weight_transfer=auto"),
    ("teacher_rcl max_probe_tokens=-1", "max_probe_tokens=-1", "a number >= ", "max_probe_tokens=500"),
    ("teacher_rcl num_generations=1", "num_generations=1", "a number >= 2", "num_generations=8"),
    ("teacher_rcl student_top_p=1.5", "student_top_p=1.5", "> 0 and <= 1", "student_top_p=1.0"),
    ("teacher_rcl max_steps=0", "max_steps=0", ">= -1 and != 0", "max_steps=-1"),
    ("teacher_rcl train_batch_size=-8", "train_batch_size=-8", ">= 1", "train_batch_size=16"),
    ("teacher_rcl eval_split_ratio=1.5", "eval_split_ratio=1.5", ">= 0 and < 1", "eval_split_ratio=0.1"),
    ("teacher_rcl student_gpu_memory_utilization=90", "student_gpu_memory_utilization=90", "> 0 and <= 1", "=0.9"),
    ("teacher_sft dataset_max_samples=0", "dataset_max_samples=0", ">= 1", "dataset_max_samples=null"),
    ("teacher_sft num_train_epochs=0", "num_train_epochs=0", "> 0", "num_train_epochs=3.0"),
    ("teacher_sft save_total_limit=1", "save_total_limit=1", ">= 2", "save_total_limit=null"),
    ("teacher_rcl resume=true", "resume=true", "expected text, got true", "resume=auto"),
    # batches
    ("teacher_rcl train_batch_size=8", "train_batch_size=8", "num_generations=32 divide is 32", "train_batch_size=32"),
    ("teacher_sft per_device_train_batch_size=64", "train_batch_size=16", "divide is 64", "lower per_device_train_batch_size"),
    ("teacher_rcl steps_per_generation=129", "steps_per_generation=129", "whole optimizer steps", "a multiple of 128"),
    # servers
    ("teacher_rcl vllm_port=0", "vllm_port=0", ">= 1 and <= 65535", "8765"),
    ("teacher_rcl vllm_port=65535", "vllm_port=65535", "up to 65535", "at most"),
    ("teacher_rcl metrics_port=8766", "metrics_port=8766", "servers listen at 8765 to 87", "another port"),
    ("teacher_sft metrics_port=0", "metrics_port=0", ">= 1 and <= 65535", ""),
    ("teacher_rcl vllm_port=http", "vllm_port=http", "expected a whole number", "8765"),
    ("teacher_rcl use_vllm_server=false", "use_vllm_server=false", "vLLM servers only", "leave it out"),
    ("teacher_rcl student_tensor_parallel_size=2", "student_tensor_parallel_size=2", "whole servers", "3 server GPUs"),
    # lengths
    ("teacher_rcl student_max_model_len=4096", "student_max_model_len=4096", "student_max_tokens=4096", "above 8192"),
    ("teacher_rcl teacher_max_model_len=4500", "teacher_max_model_len=4500", "max_probe_tokens=500", "raise"),
    ("teacher_rcl max_prompt_length=16384", "max_prompt_length=16384", "fit into teacher_max_model_len=16384", "to 20480"),
    ("teacher_rcl max_prompt_length=400", "max_prompt_length=400", "max_probe_tokens=500", "above 500"),
    ("teacher_rcl max_completion_length=null", "max_completion_length=null", "expected a whole number, got null", "max_completion_length=512"),
    ("evaluate teacher=a max_completion_length=99999", "teacher_max_model_len=16384", "max_completion_length", "lower"),
    ("teacher_sft packing=true max_length=null", "packing=true", "max_length, which is null", "max_length=16384"),
    # templates
    ("""teacher_rcl 'teacher_template="Teach {question}"'""", "teacher_template=", "lacks the placeholder {approach}", "{approach}"),
    ("""teacher_rcl 'probe_template="{question} {qestion}"'""", "probe_template=", "{qestion} is no placeholder", "{question}"),
    ("""teacher_rcl 'taught_template="{question} {teaching} {zzz}"'""", "taught_template=", "{zzz} is no", "remove it"),
    ("""teacher_rcl 'baseline_template="Solve {question now"'""", "baseline_template=", "brace before question is not closed", "write {question}"),
    ("""teacher_sft 'teacher_template=""'""", "teacher_template=''", "lacks the placeholder {question}", "write {question}"),
    ("teacher_sft teacher_chat_template_kwargs.tokenize=true", "teacher_chat_template_kwargs.tokenize=true", "a variable of the chat template", "leave tokenize out"),
    ("evaluate student_chat_template_kwargs={1:2}", "student_chat_template_kwargs.1=2", "the name of a variable", "{name: value}"),
    ("teacher_rcl student_chat_template_kwargs.chat_template=x", "student_chat_template_kwargs.chat_template=x", "by one template", "beside the model's tokenizer"),
    ("teacher_rcl teacher_template=3", "teacher_template=3", "expected text, got a whole number", "another value"),
    # names and addresses
    ("teacher_rcl verifier=maths", "verifier=maths", "expected one of math, exact, code", "math"),
    ("teacher_rcl verifier=my-checks", "verifier=my-checks", "or a dotted path", "verifier=my_package.checks.verify"),
    ("teacher_rcl reward=brief", "reward=brief", "dotted path", "my_package.rewards.brief"),
    ("teacher_rcl student_base_url=host:80", "student_base_url=host:80", "http(s)://", "in full"),
    (
        "teacher_rcl student_base_url=http://localhost:8765/v1",
        "student_base_url=http://localhost:8765/v1",
        "our own servers",
        "vllm_port=",
    ),
    (
        "teacher_rcl student_base_url=http://h/v1 student_max_model_len=null",
        "student_max_model_len=null",
        "must be declared",
        "the context the API offers",
    ),
    ("teacher_rcl student_api_key_env=sk-123", "student_api_key_env=…", "not a key", "OPENAI_API_KEY"),
    # evaluating, saving, learning rate
    ("teacher_rcl eval_split_ratio=0", "eval_split_ratio=0", "needs evaluation rows", "eval_dataset_id_or_path"),
    ("teacher_rcl eval_dataset_id_or_path=x/y dataset_id_or_path=x/y", "eval_dataset_id_or_path=x/y", "other rows", "leave it out"),
    ("teacher_sft eval_on_start=true", "eval_on_start=true", "eval_strategy=no never evaluates", "eval_strategy=steps"),
    ("teacher_sft load_best_model_at_end=true", "load_best_model_at_end=true", "only by evaluating", "eval_strategy=steps"),
    ("teacher_rcl load_best_model_at_end=true save_strategy=epoch", "load_best_model_at_end=true", "must be saved", "save_strategy=steps"),
    ("teacher_rcl load_best_model_at_end=true save_steps=20", "save_steps=20", "eval_steps=10", "save_steps=10"),
    ("teacher_rcl load_best_model_at_end=true save_only_model=true", "save_only_model=true", "optimizer states", "save_only_model=false"),
    ("teacher_rcl load_best_model_at_end=true save_total_limit=1", "save_total_limit=1", ">= 2", "save_total_limit=null"),
    ("teacher_rcl load_best_model_at_end=true max_steps=5", "load_best_model_at_end=true", "nothing is evaluated", "at most 5"),
    ("teacher_rcl save_strategy=best eval_strategy=no", "save_strategy=best", "only by evaluating", "eval_strategy=steps"),
    ("teacher_rcl metric_for_best_model=bleu", "metric_for_best_model=bleu", "the first one would end the run", "choose one of eval_reward"),
    ("teacher_rcl metric_for_best_model=accuracy_gain", "metric_for_best_model=accuracy_gain", "no evaluation", "did you mean eval_teaching/accuracy_gain?"),
    ("teacher_rcl metric_for_best_model=eval/rewards", "metric_for_best_model=eval/rewards", "no evaluation", "did you mean eval_reward?"),
    ("teacher_rcl metric_for_best_model=eval_loss", "metric_for_best_model=eval_loss", "no evaluation", "choose one of"),
    ("teacher_sft metric_for_best_model=eval_reward", "metric_for_best_model=eval_reward", "no evaluation", "choose one of eval_loss"),
    ("teacher_rcl metric_for_best_model=teaching/teaching_length_mean", "metric_for_best_model=", "neither more nor less", "greater_is_better"),
    ("teacher_rcl metric_for_best_model=reward greater_is_better=false", "greater_is_better=false", "the worst model", "write true"),
    (
        "teacher_rcl lr_scheduler_type=reduce_lr_on_plateau lr_scheduler_kwargs.mode=min",
        "lr_scheduler_kwargs.mode=min",
        "eval_reward is better when higher",
        "mode=max",
    ),
    ("teacher_rcl lr_scheduler_type=greedy", "lr_scheduler_type=greedy", "would raise it to min_lr=0.001", "min_lr=1e-07"),
    ("teacher_rcl lr_scheduler_type=cosine lr_scheduler_kwargs.min_lr=1e-8", "lr_scheduler_kwargs.min_lr=1e-08", "no such setting", "num_cycles"),
    ("teacher_rcl lr_scheduler_kwargs=x", "lr_scheduler_kwargs=x", "expected a mapping", "lr_scheduler_kwargs.min_lr"),
    ("teacher_rcl save_steps=1.5", "save_steps=1.5", "whole number of steps", "save_steps=1"),
    ("teacher_rcl lr_scheduler_type=cosine_with_min_lr", "lr_scheduler_type=cosine_with_min_lr", "needs min_lr", "lr_scheduler_kwargs.min_lr"),
    ("teacher_sft lr_scheduler_type=reduce_lr_on_plateau", "lr_scheduler_type=reduce_lr_on_plateau", "there are none", "eval_strategy=steps"),
    ("teacher_sft dataloader_prefetch_factor=2", "dataloader_prefetch_factor=2", "without workers", "dataloader_num_workers=1"),
    # what belongs together
    ("teacher_rcl rollout_overlap=1 vllm_importance_sampling_correction=false", "rollout_overlap=1", "older weights must be corrected", "rollout_overlap=0"),
    ("teacher_rcl rollout_overlap=2", "rollout_overlap=2", ">= 0 and <= 1", "rollout_overlap=0"),
    ("teacher_sft row_reader_args.mark=x", "row_reader_args={mark}", "belong to row_reader, which is null", "give row_reader"),
    ("teacher_rcl student_agent=solver", "student_agent=solver", "expected a dotted path", "my_package.agents.Solver"),
    ("teacher_rcl student_agent_args.habit=add", "student_agent_args={habit}", "belong to student_agent", "leave them out"),
    (
        "teacher_rcl student_agent=a.b student_base_url=http://h/v1",
        "student_agent=a.b student_base_url=http://h/v1",
        "expected one student",
        "leave one of the two out",
    ),
    ("teacher_rcl trainer_class=Mine", "trainer_class=Mine", "expected a dotted path", "my_package.losses.MyTrainer"),
    ("teacher_rcl weight_transfer=gloos", "weight_transfer=gloos", "auto, gloo, nccl, ipc, or a dotted path", "mean gloo"),
    ("teacher_rcl verifier_args.api_key=x", "verifier_args.api_key=…", "secrets are neither", "verifier_args.api_key_env=…"),
    ("teacher_sft row_reader=read", "row_reader=read", "dotted path of a function", "row_reader=my_package.rows.read"),
    ("teacher_sft max_bad_row_ratio=5", "max_bad_row_ratio=5", ">= 0 and <= 1", "max_bad_row_ratio=0.01"),
    ("teacher_sft overlong_prompts=truncate", "overlong_prompts=truncate", "one of drop, error", "overlong_prompts=drop"),
    ("teacher_sft lora_r=0", "lora_r=0", ">= 1", "lora_r=16"),
    ("teacher_sft lora_r=8", "lora_r=8", "no effect without use_peft", "add use_peft=true"),
    ("teacher_rcl use_peft=true load_in_4bit=true", "load_in_4bit=true deepspeed=zero3", "not sharded", "zero1 or zero2"),
    ("teacher_rcl push_to_hub=true save_final_model=false", "push_to_hub=true", "saved first", "save_final_model=true"),
    ("teacher_rcl student_spending_cap=5", "student_spending_cap=5", "only a student behind an API", "student_base_url"),
    ("teacher_rcl fp16=true", "bf16=true fp16=true", "at most one of the two may be true", "fp16=false"),
    ("teacher_rcl beta=0 sync_ref_model=true", "sync_ref_model=true", "no reference model", "beta above 0"),
    ("teacher_rcl temperature=0", "temperature=0", "must differ", "temperature=0.7"),
    ("teacher_rcl temperature=0.005", "temperature=0.005", "servers would sample at 0.01", "temperature=0.01 or above"),
    ("teacher_rcl use_peft=true lora_dropout=0.05", "lora_dropout=0.05", "without noise in adapters", "lora_dropout=0.0; SFT"),
    ("teacher_rcl neftune_noise_alpha=5", "neftune_noise_alpha=5", "noise in embeddings", "neftune_noise_alpha=null"),
    ("teacher_rcl disable_dropout=false", "disable_dropout=false", "no key", "without dropout"),
    ("teacher_rcl loss_type=luspo", "importance_sampling_level=token", "loss_type=luspo needs sequence", "=sequence"),
    (
        "teacher_rcl vllm_importance_sampling_clip_min=5",
        "vllm_importance_sampling_clip_min=5",
        "less than vllm_importance_sampling_clip_max=3.0",
        "below 3.0",
    ),
    ("teacher_rcl log_completions_hub_repo=a/b", "log_completions_hub_repo=a/b", "needs log_completions", "log_completions=true"),
    ("teacher_rcl 'column_map={qestion: prompt}'", "column_map.qestion=prompt", "one of our names", "did you mean question?"),
    ("teacher_rcl 'column_map={question: 3}'", "column_map.question=3", "name of one of the dataset's columns", "column_map.question=NAME"),
    ("teacher_rcl column_map=prompt", "column_map=prompt", "expected a mapping {name: value}, or null", "column_map=null"),
    ("teacher_rcl student_model=null", "student_model=null", "needs it", "student_model="),
    ("teacher_sft data=custom", "dataset_id_or_path=null", "needs it", "dataset_id_or_path="),
    ("teacher_sft output_dir=null", "output_dir=null", "needs it", "output_dir="),
    ("evaluate teacher=[a,a]", "teacher=[a,a]", "listed 2 times", "once"),
    ("evaluate teacher=[a,b] teacher_names=[x]", "teacher_names=[x]", "2 teachers need 2 names", "one name per teacher"),
    ("evaluate teacher=[a,b] teacher_names=[x,x]", "teacher_names=[x,x]", "names that differ", "a name of its own"),
    ("evaluate 'teacher=\"\"'", "teacher=", "teachers that have a name", "teacher=null evaluates the student alone"),
    ("evaluate 'teacher=[a,\"\"]'", "teacher=[a,]", "teachers that have a name", "teacher=null"),
    ("teacher_sft 'exp_name=\"\"'", "exp_name=", "name of a directory inside results_dir", "exp_name=first_try"),
    ("teacher_sft seed=99999999999", "seed=99999999999", ">= 0 and <= 4294967295", "seed=42"),
    ("teacher_rcl vllm_host=http://h:1", "vllm_host=http://h:1", "and nothing else", "the port is vllm_port"),
    ("teacher_rcl use_peft=true lora_target_modules=[]", "lora_target_modules=[]", "nothing to train", "all-linear"),
    ("teacher_sft push_to_hub=true 'hub_model_id=my teacher'", "hub_model_id=my teacher", "owner/name", "owner/teacher"),
    ("teacher_sft hub_model_id=a/b/c", "hub_model_id=a/b/c", "name or owner/name", "owner/teacher"),
    # grammar
    ("teacher_sft zero1 zero2", "zero1 zero2", "one stage of DeepSpeed", "keep one of zero1, zero2"),
    ("zero1 teacher_sft offload", "zero1 offload", "one stage of DeepSpeed", "keep one of zero1, zero3_cpu_offloading"),
    ("teacher_sft zero1 deepspeed=zero3", "zero1 deepspeed=zero3", "one stage of DeepSpeed", "keep one of zero1, zero3"),
    ("1 teacher_sft", "1", "expected a recipe, not another number of GPUs", "launch_with_server.sh takes two"),
    ("teacher_sft ''", "an empty argument", "expected key=value", "must not stand in quotes"),
    ("teacher_sft max_steps=1,000", "max_steps=1,000", "one value per key", "write max_steps=1000"),
    ("""teacher_rcl 'student_system_prompt=Be short, please'""", "student_system_prompt=", "one value per key", "Be short, please"),
    ("""teacher_rcl 'student_system_prompt=Say {x: "y"'""", "student_system_prompt=", "must be quoted", "both kinds"),
    ("teacher_rcl dataset_split=train[90%:]", "dataset_split=", "must be quoted", """'dataset_split="train[90%:]"'"""),
    ("teacher_rcl seed=1,2", "seed=1,2", "one value per key", "[1,2]"),
    ("teacher_rcl 'output_dir=${nope}/x'", "recipe teacher_rcl", "nope", "mend the file or the argument"),
    ("teacher_rcl ~seed=1", "~seed=1", "cannot be deleted", "leave it out"),
    ("teacher_rcl ~seed", "~seed", "cannot be deleted", "seed=null"),
    ("teacher_rcl hydra.run.dir=x", "hydra.run.dir=x", "Hydra's own settings", "output_dir"),
    # secrets
    ("teacher_rcl hub_token=x", "hub_token=…", "secrets", "export HF_TOKEN"),
    ("teacher_rcl openai_api_key=x", "openai_api_key=…", "secrets", "export OPENAI_API_KEY"),
    ("teacher_rcl student_base_url=https://me:secret@host/v1", "student_base_url=…", "without user name and password", "student_api_key_env"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "given", "expected", "remedy"), BAD, ids=[entry[0] for entry in BAD])
def test_a_mistake_is_named_with_expectation_and_remedy(command: str, given: str, expected: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(shlex.split(command), GPUS)
    fitting = [problem for problem in caught.value.problems if given in problem.given]
    assert fitting, f"no problem names {given}: {caught.value}"
    assert any(expected in problem.expected and remedy in problem.remedy for problem in fitting), str(caught.value)


def test_one_fault_of_many_keys_is_told_once() -> None:
    of_students = [Problem(f"students.{name}.model=none", "expected a directory", "make it") for name in "abc"]
    error = ConfigurationError([*of_students, Problem("max_steps=0", "expected more", "write 1"), of_students[0]])
    assert len(error.problems) == 5
    assert str(error).splitlines() == [
        "Configuration: 2 problems",
        "  1. students.a.model=none (3 more like it): expected a directory.",
        "    → make it",
        "  2. max_steps=0: expected more.",
        "    → write 1",
    ]


def test_all_problems_are_reported_at_once() -> None:
    command = "teacher_rcl zero9 num_generation=3 temperature=hot max_probe_tokens=-1 vllm_mode=colocate verifier=maths"
    with pytest.raises(ConfigurationError) as caught:
        compose(command.split(), GPUS)
    assert len(caught.value.problems) == 6, caught.value
    assert str(caught.value).startswith("Configuration: 6 problems")


def test_one_mistake_is_reported_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(["teacher_rcl", "teacher_template=3"], GPUS)
    assert len(caught.value.problems) == 1


def test_typos_inside_recipes_are_found(tmp_path: Path) -> None:
    recipe = tmp_path / "run" / "mine.yaml"
    recipe.parent.mkdir()
    text = (
        "defaults:\n  - teacher_sft\n  - _self_\nmax_lenght: 7\nnum_generations: 4\nwarmup_ratio: 0.1\nhub_token: x\n"
    )
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        compose([str(recipe)], GPUS)
    message = str(caught.value)
    assert "max_lenght" in message
    assert "did you mean max_length" in message
    assert "num_generations is no key of experiment sft" in message
    assert "write warmup_steps" in message
    assert "hub_token" in message
    assert len(caught.value.problems) == 4


BASE = "defaults:\n  - teacher_sft\n  - _self_\n"
BROKEN = [
    ("seed: [\n", "mine.yaml", "cannot be composed: while parsing", "mend the file"),
    (BASE + "\tseed: 3\n", "mine.yaml", "line 4", "mend the file"),
    (BASE + "seed: 1\nseed: 2\n", "mine.yaml", "duplicate key seed", "mend the file"),
    (BASE + "1: 2\n", "mine.yaml", "expected a name before the colon", "correct it"),
    ("defaults: teacher_sft\n", "mine.yaml", "defaults must be a list", "mend the file"),
    ("defaults:\n  - nope\n", "mine.yaml", "Could not load 'run/nope'", "mend the file"),
    ("defaults:\n  - teacher_rclx\n", "mine.yaml", "Could not load 'run/teacher_rclx'", "did you mean teacher_rcl"),
    ("defaults:\n  - mine\n", "mine.yaml", "includes itself", "mend the file"),
    ("defaults:\n  - /model@_global_: nope\n", "mine.yaml", "Available options in 'model'", "mend the file"),
    ("seed: 3\n", "mine.yaml", "expected one of sft, teacher_grpo", "/trainer@_global_: sft"),
    ("experiment: sft\n", "mine.yaml", "needs the keys", "/trainer@_global_: sft"),
    (BASE + "experiment: teacher_grpo\n", "mine.yaml", "needs the keys", "/trainer@_global_: teacher_grpo"),
    (BASE, "teacher_sft.yaml", "configs/run has a teacher_sft.yaml too", "another name"),
]


@pytest.mark.parametrize(("text", "name", "expected", "remedy"), BROKEN, ids=[entry[2] for entry in BROKEN])
def test_a_recipe_that_cannot_be_read_says_where(
    text: str, name: str, expected: str, remedy: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "run" / name
    recipe.parent.mkdir()
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        compose([str(recipe)], GPUS)
    assert any(expected in problem.expected and remedy in problem.remedy for problem in caught.value.problems), str(
        caught.value
    )


def test_a_recipe_outside_a_directory_run_says_where_to_put_it(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("max_steps: 7\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="directory named run"):
        compose([str(recipe)], GPUS)


def test_offloading_is_the_zero3_that_it_extends() -> None:
    for words in (["offload", "zero3"], ["zero3", "offload"], ["offload", "offload"]):
        assert compose(["teacher_sft", *words], GPUS).config.training.deepspeed == "zero3_cpu_offloading"
    assert compose(["teacher_sft", "zero1", "deepspeed=zero1"], GPUS).config.training.deepspeed == "zero1"


@pytest.mark.parametrize("name", ["Qwen/Qwen3 4B", "owner/-name", "my model", "a--b/c", "größe/x"])
def test_what_is_neither_a_path_nor_a_name_of_the_hub_is_said(name: str) -> None:
    for key in ("student_model", "model_name_or_path", "dataset_id_or_path"):
        assert "owner/name" in found("teacher_rcl", f'{key}="{name}"')[key]


def test_packages_that_a_value_needs_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    keys = ["optim=paged_adamw_8bit", "use_liger_kernel=true", "attn_implementation=flash_attention_2"]
    problems = found("teacher_sft", *keys, "report_to=[mlflow,tensorboard]")
    assert problems["optim"] == "pip install bitsandbytes, or write optim=adamw_torch"
    assert problems["use_liger_kernel"] == "pip install liger-kernel, or leave it out"
    assert problems["attn_implementation"] == "pip install flash-attn, or write attn_implementation=sdpa"
    assert problems["report_to"].startswith("pip install ")


def test_latex_in_templates_is_plain_text() -> None:
    template = r"""baseline_template="{question} Put it into \\boxed{answer}, {\"a\": 1} or {}." """.strip()
    compose(["teacher_rcl", template], GPUS)


def found(*arguments: str) -> dict[str, str]:
    config = compose(arguments, Machine()).config
    return {problem.given.partition("=")[0]: problem.remedy for problem in missing_paths(config)}


def test_a_missing_world_names_the_command_that_makes_it(tmp_path: Path) -> None:
    problems = found("quickstart_sft", f"workspace={tmp_path}")
    assert problems["model_name_or_path"] == f"run: python -m custom_data.world --output {tmp_path}/world"
    assert problems["dataset_id_or_path"] == problems["model_name_or_path"]


def test_a_half_written_world_is_refused(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    assert "custom_data.world" in found("quickstart_sft", f"workspace={tmp_path}")["world"]


def test_a_missing_warm_up_names_the_command_that_makes_it(tmp_path: Path) -> None:
    remedy = found("quickstart_rl", f"workspace={tmp_path}")["model_name_or_path"]
    assert remedy == f"run: scripts/launch.sh 1 configs/run/quickstart_sft.yaml workspace={tmp_path}"


def test_an_output_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    for path in (file, file / "inside"):
        assert found("teacher_sft", f"output_dir={path}")["output_dir"] == "choose another output_dir"


def test_a_data_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.xlsx"
    file.write_text("x", encoding="utf-8")
    assert "convert the file" in found("teacher_sft", f"dataset_id_or_path={file}")["dataset_id_or_path"]


def test_hub_ids_are_not_looked_for_on_the_disk() -> None:
    assert found("teacher_rcl") == {}


def test_paths_that_are_not_there_are_refused() -> None:
    problems = found("teacher_rcl", "model_name_or_path=path/of/saved/model", "student_model=./student")
    assert problems.keys() == {"model_name_or_path", "student_model"}
