"""Run uv with the settings of the user's pip: `python uv_like_pip.py pip install …`.

uv reads none of pip's configuration, so indexes, local wheels and certificates that pip was given would be unknown
to it. Settings already made for uv (`UV_…` in the environment) win.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

# pip's setting, uv's environment variable and what separates several values there.
SETTINGS = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("default-timeout", "UV_HTTP_TIMEOUT", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("client-cert", "SSL_CLIENT_CERT", " "),
    ("proxy", "ALL_PROXY", " "),
)
# The order in which pip lets one section of its configuration override another.
SECTIONS = ("global", "install", ":env:")


def uv_environment(pip_config: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to `environment`, from the lines that `pip config list` prints (`section.name='value'`)."""
    merged: dict[str, str] = {}
    parsed = [_parse(line) for line in pip_config if "=" in line]
    for section in SECTIONS:
        merged.update({name: value for found, name, value in parsed if found == section})
    # pip takes the best match of all indexes; uv would stop at the first index that knows the name. Hashes decide.
    result = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for name, variable, separator in SETTINGS:
        if merged.get(name):
            result[variable] = separator.join(merged[name].split())
    return {name: value for name, value in result.items() if name not in environment}


def _parse(line: str) -> tuple[str, str, str]:
    key, _, literal = line.partition("=")
    section, _, name = key.strip().partition(".")
    return section, name, str(ast.literal_eval(literal.strip()))


def main(arguments: list[str]) -> None:
    """Run uv with these arguments and pip's settings."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    uv = str(Path(sys.executable).parent / "uv")
    os.execve(uv, [uv, *arguments], {**os.environ, **uv_environment(listing, os.environ)})


if __name__ == "__main__":
    main(sys.argv[1:])
