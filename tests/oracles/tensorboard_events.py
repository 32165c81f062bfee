"""Reads event files with TensorBoard's own reader: folder/events -> answer.json, tag -> [[step, value]]."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = sys.argv[1]
events = EventAccumulator(folder + "/events", size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
answer = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
with open(folder + "/answer.json", "w", encoding="utf-8") as file:
    json.dump(answer, file)
