"""What ``signalcam run --init`` writes: a job file with a comment on every line."""

EXAMPLE = """\
# A job of SignalCAM: signalcam run job.toml. The same command again goes on where it was stopped.
# Paths, and modules, are looked for from this file's folder on.

[data]                          # what signalcam.data.open reads
path = "windows.npy"            # a file, a folder, a pattern, a list of files, or a manifest
# labels = "labels.npy"         # true classes: an array of the file, or a .npy file
# groups = "site.npy"           # a .npy file with one group a sample, for the aggregates
# inputs = "x"                  # this and others are options of the kind of file
# windows = { length = 10.0, stride = 5.0 }   # cuts long records
# dtype = "float32"             # converts what is read, such as recordings of whole numbers
                                # instead of path: build, like that of [model], names a function that returns a loader

[model]
build = "networks:build"        # module:function or module:Class; called with the arguments below
# arguments = { classes = 3 }
# weights = "weights.safetensors"  # or a state_dict (.pt), or a whole .keras or .pt2
# trust = false                 # true lets weights run code while they are read: only for files you made
# device = "cpu"                # "cuda", for PyTorch
# autocast = "bfloat16"         # runs a PyTorch network in half precision where that is safe; maps stay in single
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
# size = 1024                   # samples that are committed at once; by default by how many there are
batch = 32                      # samples that go through the model at once

[output]
path = "maps.zarr"
dtype = "float16"               # or float32, uint8

[aggregates]
# by = ["label", "predicted", "right", "group"]   # by default all that are known
# bins = 64                     # of the histograms that quantiles come from
# quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
# events = "beats.npz"          # maps are also averaged around these: arrays "sample" and "time", or a Parquet column of lists
# before = 0.2                  # each event, in seconds where there is a sampling rate, else in samples
# after = 0.4

[metrics]                       # each map is scored as by signalcam.metrics.evaluate, which asks the model many times
# names = ["deletion", "insertion"]   # signalcam.metrics.names() lists them
# measure = "probability"       # or "logit", "log_odds", "accuracy"
# imputer = "mean"              # by default what each metric's paper takes
# steps = 10
# window = 25                   # positions taken away together; by default the layer's stride
# baselines = ["random-cam", "input-energy"]
# seed = 0

[engine]
name = "local"                  # processes of this machine; or "ray"; or "rank", under torchrun or Slurm
processes = 1
threads = 1                     # of each process; another number may change the last digit
# address = "10.0.0.1:6379"     # of Ray: also "auto", the one on this machine; by default one is started
# cpus = 1.0                    # of Ray, for each process
# gpus = 0.0
# timeout = 600                 # seconds after which a process that does not finish a unit is replaced
on_error = "record"             # or "stop" at the first bad sample
"""
