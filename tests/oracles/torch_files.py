"""Files that PyTorch itself writes: NAME.bin of the folder, and for those with tensors NAME.safetensors with the same.

    python torch_files.py FOLDER      answer.json: the names, and PyTorch's version
"""
import json
import pathlib
import sys
import zipfile
from collections import OrderedDict

import torch
from safetensors.torch import save_file

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(1)
types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64, "i64": torch.int64, "i32": torch.int32,
         "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool}
every = {name: (torch.randn(3, 5) * 9).to(dtype) for name, dtype in types.items()}
shapes = {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 4), "one": torch.randn(1), "four": torch.randn(2, 3, 4, 5)}
big = torch.randn(6, 4)
linear = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
good = {
    "dict": every,
    "ordered": OrderedDict(every),
    "shapes": shapes,
    "state_dict": linear.state_dict(),
    "parameters": {"weight": torch.nn.Parameter(torch.randn(2, 2)), "frozen": torch.nn.Parameter(torch.randn(3), requires_grad=False)},
    "shared": {"first": big, "tied": big, "rows": big[2:4], "flat": big.view(-1)[5:9]},
    "many": {f"layer.{i}.weight": torch.full((2,), float(i)) for i in range(700)},
}
for name, tensors in good.items():
    torch.save(tensors, folder / f"{name}.bin")
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")
torch.save(every, folder / "protocol4.bin", pickle_protocol=4)
save_file(every, folder / "protocol4.safetensors")
torch.serialization.set_crc32_options(False)
torch.save(every, folder / "unchecked.bin")
torch.serialization.set_crc32_options(True)
save_file(every, folder / "unchecked.safetensors")

torch.save({"a": torch.randn(3, 4).t()}, folder / "bad-PICKLE_VIEW.bin")
torch.save({"model": every}, folder / "bad-PICKLE_UNSUPPORTED-nested.bin")
torch.save({"a": torch.randn(2), "step": 3}, folder / "bad-PICKLE_UNSUPPORTED-number.bin")
torch.save(torch.randn(2), folder / "bad-PICKLE_UNSUPPORTED-tensor.bin")
torch.save({"a": torch.eye(3).to_sparse()}, folder / "bad-PICKLE_GLOBAL-sparse.bin")
torch.save(linear, folder / "bad-PICKLE_GLOBAL-module.bin")
torch.save(every, folder / "bad-PICKLE_LEGACY.bin", _use_new_zipfile_serialization=False)
torch.jit.script(linear).save(folder / "bad-TORCHSCRIPT_REFUSED.bin")
with zipfile.ZipFile(folder / "dict.bin") as stored, zipfile.ZipFile(folder / "bad-ZIP_COMPRESSED.bin", "w", zipfile.ZIP_DEFLATED) as packed:
    for entry in stored.namelist():
        packed.writestr(entry, stored.read(entry))
(folder / "answer.json").write_text(json.dumps({"good": [*good, "protocol4", "unchecked"], "torch": torch.__version__}))
