"""Read thousands of damaged files (of tests/data/test_damaged_files.py) and print how they end.

python tools/fuzz_files.py 2000
"""

import importlib.util
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "tests" / "data" / "test_damaged_files.py"


def main() -> None:
    """Read as many files as the first argument says; a file that ends otherwise raises with its seed."""
    count = int(sys.argv[1])
    spec = importlib.util.spec_from_file_location("damaged_files", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = time.process_time()
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(count):
            try:
                outcomes[module.outcome(Path(folder), seed)] += 1
            except Exception as error:
                raise SystemExit(f"file {seed}: {type(error).__name__}: {error}") from error
    sys.stdout.write(f"{dict(outcomes)} in {time.process_time() - started:.0f} s of processor time\n")


if __name__ == "__main__":
    main()
