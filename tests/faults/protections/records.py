"""Protections of checkpoints and records against kills and full disks."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_CHECKPOINTS, _TEST = "trainers/output/checkpoints.py", "faults/test_checkpoints.py"
_WANDB, _ON_FULL = "trainers/training/wandb_files.py", "faults/test_wandb_disks.py"
_FULL = f"{_ON_FULL}::test_a_full_disk_under_the_files_of_wandb_is_told_and_costs_nothing_else"
_WHATEVER = f"{_TEST}::test_whatever_happens_to_the_newest_the_one_before_is_used_and_that_is_told"

RECORDS = (
    Protection(
        "checkpoints: the mark of one that is being written",
        _CHECKPOINTS,
        "if (checkpoint / UNFINISHED).exists():",
        "if False:",
        f"{_TEST}::test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace",
    ),
    Protection(
        "checkpoints: hashes of the manifest",
        _CHECKPOINTS,
        "same = _digest(checkpoint / name) == digest",
        "same = True",
        _WHATEVER,
    ),
    Protection(
        "checkpoints: the one that is replaced is kept meanwhile",
        _CHECKPOINTS,
        "        checkpoint.rename(replaced)\n    checkpoint.mkdir",
        "        shutil.rmtree(checkpoint)\n    checkpoint.mkdir",
        f"{_TEST}::test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace",
    ),
    Protection(
        "checkpoints: what was replaced is put back after a kill",
        _CHECKPOINTS,
        "        else:\n            abandon(checkpoint)\n",
        "        else:\n            pass\n",
        f"{_TEST}::test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace",
    ),
    Protection(
        "checkpoints: one that does not fit is taken away",
        "trainers/training/whole_checkpoints.py",
        "                abandon(checkpoint)\n",
        "                pass\n",
        "faults/test_saving.py::test_a_full_disk_costs_a_checkpoint_and_not_the_one_before_nor_the_training",
    ),
    Protection(
        "records: a torn finished.json is not the end",
        "trainers/configuration/resume/decision.py",
        "return isinstance(json.loads((output_dir / FINISHED).read_bytes()), dict)",
        "return (output_dir / FINISHED).exists()",
        f"{_TEST}::test_an_empty_record_of_the_end_is_no_end",
    ),
    Protection(
        "records: a torn last line is cut off",
        "trainers/jsonl.py",
        "            file.truncate(whole)\n",
        "",
        "faults/test_records.py::test_a_line_cut_anywhere_costs_that_line_alone",
    ),
    Protection(
        "records: half a row that a full disk took is taken back",
        "trainers/jsonl.py",
        "                file.truncate(size)\n",
        "                pass\n",
        "faults/test_records.py::test_a_full_disk_costs_no_row_of_metrics_and_is_told",
    ),
    Protection(
        "records: the copier of output outlives a full disk",
        "trainers/launch/supervise/log_copy.py",
        "            self._tell(error)\n        else:\n",
        "            raise\n        else:\n",
        "faults/test_files.py::test_the_thread_that_copies_output_outlives_a_full_disk",
    ),
    Protection(
        "W&B: the disk under its files is looked at",
        _WANDB,
        "error = None if self._told else refusal(directory)",
        "error = None",
        f"{_FULL}[0-True]",
    ),
    Protection(
        "W&B: it is left out where its disk is full from the start",
        _WANDB,
        "(error := refusal(directory)) is not None",
        "(error := None) is not None",
        f"{_FULL}[0-False]",
    ),
    Protection(
        "W&B: tables that its disk does not take end no training",
        "trainers/grpo/trl/unpadded_trainer.py",
        "with full_disk_told(tables) if self.log_completions else nullcontext():",
        "with nullcontext():",
        f"{_FULL}[0-True]",
    ),
    Protection(
        "W&B: its log of itself is silenced on a full disk",
        _WANDB,
        "            handler.stream = Path(os.devnull)",
        "            _ = Path(os.devnull)",
        f"{_ON_FULL}::test_the_log_of_wandb_on_a_full_disk_is_silenced",
    ),
)
