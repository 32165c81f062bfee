"""Assembles tokenizers with the parts that model families publish, and says which ids and texts the package gives.

Writes FOLDER/NAME/tokenizer.json for each. The answer is {name: {"ids", "decoded", "parsed"}} for the texts asked for ("parsed": special tokens are
found in them), or, with "texts"
too, for texts of every character, which compare classes of characters and normal forms.
"""

import json
import random

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from exchange import FOLDER, answer, request

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK]
DEEPSEEK_LLM = [
    r"[\r\n]",
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u0370-\u0373\u0400-\u0481]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    CJK,
]
DEEPSEEK_V3 = [
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
]
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
CATEGORIES = "L Lu Ll Lt Lm Lo M Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Han".split()
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

asked = request()
answered = {}


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(*parts, use_regex=False, prefix=False):
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)
    return pre_tokenizers.Sequence([*parts, last]) if parts else last


def save(name, tokenizer, texts):
    folder = FOLDER / name
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    ids = [tokenizer.encode(text).ids for text in texts]
    decoded = [tokenizer.decode(each, skip_special_tokens=False) for each in ids]
    answered[name] = {"ids": ids, "decoded": decoded}
    if texts is not asked["texts"]:
        answered[name]["texts"] = texts
        return
    tokenizer.encode_special_tokens = False
    answered[name]["parsed"] = [tokenizer.encode(text).ids for text in texts]


def byte_bpe(name, pre_tokenizer, normalizer=None, ignore_merges=False, added=(), front=None, texts=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=258 if texts else 1500, initial_alphabet=alphabet, show_progress=False, special_tokens=["<|end|>"]
    )
    tokenizer.train_from_iterator([] if texts else asked["texts"], trainer)
    if added:
        tokenizer.add_tokens(list(added))
    if front:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{front} $A", special_tokens=[(front, tokenizer.token_to_id(front))]
        )
    save(name, tokenizer, texts or asked["texts"])


def fallback_bpe(name, normalizer, pre_tokenizer, decoder, added=()):
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        asked["texts"], trainers.BpeTrainer(vocab_size=1200, limit_alphabet=200, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)])}
    for token in model["vocab"]:
        vocab.setdefault(token, len(vocab))
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.add_tokens(list(added))
    save(name, tokenizer, asked["texts"])


