"""What of the machine can change a result beside packages: processor, GPUs, and the libraries that compute."""

import platform
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bakeoff.core.hashing import digest_json
from bakeoff.environment.hardware import hardware

__all__ = ["machine_kind", "system"]

CPUINFO = Path("/proc/cpuinfo")


def system() -> Mapping[str, str]:
    """Processor, GPUs, C library, OpenSSL, and each library of linear algebra or threads that is loaded."""
    machine = hardware()
    facts = {
        "cpu": _cpu() or machine.machine,
        "cores": str(machine.cores),
        "gpu": ", ".join(machine.gpus),
        "libc": " ".join(platform.libc_ver()).strip(),
        "openssl": ssl.OPENSSL_VERSION,
    }
    for library in _loaded():
        kind, version = str(library.get("internal_api")), str(library.get("version") or "unknown")
        architecture = library.get("architecture")
        facts[f"library.{kind}"] = f"{version} ({architecture})" if architecture else version
    return {name: value for name, value in facts.items() if value}


@cache
def machine_kind() -> str:
    """A short hash of processor, cores and GPUs: where it is the same, so are speeds, about."""
    machine = hardware()
    return digest_json([_cpu() or machine.machine, machine.cores, list(machine.gpus)])[:16]


def _cpu() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _loaded() -> list[dict[str, object]]:
    from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    return threadpool_info()  # pyright: ignore[reportUnknownVariableType]
