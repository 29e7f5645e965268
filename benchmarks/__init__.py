"""What SignalCAM costs over a bare forward pass, beside its peers, in one run."""

import os

# one thread, whatever library asks; read when numpy and torch are first imported
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")})
os.environ.update({"MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"})
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # a GPU is used where it is asked for
