"""The networks whose trained weights lie in the folder of real data, and their preprocessing."""

import csv
import json

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import nn


class KeywordNet(nn.Module):
    """Residual keyword spotter, input (batch, 101 frames, 40 MFCC), 12 words."""

    words = (
        "silence",
        "unknown",
        "yes",
        "no",
        "up",
        "down",
        "left",
        "right",
        "on",
        "off",
        "stop",
        "go",
    )

    def __init__(self, width=19):
        super().__init__()
        self.conv0 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.pool = nn.AvgPool2d((4, 3))
        for number in range(1, 7):
            setattr(self, f"conv{number}", nn.Conv2d(width, width, 3, padding=1, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(width, affine=False))
        self.output = nn.Linear(width, len(self.words))

    def forward(self, x):
        x = carried = self.pool(F.relu(self.conv0(x[:, None])))
        for number in range(1, 7):
            y = F.relu(getattr(self, f"conv{number}")(x))
            if number % 2 == 0:
                y = carried = y + carried
            x = getattr(self, f"bn{number}")(y)
        return self.output(x.flatten(2).mean(2))


class EmotionNet(nn.Module):
    """Convolutions beside a recurrent branch with attention; returns logits, softmax, attention."""

    emotions = ("surprised", "neutral", "calm", "happy", "sad", "angry", "fearful", "disgust")

    def __init__(self):
        super().__init__()
        parts = []
        for before, after, pool in ((1, 16, 2), (16, 32, 4), (32, 64, 4), (64, 64, 4)):
            parts += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            parts += [nn.MaxPool2d(pool), nn.Dropout(0.3)]
        self.conv2Dblock = nn.Sequential(*parts)
        self.lstm_maxpool = nn.MaxPool2d((2, 4))
        self.lstm = nn.LSTM(64, 128, bidirectional=True, batch_first=True)
        self.attention_linear = nn.Linear(256, 1)
        self.out_linear = nn.Linear(512, 8)

    def forward(self, x):
        states, _ = self.lstm(self.lstm_maxpool(x)[:, 0].transpose(1, 2))
        attention = self.attention_linear(states).softmax(1).transpose(1, 2)
        seen = torch.cat([self.conv2Dblock(x).flatten(1), (attention @ states)[:, 0]], 1)
        logits = self.out_linear(seen)
        return logits, logits.softmax(1), attention


class BeatNet300(nn.Module):
    """Four convolutions and a flattening head on single beats, input (batch, 300), classes NAVLR."""

    beats = "NAVLR"

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(1, 4, 21, padding="same")
        self.conv2 = nn.Conv1d(4, 16, 23, padding="same")
        self.conv3 = nn.Conv1d(16, 32, 25, padding="same")
        self.conv4 = nn.Conv1d(32, 64, 27, padding="same")
        self.fc1 = nn.Linear(64 * 38, 128)
        self.fc2 = nn.Linear(128, 5)
        self.last = nn.ReLU()

    def forward(self, x):
        x = F.max_pool1d(F.relu(self.conv1(x.reshape(-1, 1, 300))), 3, 2, 1)
        x = F.max_pool1d(F.relu(self.conv2(x)), 3, 2, 1)
        x = F.avg_pool1d(F.relu(self.conv3(x)), 3, 2, 1)
        return self.fc2(F.relu(self.fc1(self.last(self.conv4(x)).flatten(1))))


class PitchNet(nn.Module):
    """Pitch from 1024 samples at 16 kHz through convolutions of width 1, 360 bins."""

    def __init__(self):
        super().__init__()
        before, after = [1, 128, 16, 16, 16, 32], [128, 16, 16, 16, 32, 64]
        for i in range(6):
            kernel, stride = (512, 4) if i == 0 else (64, 1)
            conv = nn.Conv2d(before[i], after[i], (kernel, 1), stride=(stride, 1))
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"conv{i + 1}_BN", nn.BatchNorm2d(after[i], eps=1e-3))
        self.classifier = nn.Linear(256, 360)

    def forward(self, x):
        x = x[:, None, :, None]
        for i in range(6):
            x = F.pad(x, (0, 0, 254, 254) if i == 0 else (0, 0, 31, 32))
            x = getattr(self, f"conv{i + 1}_BN")(F.relu(getattr(self, f"conv{i + 1}")(x)))
            x = F.max_pool2d(x, (2, 1))
        return self.classifier(x.permute(0, 2, 1, 3).reshape(-1, 256))


