"""Every field of a job file, wrong: what ``--set field=value`` is given, and words of the sentence that must come.

A field that is new gets its line here; a test fails until it has one.
"""

Wrong = list[tuple[str, str]]

# told before any process is started
WRONG: dict[str, Wrong] = {
    "data.path": [
        ("3", "data.path is 3: it should be a path"),
        ("[3]", "data.path is [3]: it should be a path"),
        ("[]", "data.path is []"),
        ("''", "data.path is ''"),
        ("'none.npz'", "nothing lies at"),
        ("'none/*.npz'", "nothing lies at"),
        ("'empty'", "holds no file that can be read"),
        ("'no_samples.npz'", "holds no samples"),
        ("'job_networks.py'", "of no known kind"),
        ("'weights.npz'", "could not be read"),
    ],
    "data.format": [("3", "data.format is 3"), ("'nump'", "Nearest: 'numpy'"), ("'image'", "is no option of image files")],
    "data.windows": [
        ("-1", "data.windows is -1: it should be a length above 0"),
        ("'long'", "data.windows is 'long'"),
        ("inf", "length of the windows is inf"),
        ("{ size = 3 }", "unexpected keyword argument 'size'. Write, for instance"),
        ("{ length = 'a' }", "length of the windows is 'a'"),
        ("{ length = 1, around = 3, stride = 1 }", "have no stride"),
        ("5", "no single record"),
    ],
    "data.labels": [
        ("3", "data.labels is 3"), ("'z'", "no array 'z' that fits"), ("'none.npy'", "data.labels"), ("'short.npy'", "data.labels has shape (3,) for 12 samples"),
    ],
    "data.groups": [("3", "data.groups is 3"), ("'none.npy'", "data.groups"), ("'short.npy'", "data.groups has shape (3,)"), ("'weights.npz'", "data.groups")],
    "model.build": [("3", "model.build is 3"), ("'no colon'", "it should be 'module:function'"), ("':build'", "it should be 'module:function'")],
    "model.arguments": [("3", "model.arguments is 3"), ("[1]", "model.arguments is [1]")],
    "model.weights": [("3", "model.weights is 3")],
    "model.trust": [("'perhaps'", "model.trust is 'perhaps'"), ("2", "model.trust is 2")],
    "model.device": [("3", "model.device is 3")],
    "model.autocast": [("'int8'", "model.autocast is 'int8'"), ("16", "model.autocast is 16"), ("true", "model.autocast is True")],
    "model.class_names": [("3", "model.class_names is 3"), ("[1]", "model.class_names.0 is 1"), ("'N'", "model.class_names is 'N'")],
    "explain.method": [("3", "explain.method.0 is 3"), ("[]", "explain.method is []")],
    "explain.layer": [("3", "explain.layer.0 is 3"), ("[]", "explain.layer is []")],
    "explain.target": [
        ("[]", "explain.target is []"), ("1.5", "explain.target is 1.5: it should be 'predicted'"), ("true", "explain.target is True"),
        ("[[1]]", "explain.target is [1]"), ("{ class = 1.5 }", "explain.target is {'class': 1.5}"),
    ],
    "explain.signed": [("3", "explain.signed is 3")],
    "explain.score": [("3", "explain.score is 3"), ("'logits'", "explain.score is 'logits': input should be 'logit'")],
    "explain.align": [("'left'", "explain.align is 'left': input should be 'receptive-field' or 'resize'")],
    "layout.dims": [("3", "layout.dims is 3"), ("'time'", "batch first"), ("'batch time time'", "each axis once"), ("'batch sample time'", "cannot be called 'sample'")],
    "layout.sampling_rate": [
        ("'fast'", "layout.sampling_rate is 'fast'"), ("0", "layout.sampling_rate is 0"), ("-1", "layout.sampling_rate is -1"),
        ("inf", "layout.sampling_rate is inf"), ("nan", "layout.sampling_rate is nan"),
    ],
    "layout.channel_names": [("3", "layout.channel_names is 3"), ("'I'", "layout.channel_names is 'I'"), ("[1]", "layout.channel_names.0 is 1")],
    "layout.units": [("3", "layout.units is 3")],
    "layout.spacing": [
        ("3", "layout.spacing is 3"), ("{ time = 'x' }", "layout.spacing.time is 'x'"), ("{ time = -1 }", "spacing of 'time' is -1.0"),
        ("{ depth = 1 }", "spacing names axis 'depth'"), ("{ time = 1 }", "Leave one of them out"),
    ],
    "layout.axis_units": [("3", "layout.axis_units is 3"), ("{ time = 3 }", "layout.axis_units.time is 3"), ("{ depth = 'mm' }", "axis_units names axis 'depth'")],
    "units.size": [("0", "units.size is 0"), ("1.5", "units.size is 1.5"), ("'many'", "units.size is 'many'"), ("10", "no multiple of batch")],
    "units.batch": [("0", "units.batch is 0"), ("'many'", "units.batch is 'many'"), ("3", "no multiple of batch")],
    "output.path": [
        ("3", "output.path is 3"), ("''", "names no folder"), ("'.'", "names no folder"), ("'/'", "names no folder"),
        ("'windows.npz'", "no whole store of a job"), ("'empty'", "no whole store of a job"), ("'windows.npz/maps.zarr'", "cannot write to"),
        ("'/proc/none/maps.zarr'", "cannot write to"),
    ],
    "output.dtype": [("3", "output.dtype is 3"), ("'float64'", "output.dtype is 'float64': input should be 'float16'")],
    "aggregates.by": [("'label'", "aggregates.by is 'label'"), ("['age']", "aggregates.by.0 is 'age'"), ("['group']", "data.groups says nothing")],
    "aggregates.bins": [("1", "aggregates.bins is 1"), ("100000", "aggregates.bins is 100000"), ("2.5", "aggregates.bins is 2.5")],
    "aggregates.quantiles": [
        ("[]", "aggregates.quantiles is []"), ("[2]", "aggregates.quantiles.0 is 2"), ("[nan]", "aggregates.quantiles.0 is nan"), ("'x'", "aggregates.quantiles.0 is 'x'"),
    ],
    "aggregates.events": [("3", "aggregates.events is 3"), ("'none.npz'", "there are no events at"), ("'events.txt'", "there are no events at")],
    "aggregates.before": [("-1", "aggregates.before is -1"), ("inf", "aggregates.before is inf"), ("'x'", "aggregates.before is 'x'")],
    "aggregates.after": [("-1", "aggregates.after is -1"), ("nan", "aggregates.after is nan")],
    "metrics.names": [("3", "metrics.names.0 is 3"), ("'delete'", "deletion")],
    "metrics.measure": [("'p'", "metrics.measure is 'p'")],
    "metrics.imputer": [("[1]", "metrics.imputer is [1]")],
    "metrics.steps": [("1", "metrics.steps is 1"), ("2.5", "metrics.steps is 2.5")],
    "metrics.window": [("0", "metrics.window is 0"), ("'x'", "metrics.window is 'x'")],
    "metrics.baselines": [("3", "metrics.baselines.0 is 3")],
    "metrics.seed": [("-1", "metrics.seed is -1"), ("'x'", "metrics.seed is 'x'")],
    "data.build": [("3", "data.build is 3"), ("'x:y'", "data")],
    "data.arguments": [("3", "data.arguments is 3")],
    "data.dtype": [("'int8'", "data.dtype is 'int8'"), ("3", "data.dtype is 3")],
    "engine.address": [("3", "engine.address is 3"), ("'nowhere'", "engine.address is 'nowhere'")],
    "engine.cpus": [("-1", "engine.cpus is -1"), ("'x'", "engine.cpus is 'x'")],
    "engine.gpus": [("-1", "engine.gpus is -1"), ("'x'", "engine.gpus is 'x'")],
    "engine.timeout": [("0", "engine.timeout is 0"), ("'x'", "engine.timeout is 'x'")],
    "engine.name": [("'spark'", "engine.name is 'spark'"), ("3", "engine.name is 3")],
    "engine.processes": [("0", "engine.processes is 0"), ("1.5", "engine.processes is 1.5")],
    "engine.threads": [("0", "engine.threads is 0"), ("'all'", "engine.threads is 'all'")],
    "engine.on_error": [("'ignore'", "engine.on_error is 'ignore': input should be 'record' or 'stop'")],
}  # fmt: skip

