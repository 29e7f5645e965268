"""Write what PyTorch answers to ``expected.npz``: ``python tests/agreement/make_expected.py``."""

import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from agreement import cases
from agreement.torch_networks import network


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Save as ``np.savez_compressed`` does, but without the time of day: equal arrays, equal file."""
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            entry = ZipInfo(f"{name}.npy")
            entry.compress_type = ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def main() -> None:
    """Explain every case on one thread, so that sums are added up in one order."""
    torch.set_num_threads(1)
    answers = {
        f"{case.name}/{name}": array
        for case in cases.CASES
        for name, array in cases.answers(network(case), cases.inputs(case)).items()
    }
    write(cases.EXPECTED, answers)


if __name__ == "__main__":
    main()
