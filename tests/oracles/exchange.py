"""What the oracles share: they read FOLDER/request.json and write FOLDER/answer.json."""

import json
import os
import pathlib
import sys

import torch

FOLDER = pathlib.Path(sys.argv[1])
os.environ["HF_MODULES_CACHE"] = str(FOLDER / "modules")  # where a folder's own code is copied to


def request():
    return json.loads((FOLDER / "request.json").read_text())


def answer(value):
    (FOLDER / "answer.json").write_text(json.dumps(value))


def load(folder, dtype="float32", trust=False):
    """A model as transformers understands the folder; a tensor missing or left over is an error.

    With `trust` its own code computes it. Families without a class in transformers are Llama with other tensors: as_llama.py.
    """
    import transformers  # takes seconds, and not every oracle needs it
    from as_llama import KINDS, load_as_llama

    kind = json.loads((pathlib.Path(folder) / "config.json").read_text())["model_type"]
    if kind in KINDS and not trust:
        return load_as_llama(folder, kind, getattr(torch, dtype))
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True, trust_remote_code=trust)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], (folder, what, info[what])
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    return model(torch.tensor(ids), use_cache=False).logits