def word_bpe(name, model, decoder=None, normalizer=None, **trained_with):
    """Without bytes, as people train one of their own: a character that was not met has no token."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=900, limit_alphabet=150, show_progress=False, special_tokens=["[UNK]", "[PAD]"], **trained_with
    )
    tokenizer.train_from_iterator(asked["texts"], trainer)
    if decoder:
        tokenizer.decoder = decoder
    save(name, tokenizer, asked["texts"])


def unigram(name, normalizer, pre_tokenizer, decoder, byte_fallback=False):
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=900, show_progress=False, unk_token="<unk>", special_tokens=["<pad>", "</s>", "<unk>"]
    )
    trained.train_from_iterator(asked["texts"], trainer)
    vocab = [tuple(entry) for entry in json.loads(trained.to_str())["model"]["vocab"]]
    if byte_fallback:
        vocab += [("<0x%02X>" % b, -20.0) for b in range(256)]
    tokenizer = Tokenizer(models.Unigram(vocab, 2, byte_fallback))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    save(name, tokenizer, asked["texts"])


def plain(text, **flags):
    return AddedToken(text, **{"normalized": False, "special": False, **flags})


def families():
    sequence = pre_tokenizers.Sequence
    digits = pre_tokenizers.Digits
    byte_bpe("gpt2", byte_level(use_regex=True), front="<|end|>")
    byte_bpe("gpt-neox", byte_level(use_regex=True), normalizers.NFC(), added=[plain("    ", normalized=True), plain("  ")])
    byte_bpe("prefix-space", byte_level(use_regex=True, prefix=True), added=[plain("<x>", lstrip=True, rstrip=True)])
    byte_bpe("llama3", byte_level(isolated(LLAMA3)), ignore_merges=True, front="<|end|>")
    byte_bpe("qwen2", byte_level(isolated(QWEN2)), normalizers.NFC(), added=[plain("<tool_call>"), plain("<tool>")])
    byte_bpe("cased", byte_level(isolated(CASED)), ignore_merges=True)
    byte_bpe("starcoder", byte_level(digits(individual_digits=True), use_regex=True))
    byte_bpe("deepseek-coder", byte_level(*map(isolated, DEEPSEEK_CODER), digits(individual_digits=True)))
    byte_bpe("deepseek-llm", byte_level(*map(isolated, DEEPSEEK_LLM), digits(individual_digits=True)))
    byte_bpe("deepseek-v3", byte_level(*map(isolated, DEEPSEEK_V3)))
    falcon = [pre_tokenizers.Punctuation("contiguous"), byte_level(use_regex=True), digits(), isolated("[0-9][0-9][0-9]")]
    byte_bpe("falcon", sequence(falcon))
    byte_bpe("bloom", byte_level(isolated(BLOOM)))
    for behavior in ("removed", "merged_with_previous", "merged_with_next", "contiguous"):
        split = pre_tokenizers.Split(Regex(r"[\s\d]"), behavior)
        byte_bpe("split-" + behavior, byte_level(split), normalizers.Sequence([normalizers.Strip(), normalizers.NFKC()]))
    marks = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    strip = decoders.Sequence([*marks, decoders.Strip(" ", 1, 0)])
    prepend = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    first = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    fallback_bpe("llama2", None, first, strip, [plain("[INST]"), plain("\u2581\u2581")])
    fallback_bpe("llama2-4x", prepend, None, strip, [plain("<x>", rstrip=True)])
    replace, split = normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", "merged_with_previous")
    fallback_bpe("gemma", replace, split, decoders.Sequence(marks), [plain("\n\n"), plain("<table>")])
    no_accents = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    word_bpe("own", models.BPE(unk_token="[UNK]"), normalizer=no_accents)
    word_bpe("own-suffix", models.BPE(unk_token="[UNK]", fuse_unk=True, end_of_word_suffix="</w>"), decoders.BPEDecoder(), end_of_word_suffix="</w>")
    unigram("t5", None, pre_tokenizers.Metaspace(), decoders.Metaspace())
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    unigram("t5-bytes", spaces, first, decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]), True)
    words = sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    unigram("xlm-r", normalizers.NFKC(), words, decoders.Metaspace())


def classes():
    """What is removed is in the class; each normal form of each character alone and among marks."""
    blocks = ["".join(map(chr, CHARACTERS[i : i + 8192])) for i in range(0, len(CHARACTERS), 8192)]
    patterns = {"space": r"\s", "no-space": r"\S", "digit": r"\d", "word": r"\w", "no-word": r"\W", "in-class": r"[\w,]"}
    patterns |= {"category-" + name: r"\p{%s}" % name for name in CATEGORIES}
    for name, pattern in patterns.items():
        byte_bpe(name, byte_level(pre_tokenizers.Split(Regex(pattern), "removed")), texts=blocks)
    apart = ["".join("ab" + chr(c) for c in CHARACTERS[i : i + 8192]) for i in range(0, len(CHARACTERS), 8192)]
    alone = pre_tokenizers.Split(Regex("^[^ab]$"), "removed")
    byte_bpe("digits", byte_level(pre_tokenizers.Digits(individual_digits=True), alone), texts=apart)
    byte_bpe("punctuation", byte_level(pre_tokenizers.Punctuation("removed")), texts=blocks)
    byte_bpe("words", byte_level(pre_tokenizers.Whitespace()), texts=blocks + ["a".join(map(chr, CHARACTERS[i : i + 8192])) for i in range(0, len(CHARACTERS), 8192)])
    byte_bpe("white-space", byte_level(pre_tokenizers.WhitespaceSplit()), texts=blocks)
    pick = random.Random(3)
    marks = [c for c in CHARACTERS if 0x300 <= c < 0x370 or 0x591 <= c < 0x5C8 or 0x93C <= c < 0x94E or 0x1100 <= c < 0x11FF]
    mixed = ["".join(chr(pick.choice(pick.choice([CHARACTERS, marks]))) for _ in range(4000)) for _ in range(20)]
    forms = ["a".join(map(chr, CHARACTERS[i : i + 8192])) for i in range(0, len(CHARACTERS), 8192)] + mixed
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        byte_bpe(form, byte_level(), getattr(normalizers, form)(), texts=forms)


families() if asked["what"] == "families" else classes()
answer(answered)
