"""The commented job file that ``signalcam run --init`` writes."""

EXAMPLE = """\
# A job of SignalCAM: signalcam run job.toml. Run the command again to continue after a stop.
# Relative paths, and modules, start at this file's folder.

[data]                          # what signalcam.data.open reads
path = "windows.npy"            # a file, a folder, a pattern, a list of files, or a manifest
# labels = "labels.npy"         # true classes: an array of the file, or a .npy file
# groups = "site.npy"           # a .npy file with one group a sample, for the aggregates
# inputs = "x"                  # other names are options of the file format
# windows = { length = 10.0, stride = 5.0 }   # cuts long records
# dtype = "float32"             # converts the samples, such as recordings of whole numbers
                                # in place of path: build = "module:function", which returns a loader

[model]
build = "networks:build"        # module:function or module:Class; called with the arguments below
# arguments = { classes = 3 }
# weights = "weights.safetensors"  # or a state_dict (.pt), or a whole .keras or .pt2
# trust = false                 # true unpickles weights, which can run code: only for files you made
# device = "cpu"                # "cuda", for PyTorch
# autocast = "bfloat16"         # runs a PyTorch network in half precision; maps stay in single precision
# class_names = ["normal", "ventricular"]

[explain]
method = ["grad-cam"]           # signalcam methods lists them
# layer = ["conv2"]             # by default the last one with positions
target = ["predicted"]          # also a class, by number or name, "label", { contrast = 1, foil = 0 }, { predicted = 2 }
# signed = false
# score = "logit"
# align = "receptive-field"

[layout]
# dims = "batch channel time"
# sampling_rate = 500
# channel_names = ["I", "II"]
# units = "mV"

[units]
# size = 1024                   # samples committed at once; the default grows with the number of samples
batch = 32                      # samples that go through the model at once

[output]
path = "maps.zarr"
dtype = "float16"               # or float32, uint8

[aggregates]
# by = ["label", "predicted", "right", "group"]   # all that are known by default
# bins = 64                     # bins of the histograms for quantiles
# quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
# events = "beats.npz"          # also average maps around events: arrays "sample" and "time", or a Parquet column of lists
# before = 0.2                  # seconds before each event; samples, if there is no sampling rate
# after = 0.4

[metrics]                       # score each map as signalcam.metrics.evaluate does; this runs the model many times
# names = ["deletion", "insertion"]   # signalcam.metrics.names() lists them
# measure = "probability"       # or "logit", "log_odds", "accuracy"
# imputer = "mean"              # by default that of each metric's paper
# steps = 10
# window = 25                   # positions removed together; the layer's stride by default
# baselines = ["random-cam", "input-energy"]
# seed = 0

[engine]
name = "local"                  # processes on this machine; or "ray"; or "rank", under torchrun or Slurm
processes = 1
threads = 1                     # per process; another number may change the last digit
# address = "10.0.0.1:6379"     # Ray's address, or "auto" for the one on this machine; by default one is started
# cpus = 1.0                    # Ray's CPUs per process
# gpus = 0.0
# timeout = 600                 # seconds a process may take for one unit before it is replaced
on_error = "record"             # or "stop" at the first bad sample
"""
