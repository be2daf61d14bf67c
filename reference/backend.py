"""The reference as a backend: ``--mmap-backend=reference``."""

from __future__ import annotations

from typing import Final

from ..contract import Backend, Facts
from .linux_choices import LinuxChoices
from .machine import Parameters
from .system import ReferenceSystem

KERNEL: Final = "Linux 6.18"
"""The system that it answers as: the newest that it was compared with."""


class ReferenceBackend(Backend):
    """The executable specification, answering as Linux does where the specification leaves a choice."""

    name = "reference"

    def __init__(
        self,
        *,
        page: int = Parameters.page,
        bits: int = Parameters.bits,
        user_bits: int = Parameters.user_bits,
        lowest: int = Parameters.mmap_min_addr,
        address_space: int | None = Parameters.address_space,
        mappings: int = Parameters.mappings,
        locked: int = Parameters.locked,
        descriptors: int = Parameters.descriptors,
        open_files: int = Parameters.open_files,
        execute_only: str = Parameters.execute_only,
        populates_execute_only: bool = Parameters.populates_execute_only,
    ) -> None:
        self.parameters = Parameters(
            page=page,
            bits=bits,
            user_bits=user_bits,
            mmap_min_addr=lowest,
            address_space=address_space,
            mappings=mappings,
            locked=locked,
            descriptors=descriptors,
            open_files=open_files,
            execute_only=execute_only,
            populates_execute_only=populates_execute_only,
        )

    def facts(self) -> Facts:
        parameters = self.parameters
        details = {
            "kernel": KERNEL,
            "machine": "x86_64" if parameters.bits == 64 else "i686",
            "file system": "as ext4",
            "user": "root",
            "page": str(parameters.page),
            "bits": str(parameters.bits),
            "end": str(parameters.task_size),
            "lowest": str(parameters.mmap_min_addr),
            "mappings": str(parameters.mappings),
            "locked": str(parameters.locked),
            "descriptors": str(parameters.descriptors),
            "capabilities": ",".join(sorted(parameters.capabilities)),
        }
        return Facts(self.name, details=details)

    def boot(self) -> ReferenceSystem:
        return ReferenceSystem(self.parameters, LinuxChoices())