def load(network, path):
    """Load a state dict without unpickling anything but tensors."""
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def mesh_net(folder):
    """Build the dilated 3-D network from its layer list and its flat float32 weights."""
    described = json.loads((folder / "model.json").read_text())
    raw, start, weights = (folder / "model.bin").read_bytes(), 0, {}
    for each in described["weightsManifest"][0]["weights"]:
        count = int(np.prod(each["shape"]))
        weights[each["name"]] = np.frombuffer(raw, "<f4", count, start).reshape(each["shape"])
        start += 4 * count
    layers = []
    for layer in described["modelTopology"]["model_config"]["config"]["layers"][1:]:
        config = layer["config"]
        if layer["class_name"] == "Activation":
            layers.append(nn.ELU())
            continue
        kernel = weights[f"{config['name']}/kernel"]
        size, _, _, before, after = kernel.shape
        spread = config["dilation_rate"][0]
        conv = nn.Conv3d(before, after, size, padding=spread * (size // 2), dilation=spread)
        conv.weight.data = torch.tensor(kernel.transpose(4, 3, 0, 1, 2).copy())
        conv.bias.data = torch.tensor(weights[f"{config['name']}/bias"].copy())
        layers.append(conv)
    return nn.Sequential(*layers).eval()


def beats_300(folder, record):
    """Cut denoised beats of 300 samples around the R peaks of a record, with their classes."""
    import pywt
    import wfdb

    x = wfdb.rdrecord(str(folder / record), channel_names=["MLII"]).p_signal[:, 0]
    parts = pywt.wavedec(x, "db5", level=9)
    limit = np.median(np.abs(parts[-1])) / 0.6745 * np.sqrt(2 * np.log(len(parts[-1])))
    parts[-1][:] = parts[-2][:] = 0
    parts[1:-2] = [pywt.threshold(part, limit) for part in parts[1:-2]]
    x = pywt.waverec(parts, "db5")
    notes = wfdb.rdann(str(folder / record), "atr")
    pairs = list(zip(notes.sample, notes.symbol, strict=True))[10:-5]
    kept = [(x[at - 99 : at + 201], "NAVLR".index(kind)) for at, kind in pairs if kind in "NAVLR"]
    return np.stack([beat for beat, _ in kept]).astype("float32"), np.array([k for _, k in kept])


def wave(path):
    """Read a 16-bit wave file as floats, with its rate."""
    from scipy.io import wavfile

    rate, x = wavfile.read(path)
    return x.astype("float32") / 32768, rate


def mfcc(x):
    """40 cepstral coefficients every 10 ms of a second at 16 kHz: (101, 40)."""
    import librosa
    from scipy.fft import dct

    mel = librosa.feature.melspectrogram(y=x, sr=16000, n_mels=40, hop_length=160, n_fft=480, fmin=20, fmax=4000)
    mel[mel > 0] = np.log(mel[mel > 0])
    return dct(mel, axis=0, norm="ortho").T.astype("float32")


def speech(path):
    """Read a recording as one channel, with its rate."""
    import soundfile

    x, rate = soundfile.read(path, dtype="float32")
    return (x if x.ndim == 1 else x.mean(1)), rate


def mel_128(x, scaler, rate=48000):
    """Three standardised seconds of speech from half a second on: (1, 128 mel, 563 frames)."""
    import librosa

    x = x[rate // 2 : rate // 2 + 3 * rate]
    x = np.pad(x.astype("float64"), (0, 3 * rate - len(x)))
    power = librosa.feature.melspectrogram(
        y=x,
        sr=rate,
        n_fft=1024,
        win_length=512,
        window="hamming",
        hop_length=256,
        n_mels=128,
        fmax=rate / 2,
    )
    decibel = librosa.power_to_db(power, ref=np.max)
    return ((decibel - scaler["mean"]) / scaler["std"])[None].astype("float32")


def rows(path):
    """Read a table with a header."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
