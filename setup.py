"""Put `configs/` and `accelerate/` into a wheel, which pyproject.toml cannot: they lie beside the packages."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGES = ("custom_data", "trainers")
RESOURCES = ("accelerate", "configs")


class BuildWithResources(build_py):
    """Copy the resources to where `trainers.paths` looks for them in an installed wheel."""

    def run(self) -> None:
        """Build the packages anew: an earlier build left modules and recipes that may be gone meanwhile."""
        if self.editable_mode:
            super().run()
            return
        built = Path(self.build_lib)
        for name in PACKAGES:
            shutil.rmtree(built / name, ignore_errors=True)
        super().run()
        for name in RESOURCES:
            shutil.copytree(name, built / "trainers" / "resources" / name)


setup(cmdclass={"build_py": BuildWithResources})
