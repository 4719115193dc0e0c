"""``python -m benchmarks``: every measurement, one after the other."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.support import process


def main() -> None:
    """Run each module of this folder as a program of its own."""
    for module in sorted(Path(__file__).parent.glob("[!_]*.py")):
        print(f"\n## {module.stem}\n", flush=True)
        process.interactive([sys.executable, "-m", f"benchmarks.{module.stem}"])


if __name__ == "__main__":
    main()
