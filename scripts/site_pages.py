"""A hook of MkDocs: README and whatever else the documentation links to in the repository become pages of the site.

The pages of docs/ are written for the repository, so they link to sources, recipes and tests by relative paths. Each
file that is linked so gets a page (or is copied, where it is no text), and the links are turned to it.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FRONT = "README.md"
OUTSIDE = "repository"
"""The directory of the site that holds the pages of files outside of docs/."""
LANGUAGES = {
    "": "text",
    ".json": "json",
    ".py": "python",
    ".sh": "bash",
    ".toml": "toml",
    ".txt": "text",
    ".yaml": "yaml",
}
_FENCED = re.compile(r"(^ *(```+|~~~+).*?^ *\2 *$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\])\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README and all files that pages link to, and that pages of those link to."""
    root = Path(config.config_file_path).parent
    waiting = [FRONT]
    for file in files.documentation_pages():
        waiting += linked(file.content_string, posixpath.dirname(f"docs/{file.src_uri}"), root)
    while waiting:
        path = waiting.pop()
        if files.get_file_from_path(source_uri(path, root)) is None:
            file = page_of(path, root, config)
            files.append(file)
            if file.is_documentation_page():
                waiting += linked(file.content_string, directory_of(file.src_uri), root)
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page from files of the repository to pages of the site."""
    root = Path(config.config_file_path).parent
    here = posixpath.dirname(page.file.src_uri)
    directory = directory_of(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(directory, match["target"]))
        if not (root / path).exists():
            return match[0]
        return f"({posixpath.relpath(source_uri(path, root), here or '.')}{match['anchor'] or ''})"

    return "".join(part if fenced else _LINK.sub(turned, part) for part, fenced in parts(markdown))


def parts(markdown: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a page in order, and of each whether it is a fenced block, which holds no links."""
    end = 0
    for block in _FENCED.finditer(markdown):
        yield markdown[end : block.start()], False
        yield block[0], True
        end = block.end()
    yield markdown[end:], False


def linked(markdown: str, directory: str, root: Path) -> list[str]:
    """Return the existing files and directories that a page links to, as paths from the repository's root."""
    text = "".join(part for part, fenced in parts(markdown) if not fenced)
    paths = [posixpath.normpath(posixpath.join(directory, match["target"])) for match in _LINK.finditer(text)]
    return [path for path in paths if (root / path).exists() and not path.startswith(("docs/", ".."))]


def source_uri(path: str, root: Path) -> str:
    """Return the source of the page (or the copy) that a path of the repository has on the site."""
    if path == FRONT:
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (root / path).is_dir():
        return f"{OUTSIDE}/{path}/index.md"
    return f"{OUTSIDE}/{path}.md" if Path(path).suffix in LANGUAGES else f"{OUTSIDE}/{path}"


def directory_of(uri: str) -> str:
    """Return the directory of the repository from which the links of a page count."""
    if uri == "index.md":
        return ""
    below = uri.removeprefix(f"{OUTSIDE}/")
    return posixpath.dirname(below if below != uri else f"docs/{uri}")


def page_of(path: str, root: Path, config: MkDocsConfig) -> File:
    """Return the page of a file outside of docs/: Markdown as it is, other text in a block, a directory as a list."""
    uri = source_uri(path, root)
    if (root / path).is_dir():
        names = sorted(entry.name for entry in os.scandir(root / path) if entry.is_file())
        return File.generated(config, uri, content=_titled(path, "\n".join(f"- [{name}]({name})" for name in names)))
    language = LANGUAGES.get(Path(path).suffix)
    if language is None:
        return File.generated(config, uri, abs_src_path=str(root / path))
    fence = "~" * 8
    text = (root / path).read_text(encoding="utf-8")
    return File.generated(config, uri, content=_titled(path, f"{fence}{language}\n{text}\n{fence}"))


def _titled(path: str, content: str) -> str:
    return f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n{content}\n"
