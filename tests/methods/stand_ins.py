"""Weight files of every published network, under the official names and in the official layout, with drawn numbers."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import methods
from methods.network import NetworkMethod
from tests.methods.checkpoints import bundle

State = dict[str, Tensor]


def draw_state(network: nn.Module) -> State:
    """Return weights of which none is at a value without effect; a generator that its name seeds draws each.

    For convolutions this is the recipe behind shared/golden/rfn_nest_synthetic_1.npz.
    """
    state = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = tensor
            continue
        numbers = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        if name.endswith("running_var"):
            numbers = 0.5 + np.abs(numbers)
        elif tensor.ndim > 1:
            numbers *= np.sqrt(2 / np.prod(tensor.shape[1:]))
        elif name.endswith("weight"):  # of a normalisation, or the slope of a PReLU
            numbers = 0.5 + 0.1 * numbers
        else:
            numbers *= 0.1
        state[name] = torch.from_numpy(np.asarray(numbers, dtype=np.float32))
    return state


def networks(name: str) -> dict[str, nn.Module]:
    """Return the networks of a method by the official file that holds their weights."""
    module = import_module(f"methods.{name}")
    files = [file.name for file in methods.records()[name].files]
    if name == "auif":
        network = module.AUIFNetwork()
        return dict(zip(files, (network.base, network.detail, network.decoder), strict=True))
    if name == "didfuse":
        return dict(zip(files, (module.Encoder(), module.Decoder()), strict=True))
    if name == "rfn_nest":
        return dict(zip(files, (module.NestFuse(), module.FusionNetwork()), strict=True))
    if name == "densefuse":
        return dict(zip(files, (module.DenseFuseNetwork(), module.DenseFuseNetwork(tensorflow=True)), strict=True))
    if name == "ifcnn":
        return {file: module.IFCNNNetwork(torch.maximum) for file in files}
    if name == "tardal":
        return {file: module.TarDALGenerator() for file in files}
    (network,) = (
        value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and key.endswith("Network")
    )
    return {files[-1]: network()}  # of a TensorFlow checkpoint's two files the second holds the numbers


def write_files(name: str, folder: Path) -> Path:
    """Write all weight files of a method; return their folder."""
    for file, network in networks(name).items():
        save(name, file, draw_state(network), folder)
    return folder


def save(name: str, file: str, state: State, folder: Path) -> None:
    """Write one weight file, in the layout of the official one."""
    if name == "auif":  # normalisation by thousands, as trained; the iterations grow without bounds otherwise
        state = {key: 3000 * value if key.endswith("rest.0.running_var") else value for key, value in state.items()}
    if name == "densefuse" and file.endswith(".zip"):
        index, data = bundle(tensorflow_tensors(name, state))
        member = import_module("methods.densefuse")._ZIPPED
        with zipfile.ZipFile(folder / file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{member}.index", index)
            archive.writestr(f"{member}.data-00000-of-00001", data)
    elif ".data-" in file:
        index, data = bundle(tensorflow_tensors(name, state))
        (folder / file).write_bytes(data)
        (folder / (file.rpartition(".data-")[0] + ".index")).write_bytes(index)
    else:
        kept = {key: tensor for key, tensor in state.items() if not key.endswith("attn_mask")}  # 85 MB of constants
        wrapped = {"didfuse": {"weight": kept, "epoch": 120}, "ship": {"params": kept}}
        torch.save(wrapped.get(name, kept), folder / file)


def tensorflow_tensors(name: str, state: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Return a state under the names, and in the layout, of the authors' TensorFlow checkpoint."""
    kernel, bias = "{0}/kernel", "{0}/bias"
    if name == "sdnet":
        kernel, bias = "fusion_model/layer{0}/w{0}", "fusion_model/layer{0}/b{0}"
    tensors = {}
    for ours, theirs in import_module(f"methods.{name}")._LAYERS.items():
        tensors[kernel.format(theirs)] = state[f"{ours}.weight"].permute(2, 3, 1, 0).numpy()
        tensors[bias.format(theirs)] = state[f"{ours}.bias"].numpy()
    return tensors


class Ready:
    """Methods with stand-in weights, each made once."""

    def __init__(self, new_folder: Callable[[str], Path]) -> None:
        self._new_folder = new_folder
        self._folders: dict[str, Path] = {}
        self._methods: dict[tuple[str, str | None, str], methods.Method] = {}

    def folder(self, name: str) -> Path:
        """Return the folder of a method's weight files."""
        if name not in self._folders:
            self._folders[name] = write_files(name, self._new_folder(name))
        return self._folders[name]

    def method(self, name: str, variant: str | None, device: str) -> methods.Method:
        """Return a method by name, ready to fuse."""
        key = name, variant, device
        if key not in self._methods:
            weights = self.folder(name) if issubclass(methods.find(name), NetworkMethod) else None
            self._methods[key] = methods.create(name, variant=variant, weights=weights, device=device)
        return self._methods[key]
