"""Teaching outside of training starts at once: its package imports nothing that takes long, and little besides."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEASURED = """
import json, sys, time
before, start = set(sys.modules), time.process_time()
{statement}
spent = time.process_time() - start
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
others = sorted(new - set(sys.stdlib_module_names) - {{"trainers"}})
print(json.dumps([spent, others]))
"""


@pytest.mark.parametrize(
    ("statement", "third_party"),
    [
        ("import trainers.teaching", []),
        ("from trainers.teaching import AdaptiveTeacher", ["yaml"]),
        ("import trainers.teaching.protocol, trainers.teaching.metrics", []),
        ("from trainers.teaching.verifiers.build import build_verifier", []),
    ],
)
def test_teaching_is_imported_without_torch_servers_or_http(statement: str, third_party: list[str]) -> None:
    code = MEASURED.format(statement=statement)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent_s, others = json.loads(run.stdout)
    # Compiled parts of PyYAML leave names of their own.
    assert [name for name in others if not name.startswith(("_", "cython"))] == third_party
    # 0.01 to 0.2 s of processor time on an idle machine; torch, transformers or an HTTP client would take longer.
    assert spent_s < 1.0
