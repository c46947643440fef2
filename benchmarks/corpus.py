"""A corpus of real documents from pinned packages, for the benchmark of the data stage.

Reference pages of cloud services: for each operation and each type of AWS (HTML), Google (Markdown) and for each
class and function of Oracle's and Pulumi's libraries (docstrings), the page that its documentation says. They hold
what a crawl holds: markup, boiler-plate, pages that differ in a word. Nothing is made up and nothing is repeated.

The order follows from a hash of each document's name, so that the first 100,000 are a sample of the 400,000.
"""

import ast
import gzip
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b
from pathlib import Path

PACKAGES = {
    "botocore": "1.44.5",
    "google-api-python-client": "2.202.0",
    "oci": "2.189.0",
    "pulumi-aws": "7.51.1",
    "pulumi-gcp": "10.2.0",
    "pulumi-azure-native": "3.29.0",
}
LEAST_CHARACTERS = 150
DOCUMENTS, TIMES, SHARDS = 100_000, 4, 8

Named = Iterator[tuple[str, str]]


def aws(wheel: zipfile.ZipFile) -> Named:
    for file in sorted(wheel.namelist()):
        if not file.endswith(("service-2.json", "service-2.json.gz")):
            continue
        packed = wheel.read(file)
        service = json.loads(gzip.decompress(packed) if file.endswith(".gz") else packed)
        shapes = service["shapes"]
        for name, operation in service["operations"].items():
            asked = shapes.get(operation.get("input", {}).get("shape"), {})
            yield f"{file}/{name}", page(operation.get("documentation", ""), asked)
        for name, shape in shapes.items():
            yield f"{file}/shapes/{name}", page(shape.get("documentation", ""), shape)


def page(documentation: str, shape: dict) -> str:
    members = shape.get("members", {}).items()
    parts = [f"<h4>{name}</h4>{m['documentation']}" for name, m in members if m.get("documentation")]
    return "\n".join([documentation, *parts])


def google(wheel: zipfile.ZipFile) -> Named:
    for file in sorted(wheel.namelist()):
        if "discovery_cache/documents/" not in file or file.endswith("index.json") or not file.endswith(".json"):
            continue
        service = json.loads(wheel.read(file))
        for name, schema in (service.get("schemas") or {}).items():
            yield f"{file}/{name}", described(schema, schema.get("properties", {}))
        yield from methods(file, service)


def methods(file: str, resource: dict) -> Named:
    for name, method in resource.get("methods", {}).items():
        yield f"{file}/{method.get('id', name)}", described(method, method.get("parameters", {}))
    for below in resource.get("resources", {}).values():
        yield from methods(file, below)


def described(thing: dict, parts: dict) -> str:
    told = [f"{name}: {part['description']}" for name, part in parts.items() if part.get("description")]
    return "\n\n".join([thing.get("description", ""), *told])


def docstrings(wheel: zipfile.ZipFile) -> Named:
    warnings.simplefilter("ignore")
    for file in sorted(wheel.namelist()):
        if not file.endswith(".py"):
            continue
        for place, node in enumerate(ast.walk(ast.parse(wheel.read(file)))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node)
                if text:
                    yield f"{file}/{getattr(node, 'name', '')}/{place}", text


READERS: dict[str, Callable[[zipfile.ZipFile], Named]] = {"botocore": aws, "google-api-python-client": google}


def documents(wheel: Path) -> list[tuple[bytes, str, str]]:
    name = wheel.name.split("-")[0].replace("_", "-")
    found = READERS.get(name, docstrings)(zipfile.ZipFile(wheel))
    long = ((f"{name}/{ident}", text) for ident, text in found if len(text) >= LEAST_CHARACTERS)
    return [(blake2b(ident.encode(), digest_size=8).digest(), ident, text) for ident, text in long]


def build(folder: Path) -> tuple[Path, Path]:
    """The corpus once and four times, as folders of JSON lines; made at the first call (two minutes)."""
    once, times = folder / "1x", folder / f"{TIMES}x"
    if times.is_dir():
        return once, times
    wheels = folder / "wheels"
    pinned = [f"{name}=={version}" for name, version in PACKAGES.items()]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *pinned]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with ProcessPoolExecutor(2) as pool:
        found = sorted(row for rows in pool.map(documents, sorted(wheels.glob("*.whl"))) for row in rows)
    assert len(found) >= DOCUMENTS * TIMES, len(found)
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    for target, most in ((once, DOCUMENTS), (times, DOCUMENTS * TIMES)):
        partial.mkdir(parents=True)
        for shard in range(SHARDS):
            with (partial / f"{shard:02}.jsonl").open("w") as out:
                for _, ident, text in found[shard * most // SHARDS : (shard + 1) * most // SHARDS]:
                    out.write(json.dumps({"id": ident, "text": text}, ensure_ascii=False) + "\n")
        partial.rename(target)
    return once, times
