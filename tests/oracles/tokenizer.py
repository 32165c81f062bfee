"""Ids of texts and texts of ids, as transformers has them for a folder."""

import transformers

from exchange import answer, request

transformers.logging.set_verbosity_error()
asked = request()
tokenizer = transformers.AutoTokenizer.from_pretrained(asked["folder"])
answer({
    "encoded": [tokenizer.encode(text) for text in asked["texts"]],
    "decoded": [tokenizer.decode(ids) for ids in asked["ids"]],
})
