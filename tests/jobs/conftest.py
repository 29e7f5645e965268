"""A small data set, and networks that behave in different ways, for jobs to run on."""

import numpy as np
import pytest

NETWORKS = '''
import os, signal, time
import torch

def build(classes=3, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv1d(2, 8, 7), torch.nn.ReLU(), torch.nn.Conv1d(8, 8, 7, stride=2), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(), torch.nn.Linear(8, classes),
    )

def unseeded():
    return build(seed=time.time_ns() % 2**31)

def broken():
    raise RuntimeError("out of order")

class Watch(torch.nn.Module):
    """Looks at what comes in before the network does."""
    def __init__(self, look):
        super().__init__()
        self.look = look
    def forward(self, x):
        self.look(x)
        return x

def deadly():
    """Dies of a window that begins with 200."""
    def look(x):
        if (x[:, 0, 0] == 200).any():
            os.kill(os.getpid(), signal.SIGKILL)
    return torch.nn.Sequential(Watch(look), *build())

def picky():
    """Raises at a window that begins with 200."""
    def look(x):
        if (x[:, 0, 0] == 200).any():
            raise ValueError("no window begins with 200")
    return torch.nn.Sequential(Watch(look), *build())

def hanging(once):
    """Does not come back from a window that begins with 200, the first time."""
    def look(x):
        if (x[:, 0, 0] == 200).any() and not os.path.exists(once):
            open(once, "w").close()
            time.sleep(10**6)
    return torch.nn.Sequential(Watch(look), *build())

def slow():
    return torch.nn.Sequential(Watch(lambda x: time.sleep(0.3)), *build())
'''


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with 70 windows, of which number 5 is not finite and number 21 is met with dislike."""
    folder = tmp_path_factory.mktemp("jobs")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(70, 2, 40)).astype("float32")
    x[5] = np.nan
    x[21, 0, 0] = 200
    np.savez(folder / "windows.npz", x=x, y=rng.integers(0, 3, 70), name=[f"w{i}" for i in range(70)])
    np.save(folder / "site.npy", np.array(["a", "b"])[rng.integers(0, 2, 70)])
    (folder / "job_networks.py").write_text(NETWORKS)
    return folder


@pytest.fixture(scope="session")
def sections(data):
    """What a job of two layers, two methods and two targets says."""
    return {
        "data": {"path": "windows.npz", "inputs": "x", "labels": "y", "names": "name", "groups": "site.npy"},
        "model": {"build": "job_networks:picky", "class_names": ("N", "V", "F")},
        "explain": {"method": ["grad-cam", "hires-cam"], "layer": ["2", "4"], "target": ["predicted", "V"]},
        "layout": {"dims": "batch channel time", "sampling_rate": 10},
        "units": {"size": 16, "batch": 8},
        "folder": data,
    }
