"""Mixed text and a tokenizer for bench/second_base: second_base_text.py SHARED_TEXT OUT

Writes OUT/train.jsonl, OUT/valid-KIND.txt and OUT/start/tokenizer.model (4,096 pieces, BPE with byte fallback). Five
kinds: stories, a play and encyclopedia articles of SHARED_TEXT; Python code and documentation of the packages that this
machine has. One document in twenty is held out.
"""
import gzip
import json
import pathlib
import re
import sys
import zlib

import sentencepiece

MOST_BYTES = {"stories": 3_000_000, "play": 1_100_000, "wiki": 650_000, "code": 3_000_000, "docs": 2_500_000}
LONGEST = 20_000  # characters of a document
DOC_NAMES = re.compile(r"^(README|NEWS|FAQ|TODO|HACKING)|\.(md|rst|txt)(\.gz)?$")


def read(path):
    try:
        raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8").replace("\r\n", "\n")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        return ""


def some_files(folder, wanted):
    """In an order that mixes the packages and is the same on every run."""
    files = [path for path in folder.rglob("*") if wanted(path) and path.is_file() and not path.is_symlink()]
    return sorted(files, key=lambda path: zlib.crc32(str(path).encode()))


def documents(shared):
    stories = (shared / "tinystories-lower-4mib.txt").read_text()
    yield "stories", stories.split("<|endoftext|>") if "<|endoftext|>" in stories else stories.split("\n\none day")
    play = (shared / "tinyshakespeare.txt").read_text()
    yield "play", [play[at : at + 8000] for at in range(0, len(play), 8000)]
    wiki = (shared / "wikitext2-raw-test.txt").read_text()
    yield "wiki", re.split(r"(?m)^ (?== [^=]+ = $)", wiki[: len(wiki) // 2])
    library = pathlib.Path("/usr/lib")
    yield "code", (read(p) for p in some_files(library, lambda p: p.suffix == ".py" and "python3" in str(p)))
    yield "docs", (read(p) for p in some_files(pathlib.Path("/usr/share/doc"), lambda p: DOC_NAMES.search(p.name)))


shared, out = map(pathlib.Path, sys.argv[1:])
(out / "start").mkdir(parents=True, exist_ok=True)
train = []
for kind, texts in documents(shared):
    held_out, size, seen = [], 0, set()
    for text in texts:
        text = text.strip()[:LONGEST]
        if len(text) < 200 or text in seen:
            continue
        seen.add(text)
        size += len(text.encode())
        if size > MOST_BYTES[kind]:
            break
        (held_out if len(seen) % 20 == 10 else train).append(text)
    (out / f"valid-{kind}.txt").write_text("\n\n".join(held_out) + "\n")
    print(f"{kind}: {len(seen)} documents, {min(size, MOST_BYTES[kind])} bytes, {len(held_out)} documents held out")
train.sort(key=lambda text: zlib.crc32(text.encode()))
with open(out / "train.jsonl", "w") as lines:
    lines.writelines(json.dumps({"text": text}) + "\n" for text in train)
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=(line for text in train for line in text.split("\n") if line), model_prefix=str(out / "start/tokenizer"),
    vocab_size=4096, model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
    add_dummy_prefix=False, max_sentence_length=20000, input_sentence_size=200000, user_defined_symbols=["\n"],
    minloglevel=1, num_threads=2)
