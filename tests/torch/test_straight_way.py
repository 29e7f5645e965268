"""One call goes through few modules; this only guards against going back above what was reached."""

import sys
from itertools import pairwise

import torch

import signalcam as sc

MODULES, CHANGES = 45, 600  # aims: 20 and 250


def test_a_second_call_passes_few_modules(kit):
    torch.manual_seed(0)
    net, x = kit.network(), torch.as_tensor(kit.signal())
    sc.explain(net, x, signed=True)
    passed = []

    def note(frame, event, _value):
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("signalcam"):
            passed.append(name)

    sys.setprofile(note)
    try:
        sc.explain(net, x, signed=True)
    finally:
        sys.setprofile(None)
    changes = sum(one != other for one, other in pairwise(passed))
    assert len(set(passed)) <= MODULES
    assert changes <= CHANGES