# told by the process that has the network, so that each takes seconds
WRONG_IN_A_PROCESS: dict[str, Wrong] = {
    "model.build": [
        ("'nowhere:build'", "cannot be imported (ModuleNotFoundError: No module named 'nowhere')"),
        ("'raises_at_import:build'", "cannot be imported (RuntimeError: out of order)"),
        ("'job_networks:nothing'", "has no attribute 'nothing'"),
        ("'bad_networks:value'", "'int' object is not callable"),
        ("'bad_networks:nothing'", "returned nothing. Have it return the network."),
        ("'bad_networks:words'", "no backend owns 'str'"),
    ],
    "model.arguments": [("{ size = 3 }", "unexpected keyword argument 'size'")],
    "model.weights": [("'none.pt'", "there are no weights at"), ("'empty'", "there are no weights at"), ("'weights.npz'", "is damaged, or no state_dict|unpickling")],
    "model.device": [("'moon'", "where Sequential cannot be put")],
    "model.class_names": [("['N', 'V']", "holds 2 names but the model tells 3 classes apart"), ("['N', 'N', 'V']", "holds a name twice")],
    "explain.method": [("'grad-camm'", "grad-cam")],
    "explain.layer": [("'9'", "layer '9' is not in Sequential")],
    "explain.target": [
        ("'X'", "there is no class 'X'"), ("7", "class 7 does not exist: the model tells 3 classes apart"), ("{ contrast = 1 }", "is no question"),
    ],
    "layout.dims": [("'batch channel'", "needs 2 axes")],
    "layout.channel_names": [("['I']", "1 channel names for an input of shape (1, 2, 40)")],
    "data.labels": [("'words.npy'", "there is no class 'a'"), ("'halves.npy'", "label 0.5 is no class")],
}  # fmt: skip
