"""Loss, KL and agreement of transformers on windows of one stream."""

import torch
from exchange import answer, load, logits, request

ask = request()
baseline, model = load(ask["baseline"]), load(ask["model"])
ids, seq = ask["ids"], ask["seq_len"]
windows = []
for first in range(0, len(ids) - 1, seq):
    window = ids[first : first + seq + 1]
    p, q = (
        torch.log_softmax(logits(m, [window[:-1]])[0].double(), -1) for m in (baseline, model)
    )
    targets = torch.tensor(window[1:])
    windows.append(
        {
            "tokens": len(targets),
            "nll": -q.gather(1, targets[:, None]).sum().item(),
            "kl": (p.exp() * (p - q)).sum().item(),
            "agreed": (p.argmax(-1) == q.argmax(-1)).sum().item(),
        }
    )
answer(windows)
