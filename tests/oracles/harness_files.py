"""Reads result and sample files with lm-evaluation-harness's own functions, as its loggers and its hub do."""

import json
import pathlib
import sys
import tempfile

FOLDER = pathlib.Path(sys.argv[1])
ROOT = pathlib.Path(json.loads((FOLDER / "request.json").read_text())["folder"])


def wrong_hashes(line, hash_string):
    """Names of the hashes that are not what the harness makes of the line."""
    prompt = line["arguments"]["gen_args_0"]["arg_0"]
    expected = {
        "doc_hash": hash_string(json.dumps(line["doc"], indent=2, ensure_ascii=False)),
        "prompt_hash": hash_string(prompt),
        "target_hash": hash_string(line["target"]),
    }
    return [name for name, value in expected.items() if line[name] != value]


def read():
    import datasets
    from lm_eval import utils
    from lm_eval.result_schema import EvalResults, SampleResult

    datasets.disable_progress_bars()
    files = [str(path) for path in sorted(ROOT.rglob("*"))]
    all_results = utils.get_results_filenames(files)
    latest = utils.get_latest_filename(all_results)
    results = json.loads(pathlib.Path(latest).read_text(encoding="utf-8"))
    date = utils.get_file_datetime(latest.removesuffix(".json"))
    samples = [f for f in utils.get_sample_results_filenames(files) if pathlib.Path(f).parent == pathlib.Path(latest).parent]
    found = {
        "results": [pathlib.Path(f).parent.name for f in all_results],
        "sanitized": utils.sanitize_model_name(results["model_name"]),
        "named": results["model_name_sanitized"],
        "table": utils.make_table(results),
        "groups": utils.make_table(results, "groups") if "groups" in results else "",
        "unknown_keys": sorted(set(results) - set(EvalResults.__annotations__) - {"regroup"}),
        "wrong": [],
        "samples": {},
    }
    for path in samples:
        name = pathlib.Path(path).name
        task = utils.get_file_task_name(name)
        if utils.get_file_datetime(name) != date:
            found["wrong"].append(f"{name}: another date")
        with open(path, encoding="utf-8", newline="\n") as file:  # a text may hold U+2028
            lines = [json.loads(line) for line in file]
        hashes = "".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in lines)
        if utils.hash_string(hashes) not in results["task_hashes"].values():
            found["wrong"].append(f"{name}: task_hashes")
        for number, line in enumerate(lines):
            missing = set(SampleResult.__annotations__) - set(line) | set(line["metrics"]) - set(line)
            wrong = wrong_hashes(line, utils.hash_string) + sorted(missing)
            found["wrong"] += [f"{name} line {number + 1}: {what}" for what in wrong]
        with tempfile.TemporaryDirectory() as cache:
            table = datasets.load_dataset("json", data_files=path, split="train", cache_dir=cache)
            found["samples"][task] = table.num_rows
            del table
    return found


try:
    import lm_eval  # noqa: F401
except ImportError:
    answer = {"missing": True}
else:
    answer = read()
(FOLDER / "answer.json").write_text(json.dumps(answer, ensure_ascii=False), encoding="utf-8")
